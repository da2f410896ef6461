//! Who sends what, and that nobody does twice.

use std::collections::BTreeSet;

use super::*;

async fn settle(fleet: &Fleet, row: LeasedRow, outcome: Settled) -> Fenced {
    fleet.settle(&Settlement { row, outcome, answer: Some(answer()), now: NOW }).await.unwrap()
}

/// One row in the hands of a node.
async fn leased(fleet: &Fleet) -> LeasedRow {
    forward(fleet, &event(), &Uuid::new_v4().to_string()).await;
    lease(fleet).await.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_node_has_in_hand_no_other_gets() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let events: Vec<_> = (0..300).map(|_| event()).collect();
    let rows: Vec<_> = events.iter().map(|event| ForwardRow { event, key: None, missing: &[] }).collect();
    fleet.forward(&rows).await.unwrap();
    let mut workers = JoinSet::new();
    for name in ["one", "two", "three", "four"] {
        let fleet = node(&database, name);
        workers.spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..30 {
                let rows = fleet.lease("shop", "exoclick", 7).await.unwrap();
                assert!(rows.len() <= 7, "{}", rows.len());
                mine.extend(rows.iter().map(|row| row.event.id));
            }
            mine
        });
    }
    let all = workers.join_all().await.concat();
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (300, 300));
    assert!(fleet.due().await.unwrap().is_empty(), "all of them are in somebody's hands");
}

#[tokio::test]
async fn a_row_comes_back_as_it_was_and_what_is_due_longest_comes_first() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let mut events: Vec<_> = (0..3).map(|day| Event { time: NOW.plus(DAY * day), ..event() }).collect();
    events[0].payload.fields.insert("order_id".into(), "\0\"ü€".into());
    for event in events.iter().rev() {
        forward(&fleet, event, &event.id.to_string()).await;
    }
    // The server's clock goes by the real time, which these events may be ahead of.
    let next = NOW.plus(DAY * 3);
    database.sql(&format!("UPDATE throughline_outbox SET next_ms = event_ms - {}", next.as_millis()));
    let found = lease(&fleet).await;
    assert_eq!(found.iter().map(|row| &row.event).collect::<Vec<_>>(), events.iter().collect::<Vec<_>>());
    assert!(found.iter().all(|row| row.attempts == 0));
}

#[tokio::test]
async fn rows_that_wait_for_a_better_time_can_be_woken_and_those_in_hand_stay_there() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let in_hand = leased(&fleet).await;
    let waiting = leased(&fleet).await;
    fleet.release(&waiting, Some(crate::store::clock::now().plus(DAY))).await.unwrap();
    assert!(lease(&fleet).await.is_empty());
    for (network, woken) in [("rokt", 0), ("exoclick", 1), ("exoclick", 0)] {
        assert_eq!(fleet.wake("shop", network).await.unwrap(), woken);
    }
    let found: Vec<_> = lease(&fleet).await.into_iter().map(|row| row.event.id).collect();
    assert_eq!(found, [waiting.event.id]);
    assert_eq!(fleet.extend(&[&in_hand]).await.unwrap(), [in_hand.event.id]);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over_and_its_sleeper_changes_nothing() {
    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let slept = leased(&one).await;
    assert!(lease(&other).await.is_empty());
    age(&database, Duration::from_secs(61));
    let theirs = lease(&other).await.pop().unwrap();
    assert_eq!(theirs.event, slept.event);

    let retry = Settled::Retry { at: NOW.plus(DAY), reason: RetryReason::Timeout };
    for outcome in [retry, Settled::Final(Verdict::Delivered), Settled::Final(Verdict::Rejected(Rejection::Answer))] {
        assert_eq!(settle(&one, copy(&slept), outcome).await, Fenced::Lost);
    }
    one.release(&slept, Some(NOW)).await.unwrap();
    assert!(one.extend(&[&slept]).await.unwrap().is_empty());
    assert_eq!(other.extend(&[&theirs]).await.unwrap(), [theirs.event.id], "it still has it");
    assert_eq!(settle(&other, theirs, Settled::Final(Verdict::AlreadyKnown)).await, Fenced::Done);
    assert_eq!(settle(&one, slept, Settled::Final(Verdict::Delivered)).await, Fenced::Lost);
    assert_eq!(database.sql("SELECT verdict, attempts FROM throughline_history"), "already_known|1");
}

