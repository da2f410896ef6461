//! Both ends of a tunnel: a visitor who asks for one, and a site that gives back what comes through it.

use std::{io, net::SocketAddr};

use super::raw_origin::{Connection, RawOrigin};

/// The head with which a site opens a tunnel.
pub(crate) const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                                   Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The head with which a visitor asks for one.
pub(crate) fn handshake(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Opens one to a host, sending `early` together with the request.
pub(crate) fn open(proxy: SocketAddr, host: &str, early: &[u8]) -> io::Result<Connection> {
    let mut visitor = Connection::to(proxy);
    visitor.send([handshake(host, "/socket").as_bytes(), early].concat())?;
    let head = visitor.head()?.unwrap_or_default();
    assert!(head.starts_with("HTTP/1.1 101 "), "no tunnel: {head:?}");
    Ok(visitor)
}

/// A site that greets in the packet of its 101 and then returns what it gets.
pub(crate) fn greeting_echo(greeting: &'static str) -> RawOrigin {
    RawOrigin::start(move |visitor| {
        visitor.head()?;
        visitor.send([SWITCHED, greeting].concat())?;
        echo(visitor)
    })
}

/// Returns what comes.
pub(crate) fn echo(visitor: &mut Connection) -> io::Result<()> {
    loop {
        let some = visitor.some()?;
        if some.is_empty() {
            return Ok(());
        }
        visitor.send(some)?;
    }
}
