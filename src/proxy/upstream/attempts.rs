//! What one request has tried, and what follows when an attempt fails.
//!
//! A request goes to another address when none of it was sent, whatever its method. After that it is
//! sent again only if the server says that it has not begun to work on it, or if doing it twice does
//! no harm (RFC 9110 section 9.2.2) and no answer came; and only if all of it can be repeated.

use std::{fmt, io, sync::Arc, time::Instant};

use pingora::{Error, ErrorType, RetryType};
use pingora_proxy::Session;

use super::{Upstream, endpoint::Endpoint, status};

/// What one request has tried so far.
#[derive(Debug, Default)]
pub struct Attempts {
    pub(super) chosen: Option<Arc<Endpoint>>,
    pub(super) failed: Vec<Arc<Endpoint>>,
    pub(super) count: usize,
}

impl Attempts {
    /// The address of the server that was asked last.
    #[must_use]
    pub fn server(&self) -> Option<Arc<str>> {
        self.chosen.as_ref().or(self.failed.last()).map(|endpoint| Arc::clone(endpoint.line.name()))
    }

    /// How many attempts have failed.
    #[must_use]
    pub const fn earlier(&self) -> usize {
        self.count
    }

    pub(super) fn has_tried(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.failed.iter().any(|failed| Arc::ptr_eq(failed, endpoint))
    }
}

impl Upstream {
    /// Notes that there is a connection to the chosen address.
    pub fn connected(&self, attempts: &Attempts, reused: bool) {
        let Some(endpoint) = attempts.chosen.as_ref().filter(|endpoint| !reused && endpoint.fails()) else { return };
        endpoint.has_connected();
        self.tell(endpoint, &"its health");
    }

    /// Decides what follows from a connection that failed. Nothing was sent, so any request may go elsewhere.
    #[must_use]
    pub fn failed_to_connect(&self, attempts: &mut Attempts, mut error: Box<Error>, now: Instant) -> Box<Error> {
        // Not a failed connection but a pooled one that had died.
        let was_pooled = matches!(error.etype(), ErrorType::H2Error);
        // A fault of this machine, such as too many open files, says nothing about the server.
        let is_ours = matches!(error.etype(), ErrorType::InternalError);
        if let Some(endpoint) = attempts.chosen.take().filter(|_| !was_pooled) {
            if !is_ours {
                endpoint.has_failed(now);
                self.tell(&endpoint, &error);
            }
            attempts.failed.push(endpoint);
        }
        attempts.count += 1;
        let goes_on = attempts.count < MAX_TRIES && (was_pooled || self.has_another(attempts));
        error.set_retry(goes_on);
        if !goes_on && self.endpoints_are_out() {
            error.etype = status::NO_SERVER;
        }
        error
    }

    /// Decides what follows from an exchange that failed after it had begun.
    #[must_use]
    pub fn failed_to_answer(
        &self,
        session: &Session,
        attempts: &mut Attempts,
        error: Box<Error>,
        reused: bool,
        now: Instant,
    ) -> Box<Error> {
        let server = attempts.chosen.as_ref().map(|endpoint| endpoint.line.address()).unwrap_or_default();
        let mut error = error.more_context(format!("server {server}"));
        attempts.count += 1;
        let may_be_repeated = !session.as_ref().retry_buffer_truncated() && attempts.count < MAX_TRIES;
        // The server says that it has not begun to work on it (RFC 9113 sections 6.8, 7 and 8.7).
        let was_refused = matches!(
            (error.etype(), &error.retry),
            (ErrorType::H2Error | ErrorType::H2Downgrade, RetryType::Decided(true))
        );
        let is_harmless = session.req_header().method.is_idempotent();
        if is_end_without_goodbye(&error) && session.response_written().is_none() {
            error.retry = RetryType::ReusedOnly;
        }
        // No answer came. On a used connection that is how a server's idle timeout looks.
        let broke_off = matches!(error.retry, RetryType::ReusedOnly);
        if broke_off
            && !reused
            && let Some(endpoint) = attempts.chosen.take()
        {
            attempts.failed.push(Arc::clone(&endpoint));
            if self.has_another(attempts) {
                endpoint.has_failed(now);
                self.tell(&endpoint, &error);
                error.set_retry(may_be_repeated && is_harmless);
                return error;
            }
        }
        if may_be_repeated && (is_harmless || was_refused) {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    fn tell(&self, endpoint: &Endpoint, why: &dyn fmt::Display) {
        if let Some(server) = self.servers.get(endpoint.server) {
            server.tell(why);
        }
    }

    fn has_another(&self, attempts: &Attempts) -> bool {
        self.servers.iter().any(|server| server.endpoints().iter().any(|endpoint| !attempts.has_tried(endpoint)))
    }

    fn endpoints_are_out(&self) -> bool {
        self.servers.iter().all(|server| server.endpoints().iter().all(|endpoint| endpoint.is_out()))
    }
}

/// Many servers close TLS without saying so (RFC 8446 section 6.1), which Pingora takes for a fault in
/// mid-answer.
fn is_end_without_goodbye(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    matches!(error.etype(), ErrorType::ReadError) && cause.is_some_and(|it| it.kind() == io::ErrorKind::UnexpectedEof)
}

/// Attempts of one request in all. Pingora would otherwise try a dead server sixteen times.
pub(super) const MAX_TRIES: usize = 3;
