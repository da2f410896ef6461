//! The site behind the proxy.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use super::{
    response::Response,
    server::{Request, Server, lock},
};

/// What unknown paths answer unless told otherwise.
pub(crate) const PAGE: &str =
    "<!doctype html>\n<html><head><title>Shop</title></head>\n<body><h1>A page</h1></body></html>\n";

/// A site whose pages are scripts; unknown paths answer [`PAGE`].
#[derive(Debug)]
pub(crate) struct Origin {
    server: Server,
    routes: Arc<Mutex<HashMap<String, Response>>>,
}

impl Origin {
    /// Opens a site with nothing but [`PAGE`].
    pub(crate) fn start() -> Self {
        let routes: Arc<Mutex<HashMap<String, Response>>> = Arc::default();
        let script = routes.clone();
        let server = Server::start(move |request| {
            lock(&script).get(request.path()).cloned().unwrap_or_else(|| Response::html(PAGE))
        });
        Self { server, routes }
    }

    /// Answers a path with an HTML page.
    pub(crate) fn page(self, path: &str, html: impl AsRef<[u8]>) -> Self {
        self.route(path, Response::html(html))
    }

    /// Answers a path with a script.
    pub(crate) fn route(self, path: &str, response: Response) -> Self {
        self.change(path, response);
        self
    }

    /// Changes what a path answers from now on.
    pub(crate) fn change(&self, path: &str, response: Response) {
        lock(&self.routes).insert(path.into(), response);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// The newest request.
    pub(crate) fn last(&self) -> Request {
        self.requests().pop().expect("the origin got no request")
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.server.forget();
    }

    /// Waits until at least so many requests came.
    pub(crate) fn await_requests(&self, count: usize) -> Vec<Request> {
        self.server.await_requests(count)
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let [address] = nobodies();
    address
}

/// Different addresses where nobody listens.
pub(crate) fn nobodies<const N: usize>() -> [SocketAddr; N] {
    // All at once: an address that is free again may be given out a second time.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.each_ref().map(|listener| listener.local_addr().unwrap())
}
