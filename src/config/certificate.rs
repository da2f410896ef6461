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
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            UnusableCertificate::Mismatch { key: files.key.clone(), cert: files.cert.clone() }
        }
        rustls::Error::InvalidCertificate(error) => {
            UnusableCertificate::InvalidCertificate { path: files.cert.clone(), reason: format!("{error:?}") }
        }
        error => UnusableCertificate::InvalidKey { path: files.key.clone(), reason: error.to_string() },
    })
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
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        // The old format says so in a header, which is no base64.
        _ if encrypted => UnusableCertificate::EncryptedKey { path: path.to_owned() },
        pem::Error::NoItemsFound => UnusableCertificate::NoKey { path: path.to_owned() },
        error => not_pem(path, &error),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, UnusableCertificate> {
    file::read(path, LARGEST).map_err(|error| UnusableCertificate::Unreadable { path: path.to_owned(), error })
}

fn not_pem(path: &Path, error: &pem::Error) -> UnusableCertificate {
    // In our words, for the library's repeat bytes of the file.
    let reason = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no `-----END …-----`",
        pem::Error::IllegalSectionStart { .. } => "a `-----BEGIN …` does not end with `-----`",
        _ => "what stands between `-----BEGIN …-----` and `-----END …-----` is not base64",
    };
    UnusableCertificate::NotPem { path: path.to_owned(), reason }
}

/// What encrypted keys say of themselves: RFC 7468, section 11, and RFC 1421, section 4.6.1.1.
const ENCRYPTED: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];

/// Bytes of a file: a system's whole collection of authorities has a quarter of that.
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Generated, KeyPair, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    /// A folder with a certificate in `shop.pem` and its key in `shop.key`.
    fn folder() -> (TempDir, CertificateFiles) {
        let folder = tempfile::tempdir().unwrap();
        let Generated { cert, signing_key } = generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
        let files = CertificateFiles { cert: folder.path().join("shop.pem"), key: folder.path().join("shop.key") };
        write(&files.cert, &cert.pem());
        write(&files.key, &signing_key.serialize_pem());
        (folder, files)
    }

    #[expect(clippy::disallowed_methods, reason = "a test writes into a folder of its own")]
    fn write(file: &Path, text: &str) {
        std::fs::write(file, text).unwrap();
    }

    fn refused(files: &CertificateFiles) -> String {
        let folder = files.cert.parent().unwrap().display().to_string();
        certified_key(files).unwrap_err().to_string().replace(&format!("{folder}/"), "")
    }

    #[test]
    fn a_chain_and_its_key_are_one() {
        let (_folder, files) = folder();
        let found = certified_key(&files).unwrap();
        assert_eq!(found.cert.len(), 1);
        assert!(found.keys_match().is_ok());
    }

    #[test]
    fn one_file_may_hold_both() {
        let (_folder, files) = folder();
        let both = [&files.key, &files.cert].map(|file| String::from_utf8(file::read(file, LARGEST).unwrap()).unwrap());
        write(&files.cert, &both.concat());
        assert!(certified_key(&CertificateFiles { key: files.cert.clone(), ..files }).is_ok());
    }

    #[test]
    fn the_key_of_another_certificate_is_refused() {
        let (_folder, files) = folder();
        write(&files.key, &KeyPair::generate().unwrap().serialize_pem());
        assert_eq!(refused(&files), "`shop.key` is not the key of the first certificate in `shop.pem`");
        assert_eq!(certified_key(&files).unwrap_err().path(), files.key);
    }

    #[test]
    fn each_file_must_hold_what_it_is_named_for() {
        let (_folder, files) = folder();
        let swapped = CertificateFiles { cert: files.key.clone(), key: files.cert.clone() };
        assert_eq!(refused(&swapped), "`shop.key` holds no certificate: there is no `-----BEGIN CERTIFICATE-----`");
        let twice = CertificateFiles { key: files.cert.clone(), ..files };
        assert_eq!(refused(&twice), "`shop.pem` holds no private key: there is no `-----BEGIN PRIVATE KEY-----`");
    }

    #[test]
    fn a_key_with_a_passphrase_says_what_to_do() {
        let (_folder, files) = folder();
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n",
        ] {
            write(&files.key, text);
            assert_eq!(refused(&files), "`shop.key` holds a private key that a passphrase protects");
            assert!(certified_key(&files).unwrap_err().remedy().unwrap().contains("openssl pkey"));
        }
    }

    #[test]
    fn what_is_cut_off_or_no_certificate_is_refused() {
        let (_folder, files) = folder();
        write(&files.cert, "-----BEGIN CERTIFICATE-----\nMIIB\n");
        assert!(refused(&files).starts_with("`shop.pem` is not PEM: "), "{}", refused(&files));
        write(&files.cert, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
        assert!(refused(&files).starts_with("`shop.pem` holds a certificate that cannot"), "{}", refused(&files));
        write(&files.cert, "");
        assert!(refused(&files).starts_with("`shop.pem` holds no certificate"), "{}", refused(&files));
    }

    #[test]
    fn authorities_are_certificates() {
        let (_folder, files) = folder();
        assert_eq!(authorities(&files.cert).unwrap().len(), 1);
        assert!(authorities(&files.key).is_err());
        write(&files.cert, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
        assert!(authorities(&files.cert).is_err());
    }
}
