//! Decoding of `listen`: where visitors connect, and how.

use std::{net::SocketAddr, path::PathBuf};

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