#[tokio::test]
async fn the_end_of_an_attempt_moves_a_row_as_a_node_of_its_own_would() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let counted = "SELECT attempts, reason, lease IS NULL, verdict FROM throughline_outbox";

    let row = leased(&fleet).await;
    let id = row.event.id;
    let at = NOW.plus(Duration::from_secs(40));
    settle(&fleet, row, Settled::Retry { at, reason: RetryReason::Status }).await;
    assert_eq!(database.sql(counted), "1|status|t|");
    let due = fleet.due().await.unwrap();
    let wait = Duration::from_millis(u64::try_from(due[0].2 - clock::now().as_millis()).unwrap());
    assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(40), "{wait:?}");
    assert!(lease(&fleet).await.is_empty(), "not yet");

    age(&database, Duration::from_secs(41));
    let row = lease(&fleet).await.pop().unwrap();
    assert_eq!((row.event.id, row.attempts), (id, 1));
    settle(&fleet, row, Settled::Retry { at: NOW, reason: RetryReason::Unauthorized }).await;
    assert_eq!(database.sql(counted), "1|unauthorized|t|", "wrong credentials cost no attempt");

    let row = lease(&fleet).await.pop().unwrap();
    settle(&fleet, row, Settled::Final(Verdict::Rejected(Rejection::Answer))).await;
    assert_eq!(database.sql(counted), "2|answer|t|rejected", "a dead letter stays");
    assert!(lease(&fleet).await.is_empty());

    let row = leased(&fleet).await;
    let id = row.event.id;
    settle(&fleet, row, Settled::Final(Verdict::Delivered)).await;
    assert_eq!(fleet.verdicts(&[id]).await.unwrap(), [Some("delivered".into())]);
    assert_eq!(database.sql("SELECT last_answer LIKE '%OK%' FROM throughline_history"), "t");
}

#[tokio::test]
async fn a_settlement_whose_answer_was_lost_may_be_repeated() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    for outcome in [
        Settled::Retry { at: NOW.plus(DAY), reason: RetryReason::Status },
        Settled::Final(Verdict::Delivered),
        Settled::Final(Verdict::Unclear),
    ] {
        let row = leased(&fleet).await;
        for _ in 0..2 {
            assert_eq!(settle(&fleet, copy(&row), outcome).await, Fenced::Done, "{outcome:?}");
        }
    }
    assert_eq!(database.sql("SELECT max(attempts) FROM throughline_outbox"), "1", "and counts once");
}

#[tokio::test]
async fn a_row_that_is_given_back_is_there_for_another_node() {
    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let row = leased(&one).await;
    one.release(&row, None).await.unwrap();
    let row = lease(&other).await.pop().unwrap();
    other.release(&row, Some(clock::now().plus(Duration::from_secs(30)))).await.unwrap();
    assert!(lease(&one).await.is_empty(), "parked");
    assert_eq!(one.due().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_becomes_a_dead_letter() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let (good, bad) = (event(), event());
    forward(&fleet, &good, "1").await;
    forward(&fleet, &bad, "2").await;
    database.sql(&format!("UPDATE throughline_outbox SET payload = '[' WHERE event_id = '{}'", bad.id));
    let found = lease(&fleet).await;
    assert_eq!(found.iter().map(|row| row.event.id).collect::<Vec<_>>(), [good.id]);
    assert_eq!(fleet.verdicts(&[bad.id]).await.unwrap(), [Some("rejected".into())]);
}

#[tokio::test]
async fn everything_that_waits_is_counted_by_destination() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    assert!(fleet.due().await.unwrap().is_empty());
    let rokt = Event { network: "rokt".into(), time: NOW.plus(DAY), ..event() };
    forward(&fleet, &rokt, "0").await;
    let dead = leased(&fleet).await;
    settle(&fleet, dead, Settled::Final(Verdict::Expired)).await;
    let waits = leased(&fleet).await;
    let gauges = fleet.gauges().await.unwrap();
    let shown: Vec<_> = gauges.iter().map(|it| (it.network.as_str(), it.pending, it.dead, it.oldest_event)).collect();
    assert_eq!(shown, [("exoclick", 1, 1, Some(NOW)), ("rokt", 1, 0, Some(NOW.plus(DAY)))]);
    let due: Vec<_> = fleet.due().await.unwrap().into_iter().map(|(site, network, _)| (site, network)).collect();
    assert_eq!(due, [("shop".to_owned(), "rokt".to_owned())], "the other one is in hand");
    fleet.release(&waits, None).await.unwrap();
    assert_eq!(fleet.due().await.unwrap().len(), 2);
}
