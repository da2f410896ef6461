//! `Didomi`: `didomi_token`, base64 of JSON with enabled and disabled vendors and purposes
//! (support.didomi.io).
//!
//! Their ids differ from site to site, and one in neither list was not asked for. The IAB's purposes are
//! not in it, but in the TC string beside it. `didomi_dcs`, a binary form that may replace it, is not
//! read.

use base64::{Engine, engine::general_purpose};
use http::HeaderMap;
use serde_json::Value;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Didomi {
    /// The cookie's name.
    pub cookie: String,
    /// The purposes that must be agreed to.
    pub purposes: Vec<String>,
    /// The vendors that must be agreed to.
    pub vendors: Vec<String>,
}

impl Default for Didomi {
    fn default() -> Self {
        Self { cookie: "didomi_token".to_owned(), purposes: Vec::new(), vendors: Vec::new() }
    }
}

impl Didomi {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        jar::read(headers, &self.cookie, |text| self.choice_in(text).unwrap_or(Reading::Denied))
    }

    fn choice_in(&self, text: &str) -> Option<Reading> {
        let letters = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
        let bytes = general_purpose::STANDARD_NO_PAD.decode(letters).ok()?;
        let token = jar::object(std::str::from_utf8(&bytes).ok()?)?;
        let purposes = self.purposes.iter().map(|id| state(&token, "purposes", id));
        let vendors = self.vendors.iter().map(|id| state(&token, "vendors", id));
        Some(purposes.chain(vendors).max().unwrap_or(Reading::Undecided))
    }
}

fn state(token: &Value, kind: &str, id: &str) -> Reading {
    let is_in = |list: &str| {
        let ids = token.get(kind).and_then(|kind| kind.get(list)).and_then(Value::as_array);
        ids.is_some_and(|ids| ids.iter().any(|it| it.as_str() == Some(id)))
    };
    if is_in("disabled") {
        Reading::Denied
    } else if is_in("enabled") {
        Reading::Granted
    } else {
        Reading::Undecided
    }
}
