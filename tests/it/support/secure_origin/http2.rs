//! A site that answers over HTTP/2 with a few fixed pages.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};

use super::{Io, Request, Seen};
use crate::support::{origin::PAGE, server::lock};

pub(super) async fn serve_http2(stream: Box<dyn Io>, seen: Arc<Mutex<Seen>>) {
    let builder = h2::server::Builder::new();
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        if path == "/refused" && !std::mem::replace(&mut lock(&seen).has_refused, true) {
            // As when it has too many at once.
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        if path == "/last" {
            connection.graceful_shutdown();
        }
        let request = Request {
            method: head.method.to_string(),
            authority: head.uri.authority().map(ToString::to_string).unwrap_or_default(),
            path,
            headers: head.headers,
            body: 0,
        };
        tokio::spawn(answer(request, body, respond, seen.clone()));
    }
}

async fn answer(mut request: Request, mut body: RecvStream, mut respond: SendResponse<Bytes>, seen: Arc<Mutex<Seen>>) {
    let response = |status: u16| http::Response::builder().status(status).header("content-type", "text/html");
    if request.path == "/early" {
        let mut stream = respond.send_response(response(413).body(()).unwrap(), false).unwrap();
        stream.send_data("too large".into(), true).unwrap();
        lock(&seen).requests.push(request);
        return;
    }
    if request.path == "/stubborn" {
        let mut stream = respond.send_response(response(413).body(()).unwrap(), false).unwrap();
        stream.send_data("too large".into(), true).unwrap();
        // Neither reads the rest nor says that it will not.
        return std::future::pending().await;
    }
    if request.path == "/broken" {
        while let Some(Ok(chunk)) = body.data().await {
            request.body += chunk.len();
        }
        lock(&seen).requests.push(request);
        return respond.send_reset(Reason::INTERNAL_ERROR);
    }
    while let Some(Ok(chunk)) = body.data().await {
        request.body += chunk.len();
        body.flow_control().release_capacity(chunk.len()).unwrap();
    }
    let (path, is_head, received) = (request.path.clone(), request.method == "HEAD", request.body);
    lock(&seen).requests.push(request);
    if let Some(status) = path.strip_prefix("/status/") {
        respond.send_response(response(status.parse().unwrap()).body(()).unwrap(), true).unwrap();
        return;
    }
    if is_head {
        respond.send_response(response(200).header("content-length", PAGE.len()).body(()).unwrap(), true).unwrap();
        return;
    }
    let mut stream = respond.send_response(response(200).body(()).unwrap(), false).unwrap();
    if let Some(bytes) = path.strip_prefix("/large/") {
        send_much(&mut stream, bytes.parse().unwrap()).await;
    } else if path == "/received" {
        stream.send_data(received.to_string().into(), true).unwrap();
    } else if path == "/trailers" {
        stream.send_data(PAGE.into(), false).unwrap();
        let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
        stream.send_trailers(trailers.into_iter().collect()).unwrap();
    } else {
        stream.send_data(PAGE.into(), true).unwrap();
    }
}

async fn send_much(stream: &mut SendStream<Bytes>, mut left: usize) {
    let chunk = Bytes::from(vec![b'x'; 64 << 10]);
    while left > 0 {
        stream.reserve_capacity(left.min(chunk.len()));
        let Some(Ok(granted)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else { return };
        let size = granted.min(left).min(chunk.len());
        left -= size;
        if stream.send_data(chunk.slice(..size), left == 0).is_err() {
            return;
        }
    }
}
