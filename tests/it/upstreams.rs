//! One site behind several servers, and behind TLS, HTTP/2, Unix sockets and the PROXY protocol.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    config::{THANKS, shop},
    network::AdNetwork,
    origin::{Origin, PAGE, nobodies, nobody},
    proxy::Proxy,
    response::Response,
    visitor::Visitor,
};

mod balance;
mod health;
mod http2;
mod http2_visitors;
mod introduction;
mod retry;
mod tls;

/// One site with nothing but this under `upstream`.
fn site(upstream: &str) -> String {
    format!("sites: [{{ upstream: {upstream} }}]\n")
}

fn servers<const N: usize>(addresses: [SocketAddr; N]) -> String {
    let urls = addresses.map(|address| format!("\"http://{address}\""));
    format!("servers: [{}]", urls.join(", "))
}

fn is_gateway_error(status: u16) -> bool {
    (502..=504).contains(&status)
}
