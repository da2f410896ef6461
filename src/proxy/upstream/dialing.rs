//! How the servers of a site are connected to: everything of a Pingora peer that is known before a
//! request is.
//!
//! A peer is built once for each address and copied for each request; little depends on the request:
//! a server without a name is asked for the visitor's host, and the PROXY protocol speaks of the visitor.
//! What a WebSocket changes about it is the business of [`tunnel`](crate::proxy::tunnel).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use pingora::upstreams::peer::HttpPeer;
use rustls::pki_types::ServerName;

use super::{
    introduction::Introduction,
    tls::{InvalidUpstream, Material},
};
use crate::{
    config::{HostHeader, ProxyProtocol, Scheme, ServerAddress, ServerRules, UpstreamRules},
    tracking::site::normal_host,
};

/// How the servers of one site are connected to.
#[derive(Debug)]
pub(super) struct Dialing {
    connect_timeout: Duration,
    read_timeout: Duration,
    verify: bool,
    name: Option<String>,
    material: Material,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
}

/// What a request wants of a connection to one address.
#[derive(Debug)]
pub(super) struct Line {
    peer: HttpPeer,
    /// Whether TLS asks for the request's host, because the server has no name.
    is_named_by_request: bool,
}

impl Dialing {
    pub(super) fn new(rules: &UpstreamRules) -> Result<Self, InvalidUpstream> {
        let speaks_tls = rules.servers.iter().any(|server| server.scheme == Scheme::Https);
        let fixed = match &rules.host {
            HostHeader::Fixed(name) => Some(name_of(name)),
            HostHeader::Preserve | HostHeader::Upstream => None,
        };
        Ok(Self {
            connect_timeout: rules.connect_timeout,
            read_timeout: rules.read_timeout,
            verify: rules.tls.verify,
            // The host that all its requests name stands for the name of a server that has none.
            name: rules.tls.sni.clone().or(fixed),
            material: if speaks_tls { Material::read(&rules.tls)? } else { Material::default() },
            proxy_protocol: rules.proxy_protocol,
        })
    }

    /// Whether the certificates and keys of the other one are the same, whatever their files are called.
    pub(super) fn has_the_files_of(&self, other: &Self) -> bool {
        self.group(Scheme::Https) == other.group(Scheme::Https)
    }

    /// Everything about connections to one address of a server.
    pub(super) fn line(&self, rules: &UpstreamRules, server: &ServerRules, address: SocketAddr) -> Line {
        let mut peer = HttpPeer::new(address, server.scheme == Scheme::Https, String::new());
        let mut is_named_by_request = false;
        if let (ServerAddress::Tcp { host, .. }, Scheme::Https) = (&server.address, server.scheme) {
            let has_name = host.parse::<std::net::IpAddr>().is_err();
            // Never empty: Pingora takes an empty name for leave not to verify.
            let own = if has_name { Some(host) } else { None };
            peer.sni.clone_from(rules.tls.sni.as_ref().or(own).or(self.name.as_ref()).unwrap_or(host));
            is_named_by_request = !has_name && self.name.is_none() && rules.host == HostHeader::Preserve;
        }
        self.finished(peer, server.scheme, is_named_by_request)
    }

    /// The same for a Unix socket.
    pub(super) fn line_to_socket(&self, path: &Path) -> Result<Line, InvalidUpstream> {
        let peer = path.to_str().and_then(|path| HttpPeer::new_uds(path, false, String::new()).ok());
        let peer = peer.ok_or_else(|| InvalidUpstream::Socket(path.to_owned()))?;
        Ok(self.finished(peer, Scheme::Http, false))
    }

    fn finished(&self, mut peer: HttpPeer, scheme: Scheme, is_named_by_request: bool) -> Line {
        let options = &mut peer.options;
        options.connection_timeout = Some(self.connect_timeout);
        options.total_connection_timeout = Some(self.connect_timeout);
        options.read_timeout = Some(self.read_timeout);
        options.write_timeout = Some(self.read_timeout.min(WRITE_TIMEOUT));
        options.idle_timeout = Some(IDLE_TIMEOUT);
        if scheme != Scheme::Http {
            options.max_h2_streams = MAX_STREAMS;
            options.h2_stream_window_size = Some(STREAM_WINDOW);
            options.h2_connection_window_size = Some(CONNECTION_WINDOW);
            options.set_http_version(2, if scheme == Scheme::H2c { 2 } else { 1 });
        }
        if scheme == Scheme::Https {
            options.verify_cert = self.verify;
            options.verify_hostname = self.verify;
            options.ca.clone_from(&self.material.authorities);
            peer.client_cert_key.clone_from(&self.material.own);
        }
        peer.group_key = self.group(scheme);
        Line { peer, is_named_by_request }
    }

    /// What Pingora's own key of a pooled connection leaves out, so that sites with one address but
    /// different rules never share connections, and those with the same rules do.
    fn group(&self, scheme: Scheme) -> u64 {
        if scheme == Scheme::Http && self.proxy_protocol.is_none() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        (scheme as u8, self.proxy_protocol.map(|version| version as u8)).hash(&mut hasher);
        if scheme == Scheme::Https {
            let authorities = self.material.authorities.iter().flat_map(|list| list.iter());
            authorities.for_each(|authority| authority.borrow_raw_cert().hash(&mut hasher));
            if let Some(own) = &self.material.own {
                own.key().hash(&mut hasher);
                own.leaf().borrow_raw_cert().hash(&mut hasher);
                own.intermediates().iter().for_each(|link| link.borrow_raw_cert().hash(&mut hasher));
            }
        }
        hasher.finish()
    }
}

