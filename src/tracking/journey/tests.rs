use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

use super::{
    bound::{MAX_CLICKS, MAX_KEYS, MAX_LENGTH},
    *,
};

const OLD: &str = "an old secret of more than thirty-two characters";
const NEW: &str = "a new secret of more than thirty-two characters";
const DAY: Duration = Duration::from_hours(24);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn click(network: &str, id: &str, time: i64) -> RecalledClick {
    RecalledClick { network: network.to_owned(), id: id.to_owned(), time: at(time), is_carried: false }
}

fn ids(clicks: &[&RecalledClick]) -> Vec<String> {
    clicks.iter().map(|click| click.id.clone()).collect()
}

fn merged(mut one: Journey, other: Journey) -> Journey {
    one.merge(other);
    one
}

fn length(journey: &Journey) -> usize {
    serde_json::to_vec(journey).unwrap().len()
}

#[test]
fn the_newest_of_everything_stays() {
    let older = Journey {
        fields: BTreeMap::from([
            ("email".to_owned(), Remembered::new("old@shop.example", at(1))),
            ("phone".to_owned(), Remembered::new("1", at(9))),
        ]),
        passed: BTreeMap::from([("checkout".to_owned(), at(3))]),
        consent: Some(Remembered::new("granted", at(2))),
        client_ip: Some(Remembered::new("192.0.2.0", at(2))),
        ..Journey::default()
    };
    let newer = Journey {
        fields: BTreeMap::from([
            ("email".to_owned(), Remembered::new("new@shop.example", at(5))),
            ("phone".to_owned(), Remembered::new("2", at(4))),
        ]),
        passed: BTreeMap::from([("checkout".to_owned(), at(2)), ("order".to_owned(), at(6))]),
        channel: Some(Remembered::new("gclid", at(1))),
        consent: Some(Remembered::new("denied", at(7))),
        ..Journey::default()
    };
    let journey = merged(older, newer);
    assert_eq!((journey.field("email"), journey.field("phone")), (Some("new@shop.example"), Some("1")));
    assert_eq!(journey.passed, BTreeMap::from([("checkout".to_owned(), at(3)), ("order".to_owned(), at(6))]));
    assert_eq!(journey.consent, Some(Remembered::new("denied", at(7))));
    assert_eq!(journey.client_ip, Some(Remembered::new("192.0.2.0", at(2))));
    assert_eq!((journey.channel.as_ref().map(|it| it.time), journey.newest()), (Some(at(1)), Some(at(9))));
}

#[test]
fn a_click_counts_once_and_until_it_is_too_old() {
    let mut journey = Journey { clicks: vec![click("exo", "a", 0), click("exo", "b", 10)], ..Journey::default() };
    journey.merge(Journey { clicks: vec![click("exo", "a", 20), click("rokt", "c", 5)], ..Journey::default() });
    assert_eq!(ids(&journey.clicks_of("exo", at(20), DAY)), ["b", "a"]);
    assert_eq!(ids(&journey.clicks_of("exo", at(20).plus(DAY), DAY)), ["a"]);
    assert_eq!(ids(&journey.clicks_of("rokt", at(0), DAY)), ["c"], "another node's clock is ahead");
    assert!(journey.clicks_of("mine", at(20), DAY).is_empty());
}

#[test]
fn a_click_that_was_only_seen_in_a_cookie_came_before_all_that_is_known() {
    let carried = |id: &str, time| RecalledClick { is_carried: true, ..click("exo", id, time) };
    let journey = Journey { clicks: vec![click("exo", "a", 10)], ..Journey::default() };
    let seen = Journey { clicks: vec![carried("a", 20), carried("b", 20)], ..Journey::default() };
    for journey in [merged(journey.clone(), seen.clone()), merged(seen.clone(), journey)] {
        let clicks = journey.clicks_of("exo", at(20), DAY);
        assert_eq!(ids(&clicks), ["b", "a"]);
        assert_eq!((clicks[1].time, clicks[1].is_carried), (at(10), false), "no younger than its arrival");
    }
    let again = merged(seen.clone(), Journey { clicks: vec![carried("b", 30)], ..Journey::default() });
    assert_eq!(again.clicks.last().map(|click| (click.time, click.is_carried)), Some((at(30), true)));
    let stored: Journey = serde_json::from_str(&serde_json::to_string(&again).unwrap()).unwrap();
    assert_eq!(stored, again);
    let before = r#"{"clicks": [{"network": "exo", "id": "a", "time": 10}]}"#;
    assert_eq!(serde_json::from_str::<Journey>(before).unwrap().clicks, [click("exo", "a", 10)]);
}

