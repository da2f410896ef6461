//! Hiding what tells of a person from people who look after conversions.
//!
//! They need orders, clicks and amounts, not addresses. What a network answers is a stranger's text that
//! may repeat what it was sent.

use crate::tracking::{
    event::{Datum, Event, Payload},
    mask::hide,
};

pub use crate::tracking::mask::HIDDEN;

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
pub fn without_personal(text: &[u8], payload: &Payload) -> String {
    // Shorter ones tell nothing and are found everywhere.
    let hidden = hide(text, personal_values(payload).filter(|value| value.len() > 2));
    String::from_utf8_lossy(&hidden).into_owned()
}

/// Everything personal that a conversion brought.
pub fn personal_values(payload: &Payload) -> impl Iterator<Item = &String> {
    let fields = payload.fields.iter().map(|(name, text)| (name, std::slice::from_ref(text)));
    let parameters = payload.parameters.iter().map(|(name, datum)| match datum {
        Datum::One(text) => (name, std::slice::from_ref(text)),
        Datum::Many(texts) => (name, texts.as_slice()),
    });
    fields.chain(parameters).filter(|(name, _)| is_personal(name)).flat_map(|(_, texts)| texts)
}
