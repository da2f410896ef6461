//! Late verdicts: what became of the postbacks that a browser asks about, and the pixels that follow
//! from it.
//!
//! The frame and the visitor's next page both ask here, so that neither shows what the other has shown.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use uuid::Uuid;

use super::runtime::{TrackedSite, Tracker};
use crate::{
    store::{Accepted, Claim, Fate, Store},
    tracking::{
        event::{Dedup, DedupKey, EventId},
        late::{LateSync, awaits, waits_for},
        network::Mode,
        postback::{EventNames, Identity},
        timestamp::Timestamp,
        verdict::Verdict,
    },
};

/// What is known by now.
#[derive(Debug, Default)]
pub struct Told {
    /// Whether a verdict is still open, or could not be learnt.
    pub is_open: bool,
    /// What must be shown, because it was not reported.
    pub pixels: Vec<LatePixels>,
}

/// The pixels of one conversion that its network was not told of: there was nothing to report it by, or
/// the network does not know its click ID.
#[derive(Debug)]
pub struct LatePixels {
    /// Which network of the site.
    pub network: usize,
    /// Their addresses.
    pub urls: Vec<String>,
    event_id: EventId,
}

/// Asks what became of what is awaited on this site; whoever waits for it waits no longer than `delay`.
pub async fn ask(tracker: &Arc<Tracker>, site: &TrackedSite, late: &LateSync, delay: Duration) -> Told {
    let told = timeout(delay, learn(&tracker.store, site, late)).await;
    told.unwrap_or(Told { is_open: true, pixels: Vec::new() })
}

/// Takes these pixels for the page that is about to be answered: each conversion's are shown once.
///
/// Yields them by network; `None` when the store does not say within `delay`, and then nothing is taken.
pub async fn claim(
    tracker: &Arc<Tracker>,
    pixels: Vec<LatePixels>,
    now: Timestamp,
    delay: Duration,
) -> Option<Vec<(usize, Vec<String>)>> {
    if pixels.is_empty() {
        return Some(Vec::new());
    }
    let claims = pixels.iter().map(|pixels| {
        // An id of its own, so that the same conversion asked about twice is two who want one key.
        let key = DedupKey::new(&["late", &pixels.event_id.to_string()]);
        Claim { event_id: EventId::new(Uuid::now_v7()), dedup: Dedup { key, window: SHOWN_WINDOW }, time: now }
    });
    let claims = claims.collect();
    // Dropping the answer withdraws the claims.
    let answers = timeout(delay, async { tracker.store.claim(claims).await.await.ok() }).await.ok().flatten()?;
    if answers.iter().all(|answer| *answer == Accepted::Unstored) {
        return None;
    }
    let ours = pixels.into_iter().zip(answers).filter(|(_, answer)| *answer == Accepted::Queued);
    Some(ours.map(|(pixels, _)| (pixels.network, pixels.urls)).collect())
}

async fn learn(store: &Store, site: &TrackedSite, late: &LateSync) -> Told {
    let ids: Vec<EventId> = late.awaited().iter().map(|awaited| awaited.event_id).collect();
    let verdicts = store.verdicts(ids.clone()).await;
    // What is not on disk is open, too: a commit that has missed its page's deadline may still come.
    let mut is_open = verdicts.iter().any(Option::is_none);
    let wants_pixels = |verdict: Option<String>| {
        verdict.is_some_and(|word| word == Verdict::InvalidClick.as_str() || word == Fate::OWED)
    };
    let unreported = ids.into_iter().zip(verdicts).filter_map(|(id, verdict)| wants_pixels(verdict).then_some(id));
    let unreported: Vec<EventId> = unreported.collect();
    let mut pixels = Vec::new();
    if !unreported.is_empty() {
        for fate in store.fates(unreported).await {
            match fate {
                Some(fate) => pixels.extend(pixels_of(site, &fate)),
                None => is_open = true,
            }
        }
    }
    Told { is_open, pixels }
}

/// What the configuration in force makes of an event that was not reported.
fn pixels_of(site: &TrackedSite, fate: &Fate) -> Option<LatePixels> {
    let (rules, event) = (&site.rules, &fate.event);
    let (index, network) = rules.networks.iter().enumerate().find(|(_, network)| network.key == event.network)?;
    // Of an event that was erased since, nothing is left to show pixels for.
    let is_left = if fate.is_owed() { waits_for(network) } else { awaits(network, event) };
    if *event.site != *rules.name || rules.mode_of(network) != Mode::On || !is_left {
        return None;
    }
    let sync = network.counted_pixels()?;
    let rule = rules.conversions.iter().find(|rule| rule.name == event.conversion)?;
    let send = rule.send.iter().find(|send| send.network == index)?;
    let identity = Identity { id: event.id, time: event.time, conversion: &event.conversion };
    let urls = sync.urls(&EventNames::new(&send.postback.names, &event.payload, identity));
    (!urls.is_empty()).then_some(LatePixels { network: index, urls, event_id: event.id })
}

/// Longer than anything is awaited.
const SHOWN_WINDOW: Duration = Duration::from_hours(48);
