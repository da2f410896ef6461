//! The store on real folders: durability, hand-over between processes, faults and recovery.

use std::{fs, os::unix::fs::PermissionsExt, sync::Mutex, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    database::FILE,
    inspector::*,
    samples::{DAY, NOW, event},
    *,
};
use crate::tracking::event::{Dedup, DedupKey, Event};
use crate::tracking::{
    event::Payload,
    verdict::{RetryReason, Verdict},
};

mod desk;
mod erasure;
mod finding;
mod held;
mod journeys;
mod node;
mod stories;
mod upkeep;
mod withdrawal;

#[derive(Default)]
struct Noted(Mutex<Vec<ErrorKind>>, Mutex<Vec<String>>);

impl StoreObserver for Noted {
    fn committed(&self, _: Duration, _: usize) {}
    fn withdrawn(&self, site: &str, network: &str) {
        self.1.lock().unwrap().push(format!("{site} {network}"));
    }
    fn purged(&self, site: &str, network: &str, count: u64) {
        self.1.lock().unwrap().push(format!("{count} purged {site} {network}"));
    }
    fn replayed(&self, site: &str, network: &str, count: u64) {
        self.1.lock().unwrap().push(format!("{count} replayed {site} {network}"));
    }
    fn dropped(&self, hits: u64) {
        if hits > 0 {
            self.1.lock().unwrap().push(format!("{hits} dropped"));
        }
    }
    fn failed(&self, kind: ErrorKind) {
        self.0.lock().unwrap().push(kind);
    }
}

fn start(folder: &Path) -> (Store, UnboundedReceiver<LeasedRow>, Arc<Noted>) {
    let noted = Arc::new(Noted::default());
    let (store, fresh) = Store::start(folder, Retention::default(), Arc::clone(&noted) as Arc<dyn StoreObserver>);
    (store, fresh, noted)
}

/// Long, because the store forgets keys by the real clock.
const WINDOW: Duration = Duration::from_hours(100 * 365 * 24);

fn dedup(order: &str) -> Dedup {
    Dedup { key: DedupKey::new(&[order]), window: WINDOW }
}

fn row(order: &str) -> NewRow {
    NewRow { event: event(), key: Some(dedup(order)), hold: None }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("in time")
}

async fn accept(store: &Store, row: NewRow) -> Accepted {
    within(async { store.accept(vec![row]).await.await.unwrap()[0] }).await
}

async fn claim(store: &Store, order: &str) -> Accepted {
    let claim = Claim { event_id: event().id, dedup: dedup(order), time: NOW };
    within(async { store.claim(vec![claim]).await.await.unwrap()[0] }).await
}

/// Asks again and again until the answer is there.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = clock::instant() + Duration::from_secs(8);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(clock::instant() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Keeps the writer from all else until the sender says so.
async fn held_up(store: &Store) -> std::sync::mpsc::Sender<()> {
    let ((begun, has_begun), (go, wait)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    store
        .on_connection(move |_| {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        })
        .await;
    tokio::task::spawn_blocking(move || has_begun.recv_timeout(Duration::from_secs(10)).unwrap()).await.unwrap();
    go
}

async fn leased(store: &Store, now: Timestamp) -> Vec<LeasedRow> {
    eventually("a row can be leased", || async {
        Some(store.lease("shop", "exoclick", 10, now).await).filter(|rows| !rows.is_empty())
    })
    .await
}

#[tokio::test]
async fn rows_that_wait_for_a_better_time_can_be_woken() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    for order in 0..3 {
        accept(&store, row(&order.to_string())).await;
        store.park(fresh.recv().await.unwrap(), clock::now().plus(DAY)).await;
    }
    // Another network's stays where it is.
    accept(&store, NewRow { event: Event { network: "rokt".into(), ..event() }, key: None, hold: None }).await;
    store.park(fresh.recv().await.unwrap(), clock::now().plus(DAY)).await;
    assert!(within(store.lease("shop", "exoclick", 10, clock::now())).await.is_empty());
    within(store.wake("shop", "exoclick")).await;
    assert!(store.may_be_due("shop", "exoclick", clock::now()));
    assert_eq!(within(store.lease("shop", "exoclick", 10, clock::now())).await.len(), 3);
    assert!(within(store.lease("shop", "rokt", 10, clock::now())).await.is_empty());
}

