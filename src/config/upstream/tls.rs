//! How TLS is spoken to a server: what is verified, and what is shown.

use rustls::pki_types::DnsName;

use super::UpstreamTls;
use crate::config::{
    certificate,
    decode::Field,
    file::Files,
    listen::{certificate_files, say_unusable},
};

/// Reads the map under `tls`.
pub fn tls(field: &Field<'_>, files: Files<'_>) -> Option<UpstreamTls> {
    let mut section = field.section()?;
    let verify = section.get("verify");
    let ca = section.get("ca");
    let is_verified = verify.as_ref().and_then(Field::switch).unwrap_or(true);
    match (&verify, &ca) {
        (Some(_), Some(ca)) if !is_verified => ca.key_error(
            "authorities are of no use without verification",
            "write `verify: true`, or remove `ca`".to_owned(),
        ),
        (Some(verify), None) if !is_verified => verify.warn(
            "whoever stands between us and the server can read and change every page",
            "name the authority that the server's certificate is from: `ca: ca.pem`".to_owned(),
        ),
        _ => {}
    }
    let ca = ca.and_then(|field| {
        let path = files.path(&field)?;
        if files.are_there()
            && let Err(unusable) = certificate::authorities(&path)
        {
            say_unusable(&field, &unusable);
        }
        Some(path)
    });
    let sni = section.get("sni").and_then(|field| sni(&field));
    let client_cert = section.get("client_cert").and_then(|field| certificate_files(&field, files));
    section.finish();
    Some(UpstreamTls { verify: is_verified, ca, sni, client_cert })
}

fn sni(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    // RFC 6066, section 3: a name, never an address.
    if text.parse::<std::net::IpAddr>().is_ok() || DnsName::try_from(text).is_err() {
        field.error(format!("`{text}` is not a name"), "write a name such as shop.example".to_owned());
        return None;
    }
    Some(text.to_owned())
}
