//! Several events in one request, for networks that take lists of them.
//!
//! Each event is rendered by itself, as if it were sent alone. Requests that differ in nothing but
//! the event are then joined: what stands outside the list (the account, its credentials, headers)
//! must be the same for all. Which events wait, and what an answer means for each, is decided
//! elsewhere.

use serde_json::Value as Json;

use super::Postback;
use crate::tracking::verdict::FailedList;

/// How a network takes several events in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRule {
    /// The JSON pointer (RFC 6901) to the list in the body whose one element is the event.
    pub at: String,
    /// Events in one request, at most.
    pub max: usize,
    /// Bytes of one body, at most; an event that is larger by itself is sent all the same, alone.
    pub max_bytes: usize,
    /// Where an answer names the events that failed, if it does.
    pub failed: Option<FailedList>,
}

/// A request that events join one by one.
#[derive(Debug)]
pub struct Batch<'a> {
    rule: &'a BatchRule,
    /// The request of the first event.
    first: Postback,
    /// Its document with an empty list.
    around: Json,
    around_bytes: usize,
    events: Vec<Json>,
    bytes: usize,
}

/// Why an event does not join a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJoined {
    /// There is no room for it; another request has to be made.
    Full,
    /// Something besides the event differs: it belongs into another request.
    Different,
}

impl<'a> Batch<'a> {
    /// Begins with the request of one event.
    ///
    /// # Errors
    /// Gives the request back when it is not of a form that others could join.
    pub fn begin(rule: &'a BatchRule, first: Postback) -> Result<Self, Box<Postback>> {
        let Some((around, event)) = taken_apart(&first, &rule.at) else { return Err(Box::new(first)) };
        let around_bytes = around.to_string().len();
        let bytes = first.body.len();
        Ok(Self { rule, first, around, around_bytes, events: vec![event], bytes })
    }

    /// Takes the event of another request in.
    ///
    /// # Errors
    /// Says why not; nothing has changed then.
    pub fn join(&mut self, other: &Postback) -> Result<(), NotJoined> {
        if self.is_full() {
            return Err(NotJoined::Full);
        }
        let Postback { method, url, headers, .. } = &self.first;
        if (method, url, headers) != (&other.method, &other.url, &other.headers) {
            return Err(NotJoined::Different);
        }
        let (around, event) = taken_apart(other, &self.rule.at).ok_or(NotJoined::Different)?;
        if around != self.around {
            return Err(NotJoined::Different);
        }
        // With the comma between two.
        let bytes = self.bytes + 1 + other.body.len().saturating_sub(self.around_bytes);
        if bytes > self.rule.max_bytes {
            return Err(NotJoined::Full);
        }
        self.events.push(event);
        self.bytes = bytes;
        Ok(())
    }

    /// Whether it has as many events as it may have.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.events.len() >= self.rule.max
    }

    /// The request with all events, in the order in which they joined.
    #[must_use]
    pub fn finish(self) -> Postback {
        let Self { rule, first, mut around, events, .. } = self;
        // What is sent alone stays as it was rendered.
        if events.len() == 1 {
            return first;
        }
        if let Some(Json::Array(list)) = around.pointer_mut(&rule.at) {
            *list = events;
        }
        Postback { body: around.to_string().into_bytes(), ..first }
    }
}

