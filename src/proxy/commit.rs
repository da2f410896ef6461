//! Conversions on their way to the disk while their page waits.
//!
//! A commit is never given up: what has not ended when the page must go on, or when the page's own
//! task ends, goes on by itself and counts its outcomes when the store has answered.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

use super::runtime::{TrackedSite, Tracker};
use crate::{
    metrics::site::Injection,
    store::{Accepted, Claim, NewRow},
    tracking::{
        conversion::Outcome,
        timestamp::Timestamp,
        visit::{PlannedClaim, PlannedRow},
    },
};

/// A commit under way.
struct Commit(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Drop for Commit {
    fn drop(&mut self) {
        if let (Some(rest), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(rest);
        }
    }
}

/// Writes rows down; returns when they are on disk or `max_page_delay` has passed.
pub(super) async fn commit(tracker: &Arc<Tracker>, site: &Arc<TrackedSite>, rows: Vec<PlannedRow>) {
    if rows.is_empty() {
        return;
    }
    let delay = tracker.max_page_delay;
    let late = Arc::new(AtomicBool::new(false));
    let work = write(Arc::clone(tracker), Arc::clone(site), rows, Arc::clone(&late));
    let mut commit = Commit(Some(Box::pin(work)));
    let Some(work) = commit.0.as_mut() else { return };
    if timeout(delay, work).await.is_ok() {
        commit.0 = None;
    } else {
        late.store(true, Ordering::Relaxed);
    }
}

async fn write(tracker: Arc<Tracker>, site: Arc<TrackedSite>, rows: Vec<PlannedRow>, late: Arc<AtomicBool>) {
    let places: Vec<(usize, usize)> = rows.iter().map(|row| (row.conversion, row.send)).collect();
    let rows = rows.into_iter().map(|row| NewRow { event: row.event, key: row.dedup }).collect();
    let accepted = tracker.store.accept(rows).await.await;
    for (index, (conversion, send)) in places.into_iter().enumerate() {
        // No answer: the writer has ended, and what it had not taken was never written.
        let accepted = accepted.as_ref().ok().and_then(|all| all.get(index)).copied();
        let outcome = match accepted {
            Some(Accepted::Queued) => Outcome::Queued,
            Some(Accepted::Duplicate) => Outcome::Duplicate,
            Some(Accepted::Unstored) | None => Outcome::Unstored,
        };
        if outcome == Outcome::Queued && late.load(Ordering::Relaxed) {
            tracker.metrics.late_commits_total.inc();
        }
        site.metrics.outcome(conversion, send, outcome);
    }
}

/// Takes dedup keys for counted pixels; returns those that may be shown, by network.
pub(super) async fn claim(
    tracker: &Arc<Tracker>,
    site: &Arc<TrackedSite>,
    claims: Vec<PlannedClaim>,
    now: Timestamp,
) -> Vec<(usize, Vec<String>)> {
    if claims.is_empty() {
        return Vec::new();
    }
    let (keyed, unkeyed): (Vec<_>, Vec<_>) = claims.into_iter().partition(|claim| claim.dedup.is_some());
    let asked = keyed
        .iter()
        .filter_map(|claim| Some(Claim { event_id: claim.event_id, dedup: claim.dedup?, time: now }))
        .collect();
    let answers = answered_in_time(tracker, asked, tracker.max_page_delay).await;
    let mut shown = Vec::new();
    for (index, claim) in keyed.into_iter().enumerate() {
        let answer = answers.as_ref().and_then(|all| all.get(index)).copied();
        let (outcome, refused) = match answer {
            Some(Accepted::Queued) => (Outcome::NoClick, None),
            Some(Accepted::Duplicate) => (Outcome::Duplicate, Some(Injection::Duplicate)),
            // The key was not taken, so a later visit of the page may still be counted.
            Some(Accepted::Unstored) | None => (Outcome::NoClick, Some(Injection::Unanswered)),
        };
        site.metrics.outcome(claim.conversion, claim.send, outcome);
        match refused {
            Some(reason) => site.metrics.injection(claim.network, reason),
            None => shown.push((claim.network, claim.pixels)),
        }
    }
    for claim in unkeyed {
        site.metrics.outcome(claim.conversion, claim.send, Outcome::NoClick);
        site.metrics.undeduplicated(claim.conversion);
        shown.push((claim.network, claim.pixels));
    }
    shown
}

async fn answered_in_time(tracker: &Tracker, claims: Vec<Claim>, delay: Duration) -> Option<Vec<Accepted>> {
    if claims.is_empty() {
        return None;
    }
    // Dropping the answer withdraws the claims.
    timeout(delay, async { tracker.store.claim(claims).await.await.ok() }).await.ok().flatten()
}
