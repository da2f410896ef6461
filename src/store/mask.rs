//! Hiding what tells of a person from people who look after conversions.
//!
//! They need orders, clicks and amounts, not addresses. What a network answers is a stranger's text that
//! may repeat what it was sent.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::tracking::event::{Datum, Event, Payload};

/// What stands in the place of a personal value.
pub const HIDDEN: &str = "***";

/// Whether a value of this name is to be hidden.
///
/// Nobody can tell from a name what an operator's own field holds, so only these are shown.
#[must_use]
pub fn is_personal(name: &str) -> bool {
    !["order_id", "value", "currency", "device_type"].contains(&name)
}

/// An event with stars for what is personal, to build a request for people from.
#[must_use]
pub fn masked(event: &Event) -> Event {
    let mut masked = event.clone();
    let Payload { fields, parameters, visitor, .. } = &mut masked.payload;
    visitor.clear();
    for (_, text) in fields.iter_mut().filter(|(name, _)| is_personal(name)) {
        HIDDEN.clone_into(text);
    }
    for (_, datum) in parameters.iter_mut().filter(|(name, _)| is_personal(name)) {
        match datum {
            Datum::One(text) => HIDDEN.clone_into(text),
            Datum::Many(texts) => texts.iter_mut().for_each(|text| HIDDEN.clone_into(text)),
        }
    }
    masked
}

/// A text without the personal values of a conversion.
#[must_use]
pub fn without_personal(text: &str, payload: &Payload) -> String {
    let fields = payload.fields.iter().map(|(name, text)| (name, std::slice::from_ref(text)));
    let parameters = payload.parameters.iter().map(|(name, datum)| match datum {
        Datum::One(text) => (name, std::slice::from_ref(text)),
        Datum::Many(texts) => (name, texts.as_slice()),
    });
    let personal = fields.chain(parameters).filter(|(name, _)| is_personal(name)).flat_map(|(_, texts)| texts);
    let long_enough: Vec<&String> = personal.filter(|value| value.len() > 2).collect();
    if text.is_empty() || long_enough.is_empty() {
        return text.to_owned();
    }
    // A network may write it in other letters than it was sent.
    let mut finder = AhoCorasick::builder();
    match finder.ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest).build(&long_enough) {
        Ok(finder) => finder.replace_all(text, &vec![HIDDEN; long_enough.len()]),
        Err(_) => HIDDEN.to_owned(),
    }
}
