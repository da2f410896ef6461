//! A site that speaks in bytes: each connection is a script, and everything it reads is kept.
//!
//! [`super::origin`] answers whole requests. Here a test decides when to read, what to send between
//! two reads, and can look at the very bytes that came, in order, of each connection.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{SOCKET_TIMEOUT, await_fact, http::latin1, server::lock};

/// A listener on loopback; stops accepting when dropped.
#[derive(Debug)]
pub(crate) struct RawOrigin {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Arc<Record>>>>,
    stopped: Arc<AtomicBool>,
}

/// What is remembered of one connection.
#[derive(Debug, Default)]
struct Record {
    bytes: Mutex<Vec<u8>>,
    ended: AtomicBool,
}

/// The origin's end of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    record: Arc<Record>,
    /// Read already, not yet asked for.
    ahead: Vec<u8>,
}

impl RawOrigin {
    /// Starts one that plays `script` to each connection, which is closed afterwards.
    pub(crate) fn start(script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin =
            Self { address: listener.local_addr().unwrap(), connections: Arc::default(), stopped: Arc::default() };
        let (connections, stopped, script) = (origin.connections.clone(), origin.stopped.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let record = Arc::<Record>::default();
                lock(&connections).push(record.clone());
                let script = script.clone();
                thread::spawn(move || {
                    stream.set_nodelay(true).ok();
                    stream.set_read_timeout(Some(SOCKET_TIMEOUT)).ok();
                    stream.set_write_timeout(Some(SOCKET_TIMEOUT)).ok();
                    let mut connection = Connection { stream, record, ahead: Vec::new() };
                    // An error here is the peer's leaving; what the peer saw is what the test looks at.
                    script(&mut connection).ok();
                    connection.record.ended.store(true, Ordering::SeqCst);
                });
            }
        });
        origin
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The least configuration that puts a proxy before this site.
    pub(crate) fn site(&self) -> String {
        format!("sites:\n  - upstream: \"http://{}\"\n", self.address)
    }

    /// All that came so far, by connection.
    pub(crate) fn recorded(&self) -> Vec<Vec<u8>> {
        lock(&self.connections).iter().map(|record| lock(&record.bytes).clone()).collect()
    }

    /// All that came so far, of all connections, as text.
    pub(crate) fn text(&self) -> String {
        self.recorded().iter().map(|bytes| latin1(bytes)).collect::<Vec<_>>().join("\n--- next connection\n")
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        lock(&self.connections).len()
    }

    /// Waits until the scripts of all connections have come to their ends.
    pub(crate) fn await_all_ended(&self) {
        await_fact(
            || lock(&self.connections).iter().all(|record| record.ended.load(Ordering::SeqCst)).then_some(()),
            || format!("the end of all connections to the origin; they got\n{}", self.text()),
        );
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then closes the listener.
        drop(TcpStream::connect(self.address));
    }
}

impl Connection {
    /// Reads up to and with the next empty line; `None` when the peer closed instead.
    pub(crate) fn head(&mut self) -> io::Result<Option<String>> {
        self.until(b"\r\n\r\n").map(|head| head.map(|head| latin1(&head)))
    }

    /// Reads up to and with these bytes; `None` when the peer closed before the first byte.
    pub(crate) fn until(&mut self, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end) {
                return Ok(Some(self.ahead.drain(..at + end.len()).collect()));
            }
            if self.more()? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads exactly so many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < count {
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..count).collect())
    }

    /// Reads whatever comes next; empty at the end.
    pub(crate) fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() {
            self.more()?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Sends these bytes at once.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends one chunk of a chunked body.
    pub(crate) fn chunk(&mut self, data: impl AsRef<[u8]>) -> io::Result<()> {
        let data = data.as_ref();
        self.send([format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat())
    }

    /// Ends this direction.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Waits until the peer is gone.
    pub(crate) fn await_end(&mut self) -> io::Result<()> {
        while !self.some()?.is_empty() {}
        Ok(())
    }

    /// The socket itself, for bodies too large to be kept.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer)?;
        lock(&self.record.bytes).extend_from_slice(&buffer[..read]);
        self.ahead.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

impl Connection {
    /// The other end: a visitor that speaks in bytes.
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, SOCKET_TIMEOUT).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOCKET_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(SOCKET_TIMEOUT)).unwrap();
        Self { stream, record: Arc::default(), ahead: Vec::new() }
    }
}