/// A deferred constraint makes the commit itself fail after a certain statement.
async fn break_commits_after(store: &Store, statement: &'static str) {
    store
        .on_connection(move |connection| {
            connection
                .execute_batch(&format!(
                    "PRAGMA foreign_keys = ON;
                     CREATE TABLE parent (id INTEGER PRIMARY KEY);
                     CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
                     CREATE TRIGGER broken AFTER {statement} BEGIN INSERT INTO child VALUES (1); END;"
                ))
                .unwrap();
        })
        .await;
}

/// Who acts at the desk.
fn anna() -> audit::Actor {
    audit::Actor::new("anna")
}

fn delivered(row: LeasedRow) -> Settlement {
    Settlement { row, outcome: Settled::Final(Verdict::Delivered), answer: None, now: NOW }
}

#[tokio::test]
async fn a_key_is_a_duplicate_until_its_window_ends_even_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let first = row("1");
    assert_eq!(accept(&store, first.clone()).await, Accepted::Queued);
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate);
    assert_eq!(accept(&store, first.clone()).await, Accepted::Queued, "the same event again");
    store.close().await;

    let (store, _fresh, _) = start(folder.path());
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate);
    assert_eq!(accept(&store, first).await, Accepted::Queued);
    let mut late = row("1");
    late.event.time = NOW.plus(WINDOW);
    assert_eq!(accept(&store, late).await, Accepted::Queued, "the window has ended");
    let all = store.inspect().list(&Filter::default()).unwrap();
    assert_eq!(all.len(), 2);
}

#[tokio::test]
async fn an_accepted_row_is_handed_over_at_once_and_settled_into_the_history() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    let new = row("1");
    accept(&store, new.clone()).await;
    let row = within(fresh.recv()).await.unwrap();
    assert_eq!(row.event, new.event);
    assert!(store.lease("shop", "exoclick", 10, NOW).await.is_empty(), "it is leased already");
    let counts = store.inspect().counts(NOW).unwrap();
    assert_eq!((counts[0].pending, counts[0].oldest_event, counts[0].dead), (1, Some(NOW), 0));
    let answer = AnswerRecord { at: NOW, status: Some(200), body: "OK".into(), result: "delivered", millis: 12 };
    store.settle(Settlement { answer: Some(answer), ..delivered(row) }).await;
    store.close().await;
    let inspector = Inspector::open(folder.path()).unwrap();
    assert!(inspector.counts(NOW).unwrap().is_empty());
    let shown = inspector.show(new.event.id.to_string().get(..9).unwrap()).unwrap();
    assert_eq!(shown[0].summary.state, RowState::Settled);
    assert_eq!((shown[0].summary.verdict.as_deref(), shown[0].summary.attempts), (Some("delivered"), 1));
    assert_eq!(shown[0].last_answer.as_ref().unwrap().body, "OK");
    assert_eq!(shown[0].payload, new.event.payload);
}

#[tokio::test]
async fn a_retry_comes_back_when_it_is_due_and_a_dead_letter_never() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    accept(&store, row("1")).await;
    let at = NOW.plus(Duration::from_secs(5));
    let retry = |reason| Settled::Retry { at, reason };
    let first = within(fresh.recv()).await.unwrap();
    store.settle(Settlement { outcome: retry(RetryReason::Connect), ..delivered(first) }).await;
    assert!(store.lease("shop", "exoclick", 10, NOW).await.is_empty());
    assert!(!store.may_be_due("shop", "exoclick", NOW) && store.may_be_due("shop", "exoclick", at));
    let again = leased(&store, at).await.pop().unwrap();
    assert_eq!(again.attempts, 1);
    store.settle(Settlement { outcome: retry(RetryReason::Unauthorized), ..delivered(again) }).await;
    let again = leased(&store, at).await.pop().unwrap();
    assert_eq!(again.attempts, 1, "wrong credentials are no attempt");
    store.settle(Settlement { outcome: Settled::Final(Verdict::Unclear), ..delivered(again) }).await;
    assert!(store.lease("shop", "exoclick", 10, at.plus(DAY)).await.is_empty());
    assert_eq!(store.inspect().counts(NOW).unwrap()[0].dead, 1);
}

