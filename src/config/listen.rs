//! Decoding of `listen`: where visitors connect, and how.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    certificate::{self, UnusableCertificate},
    decode::{Field, Section},
    file::Files,
    tree::Kind,
};

/// A socket that visitors connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificates it may show; none: plain http.
    pub tls: Vec<CertificateFiles>,
    /// Whether connections begin with a PROXY protocol header, which only `trusted_proxies` may send.
    pub proxy_protocol: bool,
    /// Whether it serves sites or only sends visitors elsewhere.
    pub purpose: Purpose,
    /// A path that is answered with 200 before the host is looked at, for load balancers.
    pub probe: Option<String>,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// It serves the sites.
    #[default]
    Serve,
    /// It redirects every request to https.
    RedirectToHttps,
}

impl Listener {
    /// A plain listener.
    #[must_use]
    pub const fn plain(address: SocketAddr) -> Self {
        Self { address, tls: Vec::new(), proxy_protocol: false, purpose: Purpose::Serve, probe: None }
    }
}

/// Reads one listener or a list of them. `trusted_proxies` is that key, if it is written.
pub fn listeners(field: &Field<'_>, files: Files<'_>, trusted_proxies: Option<&Field<'_>>) -> Vec<Listener> {
    let fields = field.one_or_many();
    if fields.is_empty() {
        field.error("there is no address to listen on", "remove the key for 127.0.0.1:8000".to_owned());
    }
    let mut found: Vec<Listener> = Vec::new();
    for field in &fields {
        let Some(listener) = listener(field, files, trusted_proxies) else { continue };
        if listener.address.port() != 0 && found.iter().any(|other| other.address == listener.address) {
            field.error(format!("{} stands here twice", listener.address), None);
        }
        found.push(listener);
    }
    let somebody_ends_tls = has_any(trusted_proxies) || fields.iter().any(|field| is_written(field, "tls"));
    for field in fields.iter().filter(|field| !somebody_ends_tls && is_written(field, "redirect")) {
        field.warn(
            "visitors are sent to https, but no listener has `tls`",
            "write one: `{ address: 0.0.0.0:443, tls: [{ cert: shop.pem, key: shop.key }] }`".to_owned(),
        );
    }
    found
}

fn has_any(list: Option<&Field<'_>>) -> bool {
    list.is_some_and(|field| !field.one_or_many().is_empty())
}

fn is_written(field: &Field<'_>, key: &str) -> bool {
    matches!(&field.node.kind, Kind::Map(entries)
        if entries.iter().any(|entry| entry.key == key && !entry.value.is_null()))
}

fn listener(field: &Field<'_>, files: Files<'_>, trusted_proxies: Option<&Field<'_>>) -> Option<Listener> {
    if !matches!(field.node.kind, Kind::Map(_)) {
        return address(field).map(Listener::plain);
    }
    let mut section = field.section()?;
    let address = section.require("address", "write `address: 0.0.0.0:443`").and_then(|field| address(&field));
    let tls = section.get("tls").map(|field| tls(&field, files)).unwrap_or_default();
    let proxy_protocol = section.get("proxy_protocol").and_then(|field| proxy_protocol(&field, trusted_proxies));
    let purpose = section.get("redirect").and_then(|field| redirect(&field, &section)).unwrap_or_default();
    let probe = section.get("probe").and_then(|field| path(&field));
    section.finish();
    Some(Listener { address: address?, tls, proxy_protocol: proxy_protocol.unwrap_or_default(), purpose, probe })
}

/// Reads ADDRESS:PORT.
pub fn address(field: &Field<'_>) -> Option<SocketAddr> {
    let text = field.text()?;
    let parsed = text.replace("localhost:", "127.0.0.1:").parse().ok();
    if parsed.is_none() {
        field.error(
            format!("`{text}` is not an address to listen on"),
            Some("write ADDRESS:PORT, such as 0.0.0.0:80 or [::]:80".to_owned()),
        );
    }
    parsed
}

fn tls(field: &Field<'_>, files: Files<'_>) -> Vec<CertificateFiles> {
    let fields = field.one_or_many();
    if fields.is_empty() {
        field.error(
            "there is no certificate",
            "write `tls: [{ cert: shop.pem, key: shop.key }]`, or remove the key for plain http".to_owned(),
        );
    }
    fields.iter().filter_map(|field| certificate_files(field, files)).collect()
}

