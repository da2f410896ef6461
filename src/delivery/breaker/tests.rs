//! The breaker, one fact at a time.

use proptest::prelude::*;

use super::*;
use crate::store::clock;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A breaker and the time.
struct Story {
    breaker: Breaker,
    now: Instant,
}

impl Story {
    fn new() -> Self {
        let now = clock::instant();
        Self { breaker: Breaker::new(8, now), now }
    }

    /// One request after the other.
    fn hears(&mut self, signs: &[Sign]) -> Option<Change> {
        let mut last = None;
        for sign in signs {
            let pass = self.breaker.begin(self.now).expect("it is admitted");
            last = self.breaker.end(pass, *sign, self.now);
        }
        last
    }

    fn waits(&mut self, seconds: u64) {
        self.now += secs(seconds);
    }

    /// How long it stays open from now.
    fn pause(&self) -> Duration {
        match self.breaker.state() {
            BreakerState::Open { until, .. } => until - self.now,
            other @ (BreakerState::Closed { .. } | BreakerState::HalfOpen { .. }) => panic!("not open: {other:?}"),
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.breaker.state(), BreakerState::Closed { .. })
    }

    /// A closed breaker that was open once.
    fn opened() -> Self {
        let mut story = Self::new();
        assert_eq!(story.hears(&[Sign::Failed; 10]), Some(Change::Opened(Trouble::Failing)));
        story
    }
}

#[test]
fn ten_failures_in_a_row_open_it() {
    let mut story = Story::new();
    story.hears(&[Sign::Failed; 9]);
    story.hears(&[Sign::Good]);
    story.hears(&[Sign::Failed; 9]);
    assert!(story.is_closed());
    assert_eq!(story.hears(&[Sign::Failed]), Some(Change::Opened(Trouble::Failing)));
    assert!(story.breaker.is_down() && !story.breaker.admits(story.now));
}

#[test]
fn half_of_twenty_in_a_minute_open_it_and_fewer_do_not() {
    let mut story = Story::new();
    for _ in 0..9 {
        assert_eq!(story.hears(&[Sign::Good, Sign::Failed]), None, "not enough to judge");
    }
    assert_eq!(story.hears(&[Sign::Good, Sign::Failed]), Some(Change::Opened(Trouble::Failing)));

    let mut story = Story::new();
    for _ in 0..30 {
        assert_eq!(story.hears(&[Sign::Good, Sign::Good, Sign::Failed]), None, "a third");
    }
}

#[test]
fn what_is_older_than_a_minute_is_forgotten() {
    let mut story = Story::new();
    for _ in 0..9 {
        story.hears(&[Sign::Failed, Sign::Good]);
    }
    story.waits(61);
    for _ in 0..9 {
        assert_eq!(story.hears(&[Sign::Failed, Sign::Good]), None);
    }
    story.waits(50);
    assert_eq!(story.hears(&[Sign::Failed, Sign::Failed]), Some(Change::Opened(Trouble::Failing)), "the window slides");
}

#[test]
fn it_stays_open_longer_and_longer() {
    let mut story = Story::opened();
    for pause in [30, 60, 120, 240, 300, 300] {
        assert_eq!(story.pause(), secs(pause));
        story.waits(pause - 1);
        assert!(!story.breaker.admits(story.now), "{pause}");
        story.waits(1);
        assert_eq!(story.hears(&[Sign::Failed]), None, "no news");
    }
}

#[test]
fn one_request_probes_and_a_failed_one_ends_it() {
    let mut story = Story::opened();
    story.waits(30);
    let probe = story.breaker.begin(story.now).unwrap();
    assert!(story.breaker.is_down() && story.breaker.begin(story.now).is_none(), "one alone");
    story.waits(15);
    assert_eq!(story.breaker.end(probe, Sign::Failed, story.now), None);
    assert_eq!(story.pause(), secs(60));
}

#[test]
fn a_probe_that_ends_for_a_reason_of_ours_is_followed_by_another() {
    let mut story = Story::opened();
    story.waits(30);
    story.hears(&[Sign::None, Sign::None]);
    assert!(story.breaker.is_down() && story.breaker.admits(story.now));
}

#[test]
fn after_a_good_probe_the_requests_double() {
    let mut story = Story::opened();
    story.waits(30);
    story.hears(&[Sign::Good]);
    assert!(!story.breaker.is_down(), "it takes conversions");
    for places in [2, 4] {
        let passes: Vec<_> = std::iter::from_fn(|| story.breaker.begin(story.now)).take(100).collect();
        assert_eq!(passes.len(), places);
        let changes: Vec<_> =
            passes.into_iter().filter_map(|pass| story.breaker.end(pass, Sign::Good, story.now)).collect();
        assert_eq!(changes, if places == 4 { vec![Change::Closed] } else { vec![] });
    }
    assert!(story.is_closed());
    story.hears(&[Sign::Failed; 10]);
    assert_eq!(story.pause(), secs(30), "a new trouble begins anew");
}

