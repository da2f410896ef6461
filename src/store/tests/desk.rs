//! What an operator does beside a running process: replay, purge, reassign, and what is written of it.

use super::*;
use crate::store::{
    audit::{Action, AuditEntry},
    desk::{AgeLimit, Desk, Purged, Reassigned, Rename, Replayed},
};

const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);

fn action(word: &'static str) -> Action {
    Action { word, arguments: "--all".into() }
}

fn open(folder: &Path) -> Desk {
    Desk::open(folder, anna()).unwrap()
}

fn dead(folder: &Path) -> Vec<RowId> {
    let filter = Filter { states: vec![RowState::Dead], ..Filter::default() };
    Inspector::open(folder).unwrap().choose(&filter).unwrap()
}

fn all(folder: &Path) -> Vec<RowId> {
    Inspector::open(folder).unwrap().choose(&Filter::default()).unwrap()
}

fn replay(folder: &Path, limit: AgeLimit, max_age: Option<Duration>) -> Replayed {
    open(folder).replay(&action("replay"), &dead(folder), limit, &|_, _, _| max_age).unwrap()
}

fn answer(result: &'static str) -> AnswerRecord {
    AnswerRecord { at: NOW, status: None, body: format!("it said {result}"), result, millis: 7 }
}

fn failed(row: LeasedRow, reason: RetryReason) -> Settlement {
    let outcome = Settled::Retry { at: row.event.time, reason };
    Settlement { row, outcome, answer: Some(answer(reason.as_str())), now: NOW }
}

fn unclear(row: LeasedRow) -> Settlement {
    Settlement { outcome: Settled::Final(Verdict::Unclear), answer: Some(answer("unclear")), ..delivered(row) }
}

/// A store with a dead letter that was tried twice.
async fn with_dead_letter(folder: &Path) -> (Store, UnboundedReceiver<LeasedRow>, Arc<Noted>, NewRow) {
    let (store, mut fresh, noted) = start(folder);
    let new = row("1");
    accept(&store, new.clone()).await;
    store.settle(failed(within(fresh.recv()).await.unwrap(), RetryReason::Connect)).await;
    store.settle(unclear(leased(&store, NOW).await.remove(0))).await;
    eventually("it is a dead letter", || async { (dead(folder).len() == 1).then_some(()) }).await;
    (store, fresh, noted, new)
}

async fn told(noted: &Noted, text: &str) {
    eventually(text, || async { noted.1.lock().unwrap().iter().any(|it| it == text).then_some(()) }).await;
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_as_what_it_was() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, noted, new) = with_dead_letter(folder.path()).await;
    let replayed = replay(folder.path(), AgeLimit::Respected, Some(CENTURY));
    assert_eq!(replayed, Replayed { queued: 1, ..Replayed::default() });
    let again = leased(&store, clock::now()).await.remove(0);
    assert_eq!((&again.event, again.attempts, again.revived), (&new.event, 0, None));
    told(&noted, "1 replayed shop exoclick").await;
    store.settle(failed(again, RetryReason::Timeout)).await;
    let id = new.event.id.to_string();
    let tried = eventually("the third attempt is written", || async {
        let shown = store.inspect().show(&id).unwrap().remove(0);
        Some(shown.attempts).filter(|attempts| attempts.len() == 3)
    })
    .await;
    let words: Vec<_> =
        tried.iter().map(|it| (it.number, it.answer.result.as_str(), it.answer.body.as_str())).collect();
    let expected =
        [(1, "connect", "it said connect"), (2, "unclear", "it said unclear"), (3, "timeout", "it said timeout")];
    assert_eq!(words, expected);
    assert_eq!(replay(folder.path(), AgeLimit::Respected, Some(CENTURY)), Replayed::default(), "it is none any more");
}

