//! The visitor's browser, down to the bytes.

use std::{
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    SOCKET_TIMEOUT,
    http::{Body, Ending, Framing, Head, Headers, latin1, push_header},
    jar::{Jar, SetCookie},
    server::lock,
};

/// A browser with its cookies; looks like one by its headers, so that nobody takes it for a bot.
#[derive(Debug)]
pub(crate) struct Visitor {
    address: Arc<Mutex<SocketAddr>>,
    host: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    jar: Jar,
    kept: Connections,
}

/// What becomes of a connection after an answer.
#[derive(Debug)]
enum Connections {
    OneEach,
    Kept(Option<BufReader<TcpStream>>),
}

/// An answer, whole or not.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    pub(crate) ending: Ending,
    /// 1xx heads that came first.
    pub(crate) informational: Vec<Head>,
    /// From the first byte sent to the end of the head.
    pub(crate) head_after: Duration,
}

/// A request whose answer is read piece by piece, or whose connection was upgraded.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) answer: Answer,
    pub(crate) stream: BufReader<TcpStream>,
}

impl Visitor {
    /// A browser that reaches whatever listens at this address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::following(Arc::new(Mutex::new(address)))
    }

    /// A browser whose server may move, as a restarted proxy does.
    pub(super) fn following(address: Arc<Mutex<SocketAddr>>) -> Self {
        let headers = [
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("Accept-Language", "en"),
            ("Sec-Fetch-Dest", "document"),
            ("Sec-Fetch-Mode", "navigate"),
        ];
        Self {
            address,
            host: "shop.example".into(),
            version: "HTTP/1.1",
            headers: headers.map(|(name, value)| (name.into(), value.into())).into(),
            jar: Jar::default(),
            kept: Connections::OneEach,
        }
    }

    /// Asks for another host.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// Speaks HTTP/1.0.
    pub(crate) fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// Sends all requests over one connection, as long as the server keeps it.
    pub(crate) fn on_one_connection(mut self) -> Self {
        self.kept = Connections::Kept(None);
        self
    }

    /// Sends a header with every request, in place of the usual one of that name.
    pub(crate) fn sending(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Comes from an ad: the first page of a journey.
    pub(crate) fn lands(&mut self, target: &str) -> Answer {
        self.request("GET", target, &[("Referer", "https://ads.example/")], "")
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, &[], "")
    }

    pub(crate) fn head(&mut self, target: &str) -> Answer {
        self.request("HEAD", target, &[], "")
    }

    /// Any request; a body gets its `Content-Length`.
    pub(crate) fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.try_request(method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target:.200} got no answer: {error}"))
    }

    /// Any request that perhaps gets no answer.
    pub(crate) fn try_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        let Exchange { mut answer, mut stream } = self.open(method, target, headers, body)?;
        let Body { bytes, trailers, ending } = Body::read(&mut stream, answer.framing);
        answer = Answer { body: bytes, trailers, ending, ..answer };
        let reusable = answer.is_complete()
            && answer.framing != Framing::UntilClose
            && answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        if let Connections::Kept(kept) = &mut self.kept {
            *kept = reusable.then_some(stream);
        }
        Ok(answer)
    }

    /// Sends a request and reads only the head of its answer.
    pub(crate) fn open(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Exchange> {
        let mut stream = self.connect()?;
        let request = self.compose(method, target, headers, body);
        let exchange = exchange(&mut stream, &request, method)?;
        for cookie in exchange.set_cookies() {
            self.jar.take(cookie);
        }
        Ok(Exchange { answer: exchange, stream })
    }

    /// Sends these very bytes over a fresh connection.
    pub(crate) fn sends_raw(&self, request: &[u8]) -> io::Result<Answer> {
        let mut stream = BufReader::new(connect(*lock(&self.address))?);
        let answer = exchange(&mut stream, request, "GET")?;
        let Body { bytes, trailers, ending } = Body::read(&mut stream, answer.framing);
        Ok(Answer { body: bytes, trailers, ending, ..answer })
    }

    /// Goes on at another server, with the same cookies, as behind a load balancer.
    pub(crate) fn goes_to(&mut self, address: SocketAddr) {
        self.address = Arc::new(Mutex::new(address));
        if let Connections::Kept(kept) = &mut self.kept {
            *kept = None;
        }
    }

    /// A kept cookie's value, as it stands on the wire.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.jar.get(name)
    }

    fn connect(&mut self) -> io::Result<BufReader<TcpStream>> {
        if let Connections::Kept(kept) = &mut self.kept
            && let Some(stream) = kept.take()
        {
            return Ok(stream);
        }
        connect(*lock(&self.address)).map(BufReader::new)
    }

    fn compose(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let mut request = format!("{method} {target} {}\r\nHost: {}\r\n", self.version, self.host);
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let replaced = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        for (name, value) in own.filter(|(name, _)| !replaced(name)).chain(headers.iter().copied()) {
            push_header(&mut request, name, value);
        }
        if let Some(cookies) = self.jar.header(target).filter(|_| !replaced("Cookie")) {
            push_header(&mut request, "Cookie", &cookies);
        }
        if !body.is_empty() {
            push_header(&mut request, "Content-Length", &body.len().to_string());
        }
        request.push_str("\r\n");
        request.push_str(body);
        request.into_bytes()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text, byte for byte.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap_or_else(|_| latin1(&self.body))
    }

    /// The address of the hidden frame that awaits a verdict, if the page has one.
    pub(crate) fn frame(&self) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once("<iframe src=\"")?;
        Some(rest.split_once('"')?.0.to_owned()).filter(|address| address.starts_with("/.throughline/frame/"))
    }

    /// The body as text without that frame.
    pub(crate) fn text_without_frame(&self) -> String {
        let text = self.text();
        let found = text.split_once("<iframe src=\"/.throughline/frame/");
        let parts = found.and_then(|(before, rest)| Some((before, rest.split_once("</iframe>")?.1)));
        parts.map_or_else(|| text.clone(), |(before, after)| format!("{before}{after}"))
    }

    /// Whether the body ended as its framing promised.
    pub(crate) fn is_complete(&self) -> bool {
        self.ending == Ending::Complete
    }

    pub(crate) fn set_cookies(&self) -> Vec<SetCookie> {
        self.headers.all("set-cookie").into_iter().map(SetCookie::parse).collect()
    }

    /// The cookie of this name, if the answer sets it.
    pub(crate) fn set_cookie(&self, name: &str) -> Option<SetCookie> {
        self.set_cookies().into_iter().find(|cookie| cookie.name == name)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, SOCKET_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOCKET_TIMEOUT))?;
    stream.set_write_timeout(Some(SOCKET_TIMEOUT))?;
    Ok(stream)
}

pub(super) fn exchange<S: Read + Write>(stream: &mut BufReader<S>, request: &[u8], method: &str) -> io::Result<Answer> {
    let sent = Instant::now();
    // A server may refuse before it has read everything; its answer still counts.
    let written = stream.get_mut().write_all(request);
    let mut informational = Vec::new();
    loop {
        let head = match (Head::read(stream), &written) {
            (Ok(head), _) => head.ok_or(io::ErrorKind::UnexpectedEof)?,
            (Err(_), Err(error)) => return Err(io::Error::new(error.kind(), error.to_string())),
            (Err(error), Ok(())) => return Err(error),
        };
        let status = head.start.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        if matches!(status, 100 | 102..=199) {
            informational.push(head);
            continue;
        }
        return Ok(Answer {
            status,
            framing: head.answer_framing(status, method),
            headers: head.headers,
            body: Vec::new(),
            trailers: Headers::default(),
            ending: Ending::Complete,
            informational,
            head_after: sent.elapsed(),
        });
    }
}
