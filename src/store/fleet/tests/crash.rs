//! The database dies again and again while nodes work on it: nothing acknowledged is lost, and nothing
//! is accepted twice.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::AtomicUsize,
};

use tokio::task::{spawn_blocking, yield_now};

use super::*;

/// What all nodes have done so far.
#[derive(Default)]
struct Ledger {
    /// By event: its order, and whether the fleet took it.
    answers: Mutex<HashMap<EventId, (usize, bool)>>,
    /// By event: how often it was sent.
    sent: Mutex<BTreeMap<EventId, usize>>,
    acknowledged: AtomicUsize,
    is_over: AtomicBool,
}

/// Forwards what its visitors bought until the database has answered to all of it. Every order comes to
/// two nodes, as when a page is loaded again.
async fn forward_all(fleet: Fleet, ledger: Arc<Ledger>, orders: Vec<usize>) {
    for orders in orders.chunks(5) {
        let events: Vec<_> = orders.iter().map(|_| event()).collect();
        let names: Vec<_> = orders.iter().map(usize::to_string).collect();
        let rows: Vec<_> = events.iter().zip(&names).map(|(event, order)| row(event, order)).collect();
        let answers = loop {
            match fleet.forward(&rows).await {
                Ok(answers) => break answers,
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        let mut ledger_answers = ledger.answers.lock().unwrap();
        for ((event, order), answer) in events.iter().zip(orders).zip(answers) {
            ledger_answers.insert(event.id, (*order, matches!(answer, Forwarded::Queued | Forwarded::Known)));
        }
        ledger.acknowledged.fetch_add(orders.len(), Ordering::Relaxed);
    }
}

/// Sends what it can lease, and says so as long as that takes.
async fn deliver(fleet: Fleet, ledger: Arc<Ledger>) {
    loop {
        let is_over = ledger.is_over.load(Ordering::Acquire);
        let rows = fleet.lease("shop", "exoclick", 20).await.unwrap_or_default();
        if rows.is_empty() {
            if is_over {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for row in rows {
            *ledger.sent.lock().unwrap().entry(row.event.id).or_default() += 1;
            let settlement = ended(row, Verdict::Delivered);
            while let Err(error) = fleet.settle(&settlement).await {
                assert!(error.is_transient(), "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        yield_now().await;
    }
}

async fn survive(crashes: usize, orders: usize) {
    let server = Postgres::alone(&[]);
    let database = server.database();
    let ledger = Arc::new(Ledger::default());
    let (mut forwarders, mut workers) = (JoinSet::new(), JoinSet::new());
    for (number, name) in ["one", "two", "three"].into_iter().enumerate() {
        let fleet = node(&database, name);
        fleet.prepare().await.unwrap();
        let mine = (0..orders).filter(|order| order % 3 == number || (order + 1) % 3 == number).collect();
        forwarders.spawn(forward_all(fleet.clone(), Arc::clone(&ledger), mine));
        workers.spawn(deliver(fleet, Arc::clone(&ledger)));
    }
    for crash in 1..=crashes {
        // Each in the middle of the work, and the last before its end.
        while ledger.acknowledged.load(Ordering::Relaxed) < crash * orders * 2 / (crashes + 1) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let server = Arc::clone(&server);
        spawn_blocking(move || {
            server.crash();
            server.start();
        })
        .await
        .unwrap();
    }
    forwarders.join_all().await;
    ledger.is_over.store(true, Ordering::Release);
    workers.join_all().await;
    // An answer that was lost with the server left its rows in nobody's hands, until their lease runs out.
    age(&database, Duration::from_secs(61));
    deliver(node(&database, "last"), Arc::clone(&ledger)).await;

    let (answers, sent) = (ledger.answers.lock().unwrap(), ledger.sent.lock().unwrap());
    assert_eq!(answers.len(), orders * 2);
    let accepted: HashSet<_> = answers.iter().filter(|(_, (_, is_taken))| *is_taken).map(|(id, _)| *id).collect();
    let mut by_order = vec![0; orders];
    accepted.iter().for_each(|id| by_order[answers[id].0] += 1);
    assert!(by_order.iter().all(|count| *count == 1), "each order once: {by_order:?}");
    let never_sent = accepted.iter().filter(|id| !sent.contains_key(id)).count();
    assert_eq!(never_sent, 0, "everything that was accepted was sent");
    assert!(sent.keys().all(|id| accepted.contains(id)), "and nothing else");
    let history = database.sql("SELECT count(*), count(DISTINCT event_id) FROM throughline_history");
    assert_eq!(history, format!("{orders}|{orders}"));
    let again = sent.values().filter(|count| **count > 1).count();
    // Only what was leased by an answer that was lost, or in the hands of a node at that moment.
    assert!(again <= crashes * 60, "{again} sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_dies_three_times_loses_nothing_and_takes_nothing_twice() {
    survive(3, 600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "two minutes"]
async fn a_database_that_dies_a_hundred_times_loses_nothing_and_takes_nothing_twice() {
    survive(100, 20_000).await;
}

/// The control: were commits not durable, the tests above would notice.
#[tokio::test]
async fn a_crash_takes_away_what_a_database_acknowledged_too_early() {
    let server = Postgres::alone(&[("wal_writer_delay", "10s")]);
    let database = server.database();
    let fleet = node(&database, "one");
    for (commit, left) in [("off", "0"), ("on", "1")] {
        let mut session = fleet.session().await.unwrap();
        // What was written before must not be flushed by what comes now.
        session.batch_execute(&format!("CHECKPOINT; SET synchronous_commit = {commit}")).await.unwrap();
        let bought = event();
        assert_eq!(inbox::forward(&mut session, &[row(&bought, "1")]).await.unwrap(), [Forwarded::Queued]);
        server.crash();
        drop(session);
        server.start();
        assert_eq!(database.sql("SELECT count(*) FROM throughline_outbox"), left, "synchronous_commit = {commit}");
    }
}

/// What a node does that was stopped in the middle of its work and goes on long after.
#[tokio::test]
#[ignore = "two minutes: a lease has to run out by itself"]
async fn a_lease_runs_out_by_the_clock_of_the_server() {
    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    forward(&one, &event(), "1").await;
    let slept = lease(&one).await.pop().unwrap();
    let started = clock::instant();
    let theirs = loop {
        if let Some(row) = lease(&other).await.pop() {
            break row;
        }
        assert!(started.elapsed() < Duration::from_secs(90));
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(started.elapsed() >= Duration::from_secs(59), "{:?}", started.elapsed());
    assert_eq!(one.settle(&ended(slept, Verdict::Delivered)).await.unwrap(), Fenced::Lost);
    assert_eq!(other.settle(&ended(theirs, Verdict::Delivered)).await.unwrap(), Fenced::Done);
}
