//! HTTP/1.1 as it is on the wire: heads, bodies and how they ended.
//!
//! Both sides of the harness read with it. It is strict on purpose and repairs nothing, so that
//! wrong framing shows as a wrong ending instead of a lucky body.

use std::io::{self, BufRead, ErrorKind, Read};

/// Header lines in their order; bytes beyond ASCII are kept as Latin-1 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

/// A start line with its headers.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub(crate) start: String,
    /// The header lines.
    pub(crate) headers: Headers,
    /// Every byte up to and with the empty line.
    pub(crate) raw: Vec<u8>,
}

/// How a body's end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none: HEAD, 1xx, 204, 304, a request without body headers.
    NoBody,
    /// `Content-Length`.
    Length(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The connection's end.
    UntilClose,
}

/// How a body really ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As its framing promised.
    Complete,
    /// The connection was closed before.
    Truncated,
    /// The connection was reset before.
    Reset,
    /// Nothing came for longer than [`super::SOCKET_TIMEOUT`].
    TimedOut,
    /// The framing itself was broken.
    Malformed(String),
}

/// A body with what followed it.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Headers,
    pub(crate) ending: Ending,
}

impl Headers {
    /// The only value of a header; several lines of it are a mistake of the test or the proxy.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "{name} stands {} times: {values:?}", values.len());
        values.first().copied()
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// All header lines in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }

    fn mentions(&self, name: &str, token: &str) -> bool {
        self.all(name).iter().any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }
}

impl Head {
    /// Reads one; `None` when the peer closed before its first byte.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut raw = Vec::new();
        let Some(start) = read_line(from, &mut raw)? else { return Ok(None) };
        let mut headers = Headers::default();
        loop {
            let line = read_line(from, &mut raw)?.ok_or(ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(Some(Self { start, headers, raw }));
            }
            headers.0.push(split_header(&line)?);
        }
    }

    /// How the body of a request with this head is framed.
    pub(crate) fn request_framing(&self) -> Framing {
        match self.declared_framing() {
            Framing::UntilClose => Framing::NoBody,
            framing @ (Framing::NoBody | Framing::Length(_) | Framing::Chunked) => framing,
        }
    }

    /// How the body of an answer with this head is framed (RFC 9112 section 6.3).
    pub(crate) fn answer_framing(&self, status: u16, method: &str) -> Framing {
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            return Framing::NoBody;
        }
        self.declared_framing()
    }

    fn declared_framing(&self) -> Framing {
        if self.headers.mentions("transfer-encoding", "chunked") {
            assert!(self.headers.get("content-length").is_none(), "both framings at once: {:?}", self.headers);
            return Framing::Chunked;
        }
        match self.headers.get("content-length").map(str::parse) {
            Some(Ok(length)) => Framing::Length(length),
            Some(Err(error)) => panic!("a Content-Length that is no number: {error}"),
            None => Framing::UntilClose,
        }
    }
}

impl Body {
    /// Reads what the framing promises, or as much of it as comes.
    pub(crate) fn read(from: &mut impl BufRead, framing: Framing) -> Self {
        let mut body = Self { bytes: Vec::new(), trailers: Headers::default(), ending: Ending::Complete };
        let result = match framing {
            Framing::NoBody => Ok(()),
            Framing::Length(length) => read_exactly(from, length, &mut body.bytes),
            Framing::Chunked => body.read_chunks(from),
            Framing::UntilClose => from.read_to_end(&mut body.bytes).map(drop),
        };
        if let Err(error) = result {
            body.ending = Ending::from(&error);
        }
        body
    }

    fn read_chunks(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        loop {
            let size = read_line(from, &mut Vec::new())?.ok_or(ErrorKind::UnexpectedEof)?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| malformed(&format!("chunk size {size:?}")))?;
            if size == 0 {
                return self.read_trailers(from);
            }
            read_exactly(from, size, &mut self.bytes)?;
            let mut end = Vec::new();
            read_exactly(from, 2, &mut end)?;
            if end != b"\r\n" {
                return Err(malformed("a chunk longer than its size"));
            }
        }
    }

    fn read_trailers(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        loop {
            let line = read_line(from, &mut Vec::new())?.ok_or(ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(());
            }
            self.trailers.0.push(split_header(&line)?);
        }
    }
}

impl From<&io::Error> for Ending {
    fn from(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof {
            Self::Truncated
        } else if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) {
            Self::Reset
        } else if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            Self::TimedOut
        } else {
            Self::Malformed(error.to_string())
        }
    }
}

/// Adds a header line.
pub(super) fn push_header(to: &mut String, name: &str, value: &str) {
    to.extend([name, ": ", value, "\r\n"]);
}

/// Each byte becomes the character of the same number, so that nothing is lost or replaced.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Reads one CRLF line; `None` at the end of the stream.
fn read_line(from: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    raw.extend_from_slice(&line);
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(Some(latin1(text))),
        None if line.ends_with(b"\n") => Err(malformed("a bare line feed")),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

fn read_exactly(from: &mut impl BufRead, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
    // Not `read_exact`: what arrived before the break belongs to the evidence.
    let read = from.take(length as u64).read_to_end(into)?;
    if read == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn split_header(line: &str) -> io::Result<(String, String)> {
    let (name, value) = line.split_once(':').ok_or_else(|| malformed(&format!("header line {line:?}")))?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
