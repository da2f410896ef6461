//! A certificate of our own, and both ends of TLS with it.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};

/// A key and a certificate for `shop.example` and loopback that signs itself.
#[derive(Debug)]
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    /// As a file.
    pub(crate) certificate_pem: String,
    /// As a file.
    pub(crate) key_pem: String,
}

impl Identity {
    /// Makes one.
    pub(crate) fn new() -> Self {
        let names = ["shop.example", "localhost", "127.0.0.1"].map(String::from);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        }
    }

    /// What a server shows; it speaks only this protocol, as ALPN writes it.
    pub(crate) fn server(&self, protocol: &str) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![self.certificate.clone()], key))
            .expect("a key for its certificate");
        config.alpn_protocols = vec![protocol.into()];
        config.into()
    }

    /// What a visitor trusts, and the only protocol that it speaks.
    pub(crate) fn client(&self, protocol: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        config.into()
    }
}

/// The name under which every visitor of these stories asks for the shop.
pub(crate) fn shop_name() -> ServerName<'static> {
    ServerName::try_from("shop.example").expect("a name")
}
