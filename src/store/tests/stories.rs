//! Records of hits: joined with their rows, told as stories, emptied with whatever they tell of.

use uuid::Uuid;

use super::*;
use crate::{
    store::{
        desk::Desk,
        story::{Happening, HitFilter, HitRecord, Story},
    },
    tracking::{
        conversion::Outcome,
        grounds::{Choice, Details, Grounds, Told},
        journey::JourneyKey,
    },
};

/// What is written down of this row, or of what would have been one.
fn hit_of(row: &NewRow, outcome: Outcome) -> Hit {
    let mut told = Told::of(row.event.id, &row.event.payload);
    told.details.consent = Some(Choice { decision: "granted".into(), from: Some("cookie a".into()) });
    let event = &row.event;
    let (site, conversion, network) = (event.site.clone(), event.conversion.clone(), event.network.clone());
    let grounds = Grounds { reason: Some("because".into()), told: Some(told.into()) };
    Hit { site, conversion, network, time: NOW, outcome, grounds }
}

fn sold(order: &str) -> NewRow {
    let mut row = row(order);
    row.event.id = EventId::new(Uuid::now_v7());
    row.event.payload.fields = [("order_id", order), ("value", "10"), ("email", "a@b.example")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
    row
}

fn hits(folder: &Path) -> Vec<HitRecord> {
    Inspector::open(folder).unwrap().hits(&HitFilter::default()).unwrap()
}

fn stories(folder: &Path, text: &str) -> Vec<Story> {
    Inspector::open(folder).unwrap().story(text).unwrap().told
}

fn words(hits: &[HitRecord]) -> Vec<(&str, Option<&str>)> {
    let mut words: Vec<_> = hits.iter().map(|hit| (hit.outcome.as_str(), hit.verdict.as_deref())).collect();
    words.sort_unstable();
    words
}

#[tokio::test]
async fn a_hit_and_its_row_are_one_line() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    let [over, waits, lacking, repeat] = ["1", "2", "3", "1"].map(sold);
    let lacking = NewRow { hold: Some(Hold::Incomplete { missing: vec!["plan".into()] }), ..lacking };
    let unwritten = sold("4");
    for (row, outcome) in [(&over, Outcome::Queued), (&waits, Outcome::Queued), (&lacking, Outcome::Incomplete)] {
        accept(&store, row.clone()).await;
        store.note(hit_of(row, outcome));
    }
    store.note(hit_of(&repeat, Outcome::Duplicate));
    // Its record was dropped.
    accept(&store, unwritten.clone()).await;
    let answer = AnswerRecord { at: NOW, status: Some(200), body: "OK".into(), result: "delivered", millis: 7 };
    let ended = delivered(within(fresh.recv()).await.unwrap());
    store.settle(Settlement { answer: Some(answer), ..ended }).await;
    store.close().await;
    let found = hits(folder.path());
    assert_eq!(
        words(&found),
        [("duplicate", None), ("incomplete", None), ("queued", None), ("queued", None), ("queued", Some("delivered"))]
    );
    let of = |row: &NewRow| found.iter().find(|hit| hit.event_id == Some(row.event.id)).unwrap();
    assert_eq!(of(&lacking).reason.as_deref(), Some("lacks plan"));
    assert_eq!(of(&repeat).reason.as_deref(), Some("because"));
    for row in [&over, &waits, &lacking, &repeat, &unwritten] {
        let hit = of(row);
        assert_eq!((hit.value.as_deref(), hit.clicks.as_slice()), (Some("10"), &["abc".to_owned()][..]));
    }
    let only = |filter: HitFilter| Inspector::open(folder.path()).unwrap().hits(&filter).unwrap().len();
    let all = HitFilter::default;
    assert_eq!(only(HitFilter { outcome: Some("queued".into()), ..all() }), 3);
    assert_eq!(only(HitFilter { network: Some("other".into()), ..all() }), 0);
    assert_eq!(only(HitFilter { since: Some(NOW), until: Some(NOW.plus(DAY)), ..all() }), 5);
    assert_eq!(only(HitFilter { until: Some(NOW), ..all() }), 0);
    assert_eq!(only(HitFilter { limit: Some(2), ..all() }), 2);
    assert_eq!(stories(folder.path(), "1").len(), 2, "by the order: what was sold, and what was sold again");
    assert_eq!(stories(folder.path(), "abc").len(), 5, "by the click");
    assert_eq!(stories(folder.path(), &waits.event.id.to_string()).len(), 1);
    for nothing in ["", "10", "ab", "\"", "a@b.example", "1 ", "' OR 1"] {
        assert_eq!(stories(folder.path(), nothing), [], "{nothing:?}");
    }
    let told = &stories(folder.path(), &over.event.id.to_string())[0];
    assert!(told.scenes.iter().any(|scene| matches!(scene.what, Happening::Attempt(_))));
    assert!(!serde_json::to_string(told).unwrap().contains("a@b.example"));
    assert!(!format!("{:?}", told.event).contains("a@b.example"), "nor what a request is made of");
}

