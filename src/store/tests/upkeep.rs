//! What happens to the file: older versions of it, its size, its log, its copies.

use std::{os::unix::fs::OpenOptionsExt, thread};

use super::*;
use crate::{
    store::{
        backup::BackupError,
        housekeeping::{Housekeeping, KEPT_PAGES},
        story::HitFilter,
    },
    tracking::{conversion::Outcome, grounds::Grounds},
};

/// The statements of the version before that write, with names for their values.
const OF_THE_VERSION_BEFORE: &[&str] = &[
    "INSERT INTO outbox (event_id, site, conversion, network, event_ms, next_ms, lease, payload)
     VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7) ON CONFLICT (event_id) DO NOTHING",
    "UPDATE outbox SET lease = ?1 WHERE id IN (
         SELECT id FROM outbox WHERE site = ?2 AND network = ?3 AND lease IS NULL AND verdict IS NULL AND next_ms <= ?4
         ORDER BY next_ms LIMIT ?5
     ) RETURNING id, event_id, site, conversion, network, event_ms, attempts, payload",
    "UPDATE outbox SET attempts = attempts + ?1, next_ms = ?2, reason = ?3, last_answer = ?4, lease = NULL
     WHERE id = ?5 AND event_id = ?6 AND lease = ?7",
    "UPDATE outbox SET attempts = ?1, verdict = ?2, reason = ?3, last_answer = ?4, settled_ms = ?5, lease = NULL
     WHERE id = ?6 AND event_id = ?7",
    "INSERT INTO history
     (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, reason, payload, last_answer)
     SELECT event_id, site, conversion, network, event_ms, ?3, ?4, ?5, ?6, payload, ?7
     FROM outbox WHERE id = ?1 AND event_id = ?2",
    "INSERT INTO held (event_id, state, owner, site, conversion, network, event_ms, key_taken, dedup_key,
                       dedup_window_ms, needs_proof, key_is_open, missing, payload)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (event_id) DO NOTHING",
    "INSERT INTO outbox (event_id, site, conversion, network, event_ms, next_ms, payload)
     SELECT event_id, site, conversion, network, event_ms, event_ms, payload FROM held WHERE event_id = ?1
     ON CONFLICT (event_id) DO NOTHING",
    "INSERT INTO history (event_id, site, conversion, network, event_ms, settled_ms, attempts, verdict, payload)
     SELECT event_id, site, conversion, network, event_ms, ?2, attempts, 'withdrawn', '{}'
     FROM outbox WHERE event_id = ?1 AND verdict IS NULL
     UNION ALL
     SELECT event_id, site, conversion, network, event_ms, ?2, 0, 'withdrawn', '{}'
     FROM held WHERE event_id = ?1",
    "INSERT INTO erased (at_ms, is_counted, event_id, journey) VALUES (?1, ?2, ?3, ?4)",
    "INSERT INTO journeys (key, site, expires_ms, data) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (key) DO UPDATE
     SET site = excluded.site, expires_ms = max(expires_ms, excluded.expires_ms), data = excluded.data",
    "INSERT INTO dedup (key, event_id, accepted_ms, expires_ms) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (key) DO UPDATE
     SET event_id = excluded.event_id, accepted_ms = excluded.accepted_ms, expires_ms = excluded.expires_ms
     WHERE expires_ms <= excluded.accepted_ms AND event_id <> excluded.event_id",
    "INSERT INTO hits (at_ms, site, conversion, network, outcome) VALUES (?1, ?2, ?3, ?4, ?5)",
];

/// Takes away what came with the desk.
const BEFORE_THE_DESK: &str = "DROP TABLE attempts; DROP TABLE audit; DROP TABLE notices; DROP TABLE hits;
     DROP TABLE lookup; DROP TABLE unlisted; DROP TABLE deeds;
     ALTER TABLE outbox DROP COLUMN revived_ms; PRAGMA user_version = 101";

