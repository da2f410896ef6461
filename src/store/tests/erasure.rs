//! One person's data: found by whatever they bring, handed out whole, erased for good.

use super::*;
use crate::{
    store::desk::{Desk, Receipt},
    tracking::{
        journey::{Journey, JourneyKey, RecalledClick, Remembered},
        template::sha256,
    },
};

const EMAIL: &str = "Anna@Example.org";

fn key(number: u8) -> JourneyKey {
    JourneyKey::from_bytes([number; 16])
}

fn with(order: &str, name: &str, text: &str) -> NewRow {
    let mut row = row(order);
    row.event.payload.clicks.clear();
    row.event.payload.fields = [("order_id".to_owned(), order.to_owned()), (name.to_owned(), text.to_owned())].into();
    row
}

fn found(folder: &Path, person: &Person) -> (Vec<String>, usize) {
    let known = Inspector::open(folder).unwrap().find(person).unwrap();
    let orders = known.rows.iter().map(|row| row.payload.fields.get("order_id").cloned().unwrap_or_default());
    let mut orders: Vec<_> = orders.collect();
    orders.sort();
    (orders, known.journeys.len())
}

/// A store in which Anna has bought thrice and Bert once.
async fn shop(folder: &Path) -> (Store, UnboundedReceiver<LeasedRow>, Arc<Noted>) {
    let (store, mut fresh, noted) = start(folder);
    let delivered_row = with("1", "email", &sha256(EMAIL));
    accept(&store, delivered_row).await;
    let answer = AnswerRecord { at: NOW, status: Some(200), body: EMAIL.into(), result: "delivered", millis: 1 };
    store.settle(Settlement { answer: Some(answer), ..delivered(within(fresh.recv()).await.unwrap()) }).await;
    accept(&store, with("2", "page_url", "https://shop.example/thanks?mail=anna%40example.org")).await;
    // Nothing in it names her, but the journey does.
    let mut anonymous = with("3", "value", "10");
    anonymous.event.payload.visitor = vec![key(1)];
    anonymous.hold = Some(Hold::Incomplete { missing: vec!["currency".into()] });
    accept(&store, anonymous).await;
    let mut dead = with("4", "email", " anna@example.ORG ");
    dead.event.payload.clicks = vec!["hers".into()];
    accept(&store, dead).await;
    let held = [within(fresh.recv()).await.unwrap(), within(fresh.recv()).await.unwrap()];
    let [_, dead] = held;
    store.settle(Settlement { outcome: Settled::Final(Verdict::Unclear), ..delivered(dead) }).await;
    accept(&store, with("9", "email", "bert@example.org")).await;
    let now = clock::now();
    let mut journey = Journey { keys: [(key(1), now), (key(2), now)].into(), ..Journey::default() };
    journey.fields.insert("email".into(), Remembered::new(EMAIL, now));
    journey.clicks.push(RecalledClick {
        network: "exoclick".into(),
        id: "another".into(),
        time: now,
        is_carried: false,
    });
    store.remember("shop", &[key(1), key(2)], journey, now.plus(DAY));
    store.remember("shop", &[key(9)], Journey::default(), now.plus(DAY));
    // The answer comes when all of this is on disk.
    within(store.forget(&[key(255)])).await;
    (store, fresh, noted)
}

#[tokio::test]
async fn a_person_is_found_by_whatever_they_bring() {
    let folder = TempDir::new().unwrap();
    let _open = shop(folder.path()).await;
    let all = (["1", "2", "3", "4"].map(String::from).to_vec(), 2);
    assert_eq!(found(folder.path(), &Person::Email("anna@example.org ".into())), all);
    assert_eq!(found(folder.path(), &Person::Click("hers".into())), (vec!["4".into()], 0));
    assert_eq!(found(folder.path(), &Person::Click("another".into())), (vec!["3".into()], 2), "by the journey");
    assert_eq!(found(folder.path(), &Person::Cookie(vec![key(2)])), (vec!["3".into()], 2));
    assert_eq!(found(folder.path(), &Person::Order("3".into(), Vec::new())), (vec!["3".into()], 2));
    assert_eq!(found(folder.path(), &Person::Order("10".into(), Vec::new())), (Vec::new(), 0), "a value is no order");
    for nobody in ["", "carl@example.org", "na@example.org", "anna@example.or", "@"] {
        assert_eq!(found(folder.path(), &Person::Email(nobody.into())), (Vec::new(), 0), "{nobody}");
    }
}

#[tokio::test]
async fn an_erased_person_leaves_only_hashes_and_counts() {
    let folder = TempDir::new().unwrap();
    let (store, _fresh, noted) = shop(folder.path()).await;
    let person = Person::Email(EMAIL.into());
    let known = Inspector::open(folder.path()).unwrap().find(&person).unwrap();
    let receipt = Desk::open(folder.path(), anna()).unwrap().erase(&known, "--email").unwrap();
    let sent = [("exoclick".to_owned(), 1)].into();
    assert_eq!(receipt, Receipt { unsent: 2, emptied: 2, hits: 0, journeys: 2, sent });
    assert_eq!(found(folder.path(), &person), (Vec::new(), 0));
    let rows = store.inspect().list(&Filter { states: vec![RowState::Settled], ..Filter::default() }).unwrap();
    let verdicts: Vec<_> = rows.iter().filter_map(|row| row.verdict.as_deref()).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == "withdrawn").count(), 2);
    assert!(verdicts.contains(&"delivered") && verdicts.contains(&"unclear"), "that they were stays");
    eventually("the running process forgets", || async {
        let is_gone = store.recall(&[key(1), key(2)]).await.is_none();
        (is_gone && noted.1.lock().unwrap().len() == 1).then_some(())
    })
    .await;
    for order in ["1", "2", "3", "4"] {
        assert_eq!(accept(&store, row(order)).await, Accepted::Duplicate, "her orders are not counted again");
    }
    assert_eq!(found(folder.path(), &Person::Email("bert@example.org".into())).0, ["9"]);
    store.close().await;
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap().filter_map(Result::ok).filter(|entry| entry.path().is_file()) {
        std::io::Read::read_to_end(&mut fs::File::open(entry.path()).unwrap(), &mut bytes).unwrap();
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    assert!(text.contains("bert@example.org"), "the search would find it");
    for trace in ["anna@example.org", "anna%40example.org", &sha256(EMAIL)] {
        assert!(!text.contains(trace), "{trace} is still in the files");
    }
}