/// Reads `{ cert: PATH, key: PATH }`, both of which must be there and belong together.
pub fn certificate_files(field: &Field<'_>, files: Files<'_>) -> Option<CertificateFiles> {
    let mut section = field.section()?;
    let cert = section.require("cert", "write `cert: shop.pem`, the certificate and those that lead to its authority");
    let key = section.require("key", "write `key: shop.key`, the certificate's private key");
    section.finish();
    let (cert, key) = (cert?, key?);
    let found = CertificateFiles { cert: files.path(&cert)?, key: files.path(&key)? };
    if files.are_there() {
        for unusable in certificate::mistakes(&found) {
            say_unusable(
                if unusable.is_about_a_key() || unusable.path() != found.cert { &key } else { &cert },
                &unusable,
            );
        }
    }
    Some(found)
}

/// Notes that a file of certificates or keys is no good.
pub fn say_unusable(field: &Field<'_>, unusable: &UnusableCertificate) {
    field.error(unusable.to_string(), unusable.remedy().map(ToOwned::to_owned));
}

fn proxy_protocol(field: &Field<'_>, trusted_proxies: Option<&Field<'_>>) -> Option<bool> {
    let expected = field.switch()?;
    if expected && !has_any(trusted_proxies) {
        field.error(
            "the PROXY protocol is taken from `trusted_proxies` alone, and there are none: nobody could connect",
            "write `trusted_proxies: [ADDRESS]`, with the load balancer's address".to_owned(),
        );
    }
    Some(expected)
}

fn redirect(field: &Field<'_>, listener: &Section<'_>) -> Option<Purpose> {
    let purpose = field.choice(&[("https", Purpose::RedirectToHttps)])?;
    if listener.contains("tls") {
        field.error(
            "a listener with `tls` is https already",
            "remove `redirect`, or give it a listener of its own".to_owned(),
        );
    }
    Some(purpose)
}

/// Reads a path that is asked for as it is written.
pub fn path(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    // RFC 3986, section 3.3, without what no one needs here.
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte));
    if !text.starts_with('/') || !plain {
        field
            .error(format!("`{text}` is not a path"), "write a path that begins with `/`, such as /healthz".to_owned());
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Environment};

    fn read(listen: &str) -> (Vec<Listener>, usize) {
        let text = format!("{listen}\nsites: [{{ upstream: 'http://127.0.0.1:1' }}]\n");
        let config = Config::parse(Path::new("conf/a.yaml"), &text, Environment::Ignored);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        (config.server.listen, config.warnings.len())
    }

    fn at(address: &str) -> Listener {
        Listener::plain(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_a_plain_listener() {
        assert_eq!(read(""), (vec![at("127.0.0.1:8000")], 0));
        assert_eq!(read("listen: localhost:80"), (vec![at("127.0.0.1:80")], 0));
        assert_eq!(read("listen: { address: 0.0.0.0:80 }"), (vec![at("0.0.0.0:80")], 0));
        assert_eq!(read("listen: [0.0.0.0:80, '[::]:80']"), (vec![at("0.0.0.0:80"), at("[::]:80")], 0));
        assert_eq!(read("listen: [127.0.0.1:0, 127.0.0.1:0]").0.len(), 2);
    }

    #[test]
    fn a_map_says_how_visitors_connect() {
        let written = "trusted_proxies: 10.0.0.0/8
listen:
  - { address: 0.0.0.0:443, tls: [{ cert: a.pem, key: a.key }, { cert: /b.pem, key: /b.key }], proxy_protocol: yes }
  - { address: 0.0.0.0:80, redirect: https, probe: /healthz }";
        let pair = |cert: &str, key: &str| CertificateFiles { cert: cert.into(), key: key.into() };
        let tls = vec![pair("conf/a.pem", "conf/a.key"), pair("/b.pem", "/b.key")];
        let secure = Listener { tls, proxy_protocol: true, ..at("0.0.0.0:443") };
        let probe = Some("/healthz".to_owned());
        let plain = Listener { purpose: Purpose::RedirectToHttps, probe, ..at("0.0.0.0:80") };
        assert_eq!(read(written), (vec![secure, plain], 0));
    }

    #[test]
    fn a_redirect_needs_somebody_who_ends_tls() {
        let redirect = "listen: [127.0.0.1:8000, { address: 127.0.0.1:80, redirect: https }]";
        assert_eq!(read(redirect).1, 1);
        assert_eq!(read(&format!("{redirect}\ntrusted_proxies: []")).1, 1);
        assert_eq!(read(&format!("{redirect}\ntrusted_proxies: [127.0.0.1]")).1, 0);
    }
}
