//! The store against a model of it, over random histories.
//!
//! The model is a map of keys and a set of events. Histories accept new conversions, alone and in
//! batches, offer old ones again, let time pass, deliver, close the store and crash it. A crash is a
//! copy of the folder as it is on disk: whatever had been answered must be in it.
//!
//! The control loses the write-ahead log in the crash, as a disk would whose fsync lies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use tempfile::TempDir;
use throughline::{
    store::{
        Accepted, ErrorKind, LeasedRow, NewRow, Retention, Settled, Settlement, Store, StoreObserver, clock,
        inspector::{Filter, RowState},
    },
    tracking::{
        event::{Dedup, DedupKey, Event, EventId, Payload},
        timestamp::Timestamp,
        verdict::Verdict,
    },
};
use tokio::{runtime::Runtime, sync::mpsc::UnboundedReceiver, time::timeout};
use uuid::Uuid;

use crate::support::tell;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// New conversions in one call, with these keys; `None` has no key.
    Accept(Vec<Option<u8>>),
    /// A conversion of before, by its number, once more.
    Again(usize),
    /// So many minutes pass.
    Wait(u16),
    /// What has been handed over is delivered.
    Deliver,
    /// The store is closed and opened again.
    Close,
    /// The process dies; another one opens what is on disk.
    Crash,
}

/// What a store must answer.
#[derive(Debug, Default)]
struct Model {
    keys: BTreeMap<u8, (EventId, Timestamp)>,
    stored: BTreeSet<EventId>,
}

/// A real store with what was offered to it.
struct Subject {
    /// On a disk in memory when there is one: what counts here is what was written, not how fast.
    root: TempDir,
    folder: PathBuf,
    lives: u32,
    store: Store,
    fresh: UnboundedReceiver<LeasedRow>,
    offered: Vec<(NewRow, Option<u8>)>,
    now: Timestamp,
    /// What of a folder survives a crash.
    survives: fn(&str) -> bool,
}

#[test]
fn the_store_does_what_its_model_does() {
    check_all(60);
}

#[test]
#[ignore = "takes three minutes"]
fn the_store_does_what_its_model_does_in_ten_thousand_histories() {
    check_all(10_000);
}

#[test]
fn the_model_notices_a_log_that_is_lost() {
    let lost = |file: &str| !file.ends_with("-wal");
    assert!(matches!(check(500, lost), Err(TestError::Fail(..))));
}

/// Runs so many histories, some beside each other: most of their time is waiting for the writer.
fn check_all(histories: u32) {
    let runs: Vec<_> = (0..RUNS).map(|_| thread::spawn(move || check(histories / RUNS, |_| true))).collect();
    for run in runs {
        run.join().expect("a run").unwrap_or_else(|error| panic!("{error}"));
    }
    tell(&format!("{histories} histories as the model has them"));
}

/// Runs so many histories.
fn check(histories: u32, survives: fn(&str) -> bool) -> Result<(), TestError<Vec<Step>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: histories, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 1..24), |steps| Subject::open(survives).live(&runtime, &steps))
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::option::weighted(0.9, 0..6_u8);
    prop_oneof![
        6 => prop::collection::vec(key(), 1..4).prop_map(Step::Accept),
        3 => any::<usize>().prop_map(Step::Again),
        2 => (0..150_u16).prop_map(Step::Wait),
        1 => Just(Step::Deliver),
        1 => Just(Step::Close),
        2 => Just(Step::Crash),
    ]
}

impl Model {
    fn accept(&mut self, row: &NewRow, key: Option<u8>) -> Accepted {
        if let (Some(key), Some(dedup)) = (key, row.key) {
            match self.keys.get(&key) {
                Some((holder, _)) if *holder == row.event.id => return Accepted::Queued,
                Some((_, expires)) if *expires > row.event.time => return Accepted::Duplicate,
                _ => drop(self.keys.insert(key, (row.event.id, row.event.time.plus(dedup.window)))),
            }
        }
        self.stored.insert(row.event.id);
        Accepted::Queued
    }
}