#[test]
fn on_the_ramp_half_of_a_step_opens_it_again() {
    let mut story = Story::opened();
    story.waits(30);
    story.hears(&[Sign::Good, Sign::Good, Sign::Good]);
    assert_eq!(story.hears(&[Sign::Failed]), None, "one of four");
    story.hears(&[Sign::Failed]);
    assert_eq!(story.pause(), secs(60));
}

#[test]
fn answers_to_requests_that_were_under_way_when_it_opened_change_nothing() {
    for sign in [Sign::Good, Sign::Failed, Sign::Refused] {
        let mut story = Story::new();
        let [one, other] = [(); 2].map(|()| story.breaker.begin(story.now).unwrap());
        story.hears(&[Sign::Failed; 10]);
        assert_eq!(story.breaker.end(one, sign, story.now), None);
        assert_eq!(story.pause(), secs(30));
        story.waits(30);
        let probe = story.breaker.begin(story.now).unwrap();
        assert_eq!(story.breaker.end(other, sign, story.now), None);
        assert!(story.breaker.begin(story.now).is_none(), "the probe is not over");
        story.breaker.end(probe, Sign::Good, story.now);
        assert!(story.breaker.admits(story.now));
    }
}

#[test]
fn three_refusals_in_a_row_are_about_the_account() {
    let mut story = Story::new();
    story.hears(&[Sign::Refused, Sign::Refused, Sign::Good, Sign::Refused]);
    assert_eq!(story.hears(&[Sign::Refused]), None);
    assert_eq!(story.hears(&[Sign::Refused]), Some(Change::Opened(Trouble::Credentials)));
    for _ in 0..3 {
        assert_eq!(story.pause(), secs(300), "long, and not longer");
        story.waits(300);
        assert_eq!(story.hears(&[Sign::Refused]), None, "one alarm is enough");
    }
    story.waits(300);
    assert_eq!(story.hears(&[Sign::Good; 7]), Some(Change::Closed), "corrected");
}

#[test]
fn a_refused_probe_is_another_trouble() {
    let mut story = Story::opened();
    story.waits(30);
    assert_eq!(story.hears(&[Sign::Refused]), Some(Change::Opened(Trouble::Credentials)));
    assert_eq!(story.pause(), secs(300));
}

#[test]
fn the_state_tells_since_when_and_why() {
    let mut story = Story::new();
    let (began, trouble) = (story.now, Trouble::Failing);
    assert_eq!(story.breaker.state(), BreakerState::Closed { since: began });
    story.waits(5);
    story.hears(&[Sign::Failed; 10]);
    let since = story.now;
    assert_eq!(story.breaker.state(), BreakerState::Open { since, until: since + secs(30), trouble });
    story.waits(30);
    story.hears(&[Sign::Failed]);
    story.waits(60);
    story.hears(&[Sign::Good]);
    assert_eq!(story.breaker.state(), BreakerState::HalfOpen { since, trouble, places: 2 });
}

#[test]
fn a_renewed_breaker_does_not_listen_to_the_past() {
    let mut story = Story::new();
    let passes: Vec<_> = (0..20).filter_map(|_| story.breaker.begin(story.now)).collect();
    story.breaker = story.breaker.renewed(8, story.now);
    for pass in passes {
        assert_eq!(story.breaker.end(pass, Sign::Failed, story.now), None);
    }
    assert!(story.is_closed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, it is never stuck: once nothing is under way and five minutes have passed, it admits.
    #[test]
    fn it_is_never_stuck(steps in proptest::collection::vec((0..5_u8, 0..40_u64, 0..8_usize), 1..300)) {
        let mut story = Story::new();
        let mut passes = Vec::new();
        for (what, seconds, which) in steps {
            story.waits(seconds);
            let sign = match what {
                0 => { passes.extend(story.breaker.begin(story.now)); continue }
                1 => Sign::Good,
                2 => Sign::Failed,
                3 => Sign::Refused,
                _ => Sign::None,
            };
            if which < passes.len() {
                story.breaker.end(passes.swap_remove(which), sign, story.now);
            }
            if let BreakerState::HalfOpen { places, .. } = story.breaker.state() {
                prop_assert!(places < 8 && places.is_power_of_two());
            }
        }
        for pass in passes {
            story.breaker.end(pass, Sign::None, story.now);
        }
        story.waits(300);
        prop_assert!(story.breaker.admits(story.now));
    }
}
