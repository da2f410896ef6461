//! gRPC, which is HTTP/2 from end to end: messages both ways, and a status in the trailers.

use std::{future::poll_fn, net::SocketAddr, time::Instant};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client, server};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::support::{proxy::Proxy, tell};

const MESSAGES: usize = 200;

/// A server of four methods, as a gRPC library would put them onto the wire.
struct Service {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Service {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.set_nodelay(true).ok();
                    let mut connection = server::handshake(stream).await?;
                    while let Some(call) = connection.accept().await {
                        let (request, respond) = call?;
                        tokio::spawn(serve(request, respond));
                    }
                    Ok::<_, h2::Error>(())
                });
            }
        });
        Self { address, _runtime: runtime }
    }
}

async fn serve(request: Request<RecvStream>, mut respond: server::SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    // Without it a server must take the client for one that cannot read trailers.
    let is_grpc = head.headers.get("te").is_some_and(|te| te == "trailers")
        && head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
    let answer =
        |status| Response::builder().status(status).header("content-type", "application/grpc").body(()).unwrap();
    if !is_grpc {
        respond.send_response(answer(StatusCode::UNSUPPORTED_MEDIA_TYPE), true)?;
        return Ok(());
    }
    match head.uri.path() {
        "/shop.Orders/Refused" => {
            let mut trailers_only = answer(StatusCode::OK);
            trailers_only.headers_mut().insert("grpc-status", "7".parse().unwrap());
            respond.send_response(trailers_only, true)?;
        }
        "/shop.Orders/Broken" => {
            let mut stream = respond.send_response(answer(StatusCode::OK), false)?;
            send(&mut stream, message(b"half")).await;
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        // Unary and bidirectional: each message comes back as soon as it is whole.
        _ => {
            let mut stream = respond.send_response(answer(StatusCode::OK), false)?;
            let mut pending = Vec::new();
            while let Some(received) = receive(&mut body, &mut pending).await {
                send(&mut stream, message(&received)).await;
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("grpc-message", "well".parse().unwrap());
            stream.send_trailers(trailers)?;
        }
    }
    Ok(())
}

/// A message with its prefix: not compressed, so long.
fn message(text: &[u8]) -> Bytes {
    [&[0], &u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat().into()
}

async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let Some(Ok(granted)) = poll_fn(|context| stream.poll_capacity(context)).await else { return };
        let part = bytes.split_to(granted.min(bytes.len()));
        if stream.send_data(part, false).is_err() {
            return;
        }
    }
}

/// The next whole message; `None` at the end of the stream.
async fn receive(body: &mut RecvStream, pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(prefix) = pending.get(..5) {
            let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
            if pending.len() >= 5 + length {
                return Some(pending.drain(..5 + length).skip(5).collect());
            }
        }
        let data = body.data().await?.ok()?;
        body.flow_control().release_capacity(data.len()).unwrap();
        pending.extend_from_slice(&data);
    }
}

/// A client's connection and one open call.
struct Call {
    stream: SendStream<Bytes>,
    response: client::ResponseFuture,
}

async fn call(to: SocketAddr, method: &str) -> Call {
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = Request::post(format!("http://shop.example/shop.Orders/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, stream) = sender.send_request(request, false).unwrap();
    Call { stream, response }
}

/// The same directly and through the proxy.
fn both_ways(story: &impl AsyncFn(&str, SocketAddr)) {
    let service = Service::start();
    let proxy = Proxy::with(&format!("sites:\n  - upstream: \"h2c://{}\"\n", service.address)).start();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(story("direct", service.address));
    runtime.block_on(story("proxied", proxy.address()));
}

#[test]
fn a_unary_call_brings_a_message_and_a_status() {
    both_ways(&async |way, address| {
        for text in [b"".to_vec(), b"an order".to_vec(), vec![b'x'; 4 << 20]] {
            let Call { mut stream, response } = call(address, "Place").await;
            let sent = message(&text);
            let sending = async {
                send(&mut stream, sent).await;
                stream.send_data(Bytes::new(), true).unwrap();
            };
            let receiving = async {
                let (head, mut body) = response.await.unwrap().into_parts();
                assert_eq!(head.status, StatusCode::OK, "{way}");
                let echoed = receive(&mut body, &mut Vec::new()).await;
                assert!(echoed.as_ref() == Some(&text), "{way}: {} bytes came back changed", text.len());
                assert_eq!(receive(&mut body, &mut Vec::new()).await, None);
                let trailers = body.trailers().await.unwrap().unwrap_or_default();
                assert_eq!(trailers.get("grpc-status").map(HeaderValue::as_bytes), Some(&b"0"[..]), "{way}");
                assert_eq!(trailers.get("grpc-message").map(HeaderValue::as_bytes), Some(&b"well"[..]), "{way}");
            };
            tokio::join!(sending, receiving);
        }
    });
}

#[test]
fn a_conversation_goes_back_and_forth_message_by_message() {
    both_ways(&async |way, address| {
        let Call { mut stream, response } = call(address, "Talk").await;
        send(&mut stream, message(b"message 0")).await;
        let mut body = response.await.unwrap().into_body();
        let (mut pending, mut times) = (Vec::new(), Vec::new());
        for number in 0..MESSAGES {
            // The next one is sent only when this one has come back.
            let start = Instant::now();
            let expected = format!("message {number}").into_bytes();
            assert_eq!(receive(&mut body, &mut pending).await, Some(expected), "{way}");
            send(&mut stream, message(format!("message {}", number + 1).as_bytes())).await;
            times.push(start.elapsed());
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(receive(&mut body, &mut pending).await.is_some());
        assert_eq!(receive(&mut body, &mut pending).await, None);
        let trailers = body.trailers().await.unwrap().unwrap_or_default();
        assert_eq!(trailers.get("grpc-status").map(HeaderValue::as_bytes), Some(&b"0"[..]), "{way}");
        times.sort_unstable();
        tell(&format!("messages {way}: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]));
    });
}

#[test]
fn a_status_without_a_message_and_a_call_that_breaks_off_arrive_as_such() {
    both_ways(&async |way, address| {
        let Call { mut stream, response } = call(address, "Refused").await;
        // It may be refused before this.
        stream.send_data(message(b"x"), true).ok();
        let (head, body) = response.await.unwrap().into_parts();
        assert_eq!(head.headers.get("grpc-status").map(HeaderValue::as_bytes), Some(&b"7"[..]), "{way}");
        assert!(body.is_end_stream(), "{way}");

        let Call { mut stream, response } = call(address, "Broken").await;
        stream.send_data(message(b"x"), true).unwrap();
        let Ok(response) = response.await else { return };
        let status = response.status();
        let mut body = response.into_body();
        let mut failed = false;
        while let Some(data) = body.data().await {
            failed |= data.is_err();
        }
        let trailers = body.trailers().await;
        assert!(
            failed || trailers.is_err() || !status.is_success(),
            "{way}: what broke off looks whole: {status}, {trailers:?}"
        );
    });
}
