//! `iubenda`: `_iub_cs-POLICY` or `_iub_cs-sSITE`, JSON with purposes by number.
//!
//! Purpose 4 is measurement, 5 marketing; those that a site does not use are left out. The simple mode
//! has one answer for all, `consent`. Where a site has several policies, the newest counts.

use std::collections::BTreeSet;

use http::HeaderMap;
use serde_json::Value;

use super::{Reading, jar};
use crate::tracking::cookie;

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iubenda {
    /// The policy, as in the cookie's name after `_iub_cs-`; none: any.
    pub policy: Option<String>,
    /// The purpose that must be agreed to.
    pub purpose: String,
}

impl Default for Iubenda {
    fn default() -> Self {
        Self { policy: None, purpose: "5".to_owned() }
    }
}

impl Iubenda {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        let ours = cookie::pairs(headers).filter_map(|(name, value)| {
            let policy = name.strip_prefix(b"_iub_cs-").filter(|policy| self.is_ours(policy))?;
            Some((policy, value))
        });
        let mut saved = Vec::new();
        for (policy, value) in ours {
            if value.is_empty() {
                continue;
            }
            let Some((time, reading)) = jar::decoded(value).and_then(|text| self.saved_in(&text)) else {
                return Reading::Denied;
            };
            saved.push((time, policy, reading));
            if saved.len() > MAX_POLICIES {
                return Reading::Denied;
            }
        }
        let newest = saved.iter().map(|(time, ..)| time).max();
        let policies: BTreeSet<_> =
            saved.iter().filter(|(time, ..)| Some(time) == newest).map(|(_, policy, _)| policy).collect();
        saved.iter().filter(|(_, policy, _)| policies.contains(policy)).map(|(.., reading)| *reading).max().into()
    }

    /// Cookies that go on after the number are others: `-granular`, `-uspr-…`.
    fn is_ours(&self, policy: &[u8]) -> bool {
        let digits = policy.strip_prefix(b"s").unwrap_or(policy);
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        is_number && self.policy.as_ref().is_none_or(|ours| ours.as_bytes() == policy)
    }

    /// When it was saved, and what; times of one form, which sort as texts.
    fn saved_in(&self, text: &str) -> Option<(String, Reading)> {
        let saved = jar::object(text)?;
        let time = saved.get("timestamp")?.as_str().filter(|time| time.len() == TIME.len() && time.ends_with('Z'))?;
        let choice = match saved.get("purposes") {
            Some(purposes) => purposes.as_object()?.get(&self.purpose),
            None => saved.get("consent"),
        };
        let reading = match choice {
            None | Some(Value::Null) => Reading::Undecided,
            Some(choice) => Reading::of(choice.as_bool().unwrap_or(false)),
        };
        Some((time.to_owned(), reading))
    }
}

const TIME: &str = "2026-01-02T03:04:05.000Z";
/// A site has one, or one for each language.
const MAX_POLICIES: usize = 16;
