use super::*;
use crate::proxy::listener::Facts;

fn connection(limits: Limits) -> (Arc<Clock>, Connection) {
    over(limits, false)
}

fn over(limits: Limits, is_http2: bool) -> (Arc<Clock>, Connection) {
    let clock = Arc::new(Clock::default());
    let address = SocketAddr::from(([192, 0, 2, 1], 1));
    let limits = Limits { min_body_rate: 500, ..limits };
    let connection =
        Connection::new((address, address), (false, is_http2), Arc::new(Facts::default()), Arc::clone(&clock), limits);
    (clock, connection)
}

fn after(clock: &Clock, connection: &Connection, milliseconds: u64) -> Option<Over> {
    clock.set(clock.now() + milliseconds);
    connection.look(clock.now());
    connection.over()
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let (clock, connection) = connection(Limits::default());
    assert_eq!(after(&clock, &connection, 59_000), None);
    assert_eq!(after(&clock, &connection, 1000), Some(Over::Idle));
}

#[test]
fn what_arrives_after_the_end_is_not_read() {
    let (clock, connection) = connection(Limits::default());
    assert_eq!(after(&clock, &connection, 60_000), Some(Over::Idle));
    assert!(!connection.has_read(100), "nobody will answer this request");
}

#[test]
fn an_idle_time_does_not_begin_with_the_request_before() {
    let (clock, connection) = connection(Limits::default());
    assert!(connection.has_read(100));
    connection.serving(false);
    assert_eq!(after(&clock, &connection, 1_000_000), None, "a long download");
    connection.idle();
    assert_eq!(after(&clock, &connection, 59_000), None);
    assert!(connection.has_read(100), "just in time");
    assert_eq!(after(&clock, &connection, 9000), None);
}

#[test]
fn http2_must_begin_in_time_and_may_be_silent_then() {
    let (clock, connection) = over(Limits::default(), true);
    connection.has_read(23);
    assert_eq!(after(&clock, &connection, 9000), None);
    connection.has_read(1);
    assert_eq!(after(&clock, &connection, 1_000_000), None);
    let (clock, connection) = over(Limits::default(), true);
    connection.has_read(23);
    assert_eq!(after(&clock, &connection, 10_000), Some(Over::Refused(Refusal::HeaderTimeout)));
}

#[test]
fn time_does_not_end_after_fifty_days() {
    let (clock, connection) = connection(Limits::default());
    connection.has_read(100);
    connection.serving(false);
    assert_eq!(after(&clock, &connection, 1 << 33), None);
    connection.idle();
    assert_eq!(after(&clock, &connection, 60_000), Some(Over::Idle));
}

#[test]
fn the_deadline_of_a_head_is_not_moved_by_bytes_that_drip_in() {
    let (clock, connection) = connection(Limits::default());
    for _ in 0..9 {
        connection.has_read(1);
        assert_eq!(after(&clock, &connection, 1000), None);
    }
    connection.has_read(1);
    assert_eq!(after(&clock, &connection, 1000), Some(Over::Refused(Refusal::HeaderTimeout)));
}

#[test]
fn a_head_that_never_ends_is_too_large() {
    let (_, connection) = connection(Limits::default());
    connection.has_read(65_000);
    connection.has_read(65_000);
    assert_eq!(connection.over(), None, "the rest of the second read may be body");
    connection.has_read(1);
    assert_eq!(connection.over(), Some(Over::Refused(Refusal::HeaderBytes)));
}

#[test]
fn a_body_must_bring_its_rate_while_we_wait_for_it() {
    let (clock, connection) = connection(Limits::default());
    connection.has_read(100);
    connection.serving(true);
    connection.waits_to_read(Waker::noop());
    assert_eq!(after(&clock, &connection, 9000), None);
    connection.has_read(5000);
    // The site is slow to take it; that is not the visitor's fault.
    assert_eq!(after(&clock, &connection, 100_000), None);
    connection.waits_to_read(Waker::noop());
    assert_eq!(after(&clock, &connection, 10_000), None, "5000 bytes are worth ten seconds");
    assert_eq!(after(&clock, &connection, 1000), Some(Over::Refused(Refusal::BodyRate)));
}

#[test]
fn a_served_request_without_a_body_may_take_its_time() {
    let (clock, connection) = connection(Limits::default());
    connection.has_read(100);
    connection.serving(false);
    connection.waits_to_read(Waker::noop());
    assert_eq!(after(&clock, &connection, 1_000_000), None);
}

#[test]
fn a_visitor_who_takes_nothing_for_a_minute_is_gone() {
    let (clock, connection) = connection(Limits::default());
    connection.has_read(100);
    connection.serving(false);
    connection.waits_to_write(Waker::noop());
    assert_eq!(after(&clock, &connection, 59_000), None);
    connection.has_written();
    connection.waits_to_write(Waker::noop());
    assert_eq!(after(&clock, &connection, 59_000), None);
    assert_eq!(after(&clock, &connection, 1000), Some(Over::Refused(Refusal::WriteStall)));
}
