//! The shared store on a real PostgreSQL.

use tokio::task::JoinSet;
use uuid::Uuid;

use self::postgres::{Database, PASSWORD, Postgres};
use super::*;
use crate::{
    store::{
        Accepted, AnswerRecord, Claim, LeasedRow, Retention, Settled, Settlement,
        samples::{DAY, NOW, event},
    },
    tracking::{
        event::{Dedup, DedupKey, Event, EventId, Payload},
        journey::{Journey, JourneyKey},
        verdict::{Rejection, RetryReason, Verdict},
    },
};

mod crash;
mod delivery;
mod desk;
mod journeys;
mod server;
mod withdrawal;

#[path = "../../../tests/it/support/postgres.rs"]
#[allow(clippy::disallowed_methods, reason = "it lives among real clocks and files")]
mod postgres;

/// A node of the fleet.
fn node(database: &Database, name: &str) -> Fleet {
    let settings = FleetSettings { url: database.url(), authorities: Vec::new() };
    Fleet::new(&settings, name.into()).unwrap()
}

fn dedup(order: &str) -> Dedup {
    Dedup { key: DedupKey::new(&[order]), window: DAY }
}

fn row<'a>(event: &'a Event, order: &str) -> ForwardRow<'a> {
    ForwardRow { event, key: Some(dedup(order)), missing: &[] }
}

async fn forward(fleet: &Fleet, event: &Event, order: &str) -> Forwarded {
    fleet.forward(&[row(event, order)]).await.unwrap()[0]
}

async fn lease(fleet: &Fleet) -> Vec<LeasedRow> {
    fleet.lease("shop", "exoclick", 10).await.unwrap()
}

fn ended(row: LeasedRow, verdict: Verdict) -> Settlement {
    Settlement { row, outcome: Settled::Final(verdict), answer: Some(answer()), now: NOW }
}

fn answer() -> AnswerRecord {
    AnswerRecord { at: NOW, status: Some(200), body: "OK\0".into(), result: "delivered", millis: 7 }
}

/// The same row in the hands of somebody who slept.
fn copy(row: &LeasedRow) -> LeasedRow {
    LeasedRow { event: row.event.clone(), attempts: row.attempts, revived: row.revived, place: row.place }
}

/// As if so much time had passed: of all times of the outbox.
fn age(database: &Database, by: Duration) {
    let ms = by.as_millis();
    database.sql(&format!(
        "UPDATE throughline_outbox SET next_ms = next_ms - {ms}, lease_until_ms = lease_until_ms - {ms}"
    ));
}

#[tokio::test]
async fn a_row_is_accepted_once_however_often_it_is_forwarded() {
    use Forwarded::{Duplicate, Known, Queued};

    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let (first, second, unkeyed) = (event(), event(), event());
    let batch = [row(&first, "1"), row(&second, "1"), ForwardRow { event: &unkeyed, key: None, missing: &[] }];
    assert_eq!(one.forward(&batch).await.unwrap(), [Queued, Duplicate, Queued]);
    assert_eq!(one.forward(&batch).await.unwrap(), [Known, Duplicate, Known]);
    assert_eq!(other.forward(&batch).await.unwrap(), [Known, Duplicate, Known]);

    for row in lease(&other).await {
        assert_eq!(other.settle(&ended(row, Verdict::Delivered)).await.unwrap(), Fenced::Done);
    }
    assert_eq!(one.forward(&batch).await.unwrap(), [Known, Duplicate, Known], "also when they are over");
    assert!(lease(&one).await.is_empty());
    assert_eq!(database.sql("SELECT count(*) FROM throughline_history"), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_race_for_keys_accept_each_once() {
    let database = Postgres::shared().database();
    // What each of these databases must get right, and what others are by default.
    for isolation in ["read committed", "serializable"] {
        let name = database.sql("SELECT current_database()");
        database.sql(&format!("ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"));
        let mut racers = JoinSet::new();
        for name in ["one", "two", "three"] {
            let fleet = node(&database, name);
            racers.spawn(async move {
                let mut accepted = Vec::new();
                for batch in (0..200).collect::<Vec<_>>().chunks(20) {
                    let events: Vec<_> = batch.iter().map(|_| event()).collect();
                    let orders: Vec<_> = batch.iter().map(|order| format!("{isolation} {order}")).collect();
                    let mut rows: Vec<_> = events.iter().zip(&orders).map(|(event, order)| row(event, order)).collect();
                    // In another order at each node, which must not end in a deadlock.
                    if name == "two" {
                        rows.reverse();
                    }
                    let forwarded = fleet.forward(&rows).await.unwrap();
                    let pairs = rows.iter().zip(forwarded);
                    accepted.extend(pairs.filter_map(|(row, it)| (it == Forwarded::Queued).then_some(row.event.id)));
                }
                accepted
            });
        }
        let accepted = racers.join_all().await.concat();
        assert_eq!(accepted.len(), 200, "{isolation}");
    }
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT event_id) FROM throughline_outbox"), "400|400");
}

#[tokio::test]
async fn a_transaction_that_was_in_the_way_of_another_is_repeated_but_not_for_ever() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    fleet.prepare().await.unwrap();
    // Numbers of a sequence stay taken when a transaction is undone.
    database.sql(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION fail() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('tries') <= 3 THEN RAISE EXCEPTION 'canary' USING ERRCODE = '40001'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER fail BEFORE INSERT ON throughline_outbox FOR EACH ROW EXECUTE FUNCTION fail()",
    );
    assert_eq!(forward(&fleet, &event(), "1").await, Forwarded::Queued);
    assert_eq!(database.sql("SELECT last_value FROM tries"), "4");

    database.sql("ALTER SEQUENCE tries MINVALUE -1000000 RESTART WITH -1000000");
    let bought = event();
    let error = fleet.forward(&[row(&bought, "2")]).await.unwrap_err();
    assert!(error.is_transient() && !error.is_about_a_value(), "{error}");
    assert_eq!(fleet.health(), FleetHealth::Ready, "it is there, if busy");
}

