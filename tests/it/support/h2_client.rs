//! A visitor that speaks HTTP/2.

use std::{future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use rustls::ClientConfig;
use tokio::{
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    SOCKET_TIMEOUT,
    http::latin1,
    tls::shop_name,
    twin::{Ask, Ended, Fields, Seen, ask::Sending, wire},
};

/// One connection; streams follow each other on it.
pub(crate) struct Connection {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
}

impl Connection {
    /// Opens one, in the clear with prior knowledge.
    pub(crate) fn open(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 24).initial_connection_window_size(1 << 25).max_header_list_size(1 << 20);
        let (requests, _driver) = runtime.block_on(connected(&builder, address, tls))?;
        Ok(Self { runtime, requests })
    }

    /// Sends a request and reads its answer.
    pub(crate) fn fetch(&mut self, ask: &Ask) -> Result<Seen, String> {
        let Self { runtime, requests } = self;
        let fetched = runtime.block_on(async { timeout(SOCKET_TIMEOUT, fetch(requests, ask)).await });
        fetched.map_err(|_| "no answer in time".to_owned())?
    }
}

/// Opens a connection, in the clear with prior knowledge (RFC 9113, section 3.3) or over TLS, and a task that
/// keeps it going.
pub(super) async fn connected(
    builder: &h2::client::Builder,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
) -> Result<(SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>), String> {
    let connecting = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        match tls {
            None => {
                let (requests, driver) = builder.handshake(stream).await.map_err(|error| error.to_string())?;
                Ok((requests, tokio::spawn(driver)))
            }
            Some(config) => {
                let connected = TlsConnector::from(config).connect(shop_name(), stream).await;
                let stream = connected.map_err(|error| error.to_string())?;
                let (requests, driver) = builder.handshake(stream).await.map_err(|error| error.to_string())?;
                Ok((requests, tokio::spawn(driver)))
            }
        }
    };
    timeout(SOCKET_TIMEOUT, connecting).await.map_err(|_| "no connection in time".to_owned())?
}

async fn fetch(requests: &mut SendRequest<Bytes>, ask: &Ask) -> Result<Seen, String> {
    let mut ready = requests.clone().ready().await.map_err(|error| format!("no stream: {error}"))?;
    let ends = matches!(ask.body, Sending::Nothing);
    let (mut response, stream) =
        ready.send_request(composed(ask)?, ends).map_err(|error| format!("not sent: {error}"))?;
    // A server may answer before it has read everything; its answer still counts.
    let sending = async {
        match &ask.body {
            Sending::Nothing => Ok(()),
            Sending::Whole(body) => send(stream, body, usize::MAX).await,
            Sending::Chunks(body, size) => send(stream, body, *size).await,
        }
    };
    let receiving = async {
        let mut informational = Vec::new();
        while let Some(head) = poll_fn(|context| response.poll_informational(context)).await {
            let head = head.map_err(|error| format!("no answer: {error}"))?;
            informational.push((head.status().as_u16(), fields(head.headers())));
        }
        let response = response.await.map_err(|error| format!("no answer: {error}"))?;
        let (head, body) = response.into_parts();
        let (body, trailers, ended) = receive(body).await;
        Ok(Seen {
            status: head.status.as_u16(),
            reason: None,
            headers: fields(&head.headers),
            informational,
            body,
            trailers,
            ended,
        })
    };
    let (_sent, seen) = tokio::join!(sending, receiving);
    seen
}

fn composed(ask: &Ask) -> Result<Request<()>, String> {
    let wrong = |what: &str| format!("HTTP/2 cannot say {what}");
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(ask.method.as_bytes()).map_err(|_| wrong("the method"))?;
    let authority = "https://shop.example";
    let uri = if ask.target == "*" { format!("{authority}/*") } else { format!("{authority}{}", ask.target) };
    *request.uri_mut() = Uri::from_maybe_shared(Bytes::from(wire(&uri))).map_err(|_| wrong("the target"))?;
    for (name, value) in &ask.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(name))?;
        let value = HeaderValue::from_bytes(&wire(value)).map_err(|_| wrong(value))?;
        request.headers_mut().append(name, value);
    }
    if let Sending::Whole(body) = &ask.body {
        request.headers_mut().insert("content-length", body.len().into());
    }
    Ok(request)
}

/// Sends a body in pieces of at most so many bytes, as fast as the peer takes them.
pub(super) async fn send(mut stream: SendStream<Bytes>, body: &[u8], size: usize) -> Result<(), h2::Error> {
    for piece in body.chunks(size) {
        send_piece(&mut stream, piece).await?;
    }
    stream.send_data(Bytes::new(), true)
}

/// Sends some bytes of a body, as fast as the peer takes them.
pub(super) async fn send_piece(stream: &mut SendStream<Bytes>, mut piece: &[u8]) -> Result<(), h2::Error> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        let Some(capacity) = poll_fn(|context| stream.poll_capacity(context)).await.transpose()? else {
            return Ok(());
        };
        let (now, later) = piece.split_at(capacity.min(piece.len()));
        stream.send_data(Bytes::copy_from_slice(now), false)?;
        piece = later;
    }
    Ok(())
}

/// Reads a body to its end, whatever that is.
pub(super) async fn receive(mut stream: RecvStream) -> (Vec<u8>, Fields, Ended) {
    let mut body = Vec::new();
    loop {
        match stream.data().await {
            Some(Ok(bytes)) => {
                body.extend_from_slice(&bytes);
                // Fails only when the stream is over, which the next read says.
                stream.flow_control().release_capacity(bytes.len()).ok();
            }
            Some(Err(error)) => return (body, Vec::new(), ended(&error)),
            None => break,
        }
    }
    match stream.trailers().await {
        Ok(trailers) => (body, trailers.as_ref().map(fields).unwrap_or_default(), Ended::Complete),
        Err(error) => (body, Vec::new(), ended(&error)),
    }
}

fn ended(error: &h2::Error) -> Ended {
    if error.reason() == Some(h2::Reason::PROTOCOL_ERROR) {
        return Ended::Broken(error.to_string());
    }
    Ended::CutOff
}

/// Headers in the common form.
pub(super) fn fields(headers: &HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.to_string(), latin1(value.as_bytes()))).collect()
}
