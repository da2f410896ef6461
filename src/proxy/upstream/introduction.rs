//! Connections that begin with the visitor's address: the PROXY protocol, as the sending side.
//!
//! The header goes first, before TLS. Such a connection speaks for one visitor, so it is pooled
//! under its header and never serves another.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use pingora::{
    Error, ErrorType, OrErr, Result,
    connectors::L4Connect,
    protocols::l4::{ext, socket::SocketAddr as Address, stream::Stream},
};
use ppp::{v1, v2};
use tokio::io::AsyncWriteExt;

use crate::config::ProxyProtocol;

/// The first bytes of a connection.
#[derive(Debug)]
pub(super) struct Introduction(Vec<u8>);

impl Introduction {
    /// For a visitor's request: from where it came, to which of our addresses.
    pub(super) fn of_visitor(version: ProxyProtocol, ends: Option<(SocketAddr, SocketAddr)>) -> Self {
        let ends = ends.map(|(source, destination)| one_family(source, destination));
        match version {
            ProxyProtocol::V1 => {
                Self(ends.map_or(v1::Addresses::Unknown, v1::Addresses::from).to_string().into_bytes())
            }
            ProxyProtocol::V2 => ends.map_or_else(
                || Self::of_ourselves(version),
                |ends| {
                    let built =
                        v2::Builder::with_addresses(v2::Version::Two | v2::Command::Proxy, v2::Protocol::Stream, ends);
                    // Fails for headers beyond 64 KiB; this one has 36 bytes at most.
                    built.build().map_or_else(|_| Self::of_ourselves(version), Self)
                },
            ),
        }
    }

    /// For what we ask ourselves, on nobody's behalf.
    pub(super) fn of_ourselves(version: ProxyProtocol) -> Self {
        Self(match version {
            ProxyProtocol::V1 => v1::Addresses::Unknown.to_string().into_bytes(),
            ProxyProtocol::V2 => LOCAL.to_vec(),
        })
    }

    /// Adds what tells its connections from others.
    pub(super) fn group(&self, group: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (group, &self.0).hash(&mut hasher);
        hasher.finish()
    }

    /// What connects and then says this first.
    pub(super) fn connector(self) -> Arc<dyn L4Connect + Send + Sync> {
        Arc::new(self)
    }
}

#[async_trait]
impl L4Connect for Introduction {
    // The whole of it, TLS included, is under the peer's `total_connection_timeout`.
    async fn connect(&self, address: &Address) -> Result<Stream> {
        let mut stream: Stream = match address {
            Address::Inet(address) => ext::connect(address, None).await?.into(),
            Address::Unix(address) => match address.as_pathname() {
                Some(path) => ext::connect_uds(path).await?.into(),
                None => return Error::e_explain(ErrorType::ConnectError, "a Unix socket without a path"),
            },
        };
        stream.write_all(&self.0).await.or_err(ErrorType::ConnectError, "while writing the PROXY header")?;
        stream.flush().await.or_err(ErrorType::ConnectError, "while writing the PROXY header")?;
        Ok(stream)
    }
}

/// A header has one address family; an IPv4 address among IPv6 ones is written as mapped.
fn one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    (mapped(source), mapped(destination))
}

/// Version 2, command LOCAL, family unspecified, nothing more (the PROXY protocol's section 2.2).
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: ProxyProtocol, source: &str, destination: &str) -> Vec<u8> {
        Introduction::of_visitor(version, Some((source.parse().unwrap(), destination.parse().unwrap()))).0
    }

    #[test]
    fn version_one_is_a_line() {
        let v1 = |source, destination| String::from_utf8(header(ProxyProtocol::V1, source, destination)).unwrap();
        assert_eq!(v1("203.0.113.9:1234", "10.0.0.1:80"), "PROXY TCP4 203.0.113.9 10.0.0.1 1234 80\r\n");
        assert_eq!(v1("[2001:db8::9]:1234", "[::1]:80"), "PROXY TCP6 2001:db8::9 ::1 1234 80\r\n");
        assert_eq!(v1("[::ffff:203.0.113.9]:1234", "10.0.0.1:80"), "PROXY TCP4 203.0.113.9 10.0.0.1 1234 80\r\n");
        assert_eq!(v1("203.0.113.9:1234", "[::1]:80"), "PROXY TCP6 ::ffff:203.0.113.9 ::1 1234 80\r\n");
        assert_eq!(Introduction::of_visitor(ProxyProtocol::V1, None).0, b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn version_two_reads_back() {
        let bytes = header(ProxyProtocol::V2, "203.0.113.9:1234", "10.0.0.1:80");
        let read = v2::Header::try_from(&bytes[..]).unwrap();
        let ends: (SocketAddr, SocketAddr) = ("203.0.113.9:1234".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
        assert_eq!(read.addresses, v2::Addresses::from(ends));
        assert_eq!(read.command, v2::Command::Proxy);
        let ours = Introduction::of_ourselves(ProxyProtocol::V2).0;
        assert_eq!(v2::Header::try_from(&ours[..]).unwrap().command, v2::Command::Local);
    }

    #[test]
    fn connections_are_told_apart_by_their_visitor() {
        let group = |source: &str| {
            let ends = Some((source.parse().unwrap(), "10.0.0.1:80".parse().unwrap()));
            Introduction::of_visitor(ProxyProtocol::V2, ends).group(7)
        };
        assert_eq!(group("203.0.113.9:1234"), group("203.0.113.9:1234"));
        assert_ne!(group("203.0.113.9:1234"), group("203.0.113.9:1235"));
        assert_ne!(group("203.0.113.9:1234"), group("203.0.113.8:1234"));
    }
}