impl Line {
    /// A peer for one request, whose host is asked for where the server has no name.
    pub(super) fn peer(&self, host: impl FnOnce() -> Option<String>) -> Box<HttpPeer> {
        let mut peer = Box::new(self.peer.clone());
        if self.is_named_by_request
            && let Some(name) = host().map(|host| name_of(&host))
            && ServerName::try_from(name.as_str()).is_ok()
        {
            peer.sni = name;
        }
        peer
    }

    /// A peer for a question of our own, which shares no connection with requests.
    pub(super) fn own_peer(&self, host: &str, introduction: Option<Introduction>, timeout: Duration) -> Box<HttpPeer> {
        let mut peer = self.peer(|| Some(host.to_owned()));
        peer.options.total_connection_timeout = Some(timeout);
        // Otherwise Pingora would keep the connection in a pool.
        peer.options.max_h2_streams = 1;
        peer.options.custom_l4 = introduction.map(Introduction::connector);
        peer
    }

    /// The address, for logs.
    pub(super) fn address(&self) -> String {
        self.peer._address.to_string()
    }

    /// Whether this is the address, with a port.
    pub(super) fn is_to(&self, address: SocketAddr) -> bool {
        self.peer._address.as_inet() == Some(&address)
    }
}

/// A host as a certificate names it: without port and brackets.
fn name_of(host: &str) -> String {
    normal_host(host).trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Below the 5 s after which Apache closes an idle connection: a POST on a connection that is just
/// being closed could not be repeated.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// For how long a server may read nothing of a form that is sent to it; nginx's `proxy_send_timeout`.
/// Over HTTP/2, Pingora passes nothing of an answer on while it waits for the server to read.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// Requests on one HTTP/2 connection at a time; what most servers allow.
const MAX_STREAMS: usize = 100;
/// What one answer may have under way. Pingora's default for a stream is also its default for the
/// connection, so that one visitor who reads slowly would stop all other answers on it.
const STREAM_WINDOW: u32 = 512 << 10;
/// More than all streams of a connection together may have under way.
const CONNECTION_WINDOW: u32 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamTls;

    fn rules(url: &str, scheme: Scheme, host: &str) -> UpstreamRules {
        let address = ServerAddress::Tcp { host: host.to_owned(), port: 443 };
        UpstreamRules::new(vec![ServerRules { url: url.to_owned(), address, scheme, weight: 1 }])
    }

    fn peer(rules: &UpstreamRules, visitors_host: &str) -> Box<HttpPeer> {
        let line = Dialing::new(rules).unwrap().line(rules, &rules.servers[0], "10.0.0.1:443".parse().unwrap());
        line.peer(|| Some(visitors_host.to_owned()))
    }

    #[test]
    fn tls_asks_for_the_best_name_there_is_and_never_for_none() {
        let named = rules("https://origin.example", Scheme::Https, "origin.example");
        let bare = rules("https://10.0.0.1", Scheme::Https, "10.0.0.1");
        let sni = UpstreamTls { sni: Some("tls.example".into()), ..UpstreamTls::default() };
        let fixed = HostHeader::Fixed("fixed.example:8443".into());
        for (rules, visitors_host, name) in [
            (named.clone(), "shop.example", "origin.example"),
            (UpstreamRules { tls: sni.clone(), ..named.clone() }, "shop.example", "tls.example"),
            (UpstreamRules { host: fixed.clone(), ..named }, "shop.example", "origin.example"),
            (bare.clone(), "Shop.Example:8080", "shop.example"),
            (bare.clone(), "not a name", "10.0.0.1"),
            (bare.clone(), "", "10.0.0.1"),
            (bare.clone(), "[::1]:80", "::1"),
            (UpstreamRules { tls: sni, ..bare.clone() }, "shop.example", "tls.example"),
            (UpstreamRules { host: fixed, ..bare.clone() }, "shop.example", "fixed.example"),
            (UpstreamRules { host: HostHeader::Upstream, ..bare }, "shop.example", "10.0.0.1"),
        ] {
            assert_eq!(peer(&rules, visitors_host).sni, name, "{rules:?} {visitors_host}");
        }
    }

    #[test]
    fn sites_with_different_rules_share_no_connection() {
        let group = |scheme, change: &dyn Fn(&mut UpstreamRules)| {
            let mut rules = rules("x", scheme, "origin.example");
            change(&mut rules);
            peer(&rules, "shop.example").group_key
        };
        let same = &|_: &mut UpstreamRules| {};
        let verified = group(Scheme::Https, same);
        assert_eq!(verified, group(Scheme::Https, same));
        assert_ne!(verified, group(Scheme::Https, &|rules| rules.tls.verify = false));
        assert_ne!(verified, group(Scheme::H2c, same));
        assert_ne!(group(Scheme::Http, same), group(Scheme::H2c, same));
        assert_ne!(group(Scheme::Http, same), group(Scheme::Http, &|r| r.proxy_protocol = Some(ProxyProtocol::V1)));
    }
}
