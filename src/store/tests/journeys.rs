//! What is known of visitors: at once, after a restart, and no longer than allowed.

use super::*;
use crate::tracking::journey::{Journey, JourneyKey, Remembered};

fn key(number: u8) -> JourneyKey {
    JourneyKey::from_bytes([number; 16])
}

/// A journey with one field, learnt now.
fn knowing(name: &str, text: &str) -> Journey {
    let field = Remembered::new(text, clock::now());
    Journey { fields: [(name.to_owned(), field)].into(), ..Journey::default() }
}

fn soon() -> Timestamp {
    clock::now().plus(DAY)
}

/// Waits until all that was asked before is on disk.
async fn written(store: &Store) {
    within(store.forget(&[key(255)])).await;
}

async fn field(store: &Store, keys: &[JourneyKey], name: &str) -> Option<String> {
    within(store.recall(keys)).await.and_then(|journey| journey.field(name).map(ToOwned::to_owned))
}

#[tokio::test]
async fn what_a_page_captured_is_there_at_once_and_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    // The writer is kept busy: nothing of it can be on disk.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    store.on_connection(move |_| wait.recv().unwrap()).await;
    store.remember("shop", &[key(1), key(2)], knowing("email", "a@b.example"), soon());
    store.remember("shop", &[key(2)], knowing("phone", "1"), soon());
    assert_eq!(field(&store, &[key(2)], "email").await.as_deref(), Some("a@b.example"));
    assert_eq!(field(&store, &[key(1)], "phone").await, None);
    go.send(()).unwrap();
    store.close().await;
    let (store, _fresh, _) = start(folder.path());
    assert_eq!(field(&store, &[key(1), key(2)], "phone").await.as_deref(), Some("1"), "over all keys");
    assert_eq!(field(&store, &[key(2)], "email").await.as_deref(), Some("a@b.example"), "both writes are merged");
    assert!(within(store.recall(&[key(3)])).await.is_none());
}

#[tokio::test]
async fn an_expired_journey_is_nobodys_and_is_deleted() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    store.remember("shop", &[key(1)], knowing("a", "b"), clock::now());
    store.remember("shop", &[key(2)], knowing("a", "b"), soon());
    written(&store).await;
    assert_eq!(field(&store, &[key(1)], "a").await, None);
    assert_eq!(field(&store, &[key(2)], "a").await.as_deref(), Some("b"));
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    let mut housekeeping = housekeeping::Housekeeping::new(clock::instant(), Retention::default());
    housekeeping.tick(&connection, clock::instant(), clock::now()).unwrap();
    let left: i64 = connection.query_row("SELECT count(*) FROM journeys", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn nothing_is_kept_longer_than_the_retention() {
    let folder = TempDir::new().unwrap();
    let retention = Retention { journeys: Duration::ZERO, ..Retention::default() };
    let (store, _fresh) = Store::start(folder.path(), retention, Arc::new(Noted::default()));
    store.remember("shop", &[key(1)], knowing("a", "b"), soon());
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(field(&store, &[key(1)], "a").await, None);
}

#[tokio::test]
async fn a_journey_is_forgotten_under_all_its_keys() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let mut journey = knowing("a", "b");
    journey.keys = [(key(1), clock::now()), (key(2), clock::now())].into();
    store.remember("shop", &[key(1), key(2)], journey.clone(), soon());
    store.close().await;
    // Another process knows it only from the file.
    let (store, _fresh, _) = start(folder.path());
    assert_eq!(within(store.forget(&[key(1)])).await, [key(1), key(2)]);
    assert!(within(store.recall(&[key(1), key(2)])).await.is_none());
    // And this one while the file can't be written.
    store.remember("shop", &[key(1), key(2)], journey, soon());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    store.on_connection(move |_| wait.recv().unwrap()).await;
    let forgetting = tokio::spawn({
        let store = store.clone();
        async move { store.forget(&[key(2)]).await }
    });
    eventually("it is hidden", || async { store.recall(&[key(1), key(2)]).await.is_none().then_some(()) }).await;
    go.send(()).unwrap();
    within(forgetting).await.unwrap();
    assert!(within(store.recall(&[key(1), key(2)])).await.is_none());
    store.remember("shop", &[key(1)], knowing("c", "d"), soon());
    assert_eq!(field(&store, &[key(1)], "c").await.as_deref(), Some("d"), "a new journey under the old key");
    assert_eq!(field(&store, &[key(1)], "a").await, None);
}

#[tokio::test]
async fn what_another_process_erased_leaves_this_ones_memory() {
    let folder = TempDir::new().unwrap();
    let (one, _fresh, _) = start(folder.path());
    let (other, _fresh, _) = start(folder.path());
    one.remember("shop", &[key(1)], knowing("a", "b"), soon());
    written(&one).await;
    within(other.forget(&[key(1)])).await;
    eventually("it is forgotten", || async { one.recall(&[key(1)]).await.is_none().then_some(()) }).await;
}

#[tokio::test]
async fn a_store_that_can_not_write_knows_what_it_remembers() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("state");
    fs::File::create(&folder).unwrap();
    let (store, _fresh, _) = start(&folder);
    store.remember("shop", &[key(1)], knowing("a", "b"), soon());
    assert_eq!(field(&store, &[key(1)], "a").await.as_deref(), Some("b"));
    let started = clock::instant();
    assert_eq!(within(store.verdicts(vec![event().id])).await, [None]);
    assert!(started.elapsed() < Duration::from_millis(100), "it does not wait for a disk");
}

#[tokio::test]
async fn too_much_to_write_is_dropped_and_counted_and_still_remembered() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, noted) = start(folder.path());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    store.on_connection(move |_| wait.recv().unwrap()).await;
    // The writer may have taken some before it was stopped.
    for _ in 0..QUEUE + 600 {
        store.remember("shop", &[key(1)], knowing("a", "b"), soon());
    }
    assert_eq!(field(&store, &[key(1)], "a").await.as_deref(), Some("b"));
    go.send(()).unwrap();
    eventually("it is counted", || async { noted.0.lock().unwrap().contains(&ErrorKind::Queue).then_some(()) }).await;
}

#[test]
fn only_written_journeys_leave_the_memory() {
    let journeys = crate::store::journeys::Journeys::default();
    let numbered = |number: u64| JourneyKey::from_bytes(u128::from(number).to_be_bytes());
    journeys.remember(&[numbered(0)], &knowing("a", "b"), soon());
    journeys.writing(&[numbered(0)]);
    for number in 1..11_000 {
        journeys.remember(&[numbered(number)], &Journey::default(), soon());
    }
    let is_there = |number| journeys.recall(&[numbered(number)], NOW).0.is_some();
    assert!(is_there(0) && !is_there(1) && is_there(10_999));
    let kept = (0..11_000).filter(|number| is_there(*number)).count();
    assert_eq!(kept, 10_000);
    journeys.written(&[numbered(0)]);
    for number in 11_000..22_000 {
        journeys.remember(&[numbered(number)], &Journey::default(), soon());
    }
    assert!(!is_there(0));
}
