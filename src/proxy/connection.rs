//! One connection of a visitor: who is at its other end, and what requests that come on it say of that.
//!
//! How it gets on, and whether its time is over, is the business of its [`Pace`]; reading and writing that of
//! [`stream`](super::stream).

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use http::HeaderValue;
use parking_lot::Mutex;
use pingora::protocols::Digest;

use super::{forwarding, watch::Clock};
use crate::config::Limits;

mod pace;

pub(super) use pace::WRITE_STALL_MS;
pub use pace::{Over, Pace};

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Who is at the other end, as the socket or a trusted PROXY header says.
    pub visitor: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// Whether TLS is spoken on it.
    pub over_tls: bool,
    /// The listener it came through.
    pub listener: Arc<super::listener::Facts>,
    /// The visitor's address as a header value, made when it is first needed.
    address: OnceLock<HeaderValue>,
    forwarded: Mutex<Option<Forwarded>>,
    /// How it gets on.
    pub pace: Pace,
}

/// What `Forwarded` says of requests for one host.
#[derive(Debug)]
struct Forwarded {
    host: Option<HeaderValue>,
    over_tls: bool,
    value: HeaderValue,
}

impl Connection {
    /// A connection that has just been accepted and is about to be read from.
    #[must_use]
    pub fn new(
        (visitor, local): (SocketAddr, SocketAddr),
        (over_tls, is_http2): (bool, bool),
        listener: Arc<super::listener::Facts>,
        clock: Arc<Clock>,
        limits: Limits,
    ) -> Self {
        Self {
            visitor,
            local,
            over_tls,
            listener,
            address: OnceLock::new(),
            forwarded: Mutex::new(None),
            pace: Pace::new(is_http2, clock, limits),
        }
    }

    /// The connection that a request came on; `None` for hosts that accept connections themselves.
    #[must_use]
    pub fn of(digest: &Digest) -> Option<&Arc<Self>> {
        digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }

    /// The visitor's address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.visitor.ip().to_canonical()
    }

    /// The visitor's address as a header value.
    #[must_use]
    pub fn address_value(&self) -> &HeaderValue {
        self.address.get_or_init(|| {
            HeaderValue::try_from(self.address().to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
        })
    }

    /// What `Forwarded` says of a request for this host; kept, because the next one is for the same.
    #[must_use]
    pub fn forwarded(&self, host: Option<&HeaderValue>, over_tls: bool) -> HeaderValue {
        let mut kept = self.forwarded.lock();
        match &*kept {
            Some(it) if it.host.as_ref() == host && it.over_tls == over_tls => it.value.clone(),
            Some(_) | None => {
                let value = forwarding::element(self.address(), host, over_tls);
                *kept = Some(Forwarded { host: host.cloned(), over_tls, value: value.clone() });
                value
            }
        }
    }
}
