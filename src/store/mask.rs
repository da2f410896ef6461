//! Hiding what tells of a person from people who look after conversions.
//!
//! They need orders, clicks and amounts, not addresses. What a network answers is a stranger's text that
//! may repeat what it was sent.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

use crate::tracking::event::{Datum, Payload};

/// What stands in the place of a personal value.
pub const HIDDEN: &str = "***";

/// Whether a value of this name is to be hidden.
///
/// Nobody can tell from a name what an operator's own field holds, so only these are shown.
#[must_use]
pub fn is_personal(name: &str) -> bool {
    !["order_id", "value", "currency", "device_type"].contains(&name)
}

/// A text without the personal values of a conversion.
#[must_use]
pub fn without_personal(text: &[u8], payload: &Payload) -> String {
    let fields = payload.fields.iter().map(|(name, text)| (name, std::slice::from_ref(text)));
    let parameters = payload.parameters.iter().map(|(name, datum)| match datum {
        Datum::One(text) => (name, std::slice::from_ref(text)),
        Datum::Many(texts) => (name, texts.as_slice()),
    });
    let personal = fields.chain(parameters).filter(|(name, _)| is_personal(name)).flat_map(|(_, texts)| texts);
    // Shorter ones tell nothing and are found everywhere.
    let hidden = hide(text, personal.filter(|value| value.len() > 2));
    String::from_utf8_lossy(&hidden).into_owned()
}

/// A text with stars in place of these values, in whatever letters it writes them: networks change those.
///
/// Most answers are short and repeat nothing, so nothing is prepared before a value is found.
pub fn hide<T: AsRef<str>>(text: &[u8], values: impl IntoIterator<Item = T>) -> Cow<'_, [u8]> {
    let lower = text.to_ascii_lowercase();
    let found: Vec<String> = values
        .into_iter()
        .filter(|value| (1..=lower.len()).contains(&value.as_ref().len()))
        .map(|value| value.as_ref().to_ascii_lowercase())
        .filter(|value| memmem::find(&lower, value.as_bytes()).is_some())
        .collect();
    if found.is_empty() {
        return text.into();
    }
    let mut finder = AhoCorasick::builder();
    match finder.ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest).build(&found) {
        Ok(finder) => finder.replace_all_bytes(text, &vec![HIDDEN; found.len()]).into(),
        Err(_) => HIDDEN.as_bytes().into(),
    }
}