#[tokio::test]
async fn the_fate_of_a_postback_can_be_asked_for_at_any_time() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    let (open, over, dead) = (row("1"), row("2"), row("3"));
    let events = [open.event.clone(), over.event.clone(), dead.event.clone()];
    let ids: Vec<EventId> = events.iter().map(|event| event.id).chain([event().id]).collect();
    assert_eq!(within(store.fates(ids.clone())).await, [None, None, None, None], "nothing is there yet");
    for row in [open, over, dead] {
        accept(&store, row).await;
    }
    let _open = within(fresh.recv()).await.unwrap();
    for verdict in [Verdict::InvalidClick, Verdict::Unclear] {
        let row = within(fresh.recv()).await.unwrap();
        store.settle(Settlement { outcome: Settled::Final(verdict), ..delivered(row) }).await;
    }
    eventually("the verdicts are on disk", || async {
        let fates = store.fates(ids.clone()).await;
        let words = [None, Some("invalid_click"), Some("unclear")].map(|word| word.map(ToOwned::to_owned));
        let expected = events.iter().zip(words);
        let expected = expected.map(|(event, verdict)| Some(Fate { event: event.clone(), verdict })).chain([None]);
        (fates == expected.collect::<Vec<_>>()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_released_row_can_be_leased_again() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    accept(&store, row("1")).await;
    store.release(within(fresh.recv()).await.unwrap()).await;
    assert_eq!(leased(&store, NOW).await.len(), 1);
    assert!(!store.may_be_due("shop", "exoclick", NOW), "nothing is left");
}

#[tokio::test]
async fn rows_that_nobody_waits_for_are_stored_without_a_lease() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    drop(fresh);
    accept(&store, row("1")).await;
    assert!(store.may_be_due("shop", "exoclick", NOW));
    assert_eq!(leased(&store, NOW).await.len(), 1);
}

#[tokio::test]
async fn two_processes_share_one_folder() {
    let folder = TempDir::new().unwrap();
    let (one, mut fresh, _) = start(folder.path());
    let (two, _fresh, _) = start(folder.path());
    assert_eq!(accept(&one, row("1")).await, Accepted::Queued);
    assert_eq!(accept(&two, row("1")).await, Accepted::Duplicate);
    assert_eq!(accept(&two, row("2")).await, Accepted::Queued);
    let row = within(fresh.recv()).await.unwrap();
    assert!(two.lease("shop", "exoclick", 10, NOW).await.is_empty());
    one.release(row).await;
    assert_eq!(leased(&two, NOW).await.len(), 1);
    one.close().await;
    two.close().await;
    assert_eq!(fs::read_dir(folder.path().join("instances")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_leases_of_a_dead_process_are_taken_over_within_two_seconds() {
    let folder = TempDir::new().unwrap();
    let (living, mut fresh, _) = start(folder.path());
    assert_eq!(accept(&living, row("1")).await, Accepted::Queued);
    let held = within(fresh.recv()).await.unwrap();
    let (store, _fresh, _) = start(folder.path());
    assert!(store.lease("shop", "exoclick", 10, NOW).await.is_empty(), "its owner lives");
    // What `kill -9` leaves: a committed row, an id, and a file that nobody locks.
    let id = "dead";
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute("INSERT INTO instance VALUES (?1, 0)", [id]).unwrap();
    connection.execute("UPDATE outbox SET lease = ?1", [id]).unwrap();
    fs::File::create(folder.path().join("instances/dead.lock")).unwrap();
    let died = clock::instant();
    assert_eq!(leased(&store, NOW).await.len(), 1);
    assert!(died.elapsed() < Duration::from_secs(2));
    eventually("the file of the dead is removed", || async {
        (!folder.path().join("instances/dead.lock").exists()).then_some(())
    })
    .await;
    drop(held);
}

#[tokio::test]
async fn a_claim_takes_the_key_of_a_later_conversion() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    assert_eq!(claim(&store, "1").await, Accepted::Queued);
    assert_eq!(claim(&store, "1").await, Accepted::Duplicate);
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate);
}

#[tokio::test]
async fn an_abandoned_claim_takes_nothing() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    // The writer is kept busy until the claim has been abandoned.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    store.on_connection(move |_| wait.recv().unwrap()).await;
    drop(store.claim(vec![Claim { event_id: event().id, dedup: dedup("2"), time: NOW }]).await);
    go.send(()).unwrap();
    assert_eq!(claim(&store, "2").await, Accepted::Queued);
}

#[tokio::test]
async fn a_claim_is_answered_before_the_commit() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    break_commits_after(&store, "INSERT ON dedup").await;
    assert_eq!(claim(&store, "1").await, Accepted::Queued, "although the commit fails");
    eventually("the commit fails", || async { (store.health() != Health::Ready).then_some(()) }).await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    let keys: i64 = connection.query_row("SELECT count(*) FROM dedup", [], |row| row.get(0)).unwrap();
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn a_folder_that_is_a_file_answers_unstored_until_it_is_usable() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("state");
    fs::File::create(&folder).unwrap();
    let (store, mut fresh, noted) = start(&folder);
    assert!(matches!(store.health(), Health::Degraded { .. }));
    assert_eq!(accept(&store, row("1")).await, Accepted::Unstored);
    assert_eq!(claim(&store, "1").await, Accepted::Unstored);
    assert!(store.lease("shop", "exoclick", 10, NOW).await.is_empty());
    assert_eq!(noted.0.lock().unwrap()[0], ErrorKind::Open);
    assert!(matches!(Inspector::open(&folder), Err(InspectError::Missing(_))));
    fs::remove_file(&folder).unwrap();
    eventually("the store recovers", || async { (store.health() == Health::Ready).then_some(()) }).await;
    assert_eq!(accept(&store, row("1")).await, Accepted::Queued);
    assert!(within(fresh.recv()).await.is_some());
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(folder.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_full_disk_answers_unstored_and_recovers_with_all_settlements() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, noted) = start(folder.path());
    accept(&store, row("1")).await;
    let held = within(fresh.recv()).await.unwrap();
    store
        .on_connection(|connection| {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        })
        .await;
    let large = (0..200).map(|n| row(&format!("large {n}"))).collect();
    let answer = within(store.accept(large).await).await.unwrap();
    assert!(answer.iter().all(|answer| *answer == Accepted::Unstored));
    assert!(noted.0.lock().unwrap().contains(&ErrorKind::Full));
    store.settle(delivered(held)).await;
    eventually("the store recovers", || async { (store.health() == Health::Ready).then_some(()) }).await;
    assert_eq!(accept(&store, row("large 0")).await, Accepted::Queued, "no key was left behind");
    store.close().await;
    let states: Vec<_> = Inspector::open(folder.path()).unwrap().list(&Filter::default()).unwrap();
    assert_eq!(states.iter().filter(|row| row.state == RowState::Settled).count(), 1);
    assert_eq!(states.len(), 2);
}

