//! The clocks of the store, the delivery worker and the proxy: the only place that asks for the time.

use std::time::{Duration, Instant, SystemTime};

use crate::tracking::timestamp::Timestamp;

/// The wall clock, for times that are stored.
#[must_use]
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the edge of the core: everyone below takes the time as an argument")]
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// The monotonic clock, for durations.
#[must_use]
pub fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the edge of the core: everyone below takes the time as an argument")]
    let instant = Instant::now();
    instant
}
