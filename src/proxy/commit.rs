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

use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use super::{
    consequences::Committed,
    runtime::{TrackedSite, Tracker},
};
use crate::{
    metrics::site::Injection,
    store::{Accepted, Claim, NewRow},
    tracking::{
        conversion::Outcome,
        event::EventId,
        timestamp::Timestamp,
        visit::{Decided, Hold, PlannedClaim, PlannedRow},
    },
};

/// A commit under way.
struct Commit(Option<Pin<Box<dyn Future<Output = Vec<EventId>> + Send>>>);

/// What is known of a commit when its page must go on.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Over when the rows are on disk, or certainly will not be.
    pub(super) committed: Committed,
    /// The rows that were not taken: repeats, and what could not be stored.
    pub(super) refused: Vec<EventId>,
}

impl Drop for Commit {
    fn drop(&mut self) {
        if let (Some(rest), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(rest);
        }
    }
}

/// Writes rows down; returns when they are on disk or `delay` has passed.
pub(super) async fn commit(
    tracker: &Arc<Tracker>,
    site: &Arc<TrackedSite>,
    rows: Vec<PlannedRow>,
    delay: Duration,
) -> Written {
    if rows.is_empty() {
        return Written::default();
    }
    let late = Arc::new(AtomicBool::new(false));
    let (done, committed) = oneshot::channel();
    let work = write(Arc::clone(tracker), Arc::clone(site), rows, Arc::clone(&late));
    let work = async move {
        let refused = work.await;
        // Nobody waits for it unless there are candidates.
        done.send(()).ok();
        refused
    };
    let mut commit = Commit(Some(Box::pin(work)));
    let mut refused = Vec::new();
    if let Some(work) = commit.0.as_mut() {
        if let Ok(known) = timeout(delay, work).await {
            commit.0 = None;
            refused = known;
        } else {
            late.store(true, Ordering::Relaxed);
        }
    }
    Written { committed: Some(committed), refused }
}

async fn write(
    tracker: Arc<Tracker>,
    site: Arc<TrackedSite>,
    rows: Vec<PlannedRow>,
    late: Arc<AtomicBool>,
) -> Vec<EventId> {
    let mut refused = Vec::new();
    let mut places = Vec::with_capacity(rows.len());
    let mut stored = Vec::with_capacity(rows.len());
    for row in rows {
        let outcome = match &row.hold {
            None => Some(Outcome::Queued),
            Some(Hold::Incomplete { .. }) => Some(Outcome::Incomplete),
            Some(Hold::Owed) => Some(Outcome::NoClick),
            // Its outcome is known when its page has ended.
            Some(Hold::Candidate { .. }) => None,
        };
        let PlannedRow { conversion, send, event, dedup, hold, grounds, .. } = row;
        let planned = outcome.map(|outcome| Decided { conversion, send, outcome, grounds });
        planned.iter().for_each(|it| site.foresee(&tracker.store, event.id, it));
        places.push((event.id, planned));
        stored.push(NewRow { event, key: dedup, hold });
    }
    let accepted = tracker.store.accept(stored).await.await.unwrap_or_default();
    for (index, (event_id, planned)) in places.into_iter().enumerate() {
        let accepted = accepted.get(index).copied();
        let is_stored = matches!(accepted, Some(Accepted::Queued | Accepted::Provisional));
        if is_stored && late.load(Ordering::Relaxed) {
            tracker.metrics.late_commits_total.inc();
        }
        refused.extend((!is_stored).then_some(event_id));
        match planned {
            None => {}
            Some(it) if it.outcome == Outcome::NoClick => owe(&tracker, &site, it, accepted),
            Some(it) => {
                if let Some(outcome) = outcome_of(accepted, it.outcome) {
                    site.decide(&tracker.store, it.turned_out(outcome));
                }
            }
        }
    }
    refused
}

