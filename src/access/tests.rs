use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use http::Version;
use prometheus::IntCounter;
use tempfile::TempDir;

use super::*;
use crate::tracking::timestamp::Timestamp;

fn log() -> (AccessLog, IntCounter) {
    let dropped = IntCounter::new("dropped", "dropped").unwrap();
    (AccessLog::new(dropped.clone()), dropped)
}

fn rules(file: &Path) -> AccessRules {
    AccessRules {
        file: file.to_owned(),
        format: AccessFormat::Combined,
        query: QueryRule::Drop,
        client_ip: StoredAddress::Full,
    }
}

fn record(target: &str) -> Record {
    let texts = [Some(&b"GET"[..]), Some(target.as_bytes()), None, None, None];
    Record {
        time: Timestamp::from_millis(0),
        request_id: None,
        client: None,
        site: None,
        asked: Some(Asked::new(Version::HTTP_11, texts, QueryRule::Drop)),
        status: 200,
        bytes: 0,
        took: Duration::ZERO,
        server: None,
        server_took: None,
        ending: Ending::Complete,
        refused: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads the files of its own folder")]
fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a test waits for a fact")]
fn await_fact(fact: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fact() {
        assert!(Instant::now() < deadline, "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn lines_are_added_to_a_file_that_only_its_group_may_read() {
    let (folder, (log, dropped)) = (TempDir::new().unwrap(), log());
    let file = folder.path().join("access.log");
    assert!(!log.is_on());
    log.set(Some(&rules(&file)));
    assert!(log.is_on());
    (0..1000).for_each(|number| log.note(record(&format!("/{number}"))));
    log.close();
    let text = text(&file);
    assert_eq!(text.lines().count(), 1000);
    assert!(text.lines().enumerate().all(|(number, line)| line.contains(&format!("\"GET /{number} HTTP/1.1\""))));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o137, 0, "0640 at most");
    assert_eq!(dropped.get(), 0);
}

#[test]
fn no_line_is_lost_when_the_file_is_moved_away_and_opened_anew() {
    let (folder, (log, dropped)) = (TempDir::new().unwrap(), log());
    let file = folder.path().join("access.log");
    log.set(Some(&rules(&file)));
    for round in 0..5 {
        (0..100).for_each(|number| log.note(record(&format!("/{round}/{number}"))));
        await_fact(|| file.exists());
        fs::rename(&file, folder.path().join(format!("access.log.{round}"))).unwrap();
        (0..100).for_each(|number| log.note(record(&format!("/{round}/later/{number}"))));
        log.reopen();
        await_fact(|| file.exists());
    }
    log.close();
    let all: String = fs::read_dir(folder.path()).unwrap().map(|entry| text(&entry.unwrap().path())).collect();
    assert_eq!(all.lines().count(), 1000);
    assert_eq!(dropped.get(), 0);
}

#[test]
fn a_missing_folder_costs_lines_until_it_is_there() {
    let (folder, (log, dropped)) = (TempDir::new().unwrap(), log());
    let file = folder.path().join("logs").join("access.log");
    log.set(Some(&rules(&file)));
    (0..3).for_each(|_| log.note(record("/lost")));
    await_fact(|| dropped.get() == 3);
    fs::create_dir(folder.path().join("logs")).unwrap();
    await_fact(|| {
        log.note(record("/written"));
        !text(&file).is_empty()
    });
    log.close();
    assert!(!text(&file).contains("/lost"));
}

#[test]
fn other_rules_take_effect_and_none_turn_it_off() {
    let (folder, (log, _)) = (TempDir::new().unwrap(), log());
    let (one, two) = (folder.path().join("one.log"), folder.path().join("two.log"));
    log.set(Some(&rules(&one)));
    log.note(record("/1"));
    await_fact(|| text(&one).contains("GET /1 "));
    log.set(Some(&AccessRules { format: AccessFormat::Json, query: QueryRule::Keep, ..rules(&two) }));
    assert_eq!(log.query(), QueryRule::Keep);
    await_fact(|| two.exists());
    log.note(record("/2"));
    await_fact(|| text(&two).contains("\"target\":\"/2\""));
    log.set(None);
    assert!(!log.is_on());
    assert_eq!(text(&one).lines().count(), 1);
}

#[test]
fn what_no_queue_can_hold_is_dropped_and_counted() {
    let (log, dropped) = log();
    // Nobody writes.
    let (queue, _messages) = mpsc::sync_channel(2);
    log.0.queue.set(queue).unwrap();
    (0..5).for_each(|_| log.note(record("/")));
    assert_eq!(dropped.get(), 3);
    assert_eq!(log.0.weight.load(Ordering::Relaxed), 2 * "GET/".len());
}

#[test]
fn what_waits_takes_no_more_memory_than_is_allowed() {
    let (log, dropped) = log();
    let (queue, _messages) = mpsc::sync_channel(100_000);
    log.0.queue.set(queue).unwrap();
    let target = "x".repeat(8000);
    (0..2000).for_each(|_| log.note(record(&target)));
    assert!(log.0.weight.load(Ordering::Relaxed) <= MAX_WEIGHT);
    assert!((900..1100).contains(&dropped.get()), "{}", dropped.get());
}