#[tokio::test]
async fn an_old_dead_letter_is_sent_only_when_that_is_said() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _, _) = with_dead_letter(folder.path()).await;
    let hour = Some(Duration::from_hours(1));
    let age = clock::now().since(NOW);
    assert!(age > Duration::from_hours(2), "the clock of this machine is wrong");
    assert_eq!(replay(folder.path(), AgeLimit::Respected, hour), Replayed { too_old: 1, ..Replayed::default() });
    assert_eq!(replay(folder.path(), AgeLimit::Waived, None), Replayed { parked: 1, ..Replayed::default() });
    assert_eq!(replay(folder.path(), AgeLimit::Waived, hour), Replayed { queued: 1, ..Replayed::default() });
    let again = leased(&store, clock::now()).await.remove(0);
    assert_eq!(again.event.time, NOW, "the network hears the true time");
    assert!(clock::now().since(again.counts_from()) < Duration::from_mins(5), "and there is time for its attempts");
}

#[tokio::test]
async fn what_is_purged_is_never_sent_and_never_counted_again() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, noted, gone) = with_dead_letter(folder.path()).await;
    let lacking = NewRow { hold: Some(Hold::Incomplete { missing: vec!["value".into()] }), ..row("2") };
    let unfinished = NewRow {
        hold: Some(Hold::Candidate { needs_proof: true, key_is_open: false, needs_journey: false }),
        key: None,
        ..row("")
    };
    for row in [row("3"), row("4"), lacking, unfinished] {
        accept(&store, row).await;
    }
    let in_hand = within(fresh.recv()).await.unwrap();
    store.release(within(fresh.recv()).await.unwrap()).await;
    eventually("one is free", || async { store.may_be_due("shop", "exoclick", NOW).then_some(()) }).await;
    let purged = open(folder.path()).purge(&action("purge"), &all(folder.path())).unwrap();
    assert_eq!(purged, Purged { pending: 1, dead: 2, leased: 2, gone: 0 });
    told(&noted, "1 purged shop exoclick").await;
    let shown = store.inspect().show(&gone.event.id.to_string()).unwrap().remove(0);
    let it = &shown.summary;
    assert_eq!(
        (it.state, it.verdict.as_deref(), it.reason.as_deref()),
        (RowState::Settled, Some("purged"), Some("unclear"))
    );
    assert_eq!((&shown.payload, &shown.last_answer), (&Payload::default(), &None), "its values are gone");
    assert!(shown.attempts.iter().all(|attempt| attempt.answer.body.is_empty()), "{:?}", shown.attempts);
    for order in ["1", "2", "4"] {
        assert_eq!(accept(&store, row(order)).await, Accepted::Duplicate, "{order}");
    }
    store.settle(delivered(in_hand)).await;
    eventually("it is delivered", || async {
        let rows = store.inspect().list(&Filter::default()).unwrap();
        rows.iter().all(|row| !row.leased).then_some(())
    })
    .await;
    let again = open(folder.path()).purge(&action("purge"), &all(folder.path())).unwrap();
    assert_eq!((again.pending, again.dead, again.leased), (0, 0, 1), "the candidate belongs to its page");
    assert_eq!(noted.1.lock().unwrap().len(), 1, "each is counted once");
}

#[tokio::test]
async fn a_long_outbox_is_purged_beside_pages_that_go_on() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, noted) = start(folder.path());
    drop(fresh);
    let rows = (0..1200).map(|order| row(&format!("old {order}"))).collect();
    within(store.accept(rows).await).await.unwrap();
    let path = folder.path().to_owned();
    let rows = all(&path);
    let purge = tokio::task::spawn_blocking(move || open(&path).purge(&action("purge"), &rows).unwrap());
    let mut accepted = 0;
    while !purge.is_finished() {
        assert_eq!(accept(&store, row(&format!("new {accepted}"))).await, Accepted::Queued);
        accepted += 1;
    }
    assert_eq!(purge.await.unwrap().pending, 1200);
    assert!(accepted > 2, "{accepted}");
    for slice in [500, 200] {
        told(&noted, &format!("{slice} purged shop exoclick")).await;
    }
    let entry = store.inspect().audit(10).unwrap().remove(0);
    assert_eq!((entry.who.as_str(), entry.action.as_str(), entry.count), ("anna", "purge", 1200));
    assert_eq!(store.inspect().counts(NOW).unwrap()[0].pending, accepted);
}