#[tokio::test]
async fn a_doubtful_commit_is_looked_up_before_it_is_answered() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    break_commits_after(&store, "INSERT ON outbox WHEN new.network = 'broken'").await;
    let mut broken = row("1");
    broken.event.network = "broken".into();
    assert_eq!(accept(&store, broken).await, Accepted::Unstored);
    eventually("the store recovers", || async { (store.health() == Health::Ready).then_some(()) }).await;
    assert_eq!(accept(&store, row("1")).await, Accepted::Queued);
    assert_eq!(&*within(fresh.recv()).await.unwrap().event.network, "exoclick");
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_never_deleted() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    accept(&store, row("1")).await;
    store.close().await;
    let damage = vec![0x5a; 8192];
    fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join(FILE))
        .and_then(|mut file| std::io::Write::write_all(&mut file, &damage))
        .unwrap();
    let (store, _fresh, noted) = start(folder.path());
    assert_eq!(store.health(), Health::Ready);
    assert_eq!(*noted.0.lock().unwrap(), [ErrorKind::Corrupt]);
    assert_eq!(accept(&store, row("1")).await, Accepted::Queued);
    let kept = fs::read_dir(folder.path())
        .unwrap()
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().contains(".corrupt-"))
        .unwrap();
    assert!(kept.metadata().unwrap().len() > 8192);
}

#[tokio::test]
async fn a_store_of_a_newer_major_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    accept(&store, row("1")).await;
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.pragma_update(None, "user_version", 200).unwrap();
    let (store, _fresh, _) = start(folder.path());
    let Health::Degraded { reason, .. } = store.health() else { panic!("it must not be used") };
    assert!(reason.contains("newer version"), "{reason}");
    assert_eq!(accept(&store, row("2")).await, Accepted::Unstored);
    connection.pragma_update(None, "user_version", 150).unwrap();
    eventually("a newer minor is fine", || async { (store.health() == Health::Ready).then_some(()) }).await;
}

#[tokio::test]
async fn another_programs_file_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute_batch("CREATE TABLE theirs (id)").unwrap();
    let (store, _fresh, _) = start(folder.path());
    let Health::Degraded { reason, .. } = store.health() else { panic!("it must not be used") };
    assert!(reason.contains("another program"), "{reason}");
}