#[tokio::test]
async fn what_is_ended_or_erased_is_told_no_more() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    drop(fresh);
    let [withdrawn, purged, erased, alone] = ["1", "2", "3", "4"].map(|order| {
        let mut row = sold(order);
        row.event.payload.clicks = vec![format!("click-{order}")];
        row
    });
    for row in [&withdrawn, &purged, &erased] {
        accept(&store, row.clone()).await;
        store.note(hit_of(row, Outcome::Queued));
    }
    let mut unproven = hit_of(&alone, Outcome::Unproven);
    unproven.grounds.told.as_mut().unwrap().details.visitor = vec![JourneyKey::from_bytes([7; 16])];
    store.note(unproven);
    eventually("the records are written", || async { (stories(folder.path(), "click-4").len() == 1).then_some(()) })
        .await;
    within(store.withdraw("shop", &[("exoclick", "click-1")], &[])).await;
    let mut desk = Desk::open(folder.path(), anna()).unwrap();
    let action = crate::store::audit::Action { word: "purge", arguments: purged.event.id.to_string() };
    desk.purge(&action, &[RowId((*purged.event.id.as_bytes()).into())]).unwrap();
    assert_eq!(stories(folder.path(), "click-2"), [], "its values are gone");
    let by_id = &stories(folder.path(), &purged.event.id.to_string())[0];
    assert!(by_id.scenes.iter().any(|scene| matches!(&scene.what, Happening::Deed(deed) if deed.action == "purge")));
    for person in [Person::Click("click-3".into()), Person::Cookie(vec![JourneyKey::from_bytes([7; 16])])] {
        let known = Inspector::open(folder.path()).unwrap().find(&person).unwrap();
        assert_eq!(known.hits.len(), 1, "{person:?}");
        let receipt = desk.erase(&known, "--click").unwrap();
        assert_eq!(receipt.hits, usize::from(known.rows.is_empty()));
    }
    // One that comes to the disk after its end.
    store.note(hit_of(&withdrawn, Outcome::Queued));
    store.close().await;
    for order in ["1", "2", "3", "4"] {
        assert_eq!(stories(folder.path(), &format!("click-{order}")), [], "{order}");
        assert_eq!(stories(folder.path(), order), [], "{order}");
    }
    let records: i64 = Connection::open(folder.path().join(FILE))
        .unwrap()
        .query_row(
            "SELECT count(*) FROM hits WHERE order_id IS NULL AND clicks IS NULL AND value IS NULL AND details IS NULL",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(records, 5, "that they were stays");
}

#[tokio::test]
async fn a_record_is_never_long() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let mut long = hit_of(&sold("1"), Outcome::Duplicate);
    let told = long.grounds.told.as_mut().unwrap();
    told.order_id = Some("ü".repeat(5000));
    told.details.click_from = Some("x".repeat(Details::MAX_LENGTH));
    told.details.visitor = vec![JourneyKey::from_bytes([7; 16])];
    store.note(long);
    store.close().await;
    let told = Inspector::open(folder.path()).unwrap().story("abc").unwrap().told.remove(0);
    assert_eq!(told.hit.order_id.unwrap().len(), 256);
    assert!(told.scenes.iter().any(|scene| matches!(scene.what, Happening::Consent(_))), "what fits stays");
    let person = Person::Cookie(vec![JourneyKey::from_bytes([7; 16])]);
    let known = Inspector::open(folder.path()).unwrap().find(&person).unwrap();
    assert!(known.hits[0].details.is_cut && known.hits[0].details.click_from.is_none());
}

#[tokio::test]
async fn bots_crowd_out_nobody() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, noted) = start(folder.path());
    let go = held_up(&store).await;
    (0..600).for_each(|_| store.note(hit_of(&sold("0"), Outcome::Bot)));
    store.note(hit_of(&sold("1"), Outcome::Unproven));
    go.send(()).unwrap();
    eventually("what was dropped is told", || async {
        (noted.1.lock().unwrap().clone() == ["100 dropped"]).then_some(())
    })
    .await;
    store.close().await;
    assert_eq!(stories(folder.path(), "1").len(), 1);
    let records = words(&hits(folder.path())).len();
    assert_eq!(records, 501, "however many slices it takes");
}

/// Takes away what came with the stories.
const BEFORE_THE_STORIES: &str =
    "DROP INDEX hits_event; DROP TRIGGER hits_gone; DROP TRIGGER hits_emptied; DROP TABLE lookup; DROP TABLE unlisted;
     DROP TABLE deeds;
     ALTER TABLE hits DROP COLUMN reason; ALTER TABLE hits DROP COLUMN event_id; ALTER TABLE hits DROP COLUMN order_id;
     ALTER TABLE hits DROP COLUMN clicks; ALTER TABLE hits DROP COLUMN value; ALTER TABLE hits DROP COLUMN currency;
     ALTER TABLE hits DROP COLUMN details; PRAGMA user_version = 102";

#[tokio::test]
async fn a_file_without_stories_tells_what_it_has() {
    let folder = TempDir::new().unwrap();
    let (store, fresh, _) = start(folder.path());
    drop(fresh);
    accept(&store, sold("1")).await;
    store.note(hit_of(&sold("2"), Outcome::Bot));
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute_batch(BEFORE_THE_STORIES).unwrap();
    assert_eq!(words(&hits(folder.path())), [("bot", None), ("queued", None)]);
    assert_eq!((stories(folder.path(), "1").len(), stories(folder.path(), "2").len()), (1, 0));
    let person = Person::Order("1".into(), Vec::new());
    assert_eq!(Inspector::open(folder.path()).unwrap().find(&person).unwrap().rows.len(), 1);
    connection.execute_batch("DROP TABLE hits; PRAGMA user_version = 101").unwrap();
    assert_eq!(words(&hits(folder.path())), [("queued", None)]);
}