#[tokio::test]
async fn a_file_of_the_version_before_is_read_and_served_by_both() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    drop(fresh);
    accept(&store, row("1")).await;
    accept(&store, NewRow { hold: Some(Hold::Incomplete { missing: vec!["value".into()] }), ..row("2") }).await;
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute_batch(BEFORE_THE_DESK).unwrap();
    let inspector = Inspector::open(folder.path()).unwrap();
    let listed = inspector.list(&Filter::default()).unwrap();
    assert_eq!(listed.len(), 2, "before anybody brought it up to date");
    assert_eq!(inspector.show(&listed[0].event_id.unwrap().to_string()).unwrap().len(), 1);
    assert_eq!(inspector.audit(10).unwrap(), []);
    let (store, _fresh, _) = start(folder.path());
    assert_eq!(store.health(), Health::Ready);
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate);
    assert_eq!(leased(&store, NOW).await.len(), 1);
    for statement in OF_THE_VERSION_BEFORE {
        let prepared = connection.prepare(statement);
        assert!(prepared.is_ok(), "{statement}: {:?}", prepared.err());
    }
    // And what that version writes beside us goes on being valid.
    let insert = connection.prepare(OF_THE_VERSION_BEFORE[0]).unwrap().execute(rusqlite::params![
        event().id.as_bytes(),
        "shop",
        "purchase",
        "exoclick",
        NOW.as_millis(),
        None::<String>,
        "{}"
    ]);
    assert_eq!(insert, Ok(1));
    assert_eq!(leased(&store, NOW).await.len(), 1);
}

#[tokio::test]
async fn a_file_of_the_first_version_is_read_and_brought_up_to_date() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    drop(fresh);
    accept(&store, row("1")).await;
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute_batch(BEFORE_THE_DESK).unwrap();
    connection
        .execute_batch(
            "DROP TABLE held; DROP TABLE journeys; DROP TABLE erased; DROP INDEX history_event; PRAGMA user_version = 100",
        )
        .unwrap();
    assert_eq!(Inspector::open(folder.path()).unwrap().list(&Filter::default()).unwrap().len(), 1);
    let (store, _fresh, _) = start(folder.path());
    assert_eq!(store.health(), Health::Ready);
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate);
}

#[tokio::test]
async fn what_is_forgotten_is_given_back_to_the_disk_slice_by_slice() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    store.close().await;
    let file = folder.path().join(FILE);
    let connection = Connection::open(&file).unwrap();
    connection
        .execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
             INSERT INTO history SELECT randomblob(16), 's', 'c', 'n', 0, 0, 1, 'delivered', NULL, hex(randomblob(1500)), NULL
             FROM n",
            [],
        )
        .unwrap();
    connection
        .execute("INSERT INTO attempts SELECT event_id, 1, 0, NULL, 'reset', 1, '' FROM history LIMIT 500", [])
        .unwrap();
    let count = |table: &str| {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let size = || {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        fs::metadata(&file).unwrap().len()
    };
    let before = size();
    let began = clock::instant();
    let mut housekeeping = Housekeeping::new(began, Retention::default());
    let (mut left, mut turns) = (count("history"), 0);
    while left > 0
        || count("attempts") > 0
        || connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0)).unwrap() > KEPT_PAGES
    {
        turns += 1;
        assert!(turns < 400, "{left} rows are left");
        housekeeping.tick(&connection, began + turns * Duration::from_secs(10), NOW).unwrap();
        let now_left = count("history");
        assert!(left - now_left <= 500, "one slice at a time");
        left = now_left;
    }
    let kept = u64::try_from(KEPT_PAGES).unwrap() * 4096;
    let after = size();
    assert!(before > 36_000_000 && after < kept + 4_000_000, "{before} bytes before, {after} after");
}

/// The length of the log now.
fn log(folder: &Path) -> u64 {
    fs::metadata(folder.join(format!("{FILE}-wal"))).map_or(0, |metadata| metadata.len())
}

/// Writes a mebibyte that takes the place of the one before.
async fn write_a_mebibyte(store: &Store) {
    let (done, written) = oneshot::channel();
    store
        .on_connection(move |connection| {
            connection.execute("INSERT OR REPLACE INTO ballast VALUES (1, randomblob(1048576))", []).unwrap();
            done.send(()).unwrap();
        })
        .await;
    within(written).await.unwrap();
}