/// Counts a conversion whose pixels the browser is to fetch: without its key it gets none, and a later
/// visit of the page may still be counted.
fn owe(tracker: &Tracker, site: &TrackedSite, it: Decided, accepted: Option<Accepted>) {
    let (outcome, refused) = match accepted {
        // Its key is taken here; the fleet is told of it, as of any other that pixels take.
        Some(Accepted::Queued | Accepted::Provisional) => (Outcome::NoClick, None),
        Some(Accepted::Duplicate) => (Outcome::Duplicate, Some(Injection::Duplicate)),
        Some(Accepted::Unstored) | None => (Outcome::NoClick, Some(Injection::Unanswered)),
    };
    let rule = site.rules.conversions.get(it.conversion).and_then(|rule| rule.send.get(it.send));
    if let (Some(rule), Some(reason)) = (rule, refused) {
        site.metrics.injection(rule.network, reason);
    }
    site.decide(&tracker.store, it.turned_out(outcome));
}

/// The outcome of a row that the store has answered for; `stored` is what it is if it was stored.
///
/// `None` as long as a fleet has to say it, which is then counted by whoever hears of it.
pub(super) fn outcome_of(accepted: Option<Accepted>, stored: Outcome) -> Option<Outcome> {
    match accepted {
        Some(Accepted::Queued) => Some(stored),
        Some(Accepted::Duplicate) => Some(Outcome::Duplicate),
        Some(Accepted::Provisional) => None,
        // No answer: the writer has ended, and what it had not taken was never written.
        Some(Accepted::Unstored) | None => Some(Outcome::Unstored),
    }
}

/// Pixels of one network that go into a page.
#[derive(Debug)]
pub(super) struct Pixels {
    /// Whose they are.
    pub(super) network: usize,
    /// Their addresses.
    pub(super) urls: Vec<String>,
    /// The claim that waits for the page, if one does.
    pub(super) awaits: Option<EventId>,
    /// What is counted when they are in the page.
    pub(super) result: Injection,
}

/// Takes dedup keys for counted pixels; returns those that may be shown.
pub(super) async fn claim(
    tracker: &Arc<Tracker>,
    site: &Arc<TrackedSite>,
    claims: Vec<PlannedClaim>,
    now: Timestamp,
    delay: Duration,
) -> Vec<Pixels> {
    if claims.is_empty() {
        return Vec::new();
    }
    let (keyed, unkeyed): (Vec<_>, Vec<_>) = claims.into_iter().partition(|claim| claim.dedup.is_some());
    let asked = keyed
        .iter()
        .filter_map(|claim| Some(Claim { event_id: claim.event_id, dedup: claim.dedup?, time: now }))
        .collect();
    let answers = answered_in_time(tracker, asked, delay).await;
    let mut shown = Vec::new();
    for (index, claim) in keyed.into_iter().enumerate() {
        let answer = answers.as_ref().and_then(|all| all.get(index)).copied();
        let (outcome, refused) = match answer {
            // Keys are never provisional: a page would not wait for them twice.
            Some(Accepted::Queued | Accepted::Provisional) => (Outcome::NoClick, None),
            Some(Accepted::Duplicate) => (Outcome::Duplicate, Some(Injection::Duplicate)),
            // The key was not taken, so a later visit of the page may still be counted.
            Some(Accepted::Unstored) | None => (Outcome::NoClick, Some(Injection::Unanswered)),
        };
        match refused {
            Some(reason) => {
                let PlannedClaim { conversion, send, network, grounds, .. } = claim;
                let it = Decided { conversion, send, outcome: Outcome::NoClick, grounds };
                site.decide(&tracker.store, it.turned_out(outcome));
                site.metrics.injection(network, reason);
            }
            None => shown.push(show(tracker, site, claim)),
        }
    }
    for claim in unkeyed {
        site.metrics.undeduplicated(claim.conversion);
        shown.push(show(tracker, site, claim));
    }
    shown
}

/// Without a page to wait for, the outcome is known.
fn show(tracker: &Tracker, site: &TrackedSite, claim: PlannedClaim) -> Pixels {
    let PlannedClaim { conversion, send, network, event_id, pixels, awaits_page, grounds, .. } = claim;
    if !awaits_page {
        site.decide(&tracker.store, Decided { conversion, send, outcome: Outcome::NoClick, grounds });
    }
    Pixels { network, urls: pixels, awaits: awaits_page.then_some(event_id), result: Injection::Injected }
}

async fn answered_in_time(tracker: &Tracker, claims: Vec<Claim>, delay: Duration) -> Option<Vec<Accepted>> {
    if claims.is_empty() {
        return None;
    }
    // Dropping the answer withdraws the claims.
    timeout(delay, async { tracker.store.claim(claims).await.await.ok() }).await.ok().flatten()
}
