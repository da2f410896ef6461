//! One address of a server, and what is thought of it.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::dialing::Line;

/// One address of a server.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Which server it belongs to.
    pub(super) server: usize,
    pub(super) line: Line,
    /// Whether the last connection failed; looked at before the lock is taken.
    fails: AtomicBool,
    failed: Mutex<Option<Instant>>,
    /// What asking for its health has found.
    is_out: AtomicBool,
    contrary: AtomicU32,
}

/// How an endpoint stands; the first that there is gets the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known against it.
    Good,
    /// A connection to it has failed just now.
    Suspect,
    /// It answers, when asked for its health, that it is not well, or not at all.
    Out,
}

impl Standing {
    /// From the best to the worst.
    pub(super) const ALL: [Self; 3] = [Self::Good, Self::Suspect, Self::Out];
}

impl Endpoint {
    pub(super) fn new(server: usize, line: Line) -> Self {
        Self {
            server,
            line,
            fails: AtomicBool::new(false),
            failed: Mutex::default(),
            is_out: AtomicBool::new(false),
            contrary: AtomicU32::new(0),
        }
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        if self.is_out.load(Ordering::Relaxed) {
            Standing::Out
        } else if self.fails.load(Ordering::Relaxed)
            && self.failed.lock().is_some_and(|failed| now.saturating_duration_since(failed) < SUSPICION)
        {
            Standing::Suspect
        } else {
            Standing::Good
        }
    }

    /// Whether, as far as we know, requests reach it and it is well.
    pub(super) fn is_up(&self) -> bool {
        !self.is_out() && !self.fails()
    }

    /// Whether it is known not to be well.
    pub(super) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to connect failed.
    pub(super) fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    /// Notes a connection that failed.
    pub(super) fn has_failed(&self, now: Instant) {
        *self.failed.lock() = Some(now);
        self.fails.store(true, Ordering::Relaxed);
    }

    /// Notes a connection that came about.
    pub(super) fn has_connected(&self) {
        self.fails.store(false, Ordering::Relaxed);
    }

    /// Notes an answer about its health. Two in a row change what is believed.
    pub(super) fn has_answered(&self, well: bool) {
        if well != self.is_out() {
            self.contrary.store(0, Ordering::Relaxed);
        } else if self.contrary.fetch_add(1, Ordering::Relaxed) + 1 >= ANSWERS {
            self.contrary.store(0, Ordering::Relaxed);
            self.is_out.store(!well, Ordering::Relaxed);
        }
        if well {
            self.has_connected();
        }
    }
}

/// For how long a failed connection keeps requests away while there is another server; nginx's
/// `fail_timeout`.
const SUSPICION: Duration = Duration::from_secs(10);
/// Answers in a row that contradict what is believed of a server; between `HAProxy`'s `rise 2` and `fall 3`.
const ANSWERS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Scheme, ServerAddress, ServerRules, UpstreamRules},
        proxy::upstream::dialing::Dialing,
    };

    fn endpoint() -> Endpoint {
        let address = ServerAddress::Tcp { host: "127.0.0.1".into(), port: 1 };
        let server = ServerRules { url: "x".into(), address, scheme: Scheme::Http, weight: 1 };
        let rules = UpstreamRules::new(vec![server]);
        Endpoint::new(0, Dialing::new(&rules).unwrap().line(&rules, &rules.servers[0], "127.0.0.1:1".parse().unwrap()))
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn a_failed_connection_is_held_against_it_for_a_while() {
        let (endpoint, now) = (endpoint(), Instant::now());
        assert_eq!(endpoint.standing(now), Standing::Good);
        endpoint.has_failed(now);
        assert_eq!(endpoint.standing(now + Duration::from_secs(9)), Standing::Suspect);
        assert_eq!(endpoint.standing(now + Duration::from_secs(11)), Standing::Good);
        assert!(!endpoint.is_up(), "until a connection comes about");
        endpoint.has_connected();
        assert!(endpoint.is_up());
    }

    #[test]
    fn two_answers_in_a_row_change_what_is_believed() {
        let endpoint = endpoint();
        for (well, out) in
            [(false, false), (true, false), (false, false), (false, true), (true, true), (false, true), (true, true)]
        {
            endpoint.has_answered(well);
            assert_eq!(endpoint.is_out(), out, "after {well}");
        }
        endpoint.has_answered(true);
        assert!(endpoint.is_up());
    }
}
