//! Conversions that are not to be sent yet, and how they end.

use super::*;
use crate::store::desk::{Corrected, Correction, Desk};

fn candidate(needs_proof: bool, key_is_open: bool) -> NewRow {
    NewRow { event: event(), key: None, hold: Some(Hold::Candidate { needs_proof, key_is_open, needs_journey: false }) }
}

fn incomplete(order: &str, missing: &[&str]) -> NewRow {
    let missing = missing.iter().map(ToString::to_string).collect();
    NewRow { hold: Some(Hold::Incomplete { missing }), ..row(order) }
}

/// The end of a candidate's page: with the key of an order, or without being a conversion.
fn end(candidate: &NewRow, order: Option<&str>) -> CandidateEnd {
    let accept = |order| {
        let mut complete = NewRow { event: candidate.event.clone(), ..row(order) };
        complete.event.payload.fields.insert("order_id".into(), order.into());
        End::Accept(complete)
    };
    CandidateEnd { event_id: candidate.event.id, end: order.map_or(End::Unproven, accept) }
}

async fn ends(store: &Store, ends: Vec<CandidateEnd>) -> Vec<Accepted> {
    within(async { store.settle_candidates(ends).await.await.unwrap() }).await
}

fn states(store: &Store) -> Vec<RowState> {
    store.inspect().list(&Filter::default()).unwrap().iter().map(|row| row.state).collect()
}

#[tokio::test]
async fn a_candidate_is_on_disk_and_takes_no_key_and_is_never_leased() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    let held = NewRow { key: Some(dedup("1")), ..candidate(true, false) };
    assert_eq!(accept(&store, held).await, Accepted::Queued);
    assert_eq!(states(&store), [RowState::Candidate]);
    assert!(store.lease("shop", "exoclick", 10, NOW.plus(DAY)).await.is_empty());
    assert_eq!(accept(&store, row("1")).await, Accepted::Queued, "the key is free");
    assert_eq!(
        within(fresh.recv()).await.unwrap().event.id,
        store.inspect().list(&pending()).unwrap()[0].event_id.unwrap()
    );
    assert!(fresh.try_recv().is_err(), "the candidate was not handed over");
}

fn pending() -> Filter {
    Filter { states: vec![RowState::Pending], ..Filter::default() }
}

#[tokio::test]
async fn candidates_end_as_their_pages_end() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    let held: Vec<_> = (0..3).map(|_| candidate(true, true)).collect();
    for row in &held {
        accept(&store, row.clone()).await;
    }
    let settled = vec![end(&held[0], Some("1")), end(&held[1], Some("1")), end(&held[2], None)];
    assert_eq!(ends(&store, settled).await, [Accepted::Queued, Accepted::Duplicate, Accepted::Unstored]);
    let sent = within(fresh.recv()).await.unwrap();
    assert_eq!(sent.event.id, held[0].event.id);
    assert_eq!(sent.event.payload.fields["order_id"], "1", "with what the page has shown");
    assert_eq!(states(&store), [RowState::Pending], "nothing else is left");
    assert_eq!(ends(&store, vec![end(&held[0], Some("1"))]).await, [Accepted::Queued], "twice is once");
    store.settle(delivered(sent)).await;
    assert_eq!(ends(&store, vec![end(&held[0], Some("1"))]).await, [Accepted::Queued]);
    assert!(fresh.try_recv().is_err());
}

#[tokio::test]
async fn an_incomplete_conversion_takes_its_key_at_once_and_is_not_sent() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    assert_eq!(accept(&store, incomplete("1", &["value", "currency"])).await, Accepted::Queued);
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate, "the page is loaded again");
    assert_eq!(accept(&store, incomplete("1", &["value"])).await, Accepted::Duplicate);
    assert!(fresh.try_recv().is_err());
    let listed = store.inspect().list(&Filter { states: vec![RowState::Incomplete], ..Filter::default() }).unwrap();
    assert_eq!(listed[0].missing, ["value", "currency"]);
}

