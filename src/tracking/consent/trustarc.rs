//! `TrustArc`: levels of cookies, in three cookies that may stand side by side.
//!
//! `notice_gdpr_prefs=0,1,2:` lists them from 0, `cmapi_cookie_privacy=permit 1,2,3` from 1, and
//! `notice_preferences=2:` has the highest. Where `notice_behavior`, or what follows the list, says
//! `implied`, the visitor need not have chosen them; a level that is missing is refused all the same.

use http::HeaderMap;

use super::{Reading, jar};
use crate::tracking::cookie;

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustArc {
    /// The level that must be agreed to, counted from 0: usually required, functional, advertising.
    pub level: u8,
}

impl Default for TrustArc {
    fn default() -> Self {
        Self { level: 2 }
    }
}

impl TrustArc {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        let listed = jar::read(headers, "notice_gdpr_prefs", |text| level_in(text, |levels| self.is_among(levels, 0)));
        let highest = jar::read(headers, "notice_preferences", |text| level_in(text, |level| self.is_below(level)));
        let permitted = jar::read(headers, "cmapi_cookie_privacy", |text| self.permitted_in(text));
        let reading = listed.max(highest).max(permitted);
        let is_implied = cookie::find_all(headers, "notice_behavior").any(|regime| regime.starts_with(b"implied"));
        if reading == Reading::Granted { reading.once(!is_implied) } else { reading }
    }

    /// `permit 1,2,3`, then words; after a refusal `permit 1 required`.
    fn permitted_in(&self, text: &str) -> Reading {
        let mut words = text.split([' ', '+']);
        let is_permit = words.next() == Some("permit");
        let is_granted = words.next().and_then(|levels| self.is_among(levels, 1)).unwrap_or(false);
        Reading::of(is_permit && is_granted)
    }

    fn is_among(&self, levels: &str, first: u8) -> Option<bool> {
        let ours = self.level.checked_add(first)?;
        let levels = levels.split(',').map(|level| level.parse::<u8>().ok()).collect::<Option<Vec<u8>>>()?;
        Some(levels.contains(&ours))
    }

    fn is_below(&self, highest: &str) -> Option<bool> {
        Some(self.level <= highest.parse().ok()?)
    }
}

/// `LEVELS:…`, where the rest may tell the regime.
fn level_in(text: &str, is_granted: impl Fn(&str) -> Option<bool>) -> Reading {
    let (levels, regime) = text.split_once(':').unwrap_or((text, ""));
    if levels.is_empty() {
        return Reading::Undecided;
    }
    match is_granted(levels) {
        Some(true) => Reading::Granted.once(!regime.contains("implied")),
        Some(false) | None => Reading::Denied,
    }
}
