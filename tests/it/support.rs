//! The cast of the stories, and the one way to wait.

use std::{
    thread,
    time::{Duration, Instant},
};

pub(crate) mod accounting;
pub(crate) mod browser;
pub(crate) mod chaos;
pub(crate) mod config;
pub(crate) mod crowd;
pub(crate) mod demo;
pub(crate) mod edge;
pub(crate) mod fault;
pub(crate) mod google;
pub(crate) mod h2_client;
pub(crate) mod h2_origin;
pub(crate) mod http;
pub(crate) mod jar;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod nginx;
pub(crate) mod origin;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod raw_origin;
pub(crate) mod relay;
pub(crate) mod response;
pub(crate) mod saboteur;
pub(crate) mod secure_origin;
pub(crate) mod server;
pub(crate) mod site;
pub(crate) mod streams;
pub(crate) mod tls;
pub(crate) mod tls_client;
pub(crate) mod tunnel;
pub(crate) mod twin;
pub(crate) mod visitor;
pub(crate) mod websocket;

/// How long a fact may take to become true: generous, because only a failing test waits for it.
///
/// It has room for the first retries of a postback, which come after up to 5 s and up to 15 s.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How long any single read or write on a socket may take.
pub(crate) const SOCKET_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells a figure to whoever runs the tests with `--no-capture`.
#[expect(clippy::print_stdout, reason = "figures are for people")]
pub(crate) fn tell(figure: &str) {
    println!("{figure}");
}

/// Waits until `fact` yields something, and fails with what `otherwise` says when it never does.
pub(crate) fn await_fact<T>(mut fact: impl FnMut() -> Option<T>, otherwise: impl FnOnce() -> String) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain: {}", otherwise());
        thread::sleep(Duration::from_millis(10));
    }
}
