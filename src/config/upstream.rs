//! Decoding of `upstream`: the servers behind a site, and how they are spoken to.

use std::{path::PathBuf, time::Duration};

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
    pub client_cert: Option<super::listen::CertificateFiles>,
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
        }
    }
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { verify: true, ca: None, sni: None, client_cert: None }
    }
}
