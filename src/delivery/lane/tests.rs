//! When a lane is ready, and what it learns.

use super::*;
use crate::{
    delivery::{
        outbound::Outbound,
        rate::Rate,
        route::{Addresses, Route},
    },
    store::clock,
    tracking::verdict::{Repeats, VerdictRules},
};

fn destination() -> Destination {
    Destination::plain("mine")
}

fn lane(destination: Destination) -> (Lane, Instant) {
    let now = clock::instant();
    (Lane::new(Arc::new(destination), now), now)
}

/// One request from its beginning to its end.
fn hears(lane: &mut Lane, judgement: Judgement, heard: Heard, now: Instant) {
    let pass = lane.begin(now).expect("it may begin");
    lane.landed(heard.status.is_some(), now);
    lane.learn(pass, judgement, heard, now);
}

const FAILED: Judgement = Judgement::Retry(RetryReason::Status);

fn answered(status: u16) -> Heard {
    Heard { status: Some(status), asked: None }
}

#[test]
fn what_an_answer_says_about_the_network() {
    let rejected = |rejection| Judgement::Final(Verdict::Rejected(rejection));
    for (judgement, status, expected) in [
        (Judgement::Final(Verdict::Delivered), 200, Sign::Good),
        (Judgement::Final(Verdict::InvalidClick), 404, Sign::Good),
        (rejected(Rejection::Answer), 400, Sign::Good),
        (rejected(Rejection::Status), 400, Sign::Good),
        (rejected(Rejection::Status), 404, Sign::Failed),
        (rejected(Rejection::Status), 410, Sign::Failed),
        (rejected(Rejection::Redirect), 301, Sign::Failed),
        (Judgement::Retry(RetryReason::Unclear), 200, Sign::Good),
        (Judgement::Retry(RetryReason::Unauthorized), 401, Sign::Refused),
        (Judgement::Retry(RetryReason::Status), 503, Sign::Failed),
    ] {
        assert_eq!(sign(judgement, Some(status)), expected, "{judgement:?}");
    }
    for reason in [RetryReason::Connect, RetryReason::Timeout, RetryReason::Reset] {
        assert_eq!(sign(Judgement::Retry(reason), None), Sign::Failed);
    }
}

#[test]
fn a_network_that_has_gone_keeps_most_conversions_from_becoming_dead_letters() {
    let (mut lane, now) = lane(destination());
    for _ in 0..10 {
        assert!(lane.room(now) > 0);
        hears(&mut lane, Judgement::Final(Verdict::Rejected(Rejection::Status)), answered(404), now);
    }
    assert!(lane.breaker.is_down() && lane.room(now) == 0);
    assert!(lane.room(now + Duration::from_secs(30)) > 0);
}

#[test]
fn a_network_that_asks_for_patience_gets_it_within_bounds() {
    for (status, asked, held) in [(429, 120, 120), (503, 120, 120), (429, 0, 1), (503, 86_400, 3600), (500, 120, 0)] {
        let (mut lane, now) = lane(Destination { max_age: Duration::from_hours(48), ..destination() });
        hears(&mut lane, FAILED, Heard { status: Some(status), asked: Some(Duration::from_secs(asked)) }, now);
        assert!(held == 0 || lane.room(now + Duration::from_secs(held - 1)) == 0, "{status} {asked}");
        assert!(lane.room(now + Duration::from_secs(held)) > 0, "{status} {asked}");
    }
}

#[test]
fn patience_ends_before_conversions_are_too_old() {
    let (mut lane, now) = lane(Destination { max_age: Duration::from_mins(10), ..destination() });
    hears(&mut lane, FAILED, Heard { status: Some(503), asked: Some(Duration::from_hours(1)) }, now);
    assert!(lane.room(now + Duration::from_mins(10)) > 0);
}

#[test]
fn a_rate_is_kept() {
    let (mut lane, now) = lane(Destination { rate: Rate::parse("2/s").ok(), ..destination() });
    for _ in 0..2 {
        assert!(lane.bucket.unwrap().has_one(now));
        assert!(lane.begin(now).is_some());
    }
    assert!(!lane.bucket.unwrap().has_one(now));
    assert!(lane.bucket.unwrap().has_one(now + Duration::from_millis(500)));
}

#[test]
fn a_network_is_known_by_its_last_request_and_by_what_hangs() {
    let (mut lane, now) = lane(destination());
    assert_eq!(lane.standing(now), Standing::Unknown);
    hears(&mut lane, FAILED, answered(500), now);
    assert_eq!(lane.standing(now), Standing::Answers, "with whatever");
    let _hanging = lane.begin(now);
    assert_eq!(lane.standing(now + SILENCE), Standing::Silent);
    hears(&mut lane, FAILED, answered(200), now + SILENCE);
    assert_eq!(lane.standing(now + SILENCE), Standing::Answers, "another one was answered");
    lane.landed(false, now + SILENCE);
    assert_eq!(lane.standing(now + SILENCE), Standing::Silent);
}

#[test]
fn a_new_configuration_forgets_troubles_that_it_may_correct_and_keeps_what_is_under_way() {
    let elsewhere = || {
        let route = Route { addresses: Addresses::Any, ..Route::default() };
        Destination { outbound: Outbound { route: Arc::new(route), ..Outbound::default() }, ..destination() }
    };
    let judged = || Destination { verdicts: VerdictRules::default().with_repeats(Repeats::Dropped), ..destination() };
    let slower = || Destination { concurrency: 2, max_age: Duration::from_mins(1), ..destination() };
    for (next, is_down) in [(destination(), true), (slower(), true), (elsewhere(), false), (judged(), false)] {
        let (mut old, now) = lane(destination());
        let _under_way = old.begin(now);
        for _ in 0..3 {
            hears(&mut old, Judgement::Retry(RetryReason::Unauthorized), answered(401), now);
        }
        assert!(old.breaker.is_down());
        let (mut new, _) = lane(next);
        new.succeed(old, now);
        assert_eq!((new.breaker.is_down(), new.room(now) == 0), (is_down, is_down), "{:?}", new.destination);
        assert_eq!(new.in_flight, 1);
    }
}
