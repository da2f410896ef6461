//! Late verdicts on their way into a page: what the visitor's earlier conversions came to, and what is
//! still awaited when this page leaves.
//!
//! The question leaves with the request, as that for the journey does. Only requests that carry our
//! cookie ask; their page waits for the answer no longer than `max_page_delay`.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use pingora::http::ResponseHeader;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use super::{
    super::{
        commit::Pixels,
        late::{self, LatePixels, Told},
        runtime::{TrackedSite, Tracker},
    },
    head, insertion,
};
use crate::{
    metrics::site::Injection,
    store::clock,
    tracking::{
        late::{Awaited, LateSync},
        visit::Visit,
    },
};

/// Verdicts that have been asked for.
pub(super) struct Lookup {
    carried: Option<LateSync>,
    told: Option<JoinHandle<Told>>,
}

impl Lookup {
    /// Asks for the verdicts that the cookie of a request names.
    pub(super) fn start(
        tracker: &Arc<Tracker>,
        site: &Arc<TrackedSite>,
        visit: &Visit,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let carried = visit.late_of(headers, clock::now());
        if carried.is_none() && !visit.may_show_late() {
            return None;
        }
        let asked = carried.clone().filter(|_| visit.may_show_late()).zip(Handle::try_current().ok());
        let told = asked.map(|(late, runtime)| {
            let (tracker, site) = (Arc::clone(tracker), Arc::clone(site));
            runtime.spawn(async move { late::ask(&tracker, &site, &late, tracker.max_page_delay).await })
        });
        Some(Self { carried, told })
    }
}

/// What a page has to do with verdicts that came or come late.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What it shows.
    pub(super) pixels: Vec<Pixels>,
    /// What is awaited further.
    open: Vec<Awaited>,
    /// Whether the visitor's cookie has served.
    is_over: bool,
}

impl Found {
    /// Takes the pixels that the page that begins with this head may show.
    pub(super) async fn of(
        lookup: Option<Lookup>,
        tracker: &Arc<Tracker>,
        site: &TrackedSite,
        visit: &Visit,
        page: Option<&HeaderMap>,
        delay: Duration,
    ) -> Self {
        let Some(Lookup { carried, told }) = lookup else { return Self::default() };
        let open = carried.as_ref().map(|late| late.awaited().to_vec()).unwrap_or_default();
        let unchanged = Self { open, ..Self::default() };
        // What cannot show pixels does not wait for them.
        let Some(headers) = page.filter(|_| visit.may_show_late()) else { return unchanged };
        // One that is not ours, or too old, will never say anything.
        if carried.is_none() {
            return Self { is_over: true, ..Self::default() };
        }
        let Some(told) = told else { return unchanged };
        let shown = async {
            let Told { is_open, mut pixels } = told.await.ok()?;
            let wanted = pixels.len();
            pixels.retain_mut(|pixels| may_show(site, visit, headers, pixels));
            let is_whole = pixels.len() == wanted;
            let shown = late::claim(tracker, pixels, clock::now(), delay).await?;
            Some((shown, !is_open && is_whole))
        };
        let Ok(Some((shown, is_over))) = timeout(delay, shown).await else { return unchanged };
        let pixels =
            shown.into_iter().map(|(network, urls)| Pixels { network, urls, awaits: None, result: Injection::Late });
        let open = if is_over { Vec::new() } else { unchanged.open };
        Self { pixels: pixels.collect(), open, is_over }
    }

    /// Writes down in the visitor's cookie what is awaited from now on; yields it if it is more than before.
    pub(super) fn remember(
        self,
        new: Vec<Awaited>,
        visit: &Visit,
        set: &[String],
        response: &mut ResponseHeader,
    ) -> Option<LateSync> {
        if new.is_empty() {
            if self.is_over {
                head::set_cookies(response, &[visit.no_late_cookie()]);
            }
            return None;
        }
        let late = LateSync::new(self.open.into_iter().chain(new))?;
        if let Some(line) = visit.late_cookie(&late, set) {
            head::set_cookies(response, &[line]);
        }
        Some(late)
    }
}

/// Whether the visitor and the page allow anything of these pixels, and takes out what the page does not.
fn may_show(site: &TrackedSite, visit: &Visit, headers: &HeaderMap, pixels: &mut LatePixels) -> bool {
    if !visit.may_show_late_of(pixels.network) {
        return false;
    }
    if let Some(page) = insertion::restricted_page(headers, visit) {
        pixels.urls.retain(|url| site.csp.lets_load(headers, &page, url));
    }
    if pixels.urls.is_empty() {
        site.metrics.injection(pixels.network, Injection::Csp);
    }
    !pixels.urls.is_empty()
}
