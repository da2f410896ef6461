//! A visitor's connection byte by byte: slow, malformed, from any loopback address.

use std::{
    io::{self, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{
    SOCKET_TIMEOUT,
    http::{Body, push_header},
    visitor::{Answer, exchange},
};

/// A connection on which anything may be said.
#[derive(Debug)]
pub(crate) struct Wire<S = TcpStream> {
    stream: BufReader<S>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// What came before it.
    pub(crate) said: String,
    /// How long it took from being asked.
    pub(crate) after: Duration,
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(patient(TcpStream::connect_timeout(&address, SOCKET_TIMEOUT).expect("a connection")))
    }

    /// Comes from another address of this machine, such as 127.0.0.2.
    pub(crate) fn from(source: &str, address: SocketAddr) -> Self {
        Self::over(connect_from(source.parse().expect("an address"), address).expect("a connection"))
    }

    /// Another handle on the same connection, to write from another thread.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a handle")
    }
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_say(bytes).expect("the connection is open");
    }

    pub(crate) fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())?;
        self.stream.get_mut().flush()
    }

    /// Reads an answer to a request with this method.
    pub(crate) fn hear(&mut self, method: &str) -> Answer {
        self.ask(b"", method).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// GET with a usual head.
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.try_get(target).unwrap_or_else(|error| panic!("GET {target} got no answer: {error}"))
    }

    pub(crate) fn try_get(&mut self, target: &str) -> io::Result<Answer> {
        self.ask(get(target).as_bytes(), "GET")
    }

    /// Sends a whole request and reads its answer.
    pub(crate) fn ask(&mut self, request: &[u8], method: &str) -> io::Result<Answer> {
        let answer = exchange(&mut self.stream, request, method)?;
        let Body { bytes, trailers, ending } = Body::read(&mut self.stream, answer.framing);
        Ok(Answer { body: bytes, trailers, ending, ..answer })
    }

    /// Reads some bytes that must come.
    pub(crate) fn read_exact(&mut self, bytes: &mut [u8]) {
        self.stream.read_exact(bytes).expect("bytes");
    }

    /// Reads to the end of the connection, whether it is closed or reset.
    pub(crate) fn end(&mut self) -> End {
        let (start, mut said) = (Instant::now(), Vec::new());
        if let Err(error) = self.stream.read_to_end(&mut said) {
            let is_over = !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(is_over, "the connection is still open: {error}");
        }
        End { said: String::from_utf8_lossy(&said).into_owned(), after: start.elapsed() }
    }
}

/// The head of a usual request.
pub(crate) fn get(target: &str) -> String {
    get_with(target, &[])
}

/// The same with more headers.
pub(crate) fn get_with(target: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!(
        "GET {target} HTTP/1.1\r\nHost: shop.example\r\nAccept: text/html\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    );
    headers.iter().for_each(|(name, value)| push_header(&mut head, name, value));
    head + "\r\n"
}

/// Connects from a certain address.
pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source, 0))?;
        let stream = socket.connect(address).await?.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(patient(stream))
    })
}

fn patient(stream: TcpStream) -> TcpStream {
    // Longer than what the slowest of these stories waits for.
    stream.set_read_timeout(Some(SOCKET_TIMEOUT * 3)).expect("a socket option");
    stream.set_write_timeout(Some(SOCKET_TIMEOUT)).expect("a socket option");
    stream.set_nodelay(true).expect("a socket option");
    stream
}