/// The document without its event, and the event; `None` when there is not exactly one.
fn taken_apart(postback: &Postback, at: &str) -> Option<(Json, Json)> {
    let mut document: Json = serde_json::from_slice(&postback.body).ok()?;
    let list = document.pointer_mut(at)?.as_array_mut()?;
    let event = list.pop().filter(|_| list.is_empty())?;
    Some((document, event))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, header};
    use proptest::prelude::*;
    use serde_json::json;
    use url::Url;

    use super::*;

    fn rule(max: usize, max_bytes: usize) -> BatchRule {
        BatchRule { at: "/data/events".into(), max, max_bytes, failed: None }
    }

    fn postback(account: &str, event: &Json) -> Postback {
        let document = json!({ "account": account, "data": { "events": [event], "end": 1 } });
        Postback {
            method: Method::POST,
            url: Url::parse("https://net.example/events").unwrap(),
            headers: HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Basic eA=="))]),
            body: document.to_string().into_bytes(),
        }
    }

    fn body(postback: &Postback) -> Json {
        serde_json::from_slice(&postback.body).unwrap()
    }

    #[test]
    fn events_of_one_account_share_a_request() {
        let rule = rule(100, 10_000);
        let mut batch = Batch::begin(&rule, postback("a", &json!({ "id": "1" }))).unwrap();
        for id in ["2", "3"] {
            assert_eq!(batch.join(&postback("a", &json!({ "id": id }))), Ok(()));
        }
        let sent = batch.finish();
        let events = json!([{ "id": "1" }, { "id": "2" }, { "id": "3" }]);
        assert_eq!(body(&sent), json!({ "account": "a", "data": { "events": events, "end": 1 } }));
        assert_eq!(sent.url.as_str(), "https://net.example/events");
        assert_eq!(sent.headers.len(), 1);
    }

    #[test]
    fn what_differs_outside_the_list_belongs_into_another_request() {
        let rule = rule(100, 10_000);
        let first = postback("a", &json!(1));
        let other_path = Postback { url: Url::parse("https://net.example/other").unwrap(), ..postback("a", &json!(2)) };
        let other_key = Postback {
            headers: HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Basic eQ=="))]),
            ..postback("a", &json!(2))
        };
        let not_json = Postback { body: b"a=b".to_vec(), ..postback("a", &json!(2)) };
        let mut batch = Batch::begin(&rule, first.clone()).unwrap();
        for other in [postback("b", &json!(2)), other_path, other_key, not_json] {
            assert_eq!(batch.join(&other), Err(NotJoined::Different), "{other:?}");
        }
        assert_eq!(batch.finish().body, first.body, "alone, byte for byte as it was rendered");
    }

    #[test]
    fn a_request_of_another_form_is_given_back() {
        let rule = rule(100, 10_000);
        for body in
            ["", "a=b", "[]", r#"{"data":{"events":[]}}"#, r#"{"data":{"events":[1,2]}}"#, r#"{"data":{"events":1}}"#]
        {
            let odd = Postback { body: body.into(), ..postback("a", &json!(1)) };
            assert_eq!(Batch::begin(&rule, odd).unwrap_err().body, body.as_bytes(), "{body}");
        }
    }

    #[test]
    fn a_request_has_so_many_events_and_bytes() {
        let two = rule(2, 10_000);
        let mut batch = Batch::begin(&two, postback("a", &json!(1))).unwrap();
        assert_eq!(batch.join(&postback("a", &json!(2))), Ok(()));
        assert_eq!(batch.join(&postback("a", &json!(3))), Err(NotJoined::Full));

        let event = json!("x".repeat(100));
        let exact = postback("a", &event).body.len() + 103;
        for (max_bytes, joined) in [(exact, Ok(())), (exact - 1, Err(NotJoined::Full))] {
            let rule = rule(100, max_bytes);
            let mut batch = Batch::begin(&rule, postback("a", &event)).unwrap();
            assert_eq!(batch.join(&postback("a", &event)), joined);
        }
        // Larger by itself: nobody else can send it either.
        let tiny = rule(100, 10);
        assert_eq!(Batch::begin(&tiny, postback("a", &event)).unwrap().finish().body, postback("a", &event).body);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_event_is_in_one_request_that_keeps_its_limits(
            texts in prop::collection::vec("\\PC{0,40}", 1..30), max in 2..8_usize, max_bytes in 60..400_usize,
        ) {
            let rule = rule(max, max_bytes);
            let mut sent = Vec::new();
            let mut open: Option<Batch<'_>> = None;
            for text in &texts {
                let postback = postback("a", &json!({ "t": text }));
                match open.as_mut().map(|batch| batch.join(&postback)) {
                    Some(Ok(())) => {}
                    Some(Err(_)) | None => {
                        sent.extend(open.take().map(Batch::finish));
                        open = Some(Batch::begin(&rule, postback).unwrap());
                    }
                }
            }
            sent.extend(open.map(Batch::finish));
            let mut found = Vec::new();
            for request in &sent {
                let document = body(request);
                let events = document.pointer("/data/events").unwrap().as_array().unwrap();
                prop_assert!(events.len() <= max);
                prop_assert!(events.len() == 1 || request.body.len() <= max_bytes);
                found.extend(events.iter().map(|event| event["t"].as_str().unwrap().to_owned()));
            }
            prop_assert_eq!(found, texts);
        }
    }
}
