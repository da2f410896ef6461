//! Decoding of `upstream`: the servers behind a site, and how they are spoken to.

use std::{path::PathBuf, time::Duration};

use super::{
    decode::{Field, Section},
    file::Files,
    listen::CertificateFiles,
    problem::nearest,
    server::Server,
    tree::Kind,
};

mod address;
mod health;
mod tls;

/// The servers behind a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamRules {
    /// At least one.
    pub servers: Vec<ServerRules>,
    /// How their health is asked for; none: all are taken to be well.
    pub health: Option<HealthRules>,
    /// How TLS is spoken to those with `https:`.
    pub tls: UpstreamTls,
    /// Which `Host` they see.
    pub host: HostHeader,
    /// For a connection, TLS included.
    pub connect_timeout: Duration,
    /// Between two reads of an answer.
    pub read_timeout: Duration,
    /// Whether connections begin with the visitor's address.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Whether they are told in `Via` that a proxy was there.
    pub via: bool,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRules {
    /// What is written, for logs and metric labels.
    pub url: String,
    /// Where it is.
    pub address: ServerAddress,
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its share of the requests, 1 to 1000.
    pub weight: u32,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// A name or an address, and a port.
    Tcp {
        /// A name or an address, IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket: `unix:/run/app.sock`.
    Unix(PathBuf),
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http:` and `unix:`, HTTP/1.1.
    Http,
    /// `https:`, HTTP/2 or HTTP/1.1 as the server chooses.
    Https,
    /// `h2c:`, HTTP/2 without TLS, as gRPC servers speak it.
    H2c,
}

/// How a server's health is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRules {
    /// What is asked for with GET; 2xx and 3xx mean well.
    pub path: String,
    /// Between two questions.
    pub interval: Duration,
    /// For one answer.
    pub timeout: Duration,
}

/// How TLS is spoken to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Whether the certificate must be valid and for this name.
    pub verify: bool,
    /// Authorities to trust instead of the system's, as a PEM file.
    pub ca: Option<PathBuf>,
    /// The name that is asked for and verified; none: the server's own, or the visitor's host if that is an address.
    pub sni: Option<String>,
    /// What we show to the server: certificate chain and key.
    pub client_cert: Option<CertificateFiles>,
}

/// Which `Host` a server sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// What the visitor asked for.
    #[default]
    Preserve,
    /// The server's own name, with its port when it is not the scheme's.
    Upstream,
    /// This one.
    Fixed(String),
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Text.
    V1,
    /// Binary.
    V2,
}

impl UpstreamRules {
    /// Several servers with the defaults of everything else.
    #[must_use]
    pub fn new(servers: Vec<ServerRules>) -> Self {
        Self {
            servers,
            health: None,
            tls: UpstreamTls::default(),
            host: HostHeader::Preserve,
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_mins(5),
            proxy_protocol: None,
            via: true,
        }
    }
}

/// Reads an address, or a map of one or several servers and how they are spoken to.
pub fn upstream(field: &Field<'_>, server: &Server, files: Files<'_>) -> Option<UpstreamRules> {
    match &field.node.kind {
        Kind::Scalar(_) => address::server(field, server).map(|server| UpstreamRules::new(vec![server])),
        Kind::Map(_) => rules(field, server, files),
        Kind::List(_) => {
            let remedy = "write `upstream: { servers: [http://10.0.0.1:8080, http://10.0.0.2:8080] }`";
            field.error("several servers stand under `servers`", remedy.to_owned());
            None
        }
    }
}

fn rules(field: &Field<'_>, server: &Server, files: Files<'_>) -> Option<UpstreamRules> {
    let mut section = field.section()?;
    let servers = servers(&mut section, server);
    let health = section.get("health").and_then(|field| health::health(&field));
    let tls_field = section.get("tls");
    let tls = tls_field.as_ref().and_then(|field| tls::tls(field, files));
    let host = section.get("host").and_then(|field| host(&field, &servers));
    let connect_timeout = section.get("connect_timeout");
    let connect_timeout = connect_timeout.and_then(|field| field.duration_within(SHORTEST..=LONGEST_CONNECT));
    let read_timeout = section.get("read_timeout");
    let read_timeout = read_timeout.and_then(|field| field.duration_within(SHORTEST..=LONGEST_READ));
    let proxy_protocol = section.get("proxy_protocol").and_then(|field| proxy_protocol(&field, &servers));
    let via = section.get("via").and_then(|field| field.switch());
    section.finish();
    if let (Some(field), [first, ..]) = (tls_field, servers.as_slice())
        && first.scheme != Scheme::Https
    {
        field.key_error("`tls` is for servers with https:", "write https://HOST, or remove `tls`".to_owned());
    }
    if servers.is_empty() {
        return None;
    }
    let defaults = UpstreamRules::new(servers);
    Some(UpstreamRules {
        health,
        tls: tls.unwrap_or_default(),
        host: host.unwrap_or_default(),
        connect_timeout: connect_timeout.unwrap_or(defaults.connect_timeout),
        read_timeout: read_timeout.unwrap_or(defaults.read_timeout),
        proxy_protocol,
        via: via.unwrap_or(defaults.via),
        ..defaults
    })
}

fn servers(section: &mut Section<'_>, server: &Server) -> Vec<ServerRules> {
    let (url, servers) = (section.get("url"), section.get("servers"));
    let fields = match (url, servers) {
        (Some(url), None) => vec![url],
        (None, Some(servers)) => {
            let fields = servers.one_or_many();
            if fields.is_empty() {
                servers.error("there is no server", "write `servers: [http://127.0.0.1:8080]`".to_owned());
            }
            fields
        }
        (Some(url), Some(_)) => {
            url.key_error("`url` and `servers` exclude each other", "move this one into `servers`".to_owned());
            Vec::new()
        }
        (None, None) => {
            section.field().error("there is no server", "write `url: http://127.0.0.1:8080`, or `servers`".to_owned());
            Vec::new()
        }
    };
    let mut found: Vec<ServerRules> = Vec::new();
    for field in fields {
        let Some(rules) = address::weighted(&field, server) else { continue };
        if found.iter().any(|other| other.address == rules.address) {
            field.error(format!("`{}` stands here twice", rules.url), "give it more `weight` instead".to_owned());
        }
        if let Some(first) = found.first()
            && first.scheme != rules.scheme
        {
            let (first, other) = (first.scheme.as_str(), rules.scheme.as_str());
            field.error(
                format!("one server is spoken to by {first}, this one by {other}"),
                "write the same scheme for all servers of a site".to_owned(),
            );
        }
        found.push(rules);
    }
    found
}

fn host(field: &Field<'_>, servers: &[ServerRules]) -> Option<HostHeader> {
    match field.text()? {
        "preserve" => Some(HostHeader::Preserve),
        "upstream" => {
            if servers.iter().any(|server| matches!(server.address, ServerAddress::Unix(_))) {
                field.error("a Unix socket has no name", "write `preserve`, or the name itself".to_owned());
            }
            Some(HostHeader::Upstream)
        }
        text => {
            if !address::is_host(text) {
                let remedy = "write `preserve`, `upstream`, or a name such as shop.example";
                field.error(format!("`{text}` is not a host"), remedy.to_owned());
                return None;
            }
            if let Some(meant) = nearest(text, ["preserve", "upstream"]) {
                field.warn(format!("every request is sent with `Host: {text}`"), format!("did you mean `{meant}`?"));
            }
            Some(HostHeader::Fixed(text.to_owned()))
        }
    }
}

fn proxy_protocol(field: &Field<'_>, servers: &[ServerRules]) -> Option<ProxyProtocol> {
    let version = field.choice(&[("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)])?;
    if servers.iter().any(|server| server.scheme == Scheme::H2c) {
        field.error(
            "visitors share a connection of h2c:, and the PROXY protocol names one for all of it",
            "remove the key: the server reads the visitor's address from X-Forwarded-For".to_owned(),
        );
    }
    Some(version)
}

impl Scheme {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { verify: true, ca: None, sni: None, client_cert: None }
    }
}

/// Shorter, and the best of networks seems broken.
const SHORTEST: Duration = Duration::from_millis(10);
/// Longer than any visitor waits for a page to begin.
const LONGEST_CONNECT: Duration = Duration::from_mins(5);
/// A report may take its time.
const LONGEST_READ: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests;
