//! Handing rows and records over: what the database can't hold must not keep the rest here.

use std::time::Duration;

use super::Loop;
use crate::{
    store::{
        clock,
        departure::{Decision, Departed, Departing, DepartingHit},
        fleet::{FleetError, ForwardRow, Forwarded},
    },
    throttle::{Pass, Throttle},
};

impl Loop {
    pub(super) async fn forward(&self, rows: &[Departing], departed: &mut Departed) -> Result<(), FleetError> {
        if rows.is_empty() {
            return Ok(());
        }
        let started = clock::instant();
        match self.fleet.forward(&rows.iter().map(Departing::for_fleet).collect::<Vec<_>>()).await {
            Ok(answers) => {
                let decided = rows.iter().zip(answers).map(|(row, answer)| (row.event.id, decision(answer)));
                departed.rows.extend(decided);
                self.observer.forwarded(clock::instant().saturating_duration_since(started), rows.len());
                Ok(())
            }
            Err(error) if error.is_about_a_value() => self.forward_singly(rows, departed).await,
            Err(error) => Err(error),
        }
    }

    /// One row that the database can't hold must not keep its neighbours here.
    async fn forward_singly(&self, rows: &[Departing], departed: &mut Departed) -> Result<(), FleetError> {
        for row in rows {
            match self.fleet.forward(&[row.for_fleet()]).await {
                Ok(answers) => {
                    departed.rows.extend(answers.into_iter().map(|answer| (row.event.id, decision(answer))));
                }
                Err(error) if error.is_about_a_value() => {
                    if let Some(Pass { held_back, .. }) = COMPLAINTS.pass(clock::instant()) {
                        tracing::error!(%error, event = %row.event.id, held_back, "the fleet can't hold a conversion; it is a dead letter here");
                    }
                    departed.refused.push(row.event.id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) async fn forward_hits(
        &self,
        node: [u8; 16],
        hits: &[DepartingHit],
        departed: &mut Departed,
    ) -> Result<(), FleetError> {
        let Some(last) = hits.last() else { return Ok(()) };
        match self.fleet.take_hits(node, hits).await {
            Ok(()) => {}
            // They are about conversions, and must not keep those here.
            Err(error) if error.is_about_a_value() => {
                tracing::error!(%error, hits = hits.len(), "the fleet can't hold what was written down of hits");
            }
            Err(error) => return Err(error),
        }
        departed.hits = Some((last.id, last.number));
        Ok(())
    }
}

impl Departing {
    fn for_fleet(&self) -> ForwardRow<'_> {
        ForwardRow { event: &self.event, key: self.key, missing: &self.missing }
    }
}

/// A row that was forwarded before, and not removed here, is what it was then.
const fn decision(answer: Forwarded) -> Decision {
    match answer {
        Forwarded::Queued | Forwarded::Known => Decision::Accepted,
        Forwarded::Duplicate => Decision::Duplicate,
        Forwarded::Withdrawn => Decision::Withdrawn,
    }
}

/// What is wrong with many values is told of a few.
pub(super) static COMPLAINTS: Throttle = Throttle::new(10, Duration::from_mins(1));
