//! What is put into one page, on its way into it, and what the page's own policies say to it.
//!
//! Policies in the head of the answer are heeded or amended before the page comes; those in the page
//! itself come to light while it passes, and have the last word when it ends.

use http::{HeaderMap, header};
use pingora::http::ResponseHeader;

use super::{super::commit::Pixels, script::Script};
use crate::{
    html::{
        csp::{self, Amendment, CspMode, Page, meta::MetaPolicies},
        frame::frame_markup,
        pixel::{Referrer, pixel_markup},
    },
    metrics::site::Injection,
    tracking::{
        event::EventId,
        visit::{ClaimEnd, Visit},
    },
};

/// Pixels in the order of their networks in the configuration, and the frame that awaits verdicts.
pub(super) struct Insertion {
    pixels: Vec<Pixels>,
    /// The path of the frame.
    frame: Option<String>,
    page: Page,
    policies: MetaPolicies,
    script: Option<Script>,
}

impl Insertion {
    /// Prepares the head of the answer for them, too.
    pub(super) fn new(
        mut pixels: Vec<Pixels>,
        frame: Option<String>,
        page: Page,
        mode: CspMode,
        response: &mut ResponseHeader,
    ) -> Self {
        pixels.sort_by_key(|pixels| pixels.network);
        if mode == CspMode::Amend {
            let urls = pixels.iter().flat_map(|pixels| &pixels.urls).map(String::as_str);
            amend(response, csp::amended_for_pixels(&response.headers, &page, urls));
            if let Some(path) = &frame {
                amend(response, csp::amended_for_own_frame(&response.headers, &page, path));
            }
        }
        Self { pixels, frame, page, policies: MetaPolicies::default(), script: None }
    }

    /// The same with a script.
    pub(super) fn with_script(self, script: Option<Script>) -> Self {
        Self { script, ..self }
    }

    /// Whether caches may keep the page with it: it is the same for everybody, and does no harm twice.
    pub(super) fn may_be_kept(&self) -> bool {
        self.pixels.is_empty() && self.frame.is_none() && self.script.as_ref().is_some_and(Script::is_for_everybody)
    }

    /// Whose pixels they are, and what is counted when they are in the page.
    pub(super) fn results(&self) -> impl Iterator<Item = (usize, Injection)> {
        self.pixels.iter().map(|pixels| (pixels.network, pixels.result))
    }

    /// The claims whose pixels wait for the page.
    pub(super) fn awaited(&self) -> Vec<EventId> {
        self.pixels.iter().filter_map(|pixels| pixels.awaits).collect()
    }

    /// Looks at the next piece of the page, before anything is undone or inserted.
    pub(super) fn look_at(&mut self, chunk: &[u8]) {
        self.policies.look_at(chunk);
    }

    /// Drops what the page itself forbids, and yields the networks that nothing is left of.
    pub(super) fn drop_forbidden(&mut self) -> Vec<usize> {
        let Self { pixels, frame, page, policies, .. } = self;
        frame.take_if(|path| !policies.let_own_frame(page, path));
        let refused = pixels.extract_if(.., |Pixels { urls, .. }| {
            let wanted = urls.len();
            urls.retain(|url| policies.let_load(page, url));
            urls.is_empty() && wanted > 0
        });
        refused.map(|pixels| pixels.network).collect()
    }

    /// Completes what waited for the page with what it has shown, drops what waited for a proof that it
    /// did not show, and yields those networks.
    pub(super) fn heed(&mut self, ends: &[ClaimEnd]) -> Vec<usize> {
        let refused = self.pixels.extract_if(.., |pixels| {
            let Some(id) = pixels.awaits else { return false };
            let Some(end) = ends.iter().find(|end| end.event_id == id && end.is_proven) else { return true };
            // What no policy has been asked about stays out.
            let is_known = |url: &&String| pixels.urls.iter().any(|known| address(known) == address(url));
            pixels.urls = end.pixels.iter().filter(is_known).cloned().collect();
            false
        });
        refused.map(|pixels| pixels.network).collect()
    }

    /// All of it as markup.
    pub(super) fn markup(&self) -> Vec<u8> {
        let urls = self.pixels.iter().flat_map(|pixels| &pixels.urls).map(String::as_str);
        let mut markup = pixel_markup(urls, Referrer::Page);
        markup.extend(self.frame.iter().flat_map(|path| frame_markup(path)));
        markup.extend(self.script.iter().flat_map(|script| script.markup(&self.page, &self.policies)));
        markup
    }
}

/// A pixel's address without what it says.
fn address(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// Where the visited page stands.
pub(super) fn page(visit: &Visit) -> Page {
    let (scheme, host, port) = visit.origin();
    Page::at(scheme, host, port)
}

/// Where the page stands, if it has a policy that may forbid pixels.
pub(super) fn restricted_page(headers: &HeaderMap, visit: &Visit) -> Option<Page> {
    headers.contains_key(header::CONTENT_SECURITY_POLICY).then(|| page(visit))
}

/// Changes the policies in a head.
pub(super) fn amend(response: &mut ResponseHeader, amendments: Vec<Amendment>) {
    for (name, lines) in amendments {
        response.remove_header(&name);
        for line in lines {
            if response.append_header(name.clone(), line).is_err() {
                tracing::debug!("a response has too many headers");
            }
        }
    }
}
