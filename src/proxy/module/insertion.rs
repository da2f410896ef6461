//! The pixels of one page on their way into it, and what the page's own policies say to them.
//!
//! Policies in the head of the answer are heeded or amended before the page comes; those in the page
//! itself come to light while it passes, and have the last word when it ends.

use http::{HeaderMap, header};
use pingora::http::ResponseHeader;

use crate::{
    html::{
        csp::{self, CspMode, Page, meta::MetaPolicies},
        pixel::pixel_markup,
    },
    tracking::visit::Visit,
};

/// Pixels by network, in the order of the configuration.
pub(super) struct Insertion {
    pixels: Vec<(usize, Vec<String>)>,
    page: Page,
    policies: MetaPolicies,
}

impl Insertion {
    /// Prepares the head of the answer for the pixels, too.
    pub(super) fn new(
        mut pixels: Vec<(usize, Vec<String>)>,
        page: Page,
        mode: CspMode,
        response: &mut ResponseHeader,
    ) -> Self {
        pixels.sort_by_key(|(network, _)| *network);
        if mode == CspMode::Amend {
            amend(response, &page, &pixels);
        }
        Self { pixels, page, policies: MetaPolicies::default() }
    }

    /// Whose pixels they are.
    pub(super) fn networks(&self) -> impl Iterator<Item = usize> {
        self.pixels.iter().map(|(network, _)| *network)
    }

    /// Looks at the next piece of the page, before anything is undone or inserted.
    pub(super) fn look_at(&mut self, chunk: &[u8]) {
        self.policies.look_at(chunk);
    }

    /// Drops what the page itself forbids, and yields the networks that nothing is left of.
    pub(super) fn drop_forbidden(&mut self) -> Vec<usize> {
        let Self { pixels, page, policies } = self;
        let refused = pixels.extract_if(.., |(_, urls)| {
            let wanted = urls.len();
            urls.retain(|url| policies.let_load(page, url));
            urls.is_empty() && wanted > 0
        });
        refused.map(|(network, _)| network).collect()
    }

    /// The pixels as markup.
    pub(super) fn markup(&self) -> Vec<u8> {
        pixel_markup(self.pixels.iter().flat_map(|(_, urls)| urls).map(String::as_str))
    }
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

fn amend(response: &mut ResponseHeader, page: &Page, pixels: &[(usize, Vec<String>)]) {
    let urls = pixels.iter().flat_map(|(_, urls)| urls).map(String::as_str);
    for (name, lines) in csp::amended_for_pixels(&response.headers, page, urls) {
        response.remove_header(&name);
        for line in lines {
            if response.append_header(name.clone(), line).is_err() {
                tracing::debug!("a response has too many headers");
            }
        }
    }
}
