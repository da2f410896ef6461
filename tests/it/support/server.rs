//! A scripted HTTP/1.1 server that remembers every request it got.

use std::{
    io::{self, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use super::{
    SOCKET_TIMEOUT, await_fact,
    http::{Body, Head, Headers, latin1},
    response::{Afterwards, Response},
};

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, undecoded.
    pub(crate) target: String,
    pub(crate) headers: Headers,
    /// Every byte of the head.
    pub(crate) raw_head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// When it was complete.
    pub(crate) at: Instant,
}

/// A listener on loopback with a script; stops accepting when dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
}

impl Request {
    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The raw query, empty when there is none.
    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// A parameter of the query, undecoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query().split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", latin1(&self.body)))
    }

    /// Reads the next one of a connection; `None` when the peer has closed it.
    pub(super) fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let Some(head) = Head::read(from)? else { return Ok(None) };
        let body = Body::read(from, head.request_framing()).bytes;
        let mut words = head.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Ok(Some(Self { method, target, headers: head.headers, raw_head: head.raw, body, at: Instant::now() }))
    }
}

impl Server {
    /// Starts one that asks `script` for each answer.
    pub(super) fn start(script: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), requests: Arc::default(), stopped: Arc::default() };
        let (requests, stopped, script) = (server.requests.clone(), server.stopped.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (requests, script) = (requests.clone(), script.clone());
                // An error here is the peer's leaving; what the peer saw is what the test looks at.
                thread::spawn(move || serve(stream, &requests, &*script).ok());
            }
        });
        server
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    pub(super) fn forget(&self) {
        lock(&self.requests).clear();
    }

    /// Waits until at least so many requests came.
    pub(super) fn await_requests(&self, count: usize) -> Vec<Request> {
        await_fact(
            || Some(self.requests()).filter(|requests| requests.len() >= count),
            || format!("{count} requests, got {:#?}", self.requests()),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then closes the listener.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    mut stream: TcpStream,
    requests: &Mutex<Vec<Request>>,
    script: &dyn Fn(&Request) -> Response,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SOCKET_TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        lock(requests).push(request.clone());
        match script(&request).play(&mut stream, &request.method)? {
            Afterwards::KeepAlive => {}
            Afterwards::Close => return Ok(()),
            Afterwards::Reset => {
                drop(reader);
                return reset(stream);
            }
        }
    }
    Ok(())
}

/// Closes with RST: tokio offers the zero linger time that std keeps unstable.
pub(super) fn reset(stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _guard = runtime.enter();
    tokio::net::TcpStream::from_std(stream)?.set_zero_linger()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
