//! Requests that are not sent, for people: what a network would have got.
//!
//! They are built from the event without what is personal, and secrets are taken out of what comes of
//! it. A checksum over such values is not the one that would have been sent.

use http::{HeaderName, HeaderValue};

use crate::{
    store::mask::{self, HIDDEN},
    tracking::{event::Event, mask::Mask, postback::PostbackRule},
};

/// The request as it would have gone over the wire; the beginning of a long one.
pub(super) fn request(rule: &PostbackRule, event: &Event, secrets: &Mask) -> String {
    let postback = match rule.render(&mask::masked(event)) {
        Ok(postback) => postback,
        Err(error) => return format!("nothing: {error}"),
    };
    let shown = |(name, value): (&HeaderName, &HeaderValue)| {
        let text = if value.is_sensitive() { HIDDEN.into() } else { String::from_utf8_lossy(value.as_bytes()) };
        format!("{name}: {text}\n")
    };
    let headers: String = postback.headers.iter().map(shown).collect();
    let body = String::from_utf8_lossy(&postback.body);
    let gap = if body.is_empty() { "" } else { "\n" };
    let text = format!("{} {}\n{headers}{gap}{body}", postback.method, postback.url);
    let text = secrets.masked(text.trim_end().as_bytes());
    cut(&String::from_utf8_lossy(&text))
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST);
    match text.get(..end) {
        Some(head) if end < text.len() => format!("{head} …"),
        Some(_) | None => text.to_owned(),
    }
}

/// More than a person reads.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use uuid::Uuid;

    use super::*;
    use crate::{
        config::{Config, Environment},
        tracking::{
            event::{EventId, Payload},
            template::sha256,
            timestamp::Timestamp,
        },
    };

    const CONFIG: &str = "
sites:
  - upstream: http://127.0.0.1:1
    networks:
      mine:
        click: { param: cid, cookie: _cid }
        postback:
          url: https://net.example/pb
          query: { key: s3cret-key, cid: '{click_id}', o: '{order_id}', m: '{email}', h: '{email|sha256}' }
          headers: { x-key: s3cret-key }
    conversions:
      - { name: purchase, path: '/thanks/{order_id}', email: query.email, send: { mine: {} } }
";

    #[test]
    fn what_would_have_been_sent_is_shown_without_secrets_and_personal_values() {
        let config = Config::parse(Path::new("test.yaml"), CONFIG, Environment::Process).expect("a configuration");
        let rule = &config.sites[0].rules.conversions[0].send[0].postback;
        let email = "ada@mail.example";
        let fields = [("order_id", "A-1"), ("email", email)];
        let event = Event {
            id: EventId::new(Uuid::from_u128(1)),
            time: Timestamp::from_millis(0),
            site: "default".into(),
            conversion: "purchase".into(),
            network: "mine".into(),
            payload: Payload {
                clicks: vec!["click-1".to_owned()],
                fields: BTreeMap::from(fields.map(|(name, text)| (name.to_owned(), text.to_owned()))),
                ..Payload::default()
            },
        };
        let shown = request(rule, &event, &Mask::new(["s3cret-key"]));
        assert!(shown.starts_with("GET https://net.example/pb?key=***&cid=click-1&o=A-1&m=***&"), "{shown}");
        assert!(shown.contains("\nx-key: ***"), "{shown}");
        for hidden in ["s3cret", "ada", "mail.example", &sha256(email)] {
            assert!(!shown.contains(hidden), "{hidden} in {shown}");
        }
    }

    #[test]
    fn a_long_request_is_cut_between_letters() {
        let text = "é".repeat(LONGEST);
        assert_eq!(cut(&text).chars().filter(|letter| *letter == 'é').count(), LONGEST / 2);
        assert_eq!(cut("short"), "short");
    }
}