#[tokio::test]
async fn the_lease_of_a_dead_process_protects_nothing() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    accept(&store, row("1")).await;
    let filter = Filter { states: vec![RowState::Pending], ..Filter::default() };
    let purge = || {
        open(folder.path())
            .purge(&action("purge"), &Inspector::open(folder.path()).unwrap().choose(&filter).unwrap())
            .unwrap()
    };
    assert_eq!(purge(), Purged { leased: 1, ..Purged::default() });
    drop(store);
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute("INSERT INTO instance VALUES ('dead', 0)", []).unwrap();
    connection.execute("UPDATE outbox SET lease = 'dead'", []).unwrap();
    assert_eq!(purge(), Purged { pending: 1, ..Purged::default() });
}

fn names(network: &str) -> Names {
    Names { site: "shop".into(), conversion: "purchase".into(), network: network.into() }
}

/// A conversion with the key that its page would have taken.
fn ordered(network: &str, order: &str) -> NewRow {
    let mut event = event();
    event.network = network.into();
    event.payload.fields.insert("order_id".into(), order.into());
    let key = DedupKey::once("shop", "purchase", network, order);
    NewRow { event, key: Some(Dedup { key, window: CENTURY }), hold: None }
}

fn adopt(folder: &Path) -> Reassigned {
    let filter = Filter { network: Some("exo_old".into()), ..Filter::default() };
    let rows = Inspector::open(folder).unwrap().choose(&filter).unwrap();
    let rename = Rename { from: names("exo_old"), to: names("exo_new"), rows };
    open(folder).reassign(&action("reassign"), &[rename]).unwrap()
}

#[tokio::test]
async fn adopted_rows_take_their_dedup_keys_along() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    drop(fresh);
    let by_click = {
        let mut row = ordered("exo_old", "");
        row.event.payload.fields.clear();
        let key = DedupKey::clicks("shop", "purchase", "exo_old", &row.event.payload.clicks);
        NewRow { key: Some(Dedup { key, window: CENTURY }), ..row }
    };
    let lacking = NewRow { hold: Some(Hold::Incomplete { missing: vec!["value".into()] }), ..ordered("exo_old", "2") };
    // Its key was made of something that the row does not hold.
    let by_visitor =
        NewRow { key: Some(Dedup { key: DedupKey::new(&["7"]), window: CENTURY }), ..ordered("exo_old", "x") };
    for row in
        [ordered("exo_old", "1"), by_click, lacking, by_visitor, ordered("exo_old", "3"), ordered("exo_new", "3")]
    {
        assert_eq!(accept(&store, row).await, Accepted::Queued);
    }
    assert_eq!(adopt(folder.path()), Reassigned { adopted: 4, with_key: 3, duplicates: 1, leased: 0, gone: 0 });
    for (network, order, expected) in [
        ("exo_new", "1", Accepted::Duplicate),
        ("exo_new", "2", Accepted::Duplicate),
        ("exo_new", "x", Accepted::Queued),
        ("exo_old", "3", Accepted::Duplicate),
    ] {
        assert_eq!(accept(&store, ordered(network, order)).await, expected, "{network} {order}");
    }
    let rows = eventually("they can be leased under the new name", || async {
        let rows = store.lease("shop", "exo_new", 10, clock::now()).await;
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(rows.len(), 5, "three adopted, one of its own, and the one that was accepted again");
    assert_eq!(adopt(folder.path()), Reassigned { duplicates: 1, ..Reassigned::default() }, "nothing is adopted twice");
}

#[tokio::test]
async fn attempts_are_bounded_and_repeating_a_settlement_adds_none() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    accept(&store, row("1")).await;
    let mut row = within(fresh.recv()).await.unwrap();
    let id = row.event.id.to_string();
    for _ in 0..25 {
        let (place, event) = (row.place, row.event.clone());
        store.settle(failed(row, RetryReason::Reset)).await;
        // As after a doubtful commit: the lease is gone, and so nothing happens.
        store.settle(failed(LeasedRow { event, attempts: 0, revived: None, place }, RetryReason::Reset)).await;
        row = leased(&store, NOW).await.remove(0);
    }
    store.settle(unclear(row)).await;
    let attempts = eventually("it is settled", || async {
        let row = store.inspect().show(&id).unwrap().remove(0);
        row.summary.verdict.is_some().then_some(row.attempts)
    })
    .await;
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (6..=26).collect::<Vec<_>>(), "the last twenty, and the one that ended it");
}

