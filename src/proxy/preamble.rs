//! What comes before HTTP on a connection: the PROXY protocol, TLS, and which HTTP it will be.

use std::{io, net::SocketAddr};

use tokio::{io::AsyncReadExt, net::TcpStream};

/// Reads a PROXY protocol header of either version and nothing behind it.
///
/// Gives the addresses of the visitor and of what the visitor connected to, or `None` when the proxy
/// speaks for itself, as it does to see whether we are well.
///
/// # Errors
/// What is no such header is [`io::ErrorKind::InvalidData`].
pub async fn proxy_header(tcp: &mut TcpStream) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let mut header = Vec::with_capacity(MAX_V1);
    loop {
        let missing = missing(&header)?;
        if missing == 0 {
            return addresses(&header);
        }
        // Peeking first: a byte too many would be missing in what follows.
        let mut ahead = [0; MAX_V1];
        let seen = tcp.peek(ahead.get_mut(..missing.min(MAX_V1)).unwrap_or_default()).await?;
        let seen = ahead.get(..seen).unwrap_or_default();
        if seen.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let is_text = header.first().or(seen.first()) == Some(&b'P');
        let end = if is_text { memchr::memchr(b'\n', seen).map(|at| at + 1) } else { None };
        let start = header.len();
        header.resize(start + end.unwrap_or(seen.len()), 0);
        tcp.read_exact(header.get_mut(start..).unwrap_or_default()).await?;
    }
}

/// How many bytes may still be read without reading too far; 0 when the header is complete.
fn missing(header: &[u8]) -> io::Result<usize> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let is_prefix = |known: &[u8]| header.iter().zip(known).all(|(one, other)| one == other);
    if header.is_empty() {
        // The shorter of the two, so that one look does.
        return Ok(V2_FIXED);
    }
    if is_prefix(V1) {
        if header.last() == Some(&b'\n') {
            return Ok(0);
        }
        return if header.len() < MAX_V1 { Ok(MAX_V1 - header.len()) } else { Err(invalid()) };
    }
    if !is_prefix(V2) {
        return Err(invalid());
    }
    let Some(fixed) = header.get(..V2_FIXED) else { return Ok(V2_FIXED - header.len()) };
    let &[.., high, low] = fixed else { return Err(invalid()) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2_REST { Err(invalid()) } else { Ok(V2_FIXED + length - header.len()) }
}

fn addresses(header: &[u8]) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    match ppp::HeaderResult::parse(header) {
        ppp::HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            ppp::v1::Addresses::Tcp4(it) => {
                Some(((it.source_address, it.source_port).into(), (it.destination_address, it.destination_port).into()))
            }
            ppp::v1::Addresses::Tcp6(it) => {
                Some(((it.source_address, it.source_port).into(), (it.destination_address, it.destination_port).into()))
            }
            ppp::v1::Addresses::Unknown => None,
        }),
        ppp::HeaderResult::V2(Ok(header)) => Ok(match (header.command, header.addresses) {
            (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv4(it)) => {
                Some(((it.source_address, it.source_port).into(), (it.destination_address, it.destination_port).into()))
            }
            (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv6(it)) => {
                Some(((it.source_address, it.source_port).into(), (it.destination_address, it.destination_port).into()))
            }
            (ppp::v2::Command::Local, _)
            | (ppp::v2::Command::Proxy, ppp::v2::Addresses::Unspecified | ppp::v2::Addresses::Unix(_)) => None,
        }),
        ppp::HeaderResult::V1(Err(_)) | ppp::HeaderResult::V2(Err(_)) => Err(invalid()),
    }
}

/// Whether a plain connection begins with HTTP/2 (RFC 9113, section 3.3), without taking anything from it.
///
/// # Errors
/// When it ends before that can be told.
pub async fn speaks_http2(tcp: &TcpStream) -> io::Result<bool> {
    let mut ahead = [0; HTTP2.len()];
    let mut pause = std::time::Duration::from_millis(5);
    loop {
        let seen = tcp.peek(&mut ahead).await?;
        let seen = ahead.get(..seen).unwrap_or_default();
        if seen.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !HTTP2.starts_with(seen) {
            return Ok(false);
        }
        if seen.len() == HTTP2.len() {
            return Ok(true);
        }
        // What has been seen is seen again at once. The rest of these 24 bytes is under way, unless
        // somebody lets us look for it in vain, on many connections at once.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

// The PROXY protocol, versions 1 & 2 (HAProxy's proxy-protocol.txt, 2020-03-05), section 2.
const V1: &[u8] = b"PROXY ";
const MAX_V1: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;
/// Addresses and the type-length-value fields behind them, certificates' names among these.
const MAX_V2_REST: usize = 4096;
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_millis(320);
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    /// What is read from a connection that brings `bytes` in pieces, and what is left for HTTP.
    async fn read(bytes: &[u8], piece: usize) -> (io::Result<Option<(SocketAddr, SocketAddr)>>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let (mut server, _) = listener.accept().await.expect("a connection");
        client.set_nodelay(true).expect("a socket option");
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move {
            for piece in bytes.chunks(piece) {
                client.write_all(piece).await.expect("to write");
                tokio::task::yield_now().await;
            }
        });
        let result = proxy_header(&mut server).await;
        writing.await.expect("to write");
        let mut rest = String::new();
        if result.is_ok() {
            server.read_to_string(&mut rest).await.expect("text");
        }
        (result, rest)
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("a length").to_be_bytes();
        [V2, &[0x20 | command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn headers_of_both_versions_give_the_visitor_and_leave_the_request() {
        let four = v2(1, 0x11, &[192, 0, 2, 1, 203, 0, 113, 7, 0x30, 0x39, 0, 80]);
        let tlv = v2(1, 0x11, &[192, 0, 2, 1, 203, 0, 113, 7, 0x30, 0x39, 0, 80, 0x02, 0, 1, b'a']);
        let local = v2(0, 0, &[]);
        let v4 = Some("192.0.2.1:12345");
        for (header, visitor) in [
            (&b"PROXY TCP4 192.0.2.1 203.0.113.7 12345 80\r\n"[..], v4),
            (&b"PROXY TCP6 2001:db8::1 2001:db8::2 12345 80\r\n"[..], Some("[2001:db8::1]:12345")),
            (&b"PROXY UNKNOWN\r\n"[..], None),
            (&four, v4),
            (&tlv, v4),
            (&local, None),
        ] {
            for piece in [1, 7, 1000] {
                let bytes = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
                let (read, rest) = read(&bytes, piece).await;
                let read = read.expect("a header").map(|(visitor, _)| visitor.to_string());
                assert_eq!(read.as_deref(), visitor);
                assert_eq!(rest, "GET / HTTP/1.1\r\n\r\n");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let huge = [V2, &[0x21, 0x11, 0xff, 0xff]].concat();
        let short = v2(1, 0x11, &[192, 0, 2, 1]);
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 a b c d\r\n",
            b"PROXY\r\n",
            b"POST / HTTP/1.1\r\n\r\n",
            &long,
            &huge,
            &short,
            b"",
        ] {
            assert!(read(bytes, 1000).await.0.is_err(), "{bytes:?}");
        }
    }
}
