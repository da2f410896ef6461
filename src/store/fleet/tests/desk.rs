//! What operators see and change of the whole fleet.

use std::collections::BTreeSet;

use super::*;
use crate::{
    store::{
        desk::{Corrected, Correction},
        fleet::desk::{Deed, Notice, Rename, Tally},
        inspector::{Filter, Person, RowState},
    },
    tracking::journey::Remembered,
};

fn deed(word: &str) -> Deed<'_> {
    Deed { who: "root\n", word, arguments: "--network exoclick" }
}

fn of_order(order: &str) -> Event {
    let mut event = event();
    event.payload.fields.insert("order_id".into(), order.into());
    event
}

async fn settled(fleet: &Fleet, event: &Event, verdict: Verdict) {
    forward(fleet, event, &event.id.to_string()).await;
    let row = lease(fleet).await.pop().unwrap();
    fleet.settle(&ended(row, verdict)).await.unwrap();
}

/// One row of each state: pending, in hand, dead, settled, incomplete.
async fn one_of_each(fleet: &Fleet) -> [Event; 5] {
    let all = ["pending", "in hand", "dead", "over", "incomplete"].map(of_order);
    let [pending, in_hand, dead, over, incomplete] = &all;
    let missing = ["value".to_owned()];
    settled(fleet, dead, Verdict::Expired).await;
    settled(fleet, over, Verdict::Delivered).await;
    forward(fleet, in_hand, "in hand").await;
    assert_eq!(lease(fleet).await.len(), 1);
    forward(fleet, pending, "pending").await;
    fleet.forward(&[ForwardRow { missing: &missing, ..row(incomplete, "incomplete") }]).await.unwrap();
    all
}