#[tokio::test]
async fn a_filter_means_exactly_what_it_says() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _, old) = with_dead_letter(folder.path()).await;
    let mut young = row("2");
    (young.event.time, young.event.network, young.event.site) = (NOW.plus(DAY), "rokt".into(), "b2b".into());
    accept(&store, young.clone()).await;
    let _in_hand = within(fresh.recv()).await.unwrap();
    let (first, second) = (old.event.id, young.event.id);
    let noon = NOW.plus(DAY / 2);
    for (filter, expected) in [
        (Filter::default(), vec![second, first]),
        (Filter { limit: Some(1), ..Filter::default() }, vec![second]),
        (Filter { site: Some("shop".into()), ..Filter::default() }, vec![first]),
        (Filter { network: Some("rokt".into()), ..Filter::default() }, vec![second]),
        (Filter { conversion: Some("lead".into()), ..Filter::default() }, vec![]),
        (Filter { verdict: Some("unclear".into()), ..Filter::default() }, vec![first]),
        (Filter { states: vec![RowState::Pending], ..Filter::default() }, vec![second]),
        (Filter { states: vec![RowState::Pending, RowState::Dead], ..Filter::default() }, vec![second, first]),
        (Filter { before: Some(noon), ..Filter::default() }, vec![first]),
        (Filter { since: Some(noon), ..Filter::default() }, vec![second]),
        (Filter { since: Some(NOW), before: Some(NOW.plus(DAY)), ..Filter::default() }, vec![first]),
        (Filter { ids: vec![first], ..Filter::default() }, vec![first]),
        (Filter { ids: vec![first, second], network: Some("rokt".into()), ..Filter::default() }, vec![second]),
        (Filter { network: Some("' OR 1".into()), ..Filter::default() }, vec![]),
    ] {
        let listed: Vec<_> =
            store.inspect().list(&filter).unwrap().into_iter().filter_map(|row| row.event_id).collect();
        assert_eq!(listed, expected, "{filter:?}");
        let chosen = store.inspect().choose(&filter).unwrap();
        assert!(chosen.iter().map(|row| &*row.0).eq(expected.iter().map(|id| id.as_bytes().as_slice())), "{filter:?}");
    }
}

#[tokio::test]
async fn the_audit_is_for_people_and_holds_no_surprises() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _, _) = with_dead_letter(folder.path()).await;
    let strange = audit::Actor::new(&format!("eve\u{1b}[2J\n{}", "x".repeat(500)));
    let long = Action { word: "purge", arguments: "y".repeat(5000) };
    Desk::open(folder.path(), strange).unwrap().purge(&long, &all(folder.path())).unwrap();
    replay(folder.path(), AgeLimit::Respected, None);
    let entries = store.inspect().audit(10).unwrap();
    assert_eq!(entries.len(), 1, "what meant nothing is not entered");
    let AuditEntry { who, arguments, count, .. } = &entries[0];
    assert!(who.starts_with("eve[2Jxxx") && who.len() == 80 && arguments.len() == 500, "{who}");
    assert_eq!(*count, 1);
}
