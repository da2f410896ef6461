//! By what hits are found, what is told of operators, and what waits in memory while there is no disk.

use uuid::Uuid;

use super::*;
use crate::{
    store::{
        audit::Action,
        desk::{AgeLimit, Desk},
        inspector::Filter,
        story::{Happening, HitFilter},
    },
    tracking::{
        conversion::Outcome,
        grounds::{Grounds, Told},
        verdict::Verdict,
    },
};

fn sold(order: &str, clicks: &[&str]) -> NewRow {
    let mut row = row(order);
    row.event.id = EventId::new(Uuid::now_v7());
    row.event.payload.fields = [("order_id".to_owned(), order.to_owned())].into();
    row.event.payload.clicks = clicks.iter().map(|&click| click.to_owned()).collect();
    row
}

fn noted(row: &NewRow, outcome: Outcome) -> Hit {
    let event = &row.event;
    let (site, conversion, network) = (event.site.clone(), event.conversion.clone(), event.network.clone());
    let grounds = Grounds { reason: None, told: Some(Told::of(event.id, &event.payload).into()) };
    Hit { site, conversion, network, time: NOW, outcome, grounds }
}

fn found(folder: &Path, text: &str) -> usize {
    Inspector::open(folder).unwrap().story(text).unwrap().told.len()
}

fn keys(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM lookup", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn the_keys_of_a_hit_come_and_go_with_its_record() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    let odd = "b\\{\"x";
    let rows = [sold("1", &["a", odd]), sold("1", &["a"]), sold("2", &[])];
    rows.iter().for_each(|row| store.note(noted(row, Outcome::Unproven)));
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    assert_eq!(keys(&connection), 6);
    assert_eq!([("1", 2), ("a", 2), (odd, 1), ("2", 1)].map(|(text, _)| found(folder.path(), text)), [2, 2, 1, 1]);
    assert_eq!(["3", "", "b"].map(|text| found(folder.path(), text)), [0, 0, 0]);
    // As any version does it: erases, and forgets.
    let emptied = "UPDATE hits SET order_id = NULL, clicks = NULL, details = NULL WHERE event_id = ?1";
    connection.execute(emptied, [rows[0].event.id.as_bytes()]).unwrap();
    assert_eq!(keys(&connection), 3);
    assert_eq!(["1", "a", odd].map(|text| found(folder.path(), text)), [1, 1, 0]);
    connection.execute("DELETE FROM hits", []).unwrap();
    assert_eq!(keys(&connection), 0);
}

#[tokio::test]
async fn records_of_before_get_their_keys_by_and_by() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, _) = start(folder.path());
    (0..700).for_each(|nth| {
        store.note(noted(
            &sold(&format!("order-{nth}"), &["one", "two"]),
            if nth < 400 { Outcome::Unproven } else { Outcome::Bot },
        ));
    });
    store.close().await;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    let all = keys(&connection);
    assert_eq!(all, 2100);
    connection
        .execute_batch(
            "DROP TABLE lookup; DROP TABLE unlisted; DROP TABLE deeds; DROP TRIGGER hits_gone; DROP TRIGGER hits_emptied;
             PRAGMA user_version = 103",
        )
        .unwrap();
    assert_eq!(found(folder.path(), "order-3"), 1, "before anybody brought it up to date");
    let (store, _fresh, _) = start(folder.path());
    assert_eq!(found(folder.path(), "order-3"), 1, "before its turn");
    let is_done = || {
        let left = connection.query_row("SELECT count(*) FROM unlisted", [], |row| row.get::<_, i64>(0)).unwrap();
        (keys(&connection) == all && left == 0).then_some(())
    };
    eventually("all keys are there", || async { is_done() }).await;
    store.close().await;
}

#[tokio::test]
async fn what_operators_do_to_many_is_in_the_story_of_each() {
    let folder = TempDir::new().unwrap();
    let (store, mut fresh, _) = start(folder.path());
    for order in 0..15 {
        let row = sold(&format!("order-{order}"), &["a"]);
        accept(&store, row.clone()).await;
        let leased = within(fresh.recv()).await.unwrap();
        let outcome = Settled::Final(Verdict::Expired);
        store.settle(Settlement { outcome, ..delivered(leased) }).await;
    }
    accept(&store, sold("untouched", &["a"])).await;
    let inspector = Inspector::open(folder.path()).unwrap();
    let dead = Filter { verdict: Some("expired".into()), limit: Some(100), ..Filter::default() };
    let dead = eventually("all are dead letters", || async {
        Some(inspector.choose(&dead).unwrap()).filter(|rows| rows.len() == 15)
    })
    .await;
    let mut desk = Desk::open(folder.path(), anna()).unwrap();
    let action = |word| Action { word, arguments: "--all".into() };
    desk.replay(&action("replay"), &dead, AgeLimit::Waived, &|_, _, _| Some(DAY)).unwrap();
    // Nothing is done to those that are gone.
    desk.replay(&action("replay"), &dead, AgeLimit::Waived, &|_, _, _| Some(DAY)).unwrap();
    desk.purge(&action("purge"), &dead[..3]).unwrap();
    let deeds = |order: &str| -> Vec<(String, u64)> {
        let stories = inspector.story(order).unwrap().told;
        let scenes = stories.into_iter().flat_map(|story| story.scenes);
        let deeds = scenes.filter_map(|scene| {
            if let Happening::Deed(deed) = scene.what { Some((deed.action, deed.count)) } else { None }
        });
        deeds.collect()
    };
    let id = |row: &RowId| EventId::from_slice(&row.0).unwrap().to_string();
    for row in &dead[3..] {
        assert_eq!(deeds(&id(row)), [("replay".to_owned(), 15)]);
    }
    assert_eq!(deeds(&id(&dead[0])), [("replay".to_owned(), 15), ("purge".to_owned(), 3)]);
    assert_eq!(deeds("untouched"), []);
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_written_is_known_in_memory_until_it_can() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("state");
    fs::File::create(&folder).unwrap();
    let (store, _fresh, dropped) = start(&folder);
    let lost = sold("lost", &["a"]);
    store.note(noted(&sold("oldest", &["b"]), Outcome::Unstored));
    (0..999).for_each(|_| store.note(noted(&sold("many", &["c"]), Outcome::Unstored)));
    store.note(noted(&lost, Outcome::Unstored));
    store.note(noted(&sold("judged", &["d"]), Outcome::NoClick));
    // Its row is elsewhere, and is told by it.
    store.note(noted(&sold("queued", &["e"]), Outcome::Queued));
    let id = lost.event.id.to_string();
    let told = |text: &str| store.unwritten_stories(text).len();
    assert_eq!(["lost", "a", &id, "judged", "oldest", "queued", "l"].map(told), [1, 1, 1, 1, 0, 0, 0]);
    let listed = |outcome: &str| {
        store.unwritten_hits(&HitFilter { outcome: Some(outcome.to_owned()), ..HitFilter::default() }).len()
    };
    assert_eq!(["unstored", "no_click", "bot"].map(listed), [1000, 1, 0]);
    fs::remove_file(&folder).unwrap();
    eventually("they are written down", || async {
        Inspector::open(&folder).is_ok_and(|it| it.story("lost").is_ok_and(|it| it.told.len() == 1)).then_some(())
    })
    .await;
    assert_eq!(["lost", "many"].map(told), [0, 0], "nothing is told twice");
    assert_eq!(found(&folder, "judged"), 1);
    assert_eq!(*dropped.1.lock().unwrap(), ["1 dropped"]);
    store.close().await;
}
