//! What those who wait for a commit are told, and who else hears of it.

use tokio::sync::mpsc;

use super::{Leased, Writer};
use crate::{
    store::{
        End, LeasedRow, NewRow, Settled,
        command::Command,
        departure::Counted,
        outbox,
        row::Place,
        transaction::{Applied, Placed},
    },
    tracking::timestamp::Timestamp,
};

impl Writer {
    /// Tells a command what the commit made true.
    pub(in crate::store) fn answer(&mut self, command: Command, applied: Applied, leased: Leased) {
        match (command, applied) {
            (Command::Accept { rows, answer }, Applied::Rows(placed)) => {
                let accepted = placed.iter().map(|placed| placed.accepted(self.shared.role())).collect();
                for (row, placed) in rows.into_iter().zip(placed) {
                    self.distribute(row, placed, leased);
                }
                // Nobody waiting for it is fine: the row is stored.
                drop(answer.send(accepted));
            }
            (Command::End { ends, answer }, Applied::Rows(placed)) => {
                let accepted = placed.iter().map(|placed| placed.accepted(self.shared.role())).collect();
                for (end, placed) in ends.into_iter().zip(placed) {
                    if let End::Accept(row) = end.end {
                        self.distribute(row, placed, leased);
                    }
                }
                drop(answer.send(accepted));
            }
            (Command::Lease { site, network, answer, .. }, Applied::Leased(rows)) => {
                let next = self.database.as_ref().map(|it| outbox::next_due(&it.connection, &site, &network));
                if let Some(Ok(next)) = next {
                    self.shared.due.set(&site, &network, next);
                }
                if let Err(unwanted) = answer.send(rows) {
                    self.deferred.extend(unwanted.into_iter().map(|row| Command::Release { row, at: None }));
                }
            }
            (Command::Wake { site, network, now, answer }, Applied::Woken(rows)) => {
                if rows > 0 {
                    self.shared.due.at(&site, &network, now.as_millis());
                }
                answer.send(rows).ok();
            }
            (Command::Settle(settlement), _) => {
                if let Settled::Retry { at, .. } = settlement.outcome {
                    let event = &settlement.row.event;
                    self.shared.due.at(&event.site, &event.network, at.as_millis());
                }
            }
            // The exact time is not known here; too early costs one query.
            (Command::Release { row, at }, _) => {
                let at = at.map_or(0, Timestamp::as_millis);
                self.shared.due.at(&row.event.site, &row.event.network, at);
            }
            (Command::Depart { done, .. }, Applied::Departed(counted)) => {
                counted.iter().for_each(|counted| self.count(counted));
                // An answer of its own: a refused command only drops it.
                done.send(()).ok();
            }
            (Command::Withdraw { done, .. }, Applied::Withdrawn(ended, unseen)) => {
                unseen.iter().for_each(|counted| self.count(counted));
                ended.iter().for_each(|ended| self.observer.withdrawn(&ended.site, &ended.network));
                drop(done);
            }
            (Command::Forget { keys, done, .. }, Applied::Forgotten(all)) => {
                self.shared.journeys.drop_erased(&all);
                self.shared.journeys.written(&keys);
                drop(done.send(all.into_iter().collect()));
            }
            (Command::Remember { keys, .. }, _) => self.shared.journeys.written(&keys),
            (command, _) => command.refuse(),
        }
    }

    fn count(&self, counted: &Counted) {
        let Counted { site, conversion, network, outcome, is_withdrawn, event_id, duplicate } = counted;
        if let Some(outcome) = outcome {
            self.observer.decided(site, conversion, network, *outcome);
            if let Some(id) = event_id {
                self.shared.hits.decided(*id, *outcome, || duplicate.as_deref().cloned());
            }
        }
        if *is_withdrawn {
            self.observer.withdrawn(site, network);
        }
    }

    /// Tells the worker of a row that has come into the outbox.
    fn distribute(&mut self, row: NewRow, placed: Placed, leased: Leased) {
        let event = row.event;
        if placed == Placed::Withdrawn {
            self.observer.withdrawn(&event.site, &event.network);
        }
        let Placed::At(id) = placed else { return };
        match leased {
            Leased::ByUs => self.hand_over(LeasedRow { event, attempts: 0, revived: None, place: Place::Local(id) }),
            Leased::ByNobody => self.shared.due.at(&event.site, &event.network, event.time.as_millis()),
        }
    }

    fn hand_over(&mut self, row: LeasedRow) {
        if let Err(mpsc::error::SendError(row)) = self.fresh.send(row) {
            self.deferred.push_back(Command::Release { row, at: None });
        }
    }
}
