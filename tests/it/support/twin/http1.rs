//! HTTP/1 on both ends, with TLS or without.

use std::{
    fmt,
    io::{self, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use super::{Ask, Ended, Fields, Heard, Notes, Seen, ask::Sending, connect, prepare, reply::After, wire};
use crate::support::{
    http::{Body, Ending, Framing, Head, Headers, push_header},
    server::reset,
    tls::shop_name,
};

/// Both directions of a connection.
trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// A visitor's connection.
pub(super) struct Connection {
    stream: BufReader<Box<dyn Duplex>>,
    is_reusable: bool,
}

impl Connection {
    pub(super) fn open(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = connect(address)?;
        let stream: Box<dyn Duplex> = match tls {
            None => Box::new(stream),
            Some(config) => {
                let session = ClientConnection::new(config, shop_name()).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(session, stream))
            }
        };
        Ok(Self { stream: BufReader::new(stream), is_reusable: false })
    }

    /// Whether another request may follow.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_reusable
    }

    /// Sends a request and reads its answer; `None` when the server closed before the first byte.
    pub(super) fn fetch(&mut self, ask: &Ask) -> io::Result<Option<Seen>> {
        let (head, body) = composed(ask);
        let mut written = self.write(&head);
        let waits = ask.expects_continue();
        if !waits && written.is_ok() {
            written = self.write(&body);
        }
        let mut informational = Vec::new();
        loop {
            let head = match Head::read(&mut self.stream) {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(None),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let mut words = head.start.splitn(3, ' ').skip(1);
            let status = words.next().and_then(|code| code.parse().ok());
            let status: u16 = status.ok_or_else(|| io::Error::other(format!("status line {:?}", head.start)))?;
            let headers = fields(&head.headers);
            if matches!(status, 100..=199) {
                if waits && status == 100 && written.is_ok() {
                    written = self.write(&body);
                }
                informational.push((status, headers));
                continue;
            }
            let reason = Some(words.next().unwrap_or_default().to_owned());
            let framing = head.answer_framing(status, &ask.method);
            let Body { bytes, trailers, ending } = Body::read(&mut self.stream, framing);
            let says_close = head.headers.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"));
            self.is_reusable = ending == Ending::Complete
                && framing != Framing::UntilClose
                && written.is_ok()
                && !says_close
                && !ask.is_http10
                && head.start.starts_with("HTTP/1.1");
            return Ok(Some(Seen {
                status,
                reason,
                headers,
                informational,
                body: bytes,
                trailers: fields(&trailers),
                ended: match ending {
                    Ending::Complete => Ended::Complete,
                    Ending::Truncated | Ending::Reset => Ended::CutOff,
                    Ending::TimedOut => Ended::Silent,
                    Ending::Malformed(what) => Ended::Broken(what),
                },
            }));
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }
}

fn composed(ask: &Ask) -> (Vec<u8>, Vec<u8>) {
    let version = if ask.is_http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut head = format!("{} {} {version}\r\nHost: shop.example\r\n", ask.method, ask.target);
    ask.headers.iter().for_each(|(name, value)| push_header(&mut head, name, value));
    let body = match &ask.body {
        Sending::Nothing => Vec::new(),
        Sending::Whole(body) => {
            push_header(&mut head, "Content-Length", &body.len().to_string());
            body.clone()
        }
        Sending::Chunks(body, size) => {
            push_header(&mut head, "Transfer-Encoding", "chunked");
            let encoded = |chunk: &[u8]| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
            let mut bytes: Vec<u8> = body.chunks(*size).flat_map(encoded).collect();
            bytes.extend_from_slice(b"0\r\n\r\n");
            bytes
        }
    };
    (wire(&(head + "\r\n")), body)
}

fn fields(headers: &Headers) -> Fields {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

/// Ends the accepting thread when dropped.
#[derive(Debug)]
struct Stop(SocketAddr, Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.0));
    }
}

/// Serves what is noted, one thread for each connection.
pub(super) fn serve(
    tls: Option<Arc<ServerConfig>>,
    notes: &Arc<Notes>,
) -> (SocketAddr, Box<dyn fmt::Debug + Send + Sync>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (notes, stopped) = (notes.clone(), Arc::new(AtomicBool::new(false)));
    let stop = Stop(address, stopped.clone());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if stopped.load(Ordering::SeqCst) {
                return;
            }
            let (notes, tls) = (notes.clone(), tls.clone());
            // An error here is the peer's leaving; what the peer saw is what the test looks at.
            thread::spawn(move || converse(stream, tls, &notes).ok());
        }
    });
    (address, Box::new(stop))
}

fn converse(stream: TcpStream, tls: Option<Arc<ServerConfig>>, notes: &Notes) -> io::Result<()> {
    prepare(&stream)?;
    // Pools keep connections longer than anything else is waited for.
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let raw = stream.try_clone()?;
    let after = match tls {
        None => answer(&mut BufReader::new(stream), notes)?,
        Some(config) => {
            let session = ServerConnection::new(config).map_err(io::Error::other)?;
            let mut reader = BufReader::new(StreamOwned::new(session, stream));
            let after = answer(&mut reader, notes)?;
            if after == After::Close {
                let stream = reader.get_mut();
                stream.conn.send_close_notify();
                stream.flush()?;
            }
            after
        }
    };
    if after == After::Cut {
        // A reset overtakes bytes still under way; let them arrive, they are part of the script.
        thread::sleep(Duration::from_millis(50));
        return reset(raw);
    }
    Ok(())
}

fn answer<S: Read + Write>(stream: &mut BufReader<S>, notes: &Notes) -> io::Result<After> {
    while let Some(head) = Head::read(stream)? {
        let mut words = head.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if head.headers.get("expect") == Some("100-continue") {
            stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            stream.get_mut().flush()?;
        }
        let body = Body::read(stream, head.request_framing()).bytes;
        let heard = Heard { method, target, headers: fields(&head.headers), body };
        let reply = notes.hear(heard.clone());
        match reply.play(&heard, stream.get_mut())? {
            After::Keep => {}
            after @ (After::Close | After::Cut) => return Ok(after),
        }
    }
    Ok(After::Close)
}
