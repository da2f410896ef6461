//! The script in a page that tells us the visitor's choice, and what the page's policies say to it.

use std::sync::Arc;

use pingora::http::ResponseHeader;
use uuid::Uuid;

use super::super::runtime::TrackedSite;
use crate::html::{
    bridge,
    csp::{Page, meta::MetaPolicies},
};

/// A script on its way into a page.
pub(super) struct Script {
    endpoint: Arc<str>,
    nonce: Option<String>,
    is_fresh: bool,
}

impl Script {
    /// Prepares the head of the answer for it; `None` when it may not run there.
    pub(super) fn prepare(site: &TrackedSite, page: &Page, response: &mut ResponseHeader) -> Option<Self> {
        let endpoint = Arc::clone(&site.rules.endpoint);
        // 128 random bits at least (CSP3, section 7.1); a UUID has 122.
        let fresh = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let pass = site.csp.pass_script(&response.headers, page, &address(&endpoint), fresh)?;
        super::insertion::amend(response, pass.amendments);
        Some(Self { endpoint, nonce: pass.nonce, is_fresh: pass.is_fresh })
    }

    /// Whether the page stays one for everybody: it has the nonce that it came with.
    pub(super) const fn is_for_everybody(&self) -> bool {
        !self.is_fresh
    }

    /// The element; nothing if the page's own policies forbid it.
    pub(super) fn markup(&self, page: &Page, policies: &MetaPolicies) -> Vec<u8> {
        let nonce = self.nonce.as_deref().or_else(|| policies.nonce());
        if policies.let_run(page, &address(&self.endpoint), nonce) {
            bridge::script(&self.endpoint, nonce).into_bytes()
        } else {
            Vec::new()
        }
    }
}

fn address(endpoint: &str) -> String {
    format!("{endpoint}/consent")
}
