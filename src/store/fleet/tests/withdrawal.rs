//! Consent that is withdrawn at one node and respected at all, and what is forgotten with time.

use super::*;

fn of(click: &str, visitor: u8) -> Event {
    let payload = Payload {
        clicks: vec![click.into()],
        visitor: vec![JourneyKey::from_bytes([visitor; 16])],
        ..Payload::default()
    };
    Event { payload, ..event() }
}

#[tokio::test]
async fn the_rows_of_a_visitor_are_found_by_click_and_by_journey() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let hostile = "\"'%_\\";
    let elsewhere = Event { network: "rokt".into(), ..of(hostile, 4) };
    let (mine, by_journey, other) = (of(hostile, 1), of("b", 2), of("c", 3));
    for event in [&mine, &by_journey, &other, &elsewhere] {
        forward(&fleet, event, &event.id.to_string()).await;
    }
    let journeys = [JourneyKey::from_bytes([2; 16])];
    let mut found = fleet.open_rows_of("shop", &[("exoclick", hostile)], &journeys).await.unwrap();
    found.sort_unstable();
    let mut expected = [mine.id, by_journey.id];
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(fleet.open_rows_of("other", &[("exoclick", hostile)], &journeys).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_withdrawn_row_ends_at_once_or_when_its_node_comes_back() {
    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let mut in_hand = Vec::new();
    for order in ["sent", "failed", "rejected", "asleep"] {
        forward(&one, &event(), order).await;
        in_hand.extend(lease(&one).await);
    }
    let [sent, failed, rejected, asleep]: [LeasedRow; 4] = in_hand.try_into().unwrap();
    let (waits, incomplete, missing) = (event(), event(), ["value".to_owned()]);
    forward(&one, &waits, "waits").await;
    one.forward(&[ForwardRow { missing: &missing, ..row(&incomplete, "incomplete") }]).await.unwrap();

    let ids: Vec<_> = [&sent, &failed, &rejected, &asleep].iter().map(|row| row.event.id).collect();
    let all = [&ids[..], &[waits.id, incomplete.id]].concat();
    assert_eq!(other.withdraw(&all).await.unwrap().len(), 1, "the one that waited");
    assert_eq!(other.withdraw(&all).await.unwrap().len(), 0, "twice is once");
    assert_eq!(one.withdrawn(&all).await.unwrap().len(), 6);
    assert!(one.extend(&[&sent]).await.unwrap().is_empty(), "it must not be sent any more");

    assert_eq!(one.settle(&ended(copy(&sent), Verdict::Delivered)).await.unwrap(), Fenced::Done, "too late");
    let retry = Settled::Retry { at: NOW.plus(DAY), reason: RetryReason::Status };
    let failed = Settlement { row: failed, outcome: retry, answer: Some(answer()), now: NOW };
    for _ in 0..2 {
        assert_eq!(one.settle(&failed).await.unwrap(), Fenced::Withdrawn);
    }
    assert_eq!(one.settle(&ended(rejected, Verdict::Rejected(Rejection::Answer))).await.unwrap(), Fenced::Done);
    let tidy = async || other.tidy(Retention::default(), NOW).await.unwrap().ended.len();
    assert_eq!(tidy().await, 0, "it may still come back");
    age(&database, Duration::from_secs(61));
    assert!(lease(&other).await.is_empty(), "nobody takes it over");
    assert_eq!(tidy().await, 1);
    assert_eq!(one.settle(&ended(asleep, Verdict::Delivered)).await.unwrap(), Fenced::Lost);

    assert_eq!(database.sql("SELECT count(*) FROM throughline_outbox"), "0");
    let history = "SELECT verdict, count(*) FROM throughline_history WHERE payload = '{}' AND last_answer IS NULL
        GROUP BY verdict ORDER BY verdict";
    assert_eq!(database.sql(history), "delivered|1\nrejected|1\nwithdrawn|4");
}

#[tokio::test]
async fn a_row_that_comes_after_its_visitor_withdrew_elsewhere_is_not_sent() {
    use Forwarded::{Known, Queued, Withdrawn};

    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    one.forget(&[JourneyKey::from_bytes([1; 16])]).await.unwrap();
    let now = clock::now();
    let before = Event { time: Timestamp::from_millis(now.as_millis() - 60_000), ..of("a", 1) };
    let after = Event { time: now.plus(Duration::from_mins(1)), ..of("b", 1) };
    let batch = [row(&before, "1"), row(&after, "2"), row(&before, "1")];
    assert_eq!(other.forward(&batch).await.unwrap(), [Withdrawn, Queued, Known]);
    assert_eq!(other.forward(&batch).await.unwrap(), [Known, Known, Known]);
    assert_eq!(database.sql("SELECT verdict, payload FROM throughline_history"), "withdrawn|{}");
}

#[tokio::test]
async fn pages_learn_of_any_node_what_became_of_a_postback() {
    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let (over, open, dead) = (event(), event(), event());
    forward(&one, &over, "1").await;
    one.settle(&ended(lease(&one).await.pop().unwrap(), Verdict::InvalidClick)).await.unwrap();
    forward(&one, &dead, "2").await;
    one.settle(&ended(lease(&one).await.pop().unwrap(), Verdict::Unclear)).await.unwrap();
    forward(&one, &open, "3").await;
    other.prepare().await.unwrap();
    let ids = [event().id, over.id, open.id, dead.id];
    let words = [None, Some("invalid_click".to_owned()), None, Some("unclear".to_owned())];
    assert_eq!(other.verdicts(&ids).await.unwrap(), words);
    let fates = other.fates(&ids).await.unwrap().into_iter();
    let known: Vec<_> = fates.map(|fate| fate.map(|fate| (fate.event, fate.verdict))).collect();
    let [_, invalid, _, unclear] = words;
    assert_eq!(known, [None, Some((over, invalid)), Some((open, None)), Some((dead, unclear))]);
}

#[tokio::test]
async fn what_is_old_goes_in_slices_and_what_is_young_stays() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    fleet.prepare().await.unwrap();
    let (now, day) = (NOW.as_millis(), i64::try_from(DAY.as_millis()).unwrap());
    for (name, time, expires, count) in [("old", now - 31 * day, now, 1200), ("young", now - 29 * day, now + 1, 3)] {
        let key = format!("decode(md5('{name}' || n), 'hex')");
        let row = "gen_random_uuid(), 'shop', 'purchase', 'exoclick'";
        let all = format!("generate_series(1, {count}) n");
        let columns = "event_id, site, conversion, network, event_ms";
        database.sql(&format!(
            "INSERT INTO throughline_dedup SELECT {key}, gen_random_uuid(), {time}, {expires} FROM {all};
             INSERT INTO throughline_journeys SELECT {key}, 'shop', {expires}, '{{}}' FROM {all};
             INSERT INTO throughline_history ({columns}, settled_ms, attempts, verdict, payload)
                 SELECT {row}, {time}, {time}, 1, 'delivered', '{{}}' FROM {all};
             INSERT INTO throughline_outbox ({columns}, next_ms, verdict, settled_ms, payload)
                 SELECT {row}, {time}, {time}, 'expired', {time}, '{{}}' FROM {all};
             INSERT INTO throughline_outbox ({columns}, next_ms, missing, payload)
                 SELECT {row}, {time}, {time}, 'value', '{{}}' FROM {all};
             INSERT INTO throughline_outbox ({columns}, next_ms, payload) SELECT {row}, {time}, {time}, '{{}}' FROM {all}"
        ));
    }
    let mut rounds = 0;
    while fleet.tidy(Retention::default(), NOW).await.unwrap().has_more {
        rounds += 1;
    }
    assert_eq!(rounds, 2, "1,200 of each");
    for (table, left) in [
        ("throughline_dedup", "3"),
        ("throughline_journeys", "3"),
        ("throughline_history", "3"),
        ("throughline_outbox WHERE verdict IS NOT NULL", "3"),
        ("throughline_outbox WHERE missing IS NOT NULL", "3"),
        ("throughline_outbox WHERE verdict IS NULL AND missing IS NULL", "1203"),
    ] {
        assert_eq!(database.sql(&format!("SELECT count(*) FROM {table}")), left, "{table}");
    }
}
