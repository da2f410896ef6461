//! What is refused before any site hears of it, and why.
//!
//! Pingora's parser answers most malformed requests itself, with 400. Here stand the rest: what it
//! takes but two parsers could read in two ways, what goes over a limit, and what goes round in circles.

use http::{HeaderMap, Method, Version, header};
use memchr::memchr_iter;

/// Why a request or a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// All connections are taken.
    Connections = 1,
    /// One address has all the connections that it may have.
    ConnectionsPerAddress,
    /// No PROXY protocol header, a malformed one, or one from an address that is not trusted.
    ProxyProtocol,
    /// No TLS could be agreed upon.
    TlsHandshake,
    /// The head of a request took too long.
    HeaderTimeout,
    /// The head of a request is too large.
    HeaderBytes,
    /// The body of a request comes too slowly.
    BodyRate,
    /// The visitor does not take the answer.
    WriteStall,
    /// The head cannot be parsed.
    Malformed,
    /// A line of the head ends without CR.
    BareLf,
    /// Both `Transfer-Encoding` and `Content-Length`.
    TeAndCl,
    /// HTTP/1.1 without `Host`.
    NoHost,
    /// No site answers for this host.
    UnknownHost,
    /// The request has been here before.
    Loop,
}

impl Refusal {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ProxyProtocol => "proxy_protocol",
            Self::TlsHandshake => "tls_handshake",
            Self::HeaderTimeout => "header_timeout",
            Self::HeaderBytes => "header_bytes",
            Self::BodyRate => "body_rate",
            Self::WriteStall => "write_stall",
            Self::Malformed => "malformed",
            Self::BareLf => "bare_lf",
            Self::TeAndCl => "te_and_cl",
            Self::NoHost => "no_host",
            Self::UnknownHost => "unknown_host",
            Self::Loop => "loop",
        }
    }

    /// The status that a visitor is answered with, where there is still one to answer to.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::HeaderTimeout | Self::BodyRate => 408,
            Self::HeaderBytes => 431,
            Self::UnknownHost => 421,
            Self::Loop => 508,
            Self::Connections | Self::ConnectionsPerAddress => 503,
            Self::ProxyProtocol
            | Self::TlsHandshake
            | Self::WriteStall
            | Self::Malformed
            | Self::BareLf
            | Self::TeAndCl
            | Self::NoHost => 400,
        }
    }

    /// Whether the rest of the connection can be trusted to begin with another request.
    #[must_use]
    pub const fn leaves_connection_usable(self) -> bool {
        matches!(self, Self::UnknownHost | Self::Loop)
    }

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::ProxyProtocol,
        Self::TlsHandshake,
        Self::HeaderTimeout,
        Self::HeaderBytes,
        Self::BodyRate,
        Self::WriteStall,
        Self::Malformed,
        Self::BareLf,
        Self::TeAndCl,
        Self::NoHost,
        Self::UnknownHost,
        Self::Loop,
    ];

    pub(super) fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u8 == number)
    }
}

/// Judges the head of an HTTP/1 request that Pingora has parsed; `raw` is what came.
///
/// # Errors
/// The first reason to refuse it.
pub fn judge(raw: &[u8], version: Version, headers: &HeaderMap, max_bytes: usize) -> Result<(), Refusal> {
    if raw.len() > max_bytes {
        return Err(Refusal::HeaderBytes);
    }
    // RFC 9112, section 2.2: a recipient may take a bare LF as the end of a line. One that does and
    // one that does not see two different requests.
    if memchr_iter(b'\n', raw).any(|at| at == 0 || raw.get(at - 1) != Some(&b'\r')) {
        return Err(Refusal::BareLf);
    }
    // Pingora drops the length of such a request; RFC 9112, section 6.1, allows to refuse it.
    if headers.contains_key(header::TRANSFER_ENCODING) && has_content_length(raw) {
        return Err(Refusal::TeAndCl);
    }
    // RFC 9110, section 7.2: a host and perhaps a port. Who reads a second host or a path into it
    // finds another site than we do.
    match headers.get(header::HOST) {
        Some(host) if host.as_bytes().iter().all(|byte| IN_HOST.get(usize::from(*byte)) == Some(&true)) => Ok(()),
        Some(_) => Err(Refusal::Malformed),
        // RFC 9112, section 3.2.
        None if version == Version::HTTP_11 => Err(Refusal::NoHost),
        None => Ok(()),
    }
}

/// The bytes that may stand in a host and its port.
#[expect(clippy::indexing_slicing, reason = "a constant: a mistake does not compile")]
const IN_HOST: [bool; 256] = {
    let foreign = b"\"#,/<>?@\\^`{|}";
    let mut bytes = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        let mut is_foreign = false;
        let mut index = 0;
        while index < foreign.len() {
            is_foreign |= foreign[index] == byte;
            index += 1;
        }
        bytes[byte as usize] = !is_foreign;
        byte += 1;
    }
    bytes
};

fn has_content_length(raw: &[u8]) -> bool {
    let name = b"content-length";
    raw.split(|byte| *byte == b'\n').any(|line| {
        let (start, rest) = line.split_at(name.len().min(line.len()));
        start.eq_ignore_ascii_case(name) && matches!(rest.trim_ascii_start().first(), Some(b':'))
    })
}

/// Whether the body of a request has to arrive at a rate.
///
/// A tunnel or a gRPC stream is open as long as its ends like, and may be silent.
#[must_use]
pub fn has_timed_body(method: &Method, headers: &HeaderMap) -> bool {
    if headers.contains_key(header::UPGRADE) || method == Method::CONNECT {
        return false;
    }
    let kind = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    !kind.get(..16).unwrap_or(kind).eq_ignore_ascii_case(b"application/grpc")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(raw: &str) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for line in raw.lines().skip(1) {
            let Some((name, value)) = line.split_once(':') else { continue };
            headers.append(
                name.trim().parse::<header::HeaderName>().expect("a name"),
                value.trim().parse().expect("a value"),
            );
        }
        let version = if raw.contains("HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
        judge(raw.as_bytes(), version, &headers, 200)
    }

    #[test]
    fn what_two_parsers_could_read_in_two_ways_is_refused() {
        for (raw, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(())),
            ("GET / HTTP/1.0\r\n\r\n", Ok(())),
            ("GET / HTTP/1.1\r\n\r\n", Err(Refusal::NoHost)),
            ("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", Ok(())),
            ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Err(Refusal::Malformed)),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Err(Refusal::Malformed)),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", Err(Refusal::BareLf)),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", Ok(())),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(())),
            (
                "GET / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH : 4\r\nTransfer-Encoding: chunked\r\n\r\n",
                Err(Refusal::TeAndCl),
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: Content-Length: 4\r\n\r\n", Ok(())),
        ] {
            assert_eq!(judged(raw), expected, "{raw:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(200));
        assert_eq!(judged(&long), Err(Refusal::HeaderBytes));
    }

    #[test]
    fn every_refusal_is_found_by_its_number() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index + 1);
            assert_eq!(Refusal::from_u8(refusal as u8), Some(refusal));
        }
        assert_eq!(Refusal::from_u8(0), None);
        assert_eq!(Refusal::from_u8(u8::MAX), None);
    }
}
