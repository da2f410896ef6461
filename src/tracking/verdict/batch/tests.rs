use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::tracking::verdict::{BodyPattern, JsonPattern, Repeats, StatusPattern, VerdictRule};

const DELIVERED: Fate = Fate::Judged(Judgement::Final(Verdict::Delivered));
const REJECTED: Fate = Fate::Judged(Judgement::Final(Verdict::Rejected(Rejection::Answer)));
const UNCLEAR: Fate = Fate::Judged(super::UNCLEAR);
const RETRY: Fate = Fate::Judged(Judgement::Retry(RetryReason::Status));

fn id(number: u128) -> EventId {
    EventId::new(Uuid::from_u128(number))
}

fn ids(count: u128) -> Vec<EventId> {
    (1..=count).map(id).collect()
}

fn failed() -> FailedList {
    FailedList {
        list: "/data/failed".into(),
        id: "/record/id".into(),
        code: Some("/error/code".into()),
        retry: vec!["Busy".into(), "17".into()],
    }
}

/// As Rokt's: any failure refuses a request, none delivers it, a code refuses it as a whole.
fn rules() -> VerdictRules {
    let rule = |pointer: &str, pattern, judgement| VerdictRule {
        status: vec![StatusPattern::Class(2)],
        body: vec![BodyPattern::Json(pointer.into(), pattern)],
        judgement: Judgement::Final(judgement),
    };
    VerdictRules::new(vec![
        rule("/data/failed", JsonPattern::NonEmpty, Verdict::Rejected(Rejection::Answer)),
        rule("/data/code", JsonPattern::NonEmpty, Verdict::Rejected(Rejection::Answer)),
        rule("/data/failed", JsonPattern::Empty, Verdict::Delivered),
    ])
}

fn judge(status: u16, body: &str, count: u128) -> BatchJudgement {
    rules().judge_batch(Some(&failed()), Answer { status, body: Some(body.as_bytes()) }, &ids(count))
}

fn fates(status: u16, body: &str, count: u128) -> Vec<Fate> {
    judge(status, body, count).events.iter().map(|event| event.fate).collect()
}

fn record(number: u128, code: &str) -> Value {
    json!({ "error": { "code": code }, "record": { "id": id(number).to_string(), "email": "ada@mail.example" } })
}

fn listing(records: &[Value]) -> String {
    json!({ "data": { "failed": records } }).to_string()
}

#[test]
fn an_answer_without_failures_is_about_all() {
    for body in [listing(&[]), r#"{"data":{}}"#.into(), r#"{"data":{"failed":null}}"#.into()] {
        assert_eq!(fates(200, &body, 3), [DELIVERED; 3], "{body}");
    }
}

#[test]
fn a_listed_event_is_judged_by_its_record_and_the_others_are_not() {
    let answer = listing(&[record(2, "ValidationError"), record(3, "Busy")]);
    assert_eq!(fates(200, &answer, 4), [DELIVERED, REJECTED, RETRY, DELIVERED]);
}

