//! `CookieYes`: `cookieyes-consent`, a list of `name:value`.
//!
//! Written as soon as the page loads, in opt-out regions with `advertisement:yes`; only `action` tells
//! whether the visitor has done anything. `consent` is no answer: it is there after a refusal, too.

use http::HeaderMap;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieYes {
    /// The cookie's name.
    pub cookie: String,
    /// The category that must be agreed to.
    pub category: String,
}

impl Default for CookieYes {
    fn default() -> Self {
        Self { cookie: "cookieyes-consent".to_owned(), category: "advertisement".to_owned() }
    }
}

impl CookieYes {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        jar::read(headers, &self.cookie, |text| self.category_in(text))
    }

    fn category_in(&self, text: &str) -> Reading {
        let (mut reading, mut is_list, mut is_chosen) = (Reading::Absent, false, false);
        for (name, value) in text.split(',').filter_map(|pair| pair.split_once(':')) {
            is_list = true;
            match name.trim() {
                "action" => is_chosen |= !value.trim().is_empty(),
                name if name == self.category => reading = reading.max(Reading::of_word(value.trim(), "yes")),
                _ => {}
            }
        }
        if !is_list {
            return Reading::Denied;
        }
        let reading = if reading == Reading::Absent { Reading::Undecided } else { reading };
        reading.once(is_chosen)
    }
}