#[test]
fn each_network_keeps_its_newest_clicks() {
    let clicks = (0..30).map(|number| click("exo", &format!("id{number}"), number)).collect();
    let other = Journey { clicks: vec![click("rokt", "r", 0)], ..Journey::default() };
    let journey = merged(other, Journey { clicks, ..Journey::default() });
    let kept = journey.clicks_of("exo", at(30), DAY);
    assert_eq!((kept.len(), kept[0].id.as_str(), kept[9].id.as_str()), (MAX_CLICKS, "id20", "id29"));
    assert_eq!(journey.clicks_of("rokt", at(30), DAY).len(), 1);
}

#[test]
fn a_capture_passed_long_ago_no_longer_counts() {
    let mut journey = Journey::default();
    journey.pass("checkout", at(5));
    journey.pass("checkout", at(1));
    assert!(journey.has_passed("checkout", at(5).plus(DAY), DAY));
    assert!(!journey.has_passed("checkout", at(6).plus(DAY), DAY));
    assert!(!journey.has_passed("basket", at(5), DAY));
}

#[test]
fn what_is_oldest_makes_room() {
    let long = |number: i64| (format!("field{number}"), Remembered::new("ü\n".repeat(300), at(number)));
    let mut journey = Journey { fields: (0..20).map(long).collect(), ..Journey::default() };
    journey.user_agent = Some(Remembered::new("x".repeat(4000), at(-1)));
    journey.merge(Journey { clicks: vec![click("exo", "old", -2), click("exo", "new", 100)], ..Journey::default() });
    assert!(length(&journey) <= MAX_LENGTH, "{}", length(&journey));
    assert!(journey.field("field19").is_some() && journey.field("field0").is_none() && journey.user_agent.is_none());
    assert_eq!(ids(&journey.clicks_of("exo", at(100), DAY)), ["new"]);
    assert!(journey.fields.len() >= 5, "no more goes than must: {}", journey.fields.len());
}

#[test]
fn a_visitor_who_changes_sessions_keeps_the_newest_keys() {
    let key = |number: u8| JourneyKey::from_bytes([number; 16]);
    let mut journey = Journey::default();
    for number in 0..40 {
        journey.merge(Journey { keys: BTreeMap::from([(key(number), at(number.into()))]), ..Journey::default() });
    }
    assert_eq!(journey.keys.len(), MAX_KEYS);
    assert!(journey.keys.contains_key(&key(39)) && !journey.keys.contains_key(&key(0)) && journey.is_empty());
}

#[test]
fn a_journey_that_goes_on_forgets_how_it_began() {
    let mut journey = Journey {
        clicks: vec![click("exo", "a", 0), click("exo", "b", 9)],
        fields: BTreeMap::from([("email".to_owned(), Remembered::new("a@b.example", at(0)))]),
        passed: BTreeMap::from([("checkout".to_owned(), at(0))]),
        consent: Some(Remembered::new("granted", at(9))),
        keys: BTreeMap::from([(JourneyKey::from_bytes([1; 16]), at(0))]),
        ..Journey::default()
    };
    journey.expire(at(5).plus(DAY), DAY);
    assert_eq!((ids(&journey.clicks_of("exo", at(9), DAY)), journey.field("email")), (vec!["b".to_owned()], None));
    assert!(journey.passed.is_empty() && journey.keys.is_empty() && journey.consent.is_some());
    journey.expire(at(10).plus(DAY), DAY);
    assert!(journey.is_empty() && journey.newest().is_none());
}

#[test]
fn nothing_of_a_visitor_is_printed() {
    let journey = Journey {
        clicks: vec![click("exo", "canary", 0)],
        fields: BTreeMap::from([("email".to_owned(), Remembered::new("canary", at(0)))]),
        ..Journey::default()
    };
    assert!(!format!("{journey:?}").contains("canary"));
}

#[test]
fn an_older_or_newer_record_can_be_read() {
    assert_eq!(serde_json::from_str::<Journey>("{}").unwrap(), Journey::default());
    let newer = r#"{"passed":{"checkout":5},"invented":{"later":true}}"#;
    assert!(serde_json::from_str::<Journey>(newer).unwrap().has_passed("checkout", at(5), DAY));
}

#[test]
fn keys_differ_by_secret_site_kind_name_and_value() {
    let keys = JourneyKeys::new([NEW]).unwrap();
    let id = Uuid::from_u128(7);
    let text = id.to_string();
    let made = [
        keys.visitor("shop", id),
        keys.visitor("other", id),
        keys.visitor("shop", Uuid::from_u128(8)),
        keys.order("shop", &text),
        keys.session("shop", "cookie.PHPSESSID", &text),
        keys.session("shop", "cookie.sid", &text),
        keys.session("shop", "cookie.si", &format!("d{text}")),
        JourneyKeys::new([OLD]).unwrap().visitor("shop", id),
    ];
    let different: std::collections::BTreeSet<_> = made.iter().flatten().collect();
    assert_eq!(different.len(), made.len());
    assert_eq!(keys.visitor("shop", id), JourneyKeys::new([NEW]).unwrap().visitor("shop", id));
}