#[test]
fn what_is_kept_of_an_answer_is_about_one_event_and_names_nobody() {
    let judged = judge(200, &listing(&[record(2, "ValidationError")]), 2);
    let kept = judged.events[1].record.as_deref().unwrap();
    assert_eq!(kept, format!(r#"{{"error":{{"code":"ValidationError"}},"record":{{"id":"{}"}}}}"#, id(2)));
    assert_eq!(judged.events[0].record, None);
    assert_eq!(judged.rest.as_deref(), Some(br#"{"data":{"failed":[]}}"#.as_slice()));
}

#[test]
fn ids_are_known_in_every_way_of_writing_them() {
    let id = id(0xabc_def).to_string();
    for written in [id.to_uppercase(), id.replace('-', "")] {
        let answer = listing(&[json!({ "record": { "id": written } })]);
        let judged = rules().judge_batch(
            Some(&failed()),
            Answer { status: 200, body: Some(answer.as_bytes()) },
            &[self::id(1), self::id(0xabc_def)],
        );
        assert_eq!(judged.events[1].fate, REJECTED, "{written}");
    }
}

#[test]
fn records_of_others_are_ignored_and_repeated_ones_count_once() {
    let strange = json!({ "error": {}, "record": { "id": "order-7" } });
    assert_eq!(fates(200, &listing(&[record(9, "x"), strange]), 2), [DELIVERED; 2]);
    assert_eq!(fates(200, &listing(&[record(1, "x"), record(1, "x")]), 2), [REJECTED, DELIVERED]);
    assert_eq!(fates(200, &listing(&[record(1, "Busy"), record(1, "x")]), 2), [REJECTED, DELIVERED], "final decides");
    assert_eq!(fates(200, &listing(&[record(1, "17")]), 2), [RETRY, DELIVERED]);
}

#[test]
fn a_failure_that_names_nobody_leaves_doubts_about_all_that_are_not_named() {
    for nameless in [json!({ "error": { "code": "Busy" } }), json!(7), json!({ "record": { "id": null } })] {
        assert_eq!(fates(200, &listing(&[nameless, record(1, "x")]), 2), [REJECTED, UNCLEAR]);
    }
}

#[test]
fn a_list_that_cannot_be_read_is_unclear() {
    for body in ["", "<html>", r#"{"data":{"failed":"two"}}"#, r#"{"data":{"failed":{"1":"x"}}}"#] {
        assert_eq!(fates(200, body, 2), [UNCLEAR; 2], "{body}");
    }
    let judged = rules().judge_batch(Some(&failed()), Answer { status: 200, body: None }, &ids(2));
    assert_eq!(judged.events[0].fate, UNCLEAR, "endless or broken off");
    // Without rules on bodies, too, a success has to be readable where failures are listed.
    let plain = VerdictRules::default();
    let html = Answer { status: 200, body: Some(b"<html>") };
    assert_eq!(plain.judge_batch(Some(&failed()), html, &ids(2)).events[0].fate, UNCLEAR);
    assert_eq!(plain.judge_batch(None, html, &ids(2)).events[0].fate, DELIVERED);
}

#[test]
fn what_is_unclear_is_asked_again_where_repeats_are_dropped() {
    let (rules, again) = (rules().with_repeats(Repeats::Dropped), Fate::Judged(Judgement::Retry(RetryReason::Unclear)));
    for body in ["<html>", r#"{"data":{"failed":"two"}}"#] {
        let answer = Answer { status: 200, body: Some(body.as_bytes()) };
        let judged = rules.judge_batch(Some(&failed()), answer, &ids(2));
        assert!(judged.events.iter().all(|event| event.fate == again), "{body} {judged:?}");
    }
}

#[test]
fn whatever_is_said_in_answer_to_one_event_is_said_of_it() {
    let strange = json!({ "error": { "code": "Busy" }, "record": { "id": "order-7" } });
    for (records, fate) in [
        (vec![record(1, "x")], REJECTED),
        (vec![record(1, "Busy")], RETRY),
        (vec![strange.clone()], RETRY),
        (vec![strange, record(9, "x")], REJECTED),
        (vec![json!("no")], REJECTED),
        (vec![], DELIVERED),
    ] {
        assert_eq!(fates(200, &listing(&records), 1), [fate], "{records:?}");
    }
}

#[test]
fn a_request_refused_as_a_whole_is_taken_apart() {
    for (status, body) in [
        (400, r#"{"data":{"code":"RequestValidationError"}}"#),
        (200, r#"{"data":{"code":"RequestValidationError"}}"#),
        (413, ""),
        (422, "<html>"),
    ] {
        assert_eq!(fates(status, body, 3), [Fate::Alone; 3], "{status} {body}");
        assert!(
            matches!(fates(status, body, 1)[..], [Fate::Judged(Judgement::Final(Verdict::Rejected(_)))]),
            "{status}"
        );
    }
    let known = VerdictRule {
        status: vec![StatusPattern::Exactly(409)],
        body: vec![],
        judgement: Judgement::Final(Verdict::AlreadyKnown),
    };
    let answer = Answer { status: 409, body: Some(b"") };
    let judged = VerdictRules::new(vec![known]).judge_batch(None, answer, &ids(2));
    assert_eq!(judged.events[0].fate, Fate::Alone, "one of them is known, or both are");
}

#[test]
fn trouble_that_is_about_no_event_takes_nothing_apart() {
    for status in [408, 429, 500, 503] {
        assert_eq!(fates(status, &listing(&[record(1, "x")]), 2), [RETRY; 2], "{status}");
    }
    let unauthorized = Fate::Judged(Judgement::Retry(RetryReason::Unauthorized));
    assert_eq!(fates(401, "", 2), [unauthorized; 2]);
    let moved = Fate::Judged(Judgement::Final(Verdict::Rejected(Rejection::Redirect)));
    assert_eq!(fates(301, "", 2), [moved; 2]);
}

#[test]
fn what_is_refused_beside_a_listed_event_is_sent_alone() {
    // A network that calls the request failed as soon as one event is.
    let rule = VerdictRule {
        status: vec![],
        body: vec![BodyPattern::Json("/ok".into(), JsonPattern::Equals("false".into()))],
        judgement: Judgement::Final(Verdict::Rejected(Rejection::Answer)),
    };
    let answer = json!({ "ok": false, "data": { "failed": [record(1, "x")] } }).to_string();
    let answer = Answer { status: 200, body: Some(answer.as_bytes()) };
    let judged = VerdictRules::new(vec![rule]).judge_batch(Some(&failed()), answer, &ids(2));
    assert_eq!([judged.events[0].fate, judged.events[1].fate], [REJECTED, Fate::Alone]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_event_gets_one_judgement_whatever_is_answered(
        status in 100..600_u16, body in prop::option::of(prop::collection::vec(any::<u8>(), 0..80)), count in 1..5_u128,
    ) {
        let judged = rules().judge_batch(Some(&failed()), Answer { status, body: body.as_deref() }, &ids(count));
        prop_assert_eq!(judged.events.len(), ids(count).len());
        prop_assert!(count > 1 || judged.events.iter().all(|event| event.fate != Fate::Alone));
    }

    #[test]
    fn exactly_the_listed_events_fail(listed in prop::collection::btree_set(1..20_u128, 0..20)) {
        let records: Vec<_> = listed.iter().map(|number| record(*number, "x")).collect();
        let fates = fates(200, &listing(&records), 20);
        for (number, fate) in (1..=20).zip(fates) {
            prop_assert_eq!(fate == REJECTED, listed.contains(&number));
            prop_assert!(fate == REJECTED || fate == DELIVERED);
        }
    }
}