#[tokio::test]
async fn a_file_deleted_underneath_is_made_anew() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    accept(&store, row("1")).await;
    fs::remove_file(folder.path().join(FILE)).unwrap();
    eventually("a new file appears", || async { folder.path().join(FILE).exists().then_some(()) }).await;
    assert_eq!(accept(&store, row("2")).await, Accepted::Queued);
}

#[tokio::test]
async fn old_keys_history_and_dead_letters_are_forgotten() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    for order in ["1", "2"] {
        accept(&store, row(order)).await;
        let row = within(fresh.recv()).await.unwrap();
        let verdict = if order == "1" { Verdict::Delivered } else { Verdict::Unclear };
        store.settle(Settlement { outcome: Settled::Final(verdict), ..delivered(row) }).await;
    }
    accept(&store, row("3")).await;
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    let mut housekeeping = housekeeping::Housekeeping::new(clock::instant(), Retention::default());
    for turn in 0..20 {
        let instant = clock::instant() + turn * Duration::from_secs(10);
        housekeeping.tick(&connection, instant, NOW.plus(WINDOW + 31 * DAY)).unwrap();
    }
    let count = |table: &str| {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((count("dedup"), count("history"), count("outbox")), (0, 0, 1), "only what waits is kept");
}

#[tokio::test]
async fn close_writes_what_is_queued() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let mut answers = Vec::new();
    for n in 0..1000 {
        answers.push(store.accept(vec![row(&n.to_string())]).await);
    }
    within(store.close()).await;
    for answer in answers {
        assert_eq!(within(answer).await.unwrap(), [Accepted::Queued]);
    }
    assert_eq!(accept(&store, row("late")).await, Accepted::Unstored);
    assert_eq!(Inspector::open(folder.path()).unwrap().counts(NOW).unwrap()[0].due, 1000, "and gives leases back");
}

/// Runs only as the victim of the next test.
#[test]
#[ignore = "a child process of another test"]
fn victim() {
    let Some(folder) = std::env::var_os("THROUGHLINE_TEST_FOLDER") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (store, _fresh, _) = start(Path::new(&folder));
        assert_eq!(accept(&store, row("1")).await, Accepted::Queued);
        fs::File::create(Path::new(&folder).join("accepted")).unwrap();
        // It is killed long before.
        tokio::time::sleep(Duration::from_secs(20)).await;
    });
}

#[tokio::test]
async fn what_a_killed_process_had_accepted_is_sent_by_the_next() {
    let folder = TempDir::new().unwrap();
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::victim", "--ignored"])
        .env("THROUGHLINE_TEST_FOLDER", folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let accepted = folder.path().join("accepted");
    eventually("the victim accepts", || async { accepted.exists().then_some(()) }).await;
    let (store, _fresh, _) = start(folder.path());
    assert!(store.lease("shop", "exoclick", 10, NOW).await.is_empty(), "its owner lives");
    victim.kill().unwrap();
    victim.wait().unwrap();
    let killed = clock::instant();
    assert_eq!(leased(&store, NOW).await.len(), 1);
    assert!(killed.elapsed() < Duration::from_secs(2));
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate);
}

#[tokio::test]
async fn the_connection_is_set_up_to_survive_a_power_cut() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let (send, found) = std::sync::mpsc::channel();
    store
        .on_connection(move |connection| {
            let read = |name: &str| {
                connection
                    .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
                    .unwrap()
            };
            let names = ["journal_mode", "synchronous", "wal_autocheckpoint", "journal_size_limit", "busy_timeout"];
            let more = ["mmap_size", "auto_vacuum", "application_id", "user_version"];
            send.send(names.iter().chain(&more).map(|name| read(name)).collect::<Vec<_>>()).unwrap();
        })
        .await;
    let found = found.recv_timeout(Duration::from_secs(5)).unwrap();
    let numbers = [2, 1000, 67_108_864, 5000, 0, 2, 0x544c_696e, 104].map(rusqlite::types::Value::Integer);
    assert_eq!(found[0], rusqlite::types::Value::Text("wal".into()));
    assert_eq!(found[1..], numbers);
}

#[tokio::test]
async fn an_unreadable_row_becomes_a_dead_letter_and_holds_up_no_other() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    drop(fresh);
    accept(&store, row("1")).await;
    store
        .on_connection(|connection| assert_eq!(connection.execute("UPDATE outbox SET payload = '{'", []).unwrap(), 1))
        .await;
    accept(&store, row("2")).await;
    assert_eq!(leased(&store, NOW).await.len(), 1);
    assert_eq!(store.inspect().counts(NOW).unwrap()[0].dead, 1);
}
