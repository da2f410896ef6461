//! What several nodes learn of one visitor.

use super::*;
use crate::tracking::journey::Remembered;

fn key(byte: u8) -> JourneyKey {
    JourneyKey::from_bytes([byte; 16])
}

fn journey(name: &str, text: &str, keys: &[JourneyKey]) -> Journey {
    let mut journey = Journey::default();
    journey.fields.insert(name.into(), Remembered::new(text, clock::now()));
    journey.keys = keys.iter().map(|key| (*key, clock::now())).collect();
    journey
}

async fn remember(fleet: &Fleet, keys: &[JourneyKey], journey: &Journey) {
    fleet.remember("shop", keys, journey, clock::now().plus(DAY), DAY).await.unwrap();
}

async fn recall(fleet: &Fleet, keys: &[JourneyKey]) -> Option<Journey> {
    fleet.recall(keys, clock::now()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_learn_at_once_lose_nothing_of_each_other() {
    let database = Postgres::shared().database();
    let mut learners = JoinSet::new();
    for name in ["a", "b", "c"] {
        let fleet = node(&database, name);
        learners.spawn(async move {
            for count in 0..8 {
                // In another order each time, which must not end in a deadlock.
                let keys = if count % 2 == 0 { [key(1), key(2)] } else { [key(2), key(1)] };
                remember(&fleet, &keys, &journey(&format!("{name}{count}"), "x", &keys)).await;
            }
        });
    }
    learners.join_all().await;
    let fleet = node(&database, "d");
    fleet.prepare().await.unwrap();
    for keys in [[key(1)], [key(2)]] {
        assert_eq!(recall(&fleet, &keys).await.unwrap().fields.len(), 24);
    }
}

#[tokio::test]
async fn several_visitors_and_one_visitor_twice_go_in_one_transaction() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let (first, second, third) = (journey("a", "1", &[]), journey("b", "2", &[]), journey("c", "3", &[]));
    let expires = clock::now().plus(DAY);
    let (one, both) = ([key(1)], [key(1), key(2)]);
    let addition = |keys, journey| JourneyAddition { site: "shop", keys, journey, expires, kept: DAY };
    for _ in 0..2 {
        let additions = [addition(&one[..], &first), addition(&both[..], &second), addition(&one[..], &third)];
        fleet.remember_all(&additions).await.unwrap();
    }
    let names = |journey: Journey| journey.fields.into_keys().collect::<Vec<_>>().join(" ");
    assert_eq!(recall(&fleet, &[key(1)]).await.map(names).as_deref(), Some("a b c"));
    assert_eq!(recall(&fleet, &[key(2)]).await.map(names).as_deref(), Some("b"));
    assert_eq!(fleet.recall(&[key(1)], expires).await.unwrap(), None, "its time is over");
}

#[tokio::test]
async fn a_journey_is_forgotten_under_all_its_keys_and_the_other_nodes_hear_of_it() {
    let database = Postgres::shared().database();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let keys = [key(1), key(2)];
    remember(&one, &keys, &journey("email", "x", &keys)).await;
    remember(&one, &[key(3)], &journey("email", "y", &[key(3)])).await;
    let before = other.news(Timestamp::default()).await.unwrap();
    assert!(before.journeys.is_empty());

    assert_eq!(one.forget(&[key(1)]).await.unwrap(), keys);
    assert_eq!(recall(&other, &keys).await, None);
    assert!(recall(&other, &[key(3)]).await.is_some());
    let mut heard = other.news(before.until).await.unwrap();
    heard.journeys.sort_unstable();
    assert_eq!(heard.journeys, keys);
    database.sql("UPDATE throughline_erased SET at_ms = at_ms - 60000");
    assert!(other.news(heard.until).await.unwrap().journeys.is_empty(), "once is enough");
}
