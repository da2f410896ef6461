//! What an operator is told about a destination, and not all the time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Destination;
use crate::tracking::verdict::Verdict;

/// When each alarm was last raised.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeMap<Alarm, Instant>);

/// Something that an operator can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// Nothing has been delivered for minutes.
    Failing,
    /// Conversions will soon be given up.
    Ageing,
    /// An answer that no rule knows.
    Unclear,
    /// A conversion was too old, or tried too often.
    Expired,
    /// A conversion was refused for good.
    Rejected,
    /// The network's address points elsewhere.
    Moved,
}

impl Alarms {
    /// Warns, unless it has lately.
    pub(super) fn raise(&mut self, alarm: Alarm, destination: &Destination, now: Instant) {
        self.raise_with(alarm, None, destination, now);
    }

    /// The same, naming a host.
    pub(super) fn raise_with(&mut self, alarm: Alarm, host: Option<&str>, destination: &Destination, now: Instant) {
        if self.is_new(alarm, now) {
            let Destination { site, network, .. } = destination;
            tracing::warn!(%site, %network, host, "the network {}", alarm.words());
        }
    }

    fn is_new(&mut self, alarm: Alarm, now: Instant) -> bool {
        let is_new = self.0.get(&alarm).is_none_or(|raised| now.saturating_duration_since(*raised) >= QUIET);
        if is_new {
            self.0.insert(alarm, now);
        }
        is_new
    }
}

impl Alarm {
    /// What a verdict is worth telling.
    pub(super) const fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Unclear => Some(Self::Unclear),
            Verdict::Expired => Some(Self::Expired),
            Verdict::Rejected(_) => Some(Self::Rejected),
            Verdict::Delivered
            | Verdict::AlreadyKnown
            | Verdict::InvalidClick
            | Verdict::Withdrawn
            | Verdict::Purged => None,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Failing => "has not taken a conversion for minutes; they are kept and tried again",
            Self::Ageing => "has conversions waiting that will be given up soon: most of `delivery.max_age` is over",
            Self::Unclear => "gave an answer that its rules don't know; see `throughline outbox list`",
            Self::Expired => "has been unreachable for too long; see `throughline outbox list`",
            Self::Rejected => "rejected a conversion; see `throughline outbox list`",
            Self::Moved => "has moved to another URL (301 or 308), which is not followed; correct `postback.url`",
        }
    }
}

const QUIET: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::clock;

    #[test]
    fn an_alarm_is_raised_once_in_a_while_and_drowns_no_other() {
        let (mut alarms, now) = (Alarms::default(), clock::instant());
        assert!(alarms.is_new(Alarm::Failing, now) && alarms.is_new(Alarm::Ageing, now));
        assert!(!alarms.is_new(Alarm::Failing, now + QUIET / 2));
        assert!(alarms.is_new(Alarm::Failing, now + QUIET));
    }
}
