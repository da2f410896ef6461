//! The socket that operators connect to, and how it is left to another process: nobody who has connected is cut off.

use std::{future::pending, io, net::SocketAddr, time::Duration};

use axum::{
    extract::{State, connect_info::Connected},
    http::{HeaderValue, header},
    response::Response,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

/// A bound socket, until `handed_over` says that another process accepts what comes to it.
pub(super) struct Port {
    listener: TcpListener,
    handed_over: watch::Receiver<bool>,
    here: watch::Sender<()>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) address: SocketAddr,
    /// Dropped together with the connection.
    _here: watch::Receiver<()>,
}

/// Those who are connected.
#[derive(Debug, Default)]
pub struct Callers(watch::Sender<()>);

impl Port {
    pub(super) fn new(
        listener: std::net::TcpListener,
        handed_over: watch::Receiver<bool>,
        callers: &Callers,
    ) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::from_std(listener)?, handed_over, here: callers.0.clone() })
    }
}

impl Listener for Port {
    type Addr = Caller;
    type Io = TcpStream;

    async fn accept(&mut self) -> (TcpStream, Caller) {
        tokio::select! {
            biased;
            // Who is never told goes on.
            Ok(_) = self.handed_over.wait_for(|handed_over| *handed_over) => {}
            (stream, address) = Listener::accept(&mut self.listener) => {
                return (stream, Caller { address, _here: self.here.subscribe() });
            }
        }
        // Only as long as axum serves does it read what was accepted: its end would cut off whoever has connected
        // and was not read yet.
        pending().await
    }

    fn local_addr(&self) -> io::Result<Caller> {
        Ok(Caller { address: self.listener.local_addr()?, _here: self.here.subscribe() })
    }
}

impl Connected<IncomingStream<'_, Port>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Callers {
    /// Waits until all have their answers, but no longer than `patience`.
    pub async fn leave(&self, patience: Duration) {
        timeout(patience, self.0.closed()).await.ok();
    }
}

/// After a hand-over, asks whoever keeps a connection to take another one.
pub(super) async fn part(State(handed_over): State<watch::Receiver<bool>>, mut response: Response) -> Response {
    if *handed_over.borrow() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
