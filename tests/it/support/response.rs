//! What a scripted server answers, byte by byte.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use super::http::push_header;

/// An answer with every freedom that real origins take.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    version: &'static str,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Sent,
    trailers: Vec<(String, String)>,
    informational: Vec<u8>,
    delay: Duration,
    end: End,
}

/// How the body is put onto the wire.
#[derive(Clone, Debug)]
enum Sent {
    WithLength,
    /// A `Content-Length` that need not be true.
    Claiming(usize),
    /// In chunks of so many bytes, each flushed, with a pause after each.
    Chunked(usize, Duration),
    UntilClose,
    /// The same byte sequence again and again, until the peer is gone.
    Endless,
}

/// What happens after the last scripted byte.
#[derive(Clone, Copy, Debug)]
enum End {
    Normal,
    /// After so many bytes of the encoded body the connection is reset.
    ResetAfter(usize),
    /// After so many bytes of the encoded body nothing more comes.
    HangAfter(usize),
    /// Resets without a single byte.
    ResetAtOnce,
    /// Echoes whatever comes, as an upgraded connection.
    Echo,
}

/// Whether the connection serves another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    KeepAlive,
    Close,
    Reset,
}

impl Response {
    /// An empty answer.
    pub(crate) fn new(status: u16) -> Self {
        Self {
            version: "HTTP/1.1",
            status,
            headers: Vec::new(),
            body: Vec::new(),
            framing: Sent::WithLength,
            trailers: Vec::new(),
            informational: Vec::new(),
            delay: Duration::ZERO,
            end: End::Normal,
        }
    }

    /// A page.
    pub(crate) fn html(body: impl AsRef<[u8]>) -> Self {
        Self::new(200).header("Content-Type", "text/html; charset=utf-8").body(body)
    }

    /// A 302 to another place.
    pub(crate) fn redirect(location: &str) -> Self {
        Self::new(302).header("Location", location)
    }

    /// A switch of protocols; afterwards every byte comes back.
    pub(crate) fn upgrade(protocol: &str) -> Self {
        Self { end: End::Echo, ..Self::new(101).header("Connection", "Upgrade").header("Upgrade", protocol) }
    }

    /// The connection is reset instead of an answer.
    pub(crate) fn reset() -> Self {
        Self { end: End::ResetAtOnce, ..Self::new(200) }
    }

    /// No answer ever comes.
    pub(crate) fn hang() -> Self {
        Self::new(200).delayed(Duration::MAX)
    }

