//! What must not be sent any more, wherever it waits; and verdicts as pages ask for them.

use super::*;
use crate::tracking::journey::{Journey, JourneyKey};

fn clicked(click: &str) -> NewRow {
    let mut row = NewRow { key: None, ..row("") };
    row.event.payload.clicks = vec!["older".into(), click.into()];
    row.event.payload.fields.insert("email".into(), "a@b.example".into());
    row
}

fn held(row: NewRow, hold: Hold) -> NewRow {
    NewRow { hold: Some(hold), ..row }
}

async fn verdict(store: &Store, row: &NewRow) -> Option<String> {
    within(store.verdicts(vec![row.event.id])).await.remove(0)
}

#[tokio::test]
async fn a_verdict_is_known_once_it_stands() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    let [open, over, dead] = ["1", "2", "3"].map(row);
    for row in [&open, &over, &dead] {
        accept(&store, row.clone()).await;
    }
    let held = [fresh.recv().await.unwrap(), fresh.recv().await.unwrap(), fresh.recv().await.unwrap()];
    let [_, second, third] = held;
    store.settle(Settlement { outcome: Settled::Final(Verdict::InvalidClick), ..delivered(second) }).await;
    store.settle(Settlement { outcome: Settled::Final(Verdict::Unclear), ..delivered(third) }).await;
    let ids = vec![over.event.id, open.event.id, event().id, dead.event.id];
    eventually("the verdicts are there", || async {
        let words = store.verdicts(ids.clone()).await;
        let words: Vec<_> = words.iter().map(Option::as_deref).collect();
        (words == [Some("invalid_click"), None, None, Some("unclear")]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn withdrawn_clicks_are_sent_from_nowhere() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, noted) = start(folder.path());
    let [leased_row, queued, lacking, unfinished, other] = ["mine", "mine", "mine", "mine", "yours"].map(clicked);
    let lacking = held(lacking, Hold::Incomplete { missing: vec!["value".into()] });
    let unfinished = held(unfinished, Hold::Candidate { needs_proof: true, key_is_open: false, needs_journey: false });
    for row in [&leased_row, &queued, &lacking, &unfinished, &other] {
        accept(&store, row.clone()).await;
    }
    let in_hand = within(fresh.recv()).await.unwrap();
    store.release(within(fresh.recv()).await.unwrap()).await;
    within(store.withdraw("another", &[("exoclick", "mine")], &[])).await;
    within(store.withdraw("shop", &[("rokt", "mine"), ("exoclick", "unknown")], &[])).await;
    assert!(!store.is_withdrawn(in_hand.event.id), "another site, another network, another click");
    within(store.withdraw("shop", &[("exoclick", "mine")], &[])).await;
    assert!(store.is_withdrawn(in_hand.event.id));
    for row in [&leased_row, &queued, &lacking, &unfinished] {
        assert_eq!(verdict(&store, row).await.as_deref(), Some("withdrawn"));
        let shown = store.inspect().show(&row.event.id.to_string()).unwrap();
        assert_eq!((shown.len(), &shown[0].payload), (1, &Payload::default()), "nothing is left of it");
    }
    assert_eq!(verdict(&store, &other).await, None);
    assert!(!store.is_withdrawn(other.event.id));
    assert_eq!(*noted.1.lock().unwrap(), ["shop exoclick", "shop exoclick"], "the postbacks count");
    // What somebody still says about them changes nothing.
    store.settle(delivered(in_hand)).await;
    let end = CandidateEnd { event_id: unfinished.event.id, end: End::Accept(clicked("mine")) };
    assert_eq!(within(store.settle_candidates(vec![end]).await).await.unwrap(), [Accepted::Queued]);
    eventually("now it is a postback, and withdrawn", || async {
        let count = noted.1.lock().unwrap().len();
        (count == 3).then_some(())
    })
    .await;
    assert_eq!(verdict(&store, &leased_row).await.as_deref(), Some("withdrawn"));
    let open = store.inspect().counts(NOW).unwrap();
    assert_eq!(open[0].pending, 1, "the other one");
}

#[tokio::test]
async fn a_withdrawal_finds_what_belongs_to_a_journey_and_forgets_it() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let [one, other] = [1, 2].map(|number| JourneyKey::from_bytes([number; 16]));
    let [mut mine, mut yours] = ["1", "2"].map(row);
    mine.event.payload.visitor = vec![one];
    yours.event.payload.visitor = vec![other];
    accept(&store, mine.clone()).await;
    accept(&store, yours.clone()).await;
    store.remember("shop", &[one], Journey::default(), clock::now().plus(DAY));
    within(store.withdraw("shop", &[], &[one])).await;
    assert_eq!(verdict(&store, &mine).await.as_deref(), Some("withdrawn"));
    assert_eq!(verdict(&store, &yours).await, None);
    assert!(within(store.recall(&[one])).await.is_none());
    assert_eq!(accept(&store, row("1")).await, Accepted::Duplicate, "its key stays");
}

#[tokio::test]
async fn another_process_does_not_send_what_was_withdrawn_here() {
    let folder = TempDir::new().unwrap();
    let (one, mut fresh, _) = start(folder.path());
    let (other, _fresh, _) = start(folder.path());
    accept(&one, clicked("mine")).await;
    let in_hand = within(fresh.recv()).await.unwrap();
    within(other.withdraw("shop", &[("exoclick", "mine")], &[])).await;
    eventually("it hears of it", || async { one.is_withdrawn(in_hand.event.id).then_some(()) }).await;
}

#[tokio::test]
async fn a_withdrawal_waits_until_it_can_be_written() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let mine = clicked("mine");
    accept(&store, mine.clone()).await;
    break_commits_after(&store, "INSERT ON history").await;
    let caller = tokio::spawn({
        let store = store.clone();
        async move { store.withdraw("shop", &[("exoclick", "mine")], &[]).await }
    });
    eventually("the commit fails", || async { (store.health() != Health::Ready).then_some(()) }).await;
    caller.abort();
    assert!(store.is_withdrawn(mine.event.id), "it is not sent meanwhile");
    Connection::open(folder.path().join(FILE)).unwrap().execute_batch("DROP TRIGGER broken").unwrap();
    eventually("it is written", || async { verdict(&store, &mine).await }).await;
}