impl Subject {
    fn open(survives: fn(&str) -> bool) -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let folder = root.path().join("0");
        let (store, fresh) = start(&folder);
        // Ahead of the clock, so that only the steps let anything expire.
        let now = clock::now().plus(Duration::from_hours(1));
        Self { root, folder, lives: 0, store, fresh, offered: Vec::new(), now, survives }
    }

    /// Lives through a history; an answer or a row that the model does not expect ends it.
    fn live(mut self, runtime: &Runtime, steps: &[Step]) -> Result<(), TestCaseError> {
        runtime.block_on(async {
            let mut model = Model::default();
            for step in steps {
                self.take(step, &mut model).await?;
            }
            self.store.close().await;
            prop_assert_eq!(self.stored(), model.stored.into_iter().collect::<Vec<_>>());
            Ok(())
        })
    }

    async fn take(&mut self, step: &Step, model: &mut Model) -> Result<(), TestCaseError> {
        match step {
            Step::Accept(keys) => {
                let new: Vec<_> = keys.iter().map(|key| (row(self.now, *key), *key)).collect();
                self.offered.extend(new.iter().cloned());
                self.accept(new, model).await?;
            }
            Step::Again(number) => {
                if let Some(offered) = number.checked_rem(self.offered.len()).map(|index| self.offered[index].clone()) {
                    // What has no key and is over is not known any more; nothing offers it again.
                    if offered.1.is_some() {
                        self.accept(vec![offered], model).await?;
                    }
                }
            }
            Step::Wait(minutes) => self.now = self.now.plus(Duration::from_mins(u64::from(*minutes))),
            Step::Deliver => {
                while let Ok(row) = self.fresh.try_recv() {
                    let outcome = Settled::Final(Verdict::Delivered);
                    self.store.settle(Settlement { row, outcome, answer: None, now: self.now }).await;
                }
            }
            Step::Close => {
                self.store.close().await;
                (self.store, self.fresh) = start(&self.folder);
            }
            Step::Crash => {
                // Commands are written in their order: once this is answered, nothing is being written.
                drop(self.store.lease("none", "none", 1, self.now).await);
                self.lives += 1;
                let next = self.root.path().join(self.lives.to_string());
                copy(&self.folder, &next, self.survives);
                let (store, fresh) = start(&next);
                // The old process is gone for good; it must not write into the new one's folder.
                self.store.close().await;
                (self.folder, self.store, self.fresh) = (next, store, fresh);
            }
        }
        Ok(())
    }

    async fn accept(&self, rows: Vec<(NewRow, Option<u8>)>, model: &mut Model) -> Result<(), TestCaseError> {
        let expected: Vec<_> = rows.iter().map(|(row, key)| model.accept(row, *key)).collect();
        let offered = rows.into_iter().map(|(row, _)| row).collect();
        let answer = timeout(Duration::from_secs(20), async { self.store.accept(offered).await.await }).await;
        prop_assert_eq!(answer.expect("in time").expect("an answer"), expected);
        Ok(())
    }

    /// Every event that is in the store, each as often as it is there.
    fn stored(&self) -> Vec<EventId> {
        let state = |state| Filter { states: vec![state], limit: Some(10_000), ..Filter::default() };
        let inspector = self.store.inspect();
        let rows = [RowState::Pending, RowState::Settled].map(|it| inspector.list(&state(it)).unwrap());
        let mut events: Vec<_> = rows.iter().flatten().filter_map(|row| row.event_id).collect();
        events.sort_unstable();
        events
    }
}

struct Silent;

impl StoreObserver for Silent {
    fn committed(&self, _: Duration, _: usize) {}
    fn failed(&self, _: ErrorKind) {}
    fn withdrawn(&self, _: &str, _: &str) {}
}

fn start(folder: &Path) -> (Store, UnboundedReceiver<LeasedRow>) {
    Store::start(folder, Retention::default(), Arc::new(Silent))
}

fn row(time: Timestamp, key: Option<u8>) -> NewRow {
    let event = Event {
        id: EventId::new(Uuid::now_v7()),
        time,
        site: "shop".into(),
        conversion: "purchase".into(),
        network: "own".into(),
        payload: Payload { clicks: vec!["abc".into()], ..Payload::default() },
    };
    let dedup = |key: u8| Dedup { key: DedupKey::new(&[&key.to_string()]), window: Duration::from_hours(2) };
    NewRow { event, key: key.map(dedup), hold: None }
}

/// Copies what a dead process leaves.
fn copy(from: &Path, to: &Path, survives: fn(&str) -> bool) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        // The lock files in `instances` die with their process.
        if entry.path().is_file() && survives(&name) && !name.ends_with("-shm") {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

const RUNS: u32 = 4;
