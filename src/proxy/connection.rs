//! One connection of a visitor: who is at its other end, and whether its time is over.
//!
//! Deadlines cost a request no timer. Each connection notes in a few atomics since when it waits for
//! what; the [`watch`](super::watch) looks at all of them a few times a second and wakes those whose
//! time is over, whose next read or write then fails. Reading and writing itself is the business of
//! [`stream`](super::stream).

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicU8, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
    time::Duration,
};

use atomic_waker::AtomicWaker;
use http::HeaderValue;
use parking_lot::Mutex;
use pingora::protocols::Digest;

use super::{forwarding, refusal::Refusal, watch::Clock};
use crate::config::Limits;

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
    clock: Arc<Clock>,
    limits: Limits,
    is_http2: bool,
    phase: AtomicU8,
    /// When the phase began.
    since: AtomicU64,
    /// Bytes of the request's head so far.
    head: AtomicUsize,
    /// Requests whose bodies are still arriving.
    uploads: AtomicUsize,
    /// Bytes that arrived since the uploads began.
    uploaded: AtomicU64,
    /// Milliseconds that we waited for them.
    waited: AtomicU64,
    /// Since when a read waits for the visitor; 0: it does not.
    reading: AtomicU64,
    /// Since when a write waits for the visitor; 0: it does not.
    writing: AtomicU64,
    over: AtomicU8,
    waker: AtomicWaker,
}

/// What `Forwarded` says of requests for one host.
#[derive(Debug)]
struct Forwarded {
    host: Option<HeaderValue>,
    over_tls: bool,
    value: HeaderValue,
}

/// Where the conversation stands. HTTP/2 is in `Head` until it has begun, then in `Serving` for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Between two requests.
    Idle,
    /// The head of a request is arriving.
    Head,
    /// A request is being served.
    Serving,
    /// Pingora has answered a head that it could not parse.
    Answered,
    /// It was idle for too long, and what arrives now is no longer read.
    Ended,
}

