//! Files that hold what they should, and files that don't.

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
fn mistakes_of_both_files_are_told_together() {
    let (_folder, files) = folder();
    assert!(mistakes(&files).is_empty());
    let swapped = CertificateFiles { cert: files.key.clone(), key: files.cert.clone() };
    assert_eq!(mistakes(&swapped).iter().map(UnusableCertificate::path).collect::<Vec<_>>(), [&files.key, &files.cert]);
    write(&files.key, &KeyPair::generate().unwrap().serialize_pem());
    assert!(matches!(mistakes(&files).as_slice(), [UnusableCertificate::Mismatch { .. }]));
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
