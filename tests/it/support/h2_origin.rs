//! A site that speaks HTTP/2.

use std::{fmt, io, net::SocketAddr, sync::Arc, thread};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    runtime::Builder,
    sync::oneshot,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::{
    h2_client::{fields, receive, send_piece},
    http::latin1,
    twin::{Heard, Notes, PAUSE, Reply, reply::Framing, wire},
};

/// Serves what is noted, on a runtime of its own that ends when the handle is dropped.
pub(super) fn serve(
    tls: Option<Arc<ServerConfig>>,
    notes: &Arc<Notes>,
) -> (SocketAddr, Box<dyn fmt::Debug + Send + Sync>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let notes = notes.clone();
    let (stop, stopped) = oneshot::channel::<()>();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            listener.set_nonblocking(true).expect("a socket");
            let listener = TcpListener::from_std(listener).expect("a socket");
            let accepting = async {
                while let Ok((stream, _)) = listener.accept().await {
                    let (notes, tls) = (notes.clone(), tls.clone());
                    stream.set_nodelay(true).ok();
                    tokio::spawn(async move {
                        match tls {
                            None => converse(stream, notes).await,
                            Some(config) => converse(TlsAcceptor::from(config).accept(stream).await?, notes).await,
                        }
                    });
                }
            };
            tokio::select! {
                () = accepting => {}
                _ = stopped => {}
            }
        });
    });
    (address, Box::new(stop))
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, notes: Arc<Notes>) -> io::Result<()> {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 24).initial_connection_window_size(1 << 25).max_header_list_size(1 << 20);
    let mut connection = builder.handshake(stream).await.map_err(io::Error::other)?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.map_err(io::Error::other)?;
        let notes = notes.clone();
        // An error here is the peer's leaving; what the peer saw is what the test looks at.
        tokio::spawn(async move { answer(request, respond, &notes).await.ok() });
    }
    Ok(())
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    notes: &Notes,
) -> Result<(), h2::Error> {
    let (head, body) = request.into_parts();
    let (body, _trailers, _ended) = receive(body).await;
    let mut headers = fields(&head.headers);
    if let Some(authority) = head.uri.authority() {
        headers.insert(0, ("host".into(), authority.to_string()));
    }
    let target = head.uri.path_and_query().map(|target| latin1(target.as_str().as_bytes())).unwrap_or_default();
    let heard = Heard { method: head.method.to_string(), target, headers, body };
    let reply = notes.hear(heard.clone());
    for (status, headers) in &reply.informational {
        respond.send_informational(response(*status, headers))?;
    }
    let has_body = reply.has_body(&heard.method);
    let body = reply.sent_body(&heard);
    let mut response = response(reply.status, &reply.headers);
    if reply.framing == Framing::Length {
        response.headers_mut().insert("content-length", reply.length(&heard).into());
    }
    let ends = !has_body || (body.is_empty() && reply.trailers.is_empty() && reply.cut.is_none());
    let mut stream = respond.send_response(response, ends)?;
    if ends {
        return Ok(());
    }
    for piece in body.chunks(piece_size(&reply)) {
        send_piece(&mut stream, piece).await?;
        if reply.pause_every.is_some() {
            sleep(PAUSE).await;
        }
    }
    if reply.cut.is_some() {
        // What was sent before is part of the script; a reset must not overtake it.
        sleep(PAUSE).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    if reply.trailers.is_empty() {
        return stream.send_data(Bytes::new(), true);
    }
    stream.send_trailers(map(&reply.trailers))
}

fn piece_size(reply: &Reply) -> usize {
    match (reply.framing, reply.pause_every) {
        (Framing::Chunked(size, _), _) => size,
        (_, Some(size)) => size,
        (_, None) => 16 * 1024,
    }
}

fn response(status: u16, headers: &[(String, String)]) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = map(headers);
    response
}

/// Headers that HTTP/2 can carry (RFC 9113 section 8.2.2).
fn map(headers: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        if !HOP_BY_HOP.contains(&name.as_str()) {
            map.append(name, HeaderValue::from_bytes(&wire(value)).expect("a header value"));
        }
    }
    map
}

/// Headers that belong to one connection (RFC 9110 section 7.6.1).
pub(crate) const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "upgrade"];