fn ids(events: &[Event]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn rows_of_all_nodes_are_listed_and_shown() {
    use RowState::{Candidate, Dead, Incomplete, Pending, Settled};

    let database = Postgres::shared().database();
    let (fleet, desk) = (node(&database, "one"), node(&database, "desk"));
    let all = one_of_each(&fleet).await;
    let [pending, in_hand, dead, over, incomplete] = &all;
    let filter = |states: &[RowState]| Filter { states: states.to_vec(), ..Filter::default() };
    for (filter, expected) in [
        (filter(&[Pending]), vec![pending, in_hand]),
        (filter(&[Dead]), vec![dead]),
        (filter(&[Settled]), vec![over]),
        (filter(&[Incomplete, Dead]), vec![dead, incomplete]),
        (filter(&[Candidate]), vec![]),
        (Filter { verdict: Some("expired".into()), ..filter(&[]) }, vec![dead]),
        (Filter { network: Some("rokt".into()), ..filter(&[]) }, vec![]),
        (Filter { before: Some(NOW), ..filter(&[]) }, vec![]),
        (Filter { since: Some(NOW), site: Some("shop".into()), ..filter(&[]) }, all.iter().collect()),
        (Filter { ids: vec![over.id, event().id], ..filter(&[]) }, vec![over]),
    ] {
        let expected: BTreeSet<_> = expected.iter().map(|event| event.id).collect();
        let listed = desk.list(&filter).await.unwrap();
        let listed: BTreeSet<_> = listed.iter().filter_map(|row| row.summary.event_id).collect();
        assert_eq!(listed, expected, "{filter:?}");
        assert_eq!(desk.choose(&filter).await.unwrap().into_iter().collect::<BTreeSet<_>>(), expected);
    }
    assert_eq!(desk.list(&Filter { limit: Some(2), ..filter(&[]) }).await.unwrap().len(), 2);

    let shown = desk.show("over").await.unwrap();
    assert_eq!((shown.len(), shown[0].summary.state, &shown[0].payload), (1, Settled, &over.payload));
    assert_eq!(shown[0].last_answer.as_ref().unwrap().body, "OK\0");
    let id = incomplete.id.to_string();
    for text in [id.as_str(), id.get(..13).unwrap()] {
        let shown = desk.show(text).await.unwrap();
        assert_eq!((shown.len(), &shown[0].summary.missing), (1, &vec!["value".to_owned()]));
    }
    assert!(desk.show("in hand").await.unwrap()[0].summary.leased);
    assert!(desk.show("%").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_incomplete_conversion_is_completed_at_any_node_and_then_sent() {
    let database = Postgres::shared().database();
    let (fleet, desk) = (node(&database, "one"), node(&database, "desk"));
    let (mine, other) = (event(), event());
    let missing = ["value".to_owned(), "order_id".to_owned()];
    let unkeyed = |event| ForwardRow { event, key: None, missing: &missing };
    fleet.forward(&[unkeyed(&mine), unkeyed(&other)]).await.unwrap();
    let provide = |name: &str, text: &str| Correction {
        fields: [(name.to_owned(), text.to_owned())].into(),
        provided: vec![name.to_owned()],
        key: (name == "order_id").then(|| dedup(text)),
        ..Correction::default()
    };
    let set = deed("set");
    let rest = Corrected::Incomplete(vec!["value".into()]);
    assert_eq!(desk.correct(&set, mine.id, &provide("order_id", "1")).await.unwrap(), rest);
    assert_eq!(desk.correct(&set, other.id, &provide("order_id", "1")).await.unwrap(), Corrected::Duplicate);
    assert_eq!(forward(&fleet, &event(), "1").await, Forwarded::Duplicate, "the key is taken");
    assert!(lease(&fleet).await.is_empty());
    assert_eq!(desk.correct(&set, mine.id, &provide("value", "5")).await.unwrap(), Corrected::Queued);
    assert_eq!(desk.correct(&set, mine.id, &provide("value", "6")).await.unwrap(), Corrected::Unknown);
    let complete = lease(&fleet).await.pop().unwrap().event;
    assert_eq!((complete.id, &complete.payload.fields["value"]), (mine.id, &"5".to_owned()));
    let audit = desk.audit(10).await.unwrap();
    let shown: Vec<_> =
        audit.iter().map(|it| (it.who.as_str(), it.action.as_str(), it.arguments.as_str(), it.count)).collect();
    assert_eq!(shown, [("root", "set", "--network exoclick", 1); 2]);
}

#[tokio::test]
async fn dead_letters_are_put_back_as_far_as_their_age_allows() {
    let database = Postgres::shared().database();
    let (fleet, desk) = (node(&database, "one"), node(&database, "desk"));
    let now = clock::now();
    let ago = |age: Duration| Timestamp::from_millis(now.as_millis() - i64::try_from(age.as_millis()).unwrap());
    let young = Event { time: ago(DAY), ..event() };
    let old = Event { time: ago(DAY * 9), ..event() };
    let parked = Event { conversion: "gone".into(), ..young.clone() };
    let parked = Event { id: event().id, ..parked };
    let over = event();
    for (event, verdict) in [(&young, Verdict::Expired), (&old, Verdict::Unclear), (&parked, Verdict::Expired)] {
        settled(&fleet, event, verdict).await;
    }
    settled(&fleet, &over, Verdict::Delivered).await;
    let all = ids(&[young.clone(), old.clone(), parked, over]);
    let max_age = |_: &str, conversion: &str, _: &str| (conversion == "purchase").then_some(DAY * 7);
    let tally = desk.replay(&deed("replay"), &all, false, &max_age).await.unwrap();
    assert_eq!(tally, Tally { done: 1, too_old: 1, parked: 1, gone: 1, ..Tally::default() });
    let row = lease(&fleet).await.pop().unwrap();
    assert_eq!((&row.event, row.attempts), (&young, 0));
    assert_eq!(fleet.settle(&ended(row, Verdict::Delivered)).await.unwrap(), Fenced::Done);
    let tally = desk.replay(&deed("replay"), &all, true, &max_age).await.unwrap();
    assert_eq!(tally, Tally { done: 1, parked: 1, gone: 2, ..Tally::default() });
    assert_eq!(database.sql("SELECT revived_ms IS NOT NULL FROM throughline_outbox WHERE verdict IS NULL"), "t");

    let told = |count| Notice { deed: "replayed".into(), site: "shop".into(), network: "exoclick".into(), count };
    assert_eq!(fleet.notices().await.unwrap(), [told(1), told(1)]);
    assert!(desk.notices().await.unwrap().is_empty(), "one node counts for all");
}

#[tokio::test]
async fn purged_rows_are_never_sent_and_leave_nothing_but_that_they_were() {
    let database = Postgres::shared().database();
    let (fleet, desk) = (node(&database, "one"), node(&database, "desk"));
    let all = one_of_each(&fleet).await;
    let tally = desk.purge(&deed("purge"), &ids(&all)).await.unwrap();
    assert_eq!(tally, Tally { done: 3, pending: 1, leased: 1, gone: 1, ..Tally::default() });
    assert!(lease(&fleet).await.is_empty());
    let purged = "SELECT reason FROM throughline_history WHERE verdict = 'purged' AND payload = '{}' ORDER BY reason";
    assert_eq!(database.sql(purged), "expired\nincomplete");
    assert_eq!(forward(&fleet, &event(), "pending").await, Forwarded::Duplicate, "its key stays");
    assert_eq!(fleet.forward(&[row(&all[0], "pending")]).await.unwrap(), [Forwarded::Known], "nor does it come again");
    let notices = fleet.notices().await.unwrap();
    assert_eq!((notices.len(), notices[0].deed.as_str(), notices[0].count), (1, "purged", 1));
}

#[tokio::test]
async fn rows_of_what_was_renamed_are_adopted_with_their_keys() {
    let database = Postgres::shared().database();
    let (fleet, desk) = (node(&database, "one"), node(&database, "desk"));
    let named = |network: &str, order: &str| Dedup {
        key: DedupKey::once("shop", "purchase", network, order),
        window: DAY * 9000,
    };
    let (first, second, third) = (of_order("1"), of_order("2"), of_order("3"));
    let keyed = |event, order| ForwardRow { event, key: Some(named("exoclick", order)), missing: &[] };
    fleet.forward(&[keyed(&first, "1"), keyed(&second, "2")]).await.unwrap();
    fleet.forward(&[ForwardRow { key: None, ..keyed(&third, "3") }]).await.unwrap();
    // The same order came again under the new name, before anybody adopted the old one.
    let again = Event { network: "exo_new".into(), ..of_order("2") };
    fleet.forward(&[ForwardRow { event: &again, key: Some(named("exo_new", "2")), missing: &[] }]).await.unwrap();

    let keys = |payload: &Payload| {
        let order = &payload.fields["order_id"];
        vec![(named("exoclick", order).key, named("exo_new", order).key)]
    };
    let rename = Rename { from: ("shop", "purchase", "exoclick"), to: ("shop", "purchase", "exo_new"), keys: &keys };
    let tally = desk.reassign(&deed("reassign"), &rename, &ids(&[first, second, third, again])).await.unwrap();
    assert_eq!(tally, Tally { done: 2, with_key: 1, duplicates: 1, gone: 1, ..Tally::default() });
    assert_eq!(fleet.lease("shop", "exo_new", 10).await.unwrap().len(), 3);
    let networks = desk.names().await.unwrap().into_iter().map(|(_, _, network)| network).collect::<Vec<_>>();
    assert_eq!(networks, ["exo_new", "exoclick"]);
    let late = Event { network: "exo_new".into(), ..of_order("1") };
    let late = ForwardRow { event: &late, key: Some(named("exo_new", "1")), missing: &[] };
    assert_eq!(fleet.forward(&[late]).await.unwrap(), [Forwarded::Duplicate], "the key has moved");
}

#[tokio::test]
async fn a_person_is_found_everywhere_and_erased() {
    let database = Postgres::shared().database();
    let (fleet, desk) = (node(&database, "one"), node(&database, "desk"));
    let keys = [JourneyKey::from_bytes([1; 16]), JourneyKey::from_bytes([2; 16])];
    let of = |mut event: Event, key: JourneyKey| {
        event.payload.visitor.push(key);
        event
    };
    let (sent, dead, waits) = (of(of_order("1"), keys[0]), of(of_order("2"), keys[1]), of(of_order("3"), keys[1]));
    let stranger = of_order("4");
    settled(&fleet, &sent, Verdict::Delivered).await;
    settled(&fleet, &dead, Verdict::Unclear).await;
    forward(&fleet, &waits, "3").await;
    forward(&fleet, &stranger, "4").await;
    let mut journey = Journey::default();
    journey.fields.insert("email".into(), Remembered::new("a@example.com", clock::now()));
    journey.keys = keys.iter().map(|key| (*key, clock::now())).collect();
    fleet.remember("shop", &keys, &journey, clock::now().plus(DAY), DAY).await.unwrap();

    let person = Person::Email("A@example.com".into());
    let known = desk.find(&person).await.unwrap();
    let found: BTreeSet<_> = known.rows.iter().filter_map(|row| row.summary.event_id).collect();
    assert_eq!(found, BTreeSet::from([sent.id, dead.id, waits.id]), "the journey leads to the orders");
    assert_eq!(known.journeys.len(), 2);
    assert_eq!(desk.find(&Person::Order("4".into(), Vec::new())).await.unwrap().rows.len(), 1);

    let receipt = desk.erase(&deed("erase"), &known).await.unwrap();
    assert_eq!((receipt.unsent, receipt.emptied, receipt.journeys), (1, 2, 2));
    assert_eq!(receipt.sent, [("exoclick".to_owned(), 2)].into());
    let left = desk.find(&person).await.unwrap();
    assert!(left.rows.is_empty() && left.journeys.is_empty());
    assert_eq!(lease(&fleet).await.len(), 1, "the stranger's is still sent");
    let history = "SELECT verdict FROM throughline_history WHERE payload = '{}' ORDER BY verdict";
    assert_eq!(database.sql(history), "delivered\nunclear\nwithdrawn");
    assert_eq!(fleet.notices().await.unwrap()[0].deed, "withdrawn");
    assert_eq!(forward(&fleet, &event(), "3").await, Forwarded::Duplicate, "that it was counted stays");
}

#[tokio::test]
async fn the_last_answers_of_a_row_are_kept_and_go_with_it() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    let bought = event();
    forward(&fleet, &bought, "1").await;
    for _ in 0..23 {
        let row = lease(&fleet).await.pop().unwrap();
        let outcome = Settled::Retry { at: NOW, reason: RetryReason::Status };
        fleet.settle(&Settlement { row, outcome, answer: Some(answer()), now: NOW }).await.unwrap();
    }
    let attempts = fleet.attempts(bought.id).await.unwrap();
    assert_eq!(attempts.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (4..=23).collect::<Vec<_>>());
    assert_eq!(attempts[0].1.body, "OK\0");
    fleet.tidy(Retention::default(), NOW).await.unwrap();
    assert_eq!(fleet.attempts(bought.id).await.unwrap().len(), 20);
    database.sql("DELETE FROM throughline_outbox");
    fleet.tidy(Retention::default(), NOW).await.unwrap();
    assert!(fleet.attempts(bought.id).await.unwrap().is_empty());
}
