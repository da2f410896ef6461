//! The files of TLS towards a server, read and checked once, so that no connection meets a bad one.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use pingora::{
    protocols::tls::CaType,
    tls::load_platform_certs_incl_env_into_store,
    utils::tls::{CertKey, WrappedX509, parse_x509},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{CertificateFiles, UpstreamTls};

/// Why an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUpstream {
    /// A file that cannot be read, or holds nothing of what it should.
    #[error("{file}: {reason}")]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The path of a Unix socket cannot be connected to.
    #[error("{0}: too long for the path of a Unix socket, which has 107 bytes at most")]
    Socket(PathBuf),
    /// The system's authorities cannot be read.
    #[error("the system's certificate authorities cannot be read: {0}; name a file: `tls: {{ ca: ca.pem }}`")]
    Authorities(String),
}

/// What Pingora needs for TLS, in its own types.
#[derive(Debug, Default)]
pub(super) struct Material {
    /// Instead of the system's authorities.
    pub(super) authorities: Option<Arc<CaType>>,
    /// What we show.
    pub(super) own: Option<Arc<CertKey>>,
}

impl Material {
    /// Reads all files.
    pub(super) fn read(tls: &UpstreamTls) -> Result<Self, InvalidUpstream> {
        let authorities = match &tls.ca {
            Some(file) => Some(authorities(&certificates(file)?, file)?),
            // Pingora builds a verifier even to skip verification, and that takes one authority;
            // a system without any must still be able to skip.
            None if !tls.verify => Some(authorities(&[CertificateDer::from(NOBODY)], Path::new("built in"))?),
            None => None,
        };
        let own = tls.client_cert.as_ref().map(own_certificate).transpose()?;
        Ok(Self { authorities, own })
    }
}

/// How many authorities the system has, if they can be read, which Pingora would otherwise find out by a panic.
pub(super) fn system_authorities() -> Result<usize, InvalidUpstream> {
    let mut store = RootCertStore::empty();
    load_platform_certs_incl_env_into_store(&mut store)
        .map_err(|error| InvalidUpstream::Authorities(error.to_string()))?;
    Ok(store.len())
}

fn authorities(found: &[CertificateDer<'_>], file: &Path) -> Result<Arc<CaType>, InvalidUpstream> {
    let mut store = RootCertStore::empty();
    for certificate in found {
        store.add(certificate.clone()).map_err(|error| unusable(file, &error))?;
    }
    let wrapped: Vec<WrappedX509> = checked(found, file)?.map(|raw| WrappedX509::new(raw, parse_x509)).collect();
    Ok(wrapped.into())
}

fn own_certificate(files: &CertificateFiles) -> Result<Arc<CertKey>, InvalidUpstream> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| invalid(&files.key, &error, "private key"))?;
    // Pingora looks at them at every connection, and panics at some mistakes.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(RootCertStore::empty()))
        .and_then(|builder| builder.with_client_auth_cert(chain.clone(), key.clone_key()))
        .map_err(|error| unusable(&files.key, &error))?;
    PrivateKeyDer::try_from(key.secret_der().to_vec()).map_err(|error| unusable(&files.key, &error))?;
    let chain = checked(&chain, &files.cert)?.collect();
    Ok(Arc::new(CertKey::new(chain, key.secret_der().to_vec())))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, InvalidUpstream> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found: Vec<CertificateDer<'static>> = read.map_err(|error| invalid(file, &error, "certificate"))?;
    if found.is_empty() {
        return Err(invalid(file, &pem::Error::NoItemsFound, "certificate"));
    }
    Ok(found)
}

/// The certificates as Pingora takes them, which panics at any that it cannot parse.
fn checked<'a>(
    found: &'a [CertificateDer<'_>],
    file: &Path,
) -> Result<impl Iterator<Item = Vec<u8>> + use<'a>, InvalidUpstream> {
    for certificate in found {
        X509Certificate::from_der(certificate).map_err(|error| unusable(file, &error))?;
    }
    Ok(found.iter().map(|certificate| certificate.to_vec()))
}

fn invalid(file: &Path, error: &pem::Error, what: &str) -> InvalidUpstream {
    let reason = if let pem::Error::Io(error) = error {
        format!("cannot be read: {error}")
    } else if matches!(error, pem::Error::NoItemsFound) {
        format!("holds no {what} in PEM format")
    } else {
        format!("holds no {what} that can be read: {error}")
    };
    InvalidUpstream::File { file: file.to_owned(), reason }
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> InvalidUpstream {
    InvalidUpstream::File { file: file.to_owned(), reason: format!("cannot be used: {error}") }
}

/// An authority that nobody is: its key was never written down.
const NOBODY: &[u8] = include_bytes!("nobody.der");