#[tokio::test]
async fn a_completed_conversion_is_sent_by_the_running_process() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let held = incomplete("1", &["value", "currency"]);
    accept(&store, held.clone()).await;
    let mut desk = Desk::open(folder.path(), anna()).unwrap();
    let one = |name: &str, value: &str| Correction {
        fields: [(name.to_owned(), value.to_owned())].into(),
        provided: vec![name.into()],
        // The row has its key: this one must not count.
        key: Some(dedup("other")),
        ..Correction::default()
    };
    let id = held.event.id;
    assert_eq!(desk.correct(id, &one("value", "10")).unwrap(), Corrected::Incomplete(vec!["currency".into()]));
    assert_eq!(desk.correct(id, &one("currency", "EUR")).unwrap(), Corrected::Queued);
    assert_eq!(desk.correct(id, &one("currency", "EUR")).unwrap(), Corrected::Unknown);
    let sent = leased(&store, NOW).await.pop().unwrap();
    assert_eq!((sent.event.id, sent.event.time), (id, NOW));
    assert_eq!(sent.event.payload.fields["value"], "10");
    assert_eq!(sent.event.payload.fields["currency"], "EUR");
    assert_eq!(accept(&store, row("other")).await, Accepted::Queued);
}

#[tokio::test]
async fn an_order_id_by_hand_is_a_key_like_any_other() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let [one, other] = [(); 2].map(|()| NewRow { key: None, ..incomplete("", &["order_id", "value"]) });
    for row in [&one, &other] {
        accept(&store, row.clone()).await;
    }
    let mut desk = Desk::open(folder.path(), anna()).unwrap();
    let order = Correction { provided: vec!["order_id".into()], key: Some(dedup("1")), ..Correction::default() };
    assert_eq!(desk.correct(one.event.id, &order).unwrap(), Corrected::Incomplete(vec!["value".into()]));
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate);
    assert_eq!(desk.correct(other.event.id, &order).unwrap(), Corrected::Duplicate);
    let missing =
        |id| store.inspect().list(&Filter::default()).unwrap().into_iter().find(|row| row.event_id == Some(id));
    assert_eq!(missing(other.event.id).unwrap().missing, ["order_id", "value"], "it is as it was");
    let value = Correction { provided: vec!["value".into()], ..Correction::default() };
    assert_eq!(desk.correct(one.event.id, &value).unwrap(), Corrected::Queued);
}

#[tokio::test]
async fn a_dead_process_leaves_no_candidate_behind_and_sends_none_without_proof() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let keyed = |order| NewRow { key: Some(dedup(order)), ..candidate(false, false) };
    let unproven = NewRow { key: Some(dedup("2")), ..candidate(true, false) };
    let [plain, taken, unkeyed] = [keyed("1"), keyed("3"), candidate(false, true)];
    let hold = Hold::Candidate { needs_proof: false, key_is_open: false, needs_journey: true };
    let unrecalled = NewRow { hold: Some(hold), ..keyed("4") };
    for row in [&unproven, &plain, &taken, &unkeyed, &unrecalled] {
        accept(&store, row.clone()).await;
    }
    accept(&store, row("3")).await;
    assert_eq!(states(&store).iter().filter(|state| **state == RowState::Candidate).count(), 5, "their owner lives");
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute("UPDATE held SET owner = 'dead'", []).unwrap();
    connection.execute("INSERT INTO instance VALUES ('dead', 0)", []).unwrap();
    let sent = leased(&store, NOW).await;
    assert_eq!(sent.iter().map(|row| row.event.id).collect::<Vec<_>>(), [plain.event.id]);
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate, "with its key");
    let kept = store.inspect().list(&Filter { states: vec![RowState::Incomplete], ..Filter::default() }).unwrap();
    let lacks = |id| kept.iter().find(|row| row.event_id == Some(id)).map(|row| row.missing.join(" "));
    assert_eq!(lacks(unproven.event.id).as_deref(), Some("proof"));
    assert_eq!(lacks(unkeyed.event.id).as_deref(), Some("order_id"));
    assert_eq!(lacks(unrecalled.event.id).as_deref(), Some("journey"));
    assert_eq!(kept.len(), 3, "the other was a duplicate");
    // The visitor loads the page again, and this time it is proven; then a person says so, too.
    assert_eq!(accept(&store, row("2")).await, Accepted::Queued);
    let proof = Correction { provided: vec!["proof".into()], ..Correction::default() };
    let mut desk = Desk::open(folder.path(), anna()).unwrap();
    assert_eq!(desk.correct(unproven.event.id, &proof).unwrap(), Corrected::Duplicate);
}

