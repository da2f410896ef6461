//! Visitors who look closely at the certificates that they are shown.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{SOCKET_TIMEOUT, edge::Wire};

/// A client that takes any certificate and remembers it.
#[derive(Clone, Debug)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
}

/// A conversation over TLS, and what was agreed upon.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) wire: Wire<StreamOwned<ClientConnection, TcpStream>>,
    pub(crate) shown: Vec<u8>,
    pub(crate) version: ProtocolVersion,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) kind: HandshakeKind,
}

/// The signature is checked, the name and the issuer are not: which one is shown is what is tested.
#[derive(Debug)]
struct AnyIssuer(Arc<CryptoProvider>);

impl TlsClient {
    /// Speaks both versions and no ALPN.
    pub(crate) fn new() -> Self {
        Self::speaking(rustls::ALL_VERSIONS, &[])
    }

    pub(crate) fn speaking(versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyIssuer(provider)))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config) }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Shakes hands for a name; an IP address is not told to the server (RFC 6066, section 3).
    pub(crate) fn connect(&self, address: SocketAddr, name: &str) -> io::Result<Agreed> {
        let tcp = TcpStream::connect_timeout(&address, SOCKET_TIMEOUT)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(SOCKET_TIMEOUT))?;
        tcp.set_write_timeout(Some(SOCKET_TIMEOUT))?;
        self.shake_hands(tcp, name)
    }

    /// The same on a connection that exists already.
    pub(crate) fn shake_hands(&self, mut tcp: TcpStream, name: &str) -> io::Result<Agreed> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut session = ClientConnection::new(self.config(), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        Ok(Agreed {
            shown: session.peer_certificates().and_then(<[_]>::first).expect("a certificate").to_vec(),
            version: session.protocol_version().expect("a version"),
            protocol: session.alpn_protocol().map(<[u8]>::to_vec),
            kind: session.handshake_kind().expect("a handshake"),
            wire: Wire::over(StreamOwned::new(session, tcp)),
        })
    }
}

impl ServerCertVerifier for AnyIssuer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