/// Why a connection's time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing was asked for too long.
    Idle,
    /// It was refused.
    Refused(Refusal),
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
        let since = AtomicU64::new(clock.now());
        Self {
            visitor,
            local,
            over_tls,
            listener,
            address: OnceLock::new(),
            forwarded: Mutex::new(None),
            clock,
            limits,
            is_http2,
            phase: AtomicU8::new(if is_http2 { Phase::Head } else { Phase::Idle } as u8),
            since,
            head: AtomicUsize::new(0),
            uploads: AtomicUsize::new(0),
            uploaded: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            reading: AtomicU64::new(0),
            writing: AtomicU64::new(0),
            over: AtomicU8::new(0),
            waker: AtomicWaker::new(),
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

    /// The head of a request has arrived; its body, if any, is still to come.
    pub fn serving(&self, has_body: bool) {
        self.enter(Phase::Serving);
        if has_body && self.uploads.fetch_add(1, Relaxed) == 0 {
            self.uploaded.store(0, Relaxed);
            self.waited.store(0, Relaxed);
        }
    }

    /// The body of a request has arrived, or nobody wants the rest of it.
    pub fn uploaded(&self) {
        self.uploads.fetch_sub(1, Relaxed);
    }

    /// A request is over, and the next one may come.
    pub fn idle(&self) {
        self.enter(Phase::Idle);
    }

    /// Whether a head was answered that never became a request: the parser refused it.
    #[must_use]
    pub fn was_answered_in_head(&self) -> bool {
        self.phase() == Phase::Answered as u8
    }

    /// Notes that Pingora answers, and says whether it does so without having read a request.
    pub(super) fn answers_in_head(&self) -> bool {
        let phase = self.phase();
        if self.is_http2 || phase == Phase::Serving as u8 {
            return false;
        }
        if phase != Phase::Answered as u8 {
            self.enter(Phase::Answered);
        }
        true
    }

    /// Why its time is over, if it is.
    #[must_use]
    pub fn over(&self) -> Option<Over> {
        match self.over.load(Relaxed) {
            0 => None,
            IDLE => Some(Over::Idle),
            reason => Refusal::from_u8(reason).map(Over::Refused),
        }
    }

    /// Ends it because the rest of its head must not be read.
    fn refuse(&self, reason: Refusal) {
        self.over.store(reason as u8, Relaxed);
    }

    /// Notes that a read waits for the visitor; its time may be over by then, which is to be asked
    /// afterwards: the watch does not wake it a second time.
    pub(super) fn waits_to_read(&self, waker: &Waker) {
        self.waker.register(waker);
        if self.reading.load(Relaxed) == 0 {
            self.reading.store(self.clock.now(), Relaxed);
        }
    }

    /// Notes that bytes arrived, and says whether they may be used.
    pub(super) fn has_read(&self, bytes: usize) -> bool {
        let waiting = self.reading.load(Relaxed);
        if waiting != 0 {
            self.reading.store(0, Relaxed);
        }
        match self.phase() {
            phase if phase == Phase::Idle as u8 => bytes == 0 || self.begins(bytes),
            phase if phase == Phase::Head as u8 => self.continues(bytes),
            phase if phase == Phase::Ended as u8 => false,
            _ => {
                if self.uploads.load(Relaxed) != 0 {
                    self.count_upload(bytes, waiting);
                }
                true
            }
        }
    }

    /// Notes the first bytes of a head, unless the watch was faster: a request that is served must
    /// not be on a connection that is being closed for having been idle.
    fn begins(&self, bytes: usize) -> bool {
        self.head.store(bytes, Relaxed);
        self.since.store(self.clock.now(), Relaxed);
        let (idle, head) = (Phase::Idle as u8, Phase::Head as u8);
        self.phase.compare_exchange(idle, head, Release, Relaxed).is_ok()
    }

    fn continues(&self, bytes: usize) -> bool {
        let before = self.head.fetch_add(bytes, Relaxed);
        if self.is_http2 {
            if before + bytes >= HTTP2_PREFACE {
                self.enter(Phase::Serving);
            }
            return true;
        }
        // A read may bring the beginning of the body, too; the exact size is looked at when the head
        // is complete.
        let is_too_large = before > self.limits.max_header_bytes;
        if is_too_large {
            self.refuse(Refusal::HeaderBytes);
        }
        !is_too_large
    }

    /// Notes that a write waits for the visitor; see [`Self::waits_to_read`].
    pub(super) fn waits_to_write(&self, waker: &Waker) {
        self.waker.register(waker);
        if self.writing.load(Relaxed) == 0 {
            self.writing.store(self.clock.now(), Relaxed);
        }
    }

    /// Notes that a write went through.
    pub(super) fn has_written(&self) {
        if self.writing.load(Relaxed) != 0 {
            self.writing.store(0, Relaxed);
        }
    }

    fn phase(&self) -> u8 {
        self.phase.load(Acquire)
    }

    fn enter(&self, phase: Phase) {
        // In this order: the watch must not measure a phase from the beginning of the one before.
        self.since.store(self.clock.now(), Relaxed);
        self.phase.store(phase as u8, Release);
    }

    fn count_upload(&self, bytes: usize, waiting_since: u64) {
        self.uploaded.fetch_add(bytes as u64, Relaxed);
        if waiting_since != 0 {
            self.waited.fetch_add(self.clock.now().saturating_sub(waiting_since), Relaxed);
        }
    }

    /// Ends the connection if its time is over; asked by the watch.
    pub(super) fn look(&self, now: u64) {
        if self.over.load(Relaxed) != 0 {
            return;
        }
        let reason = match self.overdue(now) {
            None => return,
            Some(Over::Idle) => {
                let (idle, ended) = (Phase::Idle as u8, Phase::Ended as u8);
                if self.phase.compare_exchange(idle, ended, Relaxed, Relaxed).is_err() {
                    // A request has just begun.
                    return;
                }
                IDLE
            }
            Some(Over::Refused(reason)) => reason as u8,
        };
        self.over.store(reason, Relaxed);
        self.waker.wake();
    }

    fn overdue(&self, now: u64) -> Option<Over> {
        let waited =
            |since: &AtomicU64| Some(since.load(Relaxed)).filter(|since| *since != 0).map(|it| now - it.min(now));
        let is_longer = |time: u64, limit: Duration| u128::from(time) >= limit.as_millis();
        if waited(&self.writing).is_some_and(|time| time >= WRITE_STALL_MS) {
            return Some(Over::Refused(Refusal::WriteStall));
        }
        let phase = self.phase();
        let elapsed = waited(&self.since).unwrap_or_default();
        if phase == Phase::Idle as u8 {
            return is_longer(elapsed, self.limits.keep_alive_timeout).then_some(Over::Idle);
        }
        if phase == Phase::Head as u8 {
            return is_longer(elapsed, self.limits.header_timeout).then_some(Over::Refused(Refusal::HeaderTimeout));
        }
        if self.uploads.load(Relaxed) != 0
            && self.limits.min_body_rate > 0
            && let Some(waiting) = waited(&self.reading)
        {
            let allowed = BODY_GRACE_MS + self.uploaded.load(Relaxed).saturating_mul(1000) / self.limits.min_body_rate;
            let is_late = self.waited.load(Relaxed) + waiting >= allowed;
            return is_late.then_some(Over::Refused(Refusal::BodyRate));
        }
        None
    }
}

/// Beside the numbers of [`Refusal`].
const IDLE: u8 = u8::MAX;
/// How long a visitor may take nothing of what we send; nginx's `send_timeout` has the same default.
pub(super) const WRITE_STALL_MS: u64 = 60_000;
/// How long the body of a request may take before its rate is looked at.
const BODY_GRACE_MS: u64 = 10_000;
/// Bytes that HTTP/2 begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: usize = 24;

#[cfg(test)]
mod tests;
