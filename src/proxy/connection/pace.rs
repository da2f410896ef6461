//! How a conversation with a visitor gets on: where it stands, since when who waits for what, and whether
//! its time is over.
//!
//! Deadlines cost a request no timer. What happens is noted in a few atomics; the
//! [`watch`](super::super::watch) looks at those of all connections a few times a second and wakes the ones
//! whose time is over, whose next read or write then fails.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU8, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
    time::Duration,
};

use atomic_waker::AtomicWaker;

use crate::{
    config::Limits,
    proxy::{refusal::Refusal, watch::Clock},
};

/// The pace of one connection.
#[derive(Debug)]
pub struct Pace {
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

impl Pace {
    /// That of a connection which has just been accepted and is about to be read from.
    #[must_use]
    pub fn new(is_http2: bool, clock: Arc<Clock>, limits: Limits) -> Self {
        let since = AtomicU64::new(clock.now());
        Self {
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

    /// Whether the head of a request was still arriving.
    #[must_use]
    pub fn is_in_head(&self) -> bool {
        !self.is_http2 && self.phase() == Phase::Head as u8
    }

    /// For how long it has been where it is, as exactly as the watch looks around.
    #[must_use]
    pub fn in_phase(&self) -> Duration {
        Duration::from_millis(self.clock.now().saturating_sub(self.since.load(Relaxed)))
    }

    /// Notes that Pingora answers, and says whether it does so without having read a request.
    pub(in crate::proxy) fn answers_in_head(&self) -> bool {
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
    pub(in crate::proxy) fn waits_to_read(&self, waker: &Waker) {
        self.waker.register(waker);
        if self.reading.load(Relaxed) == 0 {
            self.reading.store(self.clock.now(), Relaxed);
        }
    }

    /// Notes that bytes arrived, and says whether they may be used.
    pub(in crate::proxy) fn has_read(&self, bytes: usize) -> bool {
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
    pub(in crate::proxy) fn waits_to_write(&self, waker: &Waker) {
        self.waker.register(waker);
        if self.writing.load(Relaxed) == 0 {
            self.writing.store(self.clock.now(), Relaxed);
        }
    }

    /// Notes that a write went through.
    pub(in crate::proxy) fn has_written(&self) {
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
    pub(in crate::proxy) fn look(&self, now: u64) {
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
pub(in crate::proxy) const WRITE_STALL_MS: u64 = 60_000;
/// How long the body of a request may take before its rate is looked at.
const BODY_GRACE_MS: u64 = 10_000;
/// Bytes that HTTP/2 begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: usize = 24;

#[cfg(test)]
mod tests;
