//! Certificates: who makes them, and what servers and visitors do with them.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    server::WebPkiClientVerifier,
};
use time::{Duration, OffsetDateTime};

/// The names that are asked for where one certificate is for everything: the shop, and loopback.
pub(crate) const ANYWHERE: [&str; 3] = ["shop.example", "localhost", "127.0.0.1"];

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// As a file.
    pub(crate) cert: String,
    /// As a file.
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
    key_der: Vec<u8>,
}

/// A certificate authority of its own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Issued {
    /// One for these names that signs itself, valid for a month, unlike any before.
    pub(crate) fn to(names: &[&str]) -> Self {
        Self::by(names, |params, key| params.self_signed(key))
    }

    fn by(names: &[&str], sign: impl FnOnce(CertificateParams, &KeyPair) -> Result<Certificate, rcgen::Error>) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(1);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.serial_number = Some(u64::from(SERIAL.fetch_add(1, Ordering::Relaxed)).into());
        params.not_after = OffsetDateTime::now_utc() + Duration::days(30);
        let key = KeyPair::generate().expect("a key");
        let cert = sign(params, &key).expect("a certificate");
        Self { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().to_vec(), key_der: key.serialize_der() }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.pem")), &self.cert).expect("a file");
        fs::write(folder.join(format!("{name}.key")), &self.key).expect("a file");
    }

    /// What a server shows; it speaks these protocols, as ALPN writes them, with those whom `demanded` knows.
    pub(crate) fn server(&self, protocols: &[&str], demanded: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3");
        let config = match demanded {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(trusting(authority.0.der().clone()));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                config.with_client_cert_verifier(verifier.expect("an authority"))
            }
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key_der.clone()));
        let mut config =
            config.with_single_cert(vec![self.der.clone().into()], key).expect("a key for its certificate");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config.into()
    }

    /// A visitor who trusts it alone, and the only protocol that it speaks.
    pub(crate) fn client(&self, protocol: &str) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(trusting(self.der.clone().into()))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        config.into()
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// What those who trust it need.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and addresses.
    pub(crate) fn certifies(&self, names: &[&str]) -> Issued {
        Issued::by(names, |params, key| params.signed_by(key, &self.0))
    }
}

/// The name under which every visitor of these stories asks for the shop.
pub(crate) fn shop_name() -> ServerName<'static> {
    ServerName::try_from("shop.example").expect("a name")
}

fn trusting(certificate: CertificateDer<'static>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    roots
}