    /// A body that never ends.
    pub(crate) fn endless(pattern: &str) -> Self {
        Self { framing: Sent::Endless, ..Self::new(200).body(pattern) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sends the body in chunks of so many bytes, each in its own packet.
    pub(crate) fn chunked(mut self, size: usize) -> Self {
        self.framing = Sent::Chunked(size, Duration::ZERO);
        self
    }

    /// Sends the body byte by byte with a pause after each.
    pub(crate) fn dripping(mut self, pause: Duration) -> Self {
        self.framing = Sent::Chunked(1, pause);
        self
    }

    /// Announces and sends a trailer after a chunked body.
    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.into(), value.into()));
        if matches!(self.framing, Sent::Chunked(..)) { self } else { self.chunked(16) }.header("Trailer", name)
    }

    /// Claims a length, true or not.
    pub(crate) fn claiming(mut self, length: usize) -> Self {
        self.framing = Sent::Claiming(length);
        self
    }

    /// Answers as HTTP/1.0, ended by closing.
    pub(crate) fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self.framing = Sent::UntilClose;
        self
    }

    /// Sends `103 Early Hints` first.
    pub(crate) fn after_early_hints(mut self, link: &str) -> Self {
        self.informational = format!("HTTP/1.1 103 Early Hints\r\nLink: {link}\r\n\r\n").into_bytes();
        self
    }

    /// Waits before the head.
    pub(crate) fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Resets the connection within the body.
    pub(crate) fn reset_after(mut self, bytes: usize) -> Self {
        self.end = End::ResetAfter(bytes);
        self
    }

    /// Falls silent within the body.
    pub(crate) fn hang_after(mut self, bytes: usize) -> Self {
        self.end = End::HangAfter(bytes);
        self
    }

    /// Plays the script to the peer.
    pub(super) fn play(&self, stream: &mut TcpStream, method: &str) -> io::Result<Afterwards> {
        if matches!(self.end, End::ResetAtOnce) {
            return Ok(Afterwards::Reset);
        }
        if self.delay == Duration::MAX {
            return wait_until_gone(stream);
        }
        thread::sleep(self.delay);
        if !self.informational.is_empty() {
            stream.write_all(&self.informational)?;
        }
        stream.write_all(&self.head())?;
        if method == "HEAD" || matches!(self.status, 204 | 304) {
            return Ok(Afterwards::KeepAlive);
        }
        match self.end {
            End::Echo => io::copy(&mut stream.try_clone()?, stream).map(|_| Afterwards::Close),
            End::ResetAfter(bytes) => {
                self.write_body(stream, bytes)?;
                // A reset overtakes bytes still under way; let them arrive, they are part of the script.
                thread::sleep(Duration::from_millis(50));
                Ok(Afterwards::Reset)
            }
            End::HangAfter(bytes) => {
                self.write_body(stream, bytes)?;
                wait_until_gone(stream)
            }
            End::Normal | End::ResetAtOnce => self.write_body(stream, usize::MAX).map(|()| self.afterwards()),
        }
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} Scripted\r\n", self.version, self.status);
        for (name, value) in &self.headers {
            push_header(&mut head, name, value);
        }
        match self.framing {
            Sent::WithLength if matches!(self.status, 101 | 204 | 304) => {}
            Sent::WithLength => push_header(&mut head, "Content-Length", &self.body.len().to_string()),
            Sent::Claiming(length) => push_header(&mut head, "Content-Length", &length.to_string()),
            Sent::Chunked(..) => push_header(&mut head, "Transfer-Encoding", "chunked"),
            Sent::UntilClose | Sent::Endless => push_header(&mut head, "Connection", "close"),
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Sends at most so many encoded bytes.
    fn write_body(&self, stream: &mut TcpStream, limit: usize) -> io::Result<()> {
        let mut left = limit;
        let mut send = |bytes: &[u8]| {
            let allowed = bytes.len().min(left);
            left -= allowed;
            stream.write_all(&bytes[..allowed])
        };
        match self.framing {
            Sent::WithLength | Sent::Claiming(_) | Sent::UntilClose => send(&self.body),
            Sent::Endless => loop {
                send(&self.body)?;
            },
            Sent::Chunked(size, pause) => {
                for chunk in self.body.chunks(size) {
                    let mut encoded = format!("{:x}\r\n", chunk.len()).into_bytes();
                    encoded.extend_from_slice(chunk);
                    encoded.extend_from_slice(b"\r\n");
                    send(&encoded)?;
                    thread::sleep(pause);
                }
                let mut last = String::from("0\r\n");
                for (name, value) in &self.trailers {
                    push_header(&mut last, name, value);
                }
                send((last + "\r\n").as_bytes())
            }
        }
    }

    fn afterwards(&self) -> Afterwards {
        match self.framing {
            Sent::WithLength | Sent::Chunked(..) => Afterwards::KeepAlive,
            Sent::Claiming(_) | Sent::UntilClose | Sent::Endless => Afterwards::Close,
        }
    }
}

impl From<&str> for Response {
    /// A plain-text answer with status 200, as most ad networks give it.
    fn from(text: &str) -> Self {
        Self::new(200).header("Content-Type", "text/plain").body(text)
    }
}

/// Reads and ignores until the peer leaves.
pub(super) fn wait_until_gone(stream: &mut TcpStream) -> io::Result<Afterwards> {
    stream.set_read_timeout(None)?;
    while stream.read(&mut [0; 512])? > 0 {}
    Ok(Afterwards::Close)
}
