//! Rows and the clock.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::store::{ErrorKind, clock};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

#[derive(Default)]
struct Noted(AtomicU32);

impl StoreObserver for Noted {
    fn committed(&self, _: Duration, _: usize) {}
    fn failed(&self, kind: ErrorKind) {
        panic!("{kind:?}");
    }
    fn withdrawn(&self, _: &str, _: &str) {}
    fn clock_jumped(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Rows that are due so long after [`NOW`], and two clocks.
struct Story {
    connection: Connection,
    housekeeping: Housekeeping,
    began: Instant,
    noted: Noted,
}

impl Story {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE outbox (id INTEGER PRIMARY KEY, next_ms INTEGER, lease TEXT, verdict TEXT)")
            .unwrap();
        let began = clock::instant();
        Self {
            connection,
            housekeeping: Housekeeping::new(began, Retention::default()),
            began,
            noted: Noted::default(),
        }
    }

    fn row(&self, due: Duration) {
        self.connection.execute("INSERT INTO outbox (next_ms) VALUES (?1)", [NOW.plus(due).as_millis()]).unwrap();
    }

    fn ticks(&mut self, passed: Duration, wall: Timestamp) {
        self.housekeeping.follow_clock(&self.connection, self.began + passed, wall, &self.noted).unwrap();
    }

    /// In seconds from `wall`.
    fn due(&self, wall: Timestamp) -> Vec<i64> {
        let mut statement = self.connection.prepare("SELECT (next_ms - ?1) / 1000 FROM outbox ORDER BY id").unwrap();
        let due = statement.query_map([wall.as_millis()], |row| row.get(0)).unwrap();
        due.collect::<Result<Vec<_>, _>>().unwrap()
    }

    fn jumps(&self) -> u32 {
        self.noted.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_clock_that_was_set_back_while_nobody_was_there_strands_no_row() {
    let mut story = Story::new();
    story.row(10 * SECOND);
    story.row(365 * DAY);
    story.ticks(Duration::ZERO, NOW);
    assert_eq!(story.due(NOW), [10, 3600]);
    assert_eq!(story.jumps(), 0, "nobody has seen one");
}

#[test]
fn rows_follow_a_clock_that_is_set_back() {
    let mut story = Story::new();
    story.ticks(Duration::ZERO, NOW);
    for due in [Duration::ZERO, 30 * SECOND, 3000 * SECOND] {
        story.row(due);
    }
    let wall = Timestamp::from_millis(NOW.as_millis() - 86_400_000 + 1000);
    story.ticks(SECOND, wall);
    assert_eq!(story.due(wall), [0, 29, 2999]);
    story.ticks(2 * SECOND, wall.plus(SECOND));
    assert_eq!(story.due(wall), [0, 29, 2999], "once");
    assert_eq!(story.jumps(), 1);
}

#[test]
fn what_could_not_be_written_follows_later() {
    let mut story = Story::new();
    story.ticks(Duration::ZERO, NOW);
    story.row(Duration::ZERO);
    story.connection.execute_batch("PRAGMA query_only = on").unwrap();
    let wall = Timestamp::from_millis(NOW.as_millis() - 86_400_000);
    let now = story.began;
    assert!(story.housekeeping.follow_clock(&story.connection, now, wall, &story.noted).is_err());
    story.connection.execute_batch("PRAGMA query_only = off").unwrap();
    story.ticks(Duration::ZERO, wall);
    assert_eq!(story.due(wall), [0]);
}

#[test]
fn a_clock_that_is_set_forward_is_counted_and_forgets_nothing_for_an_hour() {
    let mut story = Story::new();
    story.ticks(Duration::ZERO, NOW);
    story.row(30 * SECOND);
    let wall = NOW.plus(365 * DAY);
    story.ticks(SECOND, wall);
    assert_eq!(story.jumps(), 1);
    assert_eq!(story.due(NOW), [30], "it is due, and nothing else");
    let (connection, now) = (&story.connection, story.began + SECOND);
    // There is no table that anything could be forgotten from.
    assert!(story.housekeeping.tick(connection, now, wall).is_ok());
    assert!(story.housekeeping.tick(connection, now + 2 * GRACE, wall).is_err());
}
