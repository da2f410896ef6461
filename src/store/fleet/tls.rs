//! TLS to the database, as strict as `sslmode` asks.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::{Encryption, FleetError, FleetSettings, settings::Target};

/// What connects with TLS if the address asks for it.
pub(super) fn connector(settings: &FleetSettings, target: &Target) -> Result<MakeRustlsConnect, FleetError> {
    let provider = Arc::new(ring::default_provider());
    let unusable = |error: &dyn std::fmt::Display| FleetError::refused(format!("TLS to the database: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let vouched = |provider: &Arc<CryptoProvider>| {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(settings)?), Arc::clone(provider))
            .build()
            .map_err(|error| unusable(&error))
    };
    let verifier: Arc<dyn ServerCertVerifier> = match target.encryption {
        Encryption::Off | Encryption::Opportunistic | Encryption::Unproven => {
            Arc::new(Lenient { provider, authorities: None })
        }
        Encryption::Vouched => Arc::new(Lenient { authorities: Some(vouched(&provider)?), provider }),
        Encryption::Full => vouched(&provider)?,
    };
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    if target.is_direct {
        // https://www.postgresql.org/docs/17/protocol-flow.html, "SSL Session Encryption", 2026-11-22.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn roots(settings: &FleetSettings) -> Result<RootCertStore, FleetError> {
    let mut store = RootCertStore::empty();
    if settings.authorities.is_empty() {
        store.add_parsable_certificates(TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    for certificate in &settings.authorities {
        store
            .add(certificate.clone())
            .map_err(|error| FleetError::refused(format!("an authority of the database can't be used: {error}")))?;
    }
    Ok(store)
}

/// Believes a server of another name (`verify-ca`), or whatever it shows: `prefer`, and `require` without
/// authorities, as libpq does. Signatures are verified all the same.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// Who must vouch for the server, if anybody.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        match authorities.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is looked at last, so everything else is right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
