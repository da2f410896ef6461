//! The Pingora adapter: the only place that names Pingora.
//!
//! [`module`] is what tracks; it can be installed into any `ProxyHttp`. [`service`] is the proxy of
//! the `throughline` command, which installs that module and knows about sites and their upstreams.
//! [`server`] runs it, by the [`edition`] in force.
//!
//! A visitor's connection comes through a [`listener`] ([`preamble`], [`tls`]), is counted and timed by the
//! [`watch`], and reaches Pingora as a [`stream`]. Its requests are judged ([`refusal`], [`framing`]), or
//! answered by us ([`answer`], [`endpoint`]), or told about the visitor ([`forwarding`]) and sent to one of the servers
//! of an [`upstream`]; a WebSocket needs a [`tunnel`].

pub mod answer;
pub mod commit;
pub mod connection;
pub mod consequences;
pub mod edition;
pub mod endpoint;
pub mod forwarding;
pub mod framing;
pub mod goodbye;
pub mod late;
pub mod listener;
pub mod module;
pub mod multiplex;
pub mod page;
pub mod preamble;
pub mod preview;
pub mod refusal;
pub mod runtime;
pub mod server;
pub mod service;
pub mod stream;
mod switch;
pub mod tls;
pub mod transport;
pub mod tunnel;
mod unsent;
pub mod upstream;
pub mod watch;