fn mend_commits(folder: &Path) {
    Connection::open(folder.join(FILE)).unwrap().execute_batch("DROP TRIGGER broken").unwrap();
}

#[tokio::test]
async fn ends_wait_until_they_can_be_written() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    let [one, other] = [candidate(false, true), candidate(false, true)];
    accept(&store, one.clone()).await;
    accept(&store, other.clone()).await;
    break_commits_after(&store, "INSERT ON outbox").await;
    let answer = store.settle_candidates(vec![end(&one, Some("1")), end(&other, Some("2"))]).await;
    // The commit is in doubt; the file, opened anew, shows that nothing was done.
    eventually("the commit fails", || async { (store.health() != Health::Ready).then_some(()) }).await;
    mend_commits(folder.path());
    assert_eq!(within(answer).await.unwrap(), [Accepted::Queued, Accepted::Queued]);
    for candidate in [one, other] {
        assert_eq!(within(fresh.recv()).await.unwrap().event.id, candidate.event.id);
    }
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate);
}

#[tokio::test]
async fn a_held_row_in_a_doubtful_commit_is_looked_up() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    break_commits_after(&store, "INSERT ON held").await;
    assert_eq!(accept(&store, candidate(true, true)).await, Accepted::Unstored);
    assert!(states(&store).is_empty());
    mend_commits(folder.path());
    eventually("the store recovers", || async { (store.health() == Health::Ready).then_some(()) }).await;
    assert_eq!(accept(&store, incomplete("1", &["value"])).await, Accepted::Queued);
}

#[tokio::test]
async fn incomplete_conversions_are_kept_as_long_as_dead_letters() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    accept(&store, incomplete("1", &["value"])).await;
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    let retention = Retention { dead_letters: 10 * DAY, ..Retention::default() };
    for (days, kept) in [(9, 1), (11, 0)] {
        let mut housekeeping = housekeeping::Housekeeping::new(clock::instant(), retention);
        housekeeping.tick(&connection, clock::instant(), NOW.plus(days * DAY)).unwrap();
        let held: i64 = connection.query_row("SELECT count(*) FROM held", [], |row| row.get(0)).unwrap();
        assert_eq!(held, kept, "after {days} days");
    }
}

#[tokio::test]
async fn owed_pixels_are_known_to_whoever_asks_within_the_hour_and_to_no_list() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let owed = || NewRow { hold: Some(Hold::Owed), ..row("1") };
    let first = owed();
    assert_eq!(accept(&store, first.clone()).await, Accepted::Queued);
    assert_eq!(accept(&store, owed()).await, Accepted::Duplicate, "the order was shown before");
    assert_eq!(store.verdicts(vec![first.event.id]).await, [Some(Fate::OWED.to_owned())]);
    let fate = store.fates(vec![first.event.id]).await.remove(0).unwrap();
    assert!(fate.is_owed() && fate.event == first.event);
    assert!(states(&store).is_empty());
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    for (hours, kept) in [(1, 1), (3, 0)] {
        let mut housekeeping = housekeeping::Housekeeping::new(clock::instant(), Retention::default());
        housekeeping.tick(&connection, clock::instant(), NOW.plus(Duration::from_hours(hours))).unwrap();
        let held: i64 = connection.query_row("SELECT count(*) FROM held", [], |row| row.get(0)).unwrap();
        assert_eq!(held, kept, "after {hours} hours");
    }
}
