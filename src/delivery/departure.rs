//! Which rows leave with the next request, and what keeps one from leaving.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Destination,
    load::{Load, Loaded},
    retry,
    worker::{Flight, PARKED, Worker},
};
use crate::{
    store::{LeasedRow, Settled, clock, uptime::Age},
    tracking::{
        postback::Postback,
        verdict::{Rejection, Verdict},
    },
};

impl Worker {
    /// Starts what may start, one request of each destination in turn.
    pub(super) async fn launch_ready(&mut self) {
        loop {
            let (now, taken) = (clock::instant(), self.sending.len());
            let count = self.lanes.len();
            let ready = (0..count)
                .map(|offset| (self.turn + offset) % count)
                .find(|index| self.lanes.get(*index).is_some_and(|lane| lane.is_ready(taken, now)));
            let Some(index) = ready else { return };
            self.turn = (index + 1) % count;
            self.launch(index).await;
        }
    }

    /// Sends one request of a destination, with as many of its rows as may share it.
    async fn launch(&mut self, index: usize) {
        let Some(lane) = self.lanes.get(index) else { return };
        let destination = Arc::clone(&lane.destination);
        // One conversion is enough to find out whether a network is back.
        let mut load = Load::new(destination.batch.as_ref().filter(|_| !lane.breaker.is_down()));
        for _ in 0..destination.batch.as_ref().map_or(1, |_| lane.queue.len()) {
            let row = self.lanes.get_mut(index).filter(|_| load.is_open()).and_then(|lane| lane.queue.pop_front());
            let Some(row) = row else { break };
            let is_alone = self.alone.contains(&row.event.id);
            if is_alone && !load.is_empty() {
                load.leave(row);
            } else if let Some((row, postback)) = self.prepare(row, &destination).await {
                if is_alone { load.close_with(row, postback) } else { load.add(row, postback) }
            }
        }
        let Loaded { postback, rows, left } = load.finish();
        let Some(lane) = self.lanes.get_mut(index) else { return };
        left.into_iter().rev().for_each(|row| lane.queue.push_front(row));
        let Some(postback) = postback else { return };
        let started = clock::instant();
        let Some(pass) = lane.begin(started) else {
            for row in rows {
                self.store.release(row).await;
            }
            return;
        };
        for row in &rows {
            if let Some(rule) = destination.routes.get(&row.event.conversion) {
                self.observer.sent(&row.event, rule, &destination);
            }
        }
        let handle = self.sending.spawn(self.sender.send(&destination, postback));
        self.flights.insert(handle.id(), Flight { rows, destination, started, pass: Some(pass) });
    }

    /// Builds the request of one row; a row that is not to be sent goes its way here.
    async fn prepare(&mut self, row: LeasedRow, destination: &Arc<Destination>) -> Option<(LeasedRow, Postback)> {
        if self.store.is_withdrawn(row.event.id) {
            // The store has ended it.
            self.forget(&row);
            return None;
        }
        if !self.store.is_ours(&row) {
            self.store.release(row).await;
            return None;
        }
        let (now, started) = (clock::now(), clock::instant());
        self.uptime.observe(now, started);
        let age = self.uptime.age(row.counts_from(), now, started);
        match age {
            Age::Certain(age) if retry::is_overdue(age, destination.max_age) => {
                self.settle(row, Settled::Final(Verdict::Expired), None).await;
                return None;
            }
            // It waits for the clock to be right, or for the certainty that it is.
            Age::Doubtful { age, certain_in, .. } if retry::is_overdue(age, destination.max_age) => {
                self.store.park(row, now.plus(certain_in)).await;
                return None;
            }
            Age::Certain(_) | Age::Doubtful { .. } => {}
        }
        let Some(rule) = destination.routes.get(&row.event.conversion) else {
            self.store.park(row, clock::now().plus(PARKED)).await;
            return None;
        };
        if let Some(lane) = self.lane_of(&destination.site, &destination.network) {
            lane.mind_age(age.at_least(), started);
            if let Some(turn) = lane.turn_of(&row, now, started) {
                self.store.park(row, turn).await;
                return None;
            }
        }
        match catch_unwind(AssertUnwindSafe(|| (self.render)(rule, &row.event))) {
            Ok(Ok(postback)) => return Some((row, postback)),
            Ok(Err(error)) => {
                tracing::debug!(event = %row.event.id, %error, "a postback can't be built");
                let verdict = Verdict::Rejected(Rejection::Unrenderable);
                if let Some(lane) = self.lane_of(&destination.site, &destination.network) {
                    lane.regret(verdict, started);
                }
                self.settle(row, Settled::Final(verdict), None).await;
            }
            Err(_) => {
                let destination = Arc::clone(destination);
                self.panicked(Flight { rows: vec![row], destination, started, pass: None }).await;
            }
        }
        None
    }
}
