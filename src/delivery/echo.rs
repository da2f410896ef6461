//! What an answer repeats of the events that it answers.
//!
//! An answer to several events is kept with each of their rows, and a row must tell nothing of another
//! visitor: whoever asks what is known of one person is shown its rows.

use crate::{
    store::AnswerRecord,
    tracking::{
        event::{Datum, Event},
        mask::{as_in_json, hide},
        template::sha256,
    },
};

/// The beginning of a body with stars in place of everything that these events brought.
pub(super) fn without<'a>(events: impl Iterator<Item = &'a Event>, body: &[u8]) -> Vec<u8> {
    let head = body.get(..AnswerRecord::MAX_BODY).unwrap_or(body);
    let values: Vec<String> = events.flat_map(values).collect();
    let cut_off = if head.len() < body.len() { cut_off(&head.to_ascii_lowercase(), &values) } else { 0 };
    hide(head.get(..head.len() - cut_off).unwrap_or_default(), values).into_owned()
}

/// Everything that an event brought, in the forms in which a network may repeat it.
fn values(event: &Event) -> Vec<String> {
    let payload = &event.payload;
    let parameters = payload.parameters.values().flat_map(|datum| match datum {
        Datum::One(text) => std::slice::from_ref(text),
        Datum::Many(texts) => texts.as_slice(),
    });
    let texts = payload.fields.values().chain(&payload.clicks).chain(parameters);
    // Shorter ones tell nothing and are found everywhere.
    let texts = texts.filter(|text| text.len() >= SHORTEST);
    texts.flat_map(|text| [text.clone(), as_in_json(text), sha256(text)]).chain([event.id.to_string()]).collect()
}

/// How many bytes at the end of a head begin one of the values that goes on behind it.
fn cut_off(lower_head: &[u8], values: &[String]) -> usize {
    let begins = |value: &String| {
        let value = value.to_ascii_lowercase().into_bytes();
        let longest = lower_head.len().min(value.len().saturating_sub(1));
        (SHORTEST..=longest).rev().find(|length| value.get(..*length).is_some_and(|part| lower_head.ends_with(part)))
    };
    values.iter().filter_map(begins).max().unwrap_or(0)
}

const SHORTEST: usize = 3;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::tracking::{
        event::{EventId, Payload},
        timestamp::Timestamp,
    };

    fn event(number: u128, email: &str) -> Event {
        Event {
            id: EventId::new(Uuid::from_u128(number)),
            time: Timestamp::from_millis(0),
            site: "shop".into(),
            conversion: "purchase".into(),
            network: "mine".into(),
            payload: Payload {
                clicks: vec![format!("click-{number}")],
                fields: BTreeMap::from([("email".into(), email.into()), ("quantity".into(), "2".into())]),
                parameters: BTreeMap::from([("tags".into(), Datum::Many(vec!["Blue \"Shoe\"".into()]))]),
                visitor: Vec::new(),
            },
        }
    }

    #[test]
    fn an_answer_tells_nothing_of_those_it_answers() {
        let events = [event(1, "ada@mail.example"), event(2, "bob@mail.example")];
        let body = format!(
            r#"2 errors: {{"id":"{}","e":"{}","h":"{}","c":"click-1","t":"Blue \"Shoe\""}}"#,
            events[1].id,
            "BOB@mail.example",
            sha256("ada@mail.example"),
        );
        let kept = String::from_utf8(without(events.iter(), body.as_bytes())).unwrap();
        assert_eq!(kept, r#"2 errors: {"id":"***","e":"***","h":"***","c":"***","t":"***"}"#);
    }

    #[test]
    fn a_long_answer_is_not_cut_within_a_value() {
        let email = "ada@mail.example";
        for inside in 3..email.len() {
            let body = ["x".repeat(AnswerRecord::MAX_BODY - inside), email.to_uppercase(), "x".repeat(9)].concat();
            let kept = String::from_utf8(without([event(1, email)].iter(), body.as_bytes())).unwrap();
            assert_eq!(kept, "x".repeat(AnswerRecord::MAX_BODY - inside), "{inside}");
        }
    }

    #[test]
    fn an_answer_that_repeats_nothing_stays_as_it_is() {
        let body = br#"{"data":{"unprocessedRecords":[]}}"#;
        assert_eq!(without([event(1, "ada@mail.example")].iter(), body), body);
    }
}