#[tokio::test]
async fn a_row_that_the_database_does_not_take_is_told_from_a_database_that_takes_none() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    fleet.prepare().await.unwrap();
    database.sql("ALTER TABLE throughline_outbox ADD CHECK (site <> 'canary')");
    let bad = Event { site: "canary".into(), ..event() };
    let error = fleet.forward(&[row(&bad, "1")]).await.unwrap_err();
    assert!(error.is_about_a_value() && !error.is_transient(), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert_eq!(forward(&fleet, &event(), "1").await, Forwarded::Queued, "and its key is free");
}

#[tokio::test]
async fn a_key_is_free_again_when_its_window_has_ended_also_within_one_batch() {
    use Forwarded::{Duplicate, Queued};

    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let at = |time| Event { time, ..event() };
    let (first, within, after) = (at(NOW), at(NOW.plus(DAY / 2)), at(NOW.plus(DAY)));
    let batch = [row(&first, "1"), row(&within, "1"), row(&after, "1")];
    assert_eq!(fleet.forward(&batch).await.unwrap(), [Queued, Duplicate, Queued]);
}

#[tokio::test]
async fn claims_take_keys_without_rows_and_give_them_back() {
    use Accepted::{Duplicate, Queued};

    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let claim = |id, order| Claim { event_id: id, dedup: dedup(order), time: NOW };
    let (mine, yours) = (event().id, event().id);
    assert_eq!(one.claim(&[claim(mine, "1"), claim(mine, "2")]).await.unwrap(), [Queued, Queued]);
    assert_eq!(one.claim(&[claim(mine, "1")]).await.unwrap(), [Queued], "the same again");
    assert_eq!(other.claim(&[claim(yours, "1"), claim(yours, "3")]).await.unwrap(), [Duplicate, Queued]);
    let bought = event();
    assert_eq!(forward(&other, &bought, "1").await, Forwarded::Duplicate);

    other.give_back(&[(yours, dedup("1").key)]).await.unwrap();
    assert_eq!(forward(&other, &bought, "1").await, Forwarded::Duplicate, "it was not theirs to give");
    one.give_back(&[(mine, dedup("1").key)]).await.unwrap();
    assert_eq!(forward(&other, &bought, "1").await, Forwarded::Queued);
}

#[tokio::test]
async fn keys_that_a_node_brings_along_are_duplicates_for_all_but_do_not_hold_back_its_own_rows() {
    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let waiting = event();
    let bring = |order, id| (dedup(order).key, id, NOW.as_millis(), NOW.plus(DAY).as_millis());
    one.adopt_keys(&[bring("1", waiting.id), bring("2", event().id)]).await.unwrap();
    assert_eq!(forward(&other, &event(), "1").await, Forwarded::Duplicate);
    assert_eq!(forward(&other, &event(), "2").await, Forwarded::Duplicate);
    assert_eq!(forward(&one, &waiting, "1").await, Forwarded::Queued, "its key came first, and then the row");
}

#[tokio::test]
async fn an_incomplete_row_keeps_its_key_and_is_never_sent() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let incomplete = event();
    let missing = ["value".to_owned()];
    let held = ForwardRow { missing: &missing, ..row(&incomplete, "1") };
    assert_eq!(fleet.forward(&[held]).await.unwrap(), [Forwarded::Queued]);
    assert_eq!(forward(&fleet, &event(), "1").await, Forwarded::Duplicate);
    assert!(lease(&fleet).await.is_empty());
    assert!(fleet.due().await.unwrap().is_empty());
}
