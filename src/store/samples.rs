//! What the tests of both stores accept.

use std::time::Duration;

use uuid::Uuid;

use crate::tracking::{
    event::{Event, EventId, Payload},
    timestamp::Timestamp,
};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_253_400_000);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// A new conversion of the site `shop`.
pub(super) fn event() -> Event {
    Event {
        id: EventId::new(Uuid::new_v4()),
        time: NOW,
        site: "shop".into(),
        conversion: "purchase".into(),
        network: "exoclick".into(),
        payload: Payload { clicks: vec!["abc".into()], ..Payload::default() },
    }
}
