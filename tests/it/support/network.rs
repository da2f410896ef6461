//! An ad network that receives postbacks.

use std::{collections::VecDeque, net::SocketAddr, sync::Mutex};

use super::{
    response::Response,
    server::{Request, Server, lock},
};

/// A network that answers successive requests from a list; its last answer repeats.
#[derive(Debug)]
pub(crate) struct AdNetwork {
    server: Server,
}

impl AdNetwork {
    /// Answers with these, in order: texts, or scripts like [`Response::hang`].
    pub(crate) fn answering<R: Into<Response>>(answers: impl IntoIterator<Item = R>) -> Self {
        let answers = Mutex::new(answers.into_iter().map(Into::into).collect::<VecDeque<Response>>());
        Self::judging(move |_| {
            let mut answers = lock(&answers);
            let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            next.expect("a network needs at least one answer")
        })
    }

    /// Answers each postback as `judge` decides.
    pub(crate) fn judging(judge: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self { server: Server::start(judge) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The postbacks so far.
    pub(crate) fn received(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// Waits until at least so many postbacks came, and yields all of them.
    pub(crate) fn await_received(&self, count: usize) -> Vec<Request> {
        self.server.await_requests(count)
    }
}
