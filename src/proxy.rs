//! The Pingora adapter: the only place that names Pingora.
//!
//! [`module`] is what tracks; it can be installed into any `ProxyHttp`. [`service`] is the proxy of
//! the `throughline` command, which installs that module and knows about sites and their upstreams.
//! [`server`] runs it on sockets that are bound before anything else starts; [`tunnel`] is what a
//! WebSocket needs.

pub mod answer;
pub mod commit;
pub mod connection;
pub mod forwarding;
pub mod framing;
pub mod goodbye;
pub mod listener;
pub mod module;
pub mod preamble;
pub mod refusal;
pub mod runtime;
pub mod server;
pub mod service;
pub mod stream;
pub mod tls;
pub mod transport;
pub mod tunnel;
pub mod upstream;
pub mod watch;
