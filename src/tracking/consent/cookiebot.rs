//! `Cookiebot`: `CookieConsent`, which looks like JSON but has bare keys and single quotes.
//!
//! Outside the regions where it asks, it writes that all is allowed, with `method:'implied'` or
//! `stamp:'-1'`, or as a mere `-1`. A mere `0` is a refusal. Others use the same name for cookies of
//! their own, which say nothing here (npm, `@envato/cookie-consent`).

use http::HeaderMap;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookiebot {
    /// The cookie's name.
    pub cookie: String,
    /// The category that must be agreed to.
    pub category: String,
}

impl Default for Cookiebot {
    fn default() -> Self {
        Self { cookie: "CookieConsent".to_owned(), category: "marketing".to_owned() }
    }
}

impl Cookiebot {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        jar::read(headers, &self.cookie, |text| self.category_in(text))
    }

    fn category_in(&self, text: &str) -> Reading {
        if text == "0" {
            return Reading::Denied;
        }
        let Some(inner) = text.strip_prefix('{') else { return Reading::Undecided };
        let Some(inner) = inner.strip_suffix('}') else { return Reading::Denied };
        let (mut reading, mut method, mut stamp) = (Reading::Absent, "", "");
        for (name, value) in pairs(inner) {
            match name {
                "method" => method = value,
                "stamp" => stamp = value,
                _ if name == self.category => reading = reading.max(Reading::of_word(value, "true")),
                _ => {}
            }
        }
        match reading {
            _ if method == "implied" || stamp == "-1" => Reading::Undecided,
            Reading::Absent => Reading::Denied,
            Reading::Granted => reading.once(method == "explicit"),
            Reading::Undecided | Reading::Denied => reading,
        }
    }
}

/// `name:value` between commas; commas and colons within single quotes belong to the value.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut is_quoted = false;
    let parts = text.split(move |letter| {
        is_quoted ^= letter == '\'';
        letter == ',' && !is_quoted
    });
    parts.filter_map(|part| part.split_once(':')).map(|(name, value)| (name.trim(), value.trim().trim_matches('\'')))
}
