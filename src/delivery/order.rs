//! Conversions of one order in the order of their event times, for networks that ask for it.
//!
//! What the worker has seen and not yet ended is remembered; a later conversion of the same order waits
//! in the store until the earlier one is over, or is due again. This holds within one worker: what
//! another process has leased, and what has not come out of the store yet, is not known here. An earlier
//! conversion that ends as a dead letter holds nobody back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::tracking::{
    event::{Event, EventId},
    timestamp::Timestamp,
};

/// What is pending, by order.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pending: BTreeMap<String, BTreeMap<(Timestamp, EventId), Pending>>,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    /// When it is tried again, as far as that is known.
    due: Timestamp,
    seen: Instant,
}

impl Orders {
    /// Notes a conversion that is pending.
    pub(super) fn saw(&mut self, event: &Event, now: Instant) {
        self.note(event, event.time, now);
    }

    /// Notes when a conversion is tried again.
    pub(super) fn waits(&mut self, event: &Event, due: Timestamp, now: Instant) {
        self.note(event, due, now);
    }

    /// Notes that a conversion is over.
    pub(super) fn ended(&mut self, event: &Event) {
        let Some(order) = order(event) else { return };
        let Some(pending) = self.pending.get_mut(order) else { return };
        if pending.remove(&(event.time, event.id)).is_some() {
            self.count -= 1;
        }
        if pending.is_empty() {
            self.pending.remove(order);
        }
    }

    /// When an earlier conversion of the same order is tried again, if there is one.
    pub(super) fn ahead_of(&mut self, event: &Event, now: Instant) -> Option<Timestamp> {
        let pending = self.pending.get_mut(order(event)?)?;
        let before = pending.len();
        // Somebody else may have ended it.
        pending.retain(|_, pending| now.saturating_duration_since(pending.seen) < REMEMBERED);
        self.count -= before - pending.len();
        pending.range(..(event.time, event.id)).map(|(_, pending)| pending.due).max()
    }

    /// While nothing was sent, nothing could be seen: everything counts as seen now.
    pub(super) fn still_there(&mut self, now: Instant) {
        self.pending.values_mut().flat_map(BTreeMap::values_mut).for_each(|pending| pending.seen = now);
    }

    fn note(&mut self, event: &Event, due: Timestamp, now: Instant) {
        let Some(order) = order(event) else { return };
        let known = self.pending.get_mut(order).and_then(|pending| pending.get_mut(&(event.time, event.id)));
        if let Some(known) = known {
            *known = Pending { due, seen: now };
        } else if self.count < MOST {
            self.pending
                .entry(order.to_owned())
                .or_default()
                .insert((event.time, event.id), Pending { due, seen: now });
            self.count += 1;
        }
    }
}

fn order(event: &Event) -> Option<&str> {
    event.payload.fields.get("order_id").map(String::as_str)
}

/// Pending conversions that are remembered; beyond that, order is not kept.
const MOST: usize = 10_000;
/// Twice the longest wait between two attempts.
const REMEMBERED: Duration = Duration::from_hours(2);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{store::clock, tracking::event::Payload};

    fn event(order: &str, at: i64) -> Event {
        let fields = BTreeMap::from([("order_id".to_owned(), order.to_owned())]);
        Event {
            id: EventId::new(Uuid::new_v4()),
            time: Timestamp::from_millis(at),
            site: "shop".into(),
            conversion: "purchase".into(),
            network: "mine".into(),
            payload: Payload { fields, ..Payload::default() },
        }
    }

    #[test]
    fn a_later_one_waits_for_an_earlier_one_of_its_order() {
        let (mut orders, now) = (Orders::default(), clock::instant());
        let (lead, sale, other) = (event("A", 1), event("A", 2), event("B", 3));
        for event in [&sale, &lead, &other] {
            orders.saw(event, now);
        }
        assert_eq!(orders.ahead_of(&lead, now), None);
        assert_eq!(orders.ahead_of(&other, now), None);
        assert_eq!(orders.ahead_of(&sale, now), Some(lead.time));
        orders.waits(&lead, Timestamp::from_millis(5000), now);
        assert_eq!(orders.ahead_of(&sale, now), Some(Timestamp::from_millis(5000)));
        orders.ended(&lead);
        orders.ended(&lead);
        assert_eq!((orders.ahead_of(&sale, now), orders.count), (None, 2));
    }

    #[test]
    fn one_that_is_never_seen_again_holds_nobody_back_for_ever() {
        let (mut orders, now) = (Orders::default(), clock::instant());
        let (lead, sale) = (event("A", 1), event("A", 2));
        orders.saw(&lead, now);
        assert!(orders.ahead_of(&sale, now + REMEMBERED / 2).is_some());
        orders.still_there(now + REMEMBERED);
        assert!(orders.ahead_of(&sale, now + REMEMBERED).is_some(), "nothing was sent meanwhile");
        assert_eq!(orders.ahead_of(&sale, now + REMEMBERED * 2), None);
        assert_eq!(orders.count, 0);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let (mut orders, now) = (Orders::default(), clock::instant());
        for at in 0..20_000 {
            orders.saw(&event("A", at), now);
        }
        assert_eq!(orders.count, MOST);
    }

    #[test]
    fn without_an_order_there_is_no_order() {
        let (mut orders, now) = (Orders::default(), clock::instant());
        let mut event = event("A", 1);
        event.payload.fields.clear();
        orders.saw(&event, now);
        assert_eq!((orders.ahead_of(&event, now), orders.count), (None, 0));
    }
}
