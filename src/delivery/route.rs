//! By which way requests leave this machine: whom TLS trusts and what it shows, through which proxy,
//! to which addresses.

use std::fmt;

use url::Url;

/// All that tells one HTTP client from another; networks with the same route share one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Route {
    /// Authorities to trust besides the system's, in DER.
    pub authorities: Vec<Vec<u8>>,
    /// What is shown to a server that asks who we are.
    pub identity: Option<ClientIdentity>,
    /// Who connects for us; `None`: we ourselves.
    pub proxy: Option<ProxyServer>,
    /// Which addresses names may stand for.
    pub addresses: Addresses,
}

/// A certificate chain and its private key, one after the other in PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    pem: Vec<u8>,
}

/// A proxy server for HTTP, which resolves the names of networks by itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyServer {
    /// Where it is, without credentials.
    pub url: Url,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

/// Which addresses names may stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// Those of the public internet.
    #[default]
    Public,
    /// Any, also those of this machine and of private networks.
    Any,
}

impl ClientIdentity {
    /// Takes the contents of the two files, if a client can show them.
    #[must_use]
    pub fn new(chain: &[u8], key: &[u8]) -> Option<Self> {
        let pem = [chain, b"\n", key].concat();
        reqwest::Identity::from_pem(&pem).is_ok().then_some(Self { pem })
    }

    pub(super) fn pem(&self) -> &[u8] {
        &self.pem
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(***)")
    }
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyServer({})", self.url)
    }
}