#[test]
fn a_key_is_the_hmac_that_it_is_documented_to_be() {
    // python3: hmac(hmac(b"throughline journeys", secret), lengths and parts), each with SHA-256.
    let key = JourneyKeys::new([NEW]).unwrap().order("shop", "17").unwrap();
    assert_eq!(key.to_string(), "e7399913cecb1d823e3114a826767a3a");
}

#[test]
fn a_journey_is_found_after_the_secret_changed() {
    let order = Identifier::Order("17");
    let written = JourneyKeys::new([OLD]).unwrap().first("shop", order).unwrap();
    let keys = JourneyKeys::new([NEW, OLD]).unwrap();
    assert!(keys.all("shop", order).contains(&written));
    assert_eq!(keys.first("shop", order), keys.all("shop", order).first().copied());
    assert_ne!(keys.first("shop", order), Some(written));
}

#[test]
fn what_visitors_share_is_no_key() {
    let keys = JourneyKeys::new([NEW]).unwrap();
    for shared in ["", "0", "deleted", "null", "undefined"] {
        assert_eq!(keys.session("shop", "cookie.PHPSESSID", shared), None, "{shared}");
    }
    assert!(keys.order("shop", "").is_none() && keys.visitor("shop", Uuid::nil()).is_none());
    assert!(keys.order("shop", "1").is_some() && keys.session("shop", "cookie.sid", "0123456789abcdef").is_some());
}

#[test]
fn a_short_secret_is_refused() {
    assert!(JourneyKeys::new(["hunter2"]).is_err() && JourneyKeys::new([]).is_err());
    assert!(!format!("{:?}", JourneyKeys::new([NEW]).unwrap()).contains("secret of"));
}

#[test]
fn a_key_is_written_as_hexadecimal_digits() {
    let key = JourneyKey::from_bytes([0, 1, 0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]);
    assert_eq!(serde_json::to_string(&key).unwrap(), "\"0001ab000000000000000000000000ff\"");
    assert_eq!(JourneyKey::parse(&key.to_string()), Some(key));
    for wrong in ["", "+001ab000000000000000000000000ff", "0001ab000000000000000000000000f"] {
        assert_eq!(JourneyKey::parse(wrong), None, "{wrong}");
    }
}

/// A few names and times, so that parts overlap; texts long enough to reach the bounds at times.
fn journeys() -> impl Strategy<Value = Journey> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d", "e", "f"]).prop_map(ToOwned::to_owned);
    let time = || (0_i64..40).prop_map(Timestamp::from_millis);
    let remembered = || {
        (prop::sample::select(vec![1, 20, 900]), "[a-z]", time())
            .prop_map(|(times, letter, time)| Remembered::new(letter.repeat(times), time))
    };
    let click = (name(), 0_u8..9, time(), any::<bool>()).prop_map(|(network, id, time, is_carried)| RecalledClick {
        network,
        id: id.to_string(),
        time,
        is_carried,
    });
    let key = any::<[u8; 1]>().prop_map(|[byte]| JourneyKey::from_bytes([byte; 16]));
    let single = || prop::option::of(remembered());
    (
        vec(click, 0..30),
        prop::collection::btree_map(name(), remembered(), 0..6),
        prop::collection::btree_map(name(), time(), 0..6),
        (single(), single(), single(), single()),
        prop::collection::btree_map(key, time(), 0..20),
    )
        .prop_map(|(clicks, fields, passed, (channel, consent, client_ip, user_agent), keys)| {
            let journey = Journey { clicks, fields, passed, channel, consent, client_ip, user_agent, keys };
            merged(Journey::default(), journey)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn parts_merge_in_any_order(one in journeys(), other in journeys()) {
        prop_assert_eq!(merged(one.clone(), other.clone()), merged(other, one));
    }

    #[test]
    fn what_is_known_already_changes_nothing(one in journeys(), other in journeys()) {
        prop_assert_eq!(merged(one.clone(), one.clone()), one.clone());
        let both = merged(one, other.clone());
        prop_assume!(length(&both) < MAX_LENGTH - 2_000);
        prop_assert_eq!(merged(both.clone(), other), both);
    }

    #[test]
    fn a_journey_stays_small_and_comes_back_from_its_record(one in journeys(), other in journeys()) {
        let journey = merged(one, other);
        prop_assert!(length(&journey) <= MAX_LENGTH);
        prop_assert_eq!(serde_json::from_slice::<Journey>(&serde_json::to_vec(&journey).unwrap()).unwrap(), journey);
    }
}
