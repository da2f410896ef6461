//! Certificates, keys and authorities from PEM files.
//!
//! This decides whether a pair of files can be used for TLS at all. Whether a certificate is for a
//! host, and for how long, is decided by whoever shows it.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};

use super::{file, listen::CertificateFiles};

/// Why a certificate, a key or an authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableCertificate {
    /// The file is missing, closed to us, or far too large.
    #[error("`{}` cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not PEM, or stops being it somewhere.
    #[error("`{}` is not PEM: {reason}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        reason: &'static str,
    },
    /// The file holds other things.
    #[error("`{}` holds no certificate: there is no `-----BEGIN CERTIFICATE-----`", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be understood.
    #[error("`{}` holds a certificate that cannot be used: {reason}", path.display())]
    InvalidCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds other things.
    #[error("`{}` holds no private key: there is no `-----BEGIN PRIVATE KEY-----`", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Nobody is there to type the passphrase.
    #[error("`{}` holds a private key that a passphrase protects", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A key of a kind that is not supported, or a broken one.
    #[error("`{}` holds a private key that cannot be used: {reason}", path.display())]
    InvalidKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The two do not belong together.
    #[error("`{}` is not the key of the first certificate in `{}`", key.display(), cert.display())]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the chain.
        cert: PathBuf,
    },
}

impl UnusableCertificate {
    /// The file that is to blame.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. }
            | Self::NotPem { path, .. }
            | Self::NoCertificate { path }
            | Self::InvalidCertificate { path, .. }
            | Self::NoKey { path }
            | Self::EncryptedKey { path }
            | Self::InvalidKey { path, .. } => path,
            Self::Mismatch { key, .. } => key,
        }
    }

    /// Whether the file was to hold a private key; not known of a file that cannot be read at all.
    #[must_use]
    pub const fn is_about_a_key(&self) -> bool {
        match self {
            Self::NoKey { .. } | Self::EncryptedKey { .. } | Self::InvalidKey { .. } | Self::Mismatch { .. } => true,
            Self::Unreadable { .. }
            | Self::NotPem { .. }
            | Self::NoCertificate { .. }
            | Self::InvalidCertificate { .. } => false,
        }
    }

    /// What to do about it, where that is not obvious.
    #[must_use]
    pub const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::EncryptedKey { .. } => Some("write it without one: `openssl pkey -in OLD -out NEW`"),
            Self::Mismatch { .. } => Some("the chain begins with the site's own certificate"),
            Self::NoKey { .. } | Self::NoCertificate { .. } | Self::NotPem { .. } => Some("name a file in PEM"),
            Self::Unreadable { .. } | Self::InvalidCertificate { .. } | Self::InvalidKey { .. } => None,
        }
    }
}

/// Reads a certificate chain and its key, which must belong together.
pub fn certified_key(files: &CertificateFiles) -> Result<CertifiedKey, UnusableCertificate> {
    let chain = certificates(&files.cert)?;
    let key = private_key(&files.key)?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| {
        let (cert, key) = (files.cert.clone(), files.key.clone());
        if let rustls::Error::InconsistentKeys(_) = error {
            UnusableCertificate::Mismatch { key, cert }
        } else if let rustls::Error::InvalidCertificate(error) = error {
            UnusableCertificate::InvalidCertificate { path: cert, reason: error.to_string() }
        } else {
            UnusableCertificate::InvalidKey { path: key, reason: error.to_string() }
        }
    })
}

/// All that is wrong with a pair of files; [`certified_key`] stops at the first.
#[must_use]
pub fn mistakes(files: &CertificateFiles) -> Vec<UnusableCertificate> {
    let alone = [certificates(&files.cert).err(), private_key(&files.key).err()];
    let mut found: Vec<_> = alone.into_iter().flatten().collect();
    if found.is_empty() {
        found.extend(certified_key(files).err());
    }
    found
}

/// Reads the certificates of authorities, each of which can be trusted by TLS.
pub fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, UnusableCertificate> {
    let certificates = certificates(path)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| UnusableCertificate::InvalidCertificate {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(certificates)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, UnusableCertificate> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| not_pem(path, &error))?;
    if certificates.is_empty() {
        return Err(UnusableCertificate::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, UnusableCertificate> {
    let text = read(path)?;
    let encrypted = ENCRYPTED.iter().any(|mark| memchr::memmem::find(&text, mark).is_some());
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if encrypted {
            // First, because the old format says so in a header, which is no base64.
            UnusableCertificate::EncryptedKey { path: path.to_owned() }
        } else if matches!(error, pem::Error::NoItemsFound) {
            UnusableCertificate::NoKey { path: path.to_owned() }
        } else {
            not_pem(path, &error)
        }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, UnusableCertificate> {
    file::read(path, LARGEST).map_err(|error| UnusableCertificate::Unreadable { path: path.to_owned(), error })
}

fn not_pem(path: &Path, error: &pem::Error) -> UnusableCertificate {
    // In our words, for the library's repeat bytes of the file.
    let reason = if matches!(error, pem::Error::MissingSectionEnd { .. }) {
        "a section has no `-----END …-----`"
    } else if matches!(error, pem::Error::IllegalSectionStart { .. }) {
        "a `-----BEGIN …` does not end with `-----`"
    } else {
        "what stands between `-----BEGIN …-----` and `-----END …-----` is not base64"
    };
    UnusableCertificate::NotPem { path: path.to_owned(), reason }
}

/// What encrypted keys say of themselves: RFC 7468, section 11, and RFC 1421, section 4.6.1.1.
const ENCRYPTED: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];

/// Bytes of a file: a system's whole collection of authorities has a quarter of that.
pub const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests;
