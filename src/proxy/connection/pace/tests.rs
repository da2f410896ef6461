use super::*;

fn pace(limits: Limits) -> (Arc<Clock>, Pace) {
    over(limits, false)
}

fn over(limits: Limits, is_http2: bool) -> (Arc<Clock>, Pace) {
    let clock = Arc::new(Clock::default());
    let limits = Limits { min_body_rate: 500, ..limits };
    (Arc::clone(&clock), Pace::new(is_http2, clock, limits))
}

fn after(clock: &Clock, pace: &Pace, milliseconds: u64) -> Option<Over> {
    clock.set(clock.now() + milliseconds);
    pace.look(clock.now());
    pace.over()
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let (clock, pace) = pace(Limits::default());
    assert_eq!(after(&clock, &pace, 59_000), None);
    assert_eq!(after(&clock, &pace, 1000), Some(Over::Idle));
}

#[test]
fn what_arrives_after_the_end_is_not_read() {
    let (clock, pace) = pace(Limits::default());
    assert_eq!(after(&clock, &pace, 60_000), Some(Over::Idle));
    assert!(!pace.has_read(100), "nobody will answer this request");
}

#[test]
fn an_idle_time_does_not_begin_with_the_request_before() {
    let (clock, pace) = pace(Limits::default());
    assert!(pace.has_read(100));
    pace.serving(false);
    assert_eq!(after(&clock, &pace, 1_000_000), None, "a long download");
    pace.idle();
    assert_eq!(after(&clock, &pace, 59_000), None);
    assert!(pace.has_read(100), "just in time");
    assert_eq!(after(&clock, &pace, 9000), None);
}

#[test]
fn http2_must_begin_in_time_and_may_be_silent_then() {
    let (clock, pace) = over(Limits::default(), true);
    pace.has_read(23);
    assert_eq!(after(&clock, &pace, 9000), None);
    pace.has_read(1);
    assert_eq!(after(&clock, &pace, 1_000_000), None);
    let (clock, pace) = over(Limits::default(), true);
    pace.has_read(23);
    assert_eq!(after(&clock, &pace, 10_000), Some(Over::Refused(Refusal::HeaderTimeout)));
}

#[test]
fn time_does_not_end_after_fifty_days() {
    let (clock, pace) = pace(Limits::default());
    pace.has_read(100);
    pace.serving(false);
    assert_eq!(after(&clock, &pace, 1 << 33), None);
    pace.idle();
    assert_eq!(after(&clock, &pace, 60_000), Some(Over::Idle));
}

#[test]
fn the_deadline_of_a_head_is_not_moved_by_bytes_that_drip_in() {
    let (clock, pace) = pace(Limits::default());
    for _ in 0..9 {
        pace.has_read(1);
        assert_eq!(after(&clock, &pace, 1000), None);
    }
    pace.has_read(1);
    assert_eq!(after(&clock, &pace, 1000), Some(Over::Refused(Refusal::HeaderTimeout)));
}

#[test]
fn a_head_that_never_ends_is_too_large() {
    let (_, pace) = pace(Limits::default());
    pace.has_read(65_000);
    pace.has_read(65_000);
    assert_eq!(pace.over(), None, "the rest of the second read may be body");
    pace.has_read(1);
    assert_eq!(pace.over(), Some(Over::Refused(Refusal::HeaderBytes)));
}

#[test]
fn a_body_must_bring_its_rate_while_we_wait_for_it() {
    let (clock, pace) = pace(Limits::default());
    pace.has_read(100);
    pace.serving(true);
    pace.waits_to_read(Waker::noop());
    assert_eq!(after(&clock, &pace, 9000), None);
    pace.has_read(5000);
    // The site is slow to take it; that is not the visitor's fault.
    assert_eq!(after(&clock, &pace, 100_000), None);
    pace.waits_to_read(Waker::noop());
    assert_eq!(after(&clock, &pace, 10_000), None, "5000 bytes are worth ten seconds");
    assert_eq!(after(&clock, &pace, 1000), Some(Over::Refused(Refusal::BodyRate)));
}

#[test]
fn a_served_request_without_a_body_may_take_its_time() {
    let (clock, pace) = pace(Limits::default());
    pace.has_read(100);
    pace.serving(false);
    pace.waits_to_read(Waker::noop());
    assert_eq!(after(&clock, &pace, 1_000_000), None);
}

#[test]
fn a_visitor_who_takes_nothing_for_a_minute_is_gone() {
    let (clock, pace) = pace(Limits::default());
    pace.has_read(100);
    pace.serving(false);
    pace.waits_to_write(Waker::noop());
    assert_eq!(after(&clock, &pace, 59_000), None);
    pace.has_written();
    pace.waits_to_write(Waker::noop());
    assert_eq!(after(&clock, &pace, 59_000), None);
    assert_eq!(after(&clock, &pace, 1000), Some(Over::Refused(Refusal::WriteStall)));
}
