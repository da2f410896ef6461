//! A visitor on HTTP/2, with as many streams as it likes.

use std::{future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use rustls::ClientConfig;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::timeout,
};

use super::{SOCKET_TIMEOUT, h2_client::connected, tls_client::TlsClient};

/// One connection.
pub(crate) struct Multiplexed {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// An answer on a stream.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Multiplexed {
    /// In the clear, with prior knowledge.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self::open(address, None)
    }

    /// Over TLS, agreed upon by ALPN.
    pub(crate) fn secure(address: SocketAddr) -> Self {
        Self::open(address, Some(TlsClient::speaking(rustls::ALL_VERSIONS, &["h2"]).config()))
    }

    fn open(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        // With a thread of its own, so that the connection lives while nobody waits for it.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let mut builder = client::Builder::new();
        // Answers that are not looked at yet must not stop the others.
        builder.initial_connection_window_size(1 << 25);
        let (requests, driver) = runtime.block_on(connected(&builder, address, tls)).expect("HTTP/2");
        Self { runtime, requests, driver }
    }

    /// Asks for a page and waits for all of it.
    pub(crate) fn get(&mut self, target: &str) -> Streamed {
        let asked = self.ask(target, &[]);
        self.hear(asked)
    }

    /// Asks for a page with more headers, and does not wait.
    pub(crate) fn ask(&mut self, target: &str, headers: &[(&str, &str)]) -> ResponseFuture {
        let mut request = Request::get(format!("http://shop.example{target}"))
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
            .header("accept", "text/html");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(()).expect("a request"))
    }

    /// Asks for anything.
    pub(crate) fn send(&mut self, request: Request<()>) -> ResponseFuture {
        let Self { runtime, requests, .. } = self;
        runtime
            .block_on(async {
                let mut ready = in_time(requests.clone().ready()).await.expect("a free stream");
                let (answer, _body) = ready.send_request(request, true).expect("a stream");
                Ok::<_, h2::Error>(answer)
            })
            .expect("a stream")
    }

    /// Waits for an answer and its body.
    pub(crate) fn hear(&mut self, asked: ResponseFuture) -> Streamed {
        self.try_hear(asked).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The same where it may fail.
    pub(crate) fn try_hear(&mut self, asked: ResponseFuture) -> Result<Streamed, h2::Error> {
        self.runtime.block_on(in_time(async {
            let (head, mut stream) = asked.await?.into_parts();
            let mut body = Vec::new();
            while let Some(bytes) = stream.data().await.transpose()? {
                stream.flow_control().release_capacity(bytes.len())?;
                body.extend_from_slice(&bytes);
            }
            Ok(Streamed { status: head.status.as_u16(), headers: head.headers, body })
        }))
    }

    /// Waits until no stream can be opened any more.
    pub(crate) fn is_told_to_go(&mut self) {
        let Self { runtime, requests, .. } = self;
        let refused = runtime.block_on(in_time(async {
            loop {
                let Err(error) = poll_fn(|context| requests.poll_ready(context)).await else {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    continue;
                };
                return error;
            }
        }));
        assert!(refused.is_go_away() || refused.is_io() || refused.reason().is_none(), "{refused}");
    }

    /// Waits until the connection is closed.
    pub(crate) fn ends(mut self) -> Result<(), h2::Error> {
        let driver = &mut self.driver;
        self.runtime.block_on(in_time(driver)).expect("the task ends")
    }
}

impl Streamed {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The cookies that it sets, as a `Cookie` header.
    pub(crate) fn cookies(&self) -> String {
        let lines = self.headers.get_all("set-cookie").iter().map(|line| line.to_str().expect("text"));
        lines.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ")
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(SOCKET_TIMEOUT * 2, future).await.expect("in time")
}
