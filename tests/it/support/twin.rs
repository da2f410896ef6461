//! One exchange, described once and played in every version of HTTP, with TLS or without.
//!
//! A [`Reply`] is what a site answers, an [`Ask`] what a visitor sends; [`Seen`] and [`Heard`] are what
//! arrived at the other end, in one form for all transports, so that two roads can be compared.

use std::{
    collections::HashMap,
    fmt,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{SOCKET_TIMEOUT, h2_client, h2_origin, server::lock, tls::Issued};

pub(crate) mod ask;
mod http1;
pub(crate) mod reply;

pub(crate) use ask::Ask;
pub(crate) use reply::Reply;

/// Header lines in their order, names in lower case; bytes beyond ASCII are Latin-1 characters.
pub(crate) type Fields = Vec<(String, String)>;

/// How two parties speak with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transport {
    pub(crate) version: Version,
    pub(crate) tls: bool,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// An answer as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    /// HTTP/1 only.
    pub(crate) reason: Option<String>,
    pub(crate) headers: Fields,
    /// 1xx answers that came first.
    pub(crate) informational: Vec<(u16, Fields)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    pub(crate) ended: Ended,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Complete,
    /// The connection or the stream was ended before, and the visitor can tell.
    CutOff,
    /// Nothing more came for [`SOCKET_TIMEOUT`].
    Silent,
    /// The framing was broken.
    Broken(String),
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) target: String,
    /// `host` is also HTTP/2's `:authority`.
    pub(crate) headers: Fields,
    pub(crate) body: Vec<u8>,
}

/// A site that answers by script and remembers what it was asked.
///
/// The header [`CASE`] of a request says which script is played, [`FETCH`] tells requests apart.
#[derive(Debug)]
pub(crate) struct TwinOrigin {
    address: SocketAddr,
    notes: Arc<Notes>,
    // Ends the accepting thread when dropped.
    _stop: Box<dyn fmt::Debug + Send + Sync>,
}

/// What an origin plays, and what it has heard.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    replies: HashMap<String, Arc<Reply>>,
    heard: Mutex<HashMap<String, Vec<Heard>>>,
}

/// A visitor that keeps its connection while the server does.
pub(crate) struct Client {
    transport: Transport,
    address: SocketAddr,
    identity: Arc<Issued>,
    http1: Option<http1::Connection>,
    http2: Option<h2_client::Connection>,
    /// How many connections it opened.
    pub(crate) connections: usize,
}

/// Which script is played.
pub(crate) const CASE: &str = "x-case";
/// Which request it is.
pub(crate) const FETCH: &str = "x-fetch";

impl Transport {
    pub(crate) const HTTP1: Self = Self { version: Version::Http1, tls: false };
    pub(crate) const HTTP1_TLS: Self = Self { version: Version::Http1, tls: true };
    pub(crate) const HTTP2_TLS: Self = Self { version: Version::Http2, tls: true };
    pub(crate) const HTTP2_CLEAR: Self = Self { version: Version::Http2, tls: false };
    pub(crate) const ALL: [Self; 4] = [Self::HTTP1, Self::HTTP1_TLS, Self::HTTP2_TLS, Self::HTTP2_CLEAR];

    pub(crate) fn is_http2(self) -> bool {
        self.version == Version::Http2
    }

    /// As ALPN writes it.
    pub(crate) fn protocol(self) -> &'static str {
        if self.is_http2() { "h2" } else { "http/1.1" }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match (self.version, self.tls) {
            (Version::Http1, false) => "HTTP/1.1",
            (Version::Http1, true) => "HTTP/1.1 over TLS",
            (Version::Http2, false) => "HTTP/2 in the clear",
            (Version::Http2, true) => "HTTP/2 over TLS",
        })
    }
}

impl Seen {
    /// Not even a head.
    pub(crate) fn nothing() -> Self {
        Self {
            status: 0,
            reason: None,
            headers: Vec::new(),
            informational: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            ended: Ended::CutOff,
        }
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

impl TwinOrigin {
    /// Opens one that speaks only this.
    pub(crate) fn start(
        transport: Transport,
        identity: &Arc<Issued>,
        replies: impl IntoIterator<Item = (String, Reply)>,
    ) -> Self {
        let replies = replies.into_iter().map(|(name, reply)| (name, Arc::new(reply))).collect();
        let notes = Arc::new(Notes { replies, heard: Mutex::default() });
        let tls = transport.tls.then(|| identity.server(&[transport.protocol()], None));
        let (address, stop): (_, Box<dyn fmt::Debug + Send + Sync>) = match transport.version {
            Version::Http1 => http1::serve(tls, &notes),
            Version::Http2 => h2_origin::serve(tls, &notes),
        };
        Self { address, notes, _stop: stop }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came with this [`FETCH`]; more than one request if it was repeated on the way.
    pub(crate) fn heard(&self, fetch: &str) -> Vec<Heard> {
        lock(&self.notes.heard).remove(fetch).unwrap_or_default()
    }
}

impl Notes {
    /// Writes a request down and yields what is played.
    pub(super) fn hear(&self, heard: Heard) -> Arc<Reply> {
        let header = |wanted: &str| {
            let found = heard.headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let reply = self.replies.get(&header(CASE)).cloned();
        lock(&self.heard).entry(header(FETCH)).or_default().push(heard);
        reply.unwrap_or_else(|| Arc::new(Reply::new(404).header("X-Mistake", "no such case")))
    }
}

impl Client {
    /// A visitor of whatever listens there.
    pub(crate) fn new(transport: Transport, address: SocketAddr, identity: &Arc<Issued>) -> Self {
        Self { transport, address, identity: identity.clone(), http1: None, http2: None, connections: 0 }
    }

    /// Sends a request and reads all of its answer.
    pub(crate) fn fetch(&mut self, ask: &Ask) -> Result<Seen, String> {
        let tls = |transport: Transport| transport.tls.then(|| self.identity.client(transport.protocol()));
        match self.transport.version {
            Version::Http1 => {
                if let Some(mut kept) = self.http1.take()
                    && let Some(seen) = kept.fetch(ask).map_err(|error| error.to_string())?
                {
                    self.http1 = kept.is_reusable().then_some(kept);
                    return Ok(seen);
                }
                // Either there was no connection, or the server closed it, as it may, before it saw the request.
                self.connections += 1;
                let opened = http1::Connection::open(self.address, tls(self.transport));
                let mut connection = opened.map_err(|error| format!("no connection: {error}"))?;
                let seen = connection.fetch(ask).map_err(|error| error.to_string())?;
                self.http1 = connection.is_reusable().then_some(connection);
                seen.ok_or_else(|| "closed without an answer".into())
            }
            Version::Http2 => {
                let mut connection = match self.http2.take() {
                    Some(kept) => kept,
                    None => {
                        self.connections += 1;
                        h2_client::Connection::open(self.address, tls(self.transport))?
                    }
                };
                let seen = connection.fetch(ask)?;
                self.http2 = (seen.ended == Ended::Complete).then_some(connection);
                Ok(seen)
            }
        }
    }
}

/// A connection whose every read and write has a deadline.
fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, SOCKET_TIMEOUT)?;
    prepare(&stream)?;
    Ok(stream)
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOCKET_TIMEOUT))?;
    stream.set_write_timeout(Some(SOCKET_TIMEOUT))
}

/// The bytes that a text of Latin-1 characters stands for.
pub(super) fn wire(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).expect("a Latin-1 character")).collect()
}

/// How long a scripted pause is: long enough to be seen as separate packets.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
