//! The store of one node of a fleet that is never reached: what waits here, and what is counted when.

use super::*;
use crate::{
    store::{
        departure::{self, Decision, Departed},
        errand::Errand,
        fleet::FleetSettings,
        heirloom::{Heirloom, Slice},
    },
    tracking::{
        conversion::Outcome,
        journey::{Identifier, Journey, JourneyKey, JourneyKeys},
    },
};

/// Outcomes and withdrawn postbacks, as they were counted.
#[derive(Default)]
struct Books(Mutex<Vec<&'static str>>);

impl StoreObserver for Books {
    fn committed(&self, _: Duration, _: usize) {}
    fn failed(&self, _: ErrorKind) {}
    fn withdrawn(&self, _: &str, _: &str) {
        self.0.lock().unwrap().push("withdrawn");
    }
    fn decided(&self, site: &str, conversion: &str, network: &str, outcome: Outcome) {
        assert_eq!((site, conversion, network), ("shop", "purchase", "exoclick"));
        self.0.lock().unwrap().push(outcome.as_str());
    }
}

impl Books {
    fn read(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// A node whose database does not exist.
fn join(folder: &Path) -> (Store, Arc<Books>) {
    let settings = FleetSettings { url: "postgres://u:p@127.0.0.1:1/nothing".into(), authorities: Vec::new() };
    let books = Arc::new(Books::default());
    let fleet = Fleet::new(&settings, "test".into()).unwrap();
    let (store, _) = Store::join(folder, Retention::default(), Arc::clone(&books) as Arc<dyn StoreObserver>, fleet);
    (store, books)
}

fn look(folder: &Path) -> Connection {
    Connection::open(folder.join(FILE)).unwrap()
}

async fn depart(store: &Store, rows: &[(EventId, Decision)]) {
    let (done, written) = oneshot::channel();
    let departed = Departed { rows: rows.to_vec(), ..Departed::default() };
    store.send(Command::Depart { departed, done }).await;
    written.await.unwrap();
}

/// A row of the present: what is older than its store's membership was counted before.
fn fresh_row(order: &str) -> NewRow {
    let mut row = row(order);
    row.event.time = clock::now();
    row
}

fn keys(visitor: &str) -> Vec<JourneyKey> {
    let keys = JourneyKeys::new(["a secret of more than thirty-two characters"]).unwrap();
    keys.all("shop", Identifier::Order(visitor)).into_iter().collect()
}

#[tokio::test]
async fn what_a_node_accepts_waits_for_its_fleet_also_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let (store, books) = join(folder.path());
    let first = fresh_row("a");
    assert_eq!(store.accept(vec![first.clone()]).await.await.unwrap(), [Accepted::Provisional]);
    assert_eq!(
        store.accept(vec![fresh_row("a")]).await.await.unwrap(),
        [Accepted::Duplicate],
        "what is known is known"
    );
    store.close().await;
    let (store, _) = join(folder.path());
    assert_eq!(store.departing(), Some(1));
    let waiting = departure::next(&look(folder.path()), 10, 10).unwrap();
    assert_eq!((waiting.rows[0].event.id, waiting.rows[0].key), (first.event.id, first.key));
    assert_eq!(books.read(), Vec::<&str>::new(), "nothing is counted before the fleet has said what it is");
}

#[tokio::test]
async fn an_outcome_is_counted_once_when_its_row_leaves() {
    let folder = TempDir::new().unwrap();
    let (store, books) = join(folder.path());
    let rows = [fresh_row("a"), fresh_row("b"), fresh_row("c")];
    store.accept(rows.to_vec()).await.await.unwrap();
    let decisions = [Decision::Accepted, Decision::Duplicate, Decision::Withdrawn];
    let departed: Vec<_> = rows.iter().zip(decisions).map(|(row, decision)| (row.event.id, decision)).collect();
    for _ in 0..2 {
        depart(&store, &departed).await;
        assert_eq!(books.read(), ["queued", "duplicate", "queued", "withdrawn"]);
    }
    assert_eq!(store.departing(), Some(0));
    // The first order is known here; whose the second is, the fleet knows.
    let again = store.accept(vec![fresh_row("a"), fresh_row("b")]).await.await.unwrap();
    assert_eq!(again, [Accepted::Duplicate, Accepted::Provisional]);
}

#[tokio::test]
async fn what_was_accepted_before_the_store_joined_was_counted_then() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    // Nobody takes them.
    drop(fresh);
    let old = fresh_row("old");
    store.accept(vec![old.clone()]).await.await.unwrap();
    store.close().await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (store, books) = join(folder.path());
    assert_eq!(store.departing(), Some(1));
    depart(&store, &[(old.event.id, Decision::Accepted)]).await;
    assert_eq!((store.departing(), books.read()), (Some(0), Vec::new()));
}

#[tokio::test]
async fn a_conversion_that_was_withdrawn_before_the_fleet_saw_it_was_one() {
    let folder = TempDir::new().unwrap();
    let (store, books) = join(folder.path());
    let row = fresh_row("a");
    store.accept(vec![row.clone()]).await.await.unwrap();
    store.withdraw("shop", &[("exoclick", "abc")], &[]).await;
    assert_eq!(books.read(), ["queued", "withdrawn"]);
    assert!(store.is_withdrawn(row.event.id));
    // It was on its way at that moment.
    depart(&store, &[(row.event.id, Decision::Accepted)]).await;
    assert_eq!(books.read().len(), 2);
    let errands = Errand::first(&look(folder.path()), 10).unwrap();
    let Some((_, Some(Errand::Withdraw { subject, ended }))) = errands.last() else { panic!("{errands:?}") };
    assert_eq!((subject.site.as_str(), ended.as_slice()), ("shop", [row.event.id].as_slice()));
}

#[tokio::test]
async fn errands_keep_their_order_and_those_that_were_run_are_gone() {
    let folder = TempDir::new().unwrap();
    let (store, _) = join(folder.path());
    let claim = Claim { event_id: event().id, dedup: dedup("pixel"), time: clock::now() };
    let expires = clock::now().plus(DAY);
    assert_eq!(
        store.claim(vec![claim]).await.await.unwrap(),
        [Accepted::Queued],
        "who can't be asked is not waited for"
    );
    store.give_back(vec![(claim.event_id, claim.dedup.key)]).await;
    store.remember("shop", &keys("v"), Journey::default(), expires);
    store.forget(&keys("v")).await;
    let words = |errands: &[(i64, Option<Errand>)]| -> Vec<&'static str> {
        let word = |errand: &Option<Errand>| match errand.as_ref().unwrap() {
            Errand::Claim(taken) => {
                assert_eq!(taken.claim().unwrap().dedup.key, claim.dedup.key);
                "claim"
            }
            Errand::GiveBack(_) => "give back",
            Errand::Remember { .. } => "remember",
            Errand::Forget(_) => "forget",
            Errand::Withdraw { .. } => "withdraw",
        };
        errands.iter().map(|(_, errand)| word(errand)).collect()
    };
    let errands = Errand::first(&look(folder.path()), 10).unwrap();
    assert_eq!(words(&errands), ["claim", "give back", "remember", "forget"]);
    let (done, written) = oneshot::channel();
    let departed = Departed { errand: Some(errands[1].0), ..Departed::default() };
    store.send(Command::Depart { departed, done }).await;
    written.await.unwrap();
    assert_eq!(words(&Errand::first(&look(folder.path()), 10).unwrap()), ["remember", "forget"]);
    // What another node has forgotten is no errand.
    store.forget_here(&keys("w")).await;
    assert_eq!(Errand::first(&look(folder.path()), 10).unwrap().len(), 2);
}

#[tokio::test]
async fn only_keys_of_what_does_not_wait_are_handed_over_by_themselves() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    drop(fresh);
    let claim = Claim { event_id: event().id, dedup: dedup("pixel"), time: clock::now() };
    store.accept(vec![fresh_row("waits")]).await.await.unwrap();
    store.claim(vec![claim]).await.await.unwrap();
    store.close().await;
    let (store, _) = join(folder.path());
    let next = |which: Heirloom| which.next(&look(folder.path()), clock::now()).unwrap();
    for expected in [vec![claim.dedup.key], vec![]] {
        let slice = next(Heirloom::Keys).expect("a slice");
        let Slice::Keys(keys) = &slice else { panic!("{slice:?}") };
        assert_eq!(keys.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), expected);
        let (done, written) = oneshot::channel();
        let departed = Departed { adopted: Some((Heirloom::Keys, slice.cursor())), ..Departed::default() };
        store.send(Command::Depart { departed, done }).await;
        written.await.unwrap();
    }
    assert!(next(Heirloom::Keys).is_none(), "that was all");
    assert!(next(Heirloom::Journeys).is_some(), "the others have not begun");
}