#[tokio::test]
async fn the_log_stays_short_beside_readers_and_becomes_short_after_a_long_one() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    store
        .on_connection(|connection| {
            connection.execute_batch("CREATE TABLE ballast (id INTEGER PRIMARY KEY, b)").unwrap();
        })
        .await;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let path = folder.path().to_owned();
    let readers = thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            Inspector::open(&path).unwrap().list(&Filter::default()).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
    });
    for _ in 0..100 {
        write_a_mebibyte(&store).await;
        assert!(log(folder.path()) < 64 << 20);
    }
    stop.send(()).unwrap();
    readers.join().unwrap();
    // A reader that takes its time keeps all that is written after it began.
    let reader = Connection::open(folder.path().join(FILE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM ballast").unwrap();
    for _ in 0..70 {
        write_a_mebibyte(&store).await;
    }
    assert!(log(folder.path()) > 64 << 20, "or this test shows nothing");
    reader.execute_batch("COMMIT").unwrap();
    eventually("the log is short again", || async { (log(folder.path()) < 32 << 20).then_some(()) }).await;
    assert_eq!(accept(&store, row("1")).await, Accepted::Queued);
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_a_store() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    accept(&store, row("1")).await;
    let copy = TempDir::new().unwrap();
    let file = copy.path().join(FILE);
    let backup = store.inspect().back_up(&file).unwrap();
    assert_eq!((backup.unsent, backup.bytes), (1, fs::metadata(&file).unwrap().len()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(copy.path()).unwrap().count(), 1, "nothing else is left");
    accept(&store, row("2")).await;
    let refused = store.inspect().back_up(&file);
    assert!(matches!(refused, Err(BackupError::Exists(_))), "{refused:?}");
    let (restored, _fresh, noted) = start(copy.path());
    assert_eq!((restored.health(), noted.0.lock().unwrap().len()), (Health::Ready, 0));
    assert_eq!(accept(&restored, row("1")).await, Accepted::Duplicate);
    assert_eq!(accept(&restored, row("2")).await, Accepted::Queued, "it came after the backup");
    assert_eq!(leased(&restored, NOW).await.len(), 1, "its owner is not here");
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let copy = TempDir::new().unwrap();
    let file = copy.path().join("backup");
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy.path().join("backup.partial")).unwrap();
    assert!(matches!(store.inspect().back_up(&file), Err(BackupError::Exists(_))), "another one is under way");
    assert!(matches!(store.inspect().back_up(Path::new("/nowhere/backup")), Err(BackupError::File { .. })));
    let names: Vec<_> = fs::read_dir(copy.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["backup.partial"], "and it is left alone");
}

fn hit(outcome: Outcome) -> Hit {
    let grounds = Grounds::default();
    Hit { site: "shop".into(), conversion: "purchase".into(), network: "exoclick".into(), time: NOW, outcome, grounds }
}

#[tokio::test]
async fn each_hit_is_written_down_once() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    Outcome::ALL.into_iter().for_each(|outcome| store.note(hit(outcome)));
    store.close().await;
    let found = Inspector::open(folder.path()).unwrap().hits(&HitFilter::default()).unwrap();
    let mut words: Vec<_> = found.iter().map(|hit| hit.outcome.as_str()).collect();
    words.sort_unstable();
    let mut expected = Outcome::ALL.map(Outcome::as_str);
    expected.sort_unstable();
    assert_eq!(words, expected);
    assert_eq!((found[0].time, found[0].network.as_str()), (NOW, "exoclick"));
}

#[tokio::test]
async fn a_flood_of_hits_is_cut_off_and_counted() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, noted) = start(folder.path());
    let go = held_up(&store).await;
    (0..1500).for_each(|_| store.note(hit(Outcome::Bot)));
    go.send(()).unwrap();
    eventually("what was dropped is told", || async {
        let told = noted.1.lock().unwrap().clone();
        (told == ["1000 dropped"]).then_some(())
    })
    .await;
    assert_eq!(accept(&store, row("1")).await, Accepted::Queued);
    store.close().await;
    assert_eq!(Inspector::open(folder.path()).unwrap().hits(&HitFilter::default()).unwrap().len(), 501, "and the row");
}

#[tokio::test]
async fn hits_are_forgotten_by_age_and_by_number() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    let left_of = |rows: &[(i64, Timestamp)]| {
        connection.execute("DELETE FROM hits", []).unwrap();
        for (id, time) in rows {
            let sql = "INSERT INTO hits (id, at_ms, site, conversion, network, outcome) VALUES (?1, ?2, 's', 'c', 'n', 'bot')";
            connection.execute(sql, (id, time.as_millis())).unwrap();
        }
        let mut housekeeping = Housekeeping::new(clock::instant(), Retention::default());
        housekeeping.tick(&connection, clock::instant(), NOW).unwrap();
        let mut statement = connection.prepare("SELECT id FROM hits ORDER BY id").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<i64>, _>>().unwrap()
    };
    let old = Timestamp::from_millis(NOW.as_millis() - 31 * 24 * 60 * 60 * 1000);
    assert_eq!(left_of(&[(1, NOW), (2, NOW)]), [1, 2]);
    assert_eq!(left_of(&[(1, old), (2, NOW)]), [2]);
    assert_eq!(left_of(&[(1, NOW), (2, NOW), (1_000_002, NOW)]), [1_000_002]);
}
