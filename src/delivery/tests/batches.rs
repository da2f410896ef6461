//! Requests with several rows, against networks on real sockets.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    store::inspector::RowDetail,
    tracking::{
        postback::BatchRule,
        verdict::{BodyPattern, FailedList, JsonPattern, Judgement, Rejection, StatusPattern, VerdictRule},
    },
};

/// What a network answers to the events of one request, and how long it takes.
type Judge = dyn Fn(&[Json]) -> (Duration, u16, Json) + Send + Sync;

/// A network that takes several events in one request.
struct Bulk {
    address: SocketAddr,
    /// The documents so far.
    seen: Arc<Mutex<Vec<Json>>>,
    /// The most requests that were under way together.
    most: Arc<AtomicUsize>,
}

impl Bulk {
    async fn that(judge: impl Fn(&[Json]) -> (Duration, u16, Json) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bulk = Self { address: listener.local_addr().unwrap(), seen: Arc::default(), most: Arc::default() };
        let (seen, most, open) = (Arc::clone(&bulk.seen), Arc::clone(&bulk.most), Arc::new(AtomicUsize::new(0)));
        let judge: Arc<Judge> = Arc::new(judge);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (seen, most, open, judge) = (seen.clone(), most.clone(), open.clone(), judge.clone());
                tokio::spawn(async move {
                    let mut connection = BufReader::new(connection);
                    while let Some(document) = read(&mut connection).await {
                        most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        seen.lock().unwrap().push(document.clone());
                        let (delay, status, answer) = judge(events(&document));
                        tokio::time::sleep(delay).await;
                        open.fetch_sub(1, Ordering::SeqCst);
                        let answer = answer.to_string();
                        let head = format!("HTTP/1.1 {status} Any\r\ncontent-length: {}\r\n\r\n", answer.len());
                        connection.write_all((head + &answer).as_bytes()).await.unwrap();
                    }
                });
            }
        });
        bulk
    }

    fn event(&self, account: &str, name: &str) -> Event {
        let mut event = event("mine", &format!("http://{}/events", self.address));
        event.payload.fields.extend([("account".into(), account.into()), ("name".into(), name.into())]);
        event
    }

    /// How many events each request had.
    fn sizes(&self) -> Vec<usize> {
        self.seen.lock().unwrap().iter().map(|document| events(document).len()).collect()
    }

    /// The names of all events, sorted.
    fn names(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let mut names: Vec<String> = seen.iter().flat_map(events).map(name).collect();
        names.sort();
        names
    }
}

/// One request's document; `None` at the end of the connection.
async fn read(from: &mut BufReader<TcpStream>) -> Option<Json> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.trim().parse().unwrap()];
    from.read_exact(&mut body).await.ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}

fn events(document: &Json) -> &[Json] {
    document["events"].as_array().unwrap()
}

fn name(event: &Json) -> String {
    event["name"].as_str().unwrap().to_owned()
}

fn taken() -> (Duration, u16, Json) {
    (Duration::ZERO, 200, json!({ "failed": [] }))
}

/// The fields `url` and `account` are the request's, `name` the event's.
fn render_event(event: &Event) -> Postback {
    let field = |name: &str| event.payload.fields[name].as_str();
    assert_ne!(field("name"), "panic", "as the test wants");
    let document = json!({
        "account": field("account"),
        "events": [{ "id": event.id.to_string(), "name": field("name") }],
    });
    let url = Url::parse(field("url")).unwrap();
    Postback { method: Method::POST, url, headers: HeaderMap::new(), body: document.to_string().into_bytes() }
}

/// One request at a time, up to 100 events in each.
fn in_batches() -> Destination {
    let rule = |status, body, judgement| VerdictRule { status: vec![status], body, judgement };
    let none = BodyPattern::Json("/failed".into(), JsonPattern::Empty);
    let failed = FailedList {
        list: "/failed".into(),
        id: "/event/id".into(),
        code: Some("/code".into()),
        retry: vec!["busy".into()],
    };
    Destination {
        concurrency: 1,
        batch: Some(BatchRule { at: "/events".into(), max: 100, max_bytes: 1 << 20, failed: Some(failed) }),
        verdicts: VerdictRules::new(vec![
            rule(StatusPattern::Class(2), vec![none], Judgement::Final(Verdict::Delivered)),
            rule(StatusPattern::Exactly(400), vec![], Judgement::Final(Verdict::Rejected(Rejection::Answer))),
        ]),
        ..destination("mine")
    }
}

/// A network that is busy with a first event while the others are taken in.
async fn busy_first(judge: impl Fn(&[Json]) -> (Duration, u16, Json) + Send + Sync + 'static) -> Bulk {
    Bulk::that(move |events| match name(&events[0]).as_str() {
        "first" => (Duration::from_millis(700), 200, json!({ "failed": [] })),
        _ => judge(events),
    })
    .await
}

async fn world(folder: &Path, bulk: &Bulk, names: impl IntoIterator<Item = (&str, String)>) -> World {
    let world = World::rendering(folder, vec![in_batches()], Box::new(|_, event| Ok(render_event(event))));
    world.accept(vec![bulk.event("a", "first")]).await;
    world.until("the network is busy", 5, || bulk.sizes() == [1]).await;
    world.accept(names.into_iter().map(|(account, name)| bulk.event(account, &name)).collect()).await;
    world
}

fn numbered(count: usize) -> impl Iterator<Item = (&'static str, String)> {
    (0..count).map(|number| ("a", format!("n{number:03}")))
}

impl World {
    fn verdicts(&self, label: Verdict) -> usize {
        self.noted.verdicts.lock().unwrap().iter().filter(|verdict| **verdict == label).count()
    }

    /// Waits until the row with this name is in this state, with an answer.
    async fn named(&self, name: &str, state: RowState) -> RowDetail {
        let find = || {
            let rows = self.store.inspect().list(&Filter { limit: Some(1000), ..Filter::default() }).unwrap();
            let ids = rows.iter().map(|row| row.event_id.unwrap().to_string());
            let mut details = ids.flat_map(|id| self.store.inspect().show(&id).unwrap());
            let is_meant = |row: &RowDetail| row.payload.fields["name"] == name && row.summary.state == state;
            details.find(|row| is_meant(row) && row.last_answer.is_some())
        };
        within(9, async {
            loop {
                if let Some(row) = find() {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }
}

const REJECTED: Verdict = Verdict::Rejected(Rejection::Answer);

#[tokio::test]
async fn what_waits_for_a_slow_network_shares_requests() {
    let folder = TempDir::new().unwrap();
    let bulk = busy_first(|_| taken()).await;
    let world = world(folder.path(), &bulk, numbered(250)).await;
    world.until("all are delivered", 20, || world.verdicts(Verdict::Delivered) == 251).await;
    let sizes = bulk.sizes();
    assert_eq!(sizes.iter().sum::<usize>(), 251, "each once");
    assert!(sizes.len() <= 6 && sizes.contains(&100), "{sizes:?}");
    assert_eq!(bulk.most.load(Ordering::SeqCst), 1, "its concurrency counts requests");
    assert_eq!(world.noted.attempts.lock().unwrap().len(), 251, "attempts count rows");
}

#[tokio::test]
async fn a_network_without_a_backlog_is_sent_to_at_once() {
    let folder = TempDir::new().unwrap();
    let bulk = Bulk::that(|_| taken()).await;
    let world = World::rendering(folder.path(), vec![in_batches()], Box::new(|_, event| Ok(render_event(event))));
    world.accept(vec![bulk.event("a", "n")]).await;
    world.until("it is delivered", 5, || world.verdicts(Verdict::Delivered) == 1).await;
}

#[tokio::test]
async fn a_row_that_panics_takes_no_other_along() {
    let folder = TempDir::new().unwrap();
    let bulk = busy_first(|_| taken()).await;
    let names = numbered(20).map(|(account, name)| (account, if name == "n007" { "panic".into() } else { name }));
    let world = world(folder.path(), &bulk, names).await;
    let dead = world.row(9, |row| row.state == RowState::Dead).await;
    assert_eq!((dead.reason.as_deref(), dead.attempts), (Some("poison"), 3));
    world.until("the others are delivered", 5, || world.verdicts(Verdict::Delivered) == 20).await;
    assert_eq!(bulk.sizes().len(), 2);
}

#[tokio::test]
async fn an_event_that_the_network_names_fails_alone() {
    let folder = TempDir::new().unwrap();
    let attempts = AtomicUsize::new(0);
    let bulk = busy_first(move |events| {
        let is_first = attempts.fetch_add(1, Ordering::SeqCst) == 0;
        let failed = events.iter().filter_map(|event| match name(event).as_str() {
            "n003" => Some(json!({ "code": "invalid", "event": event })),
            "n004" if is_first => Some(json!({ "code": "busy", "event": event })),
            _ => None,
        });
        (Duration::ZERO, 200, json!({ "failed": failed.collect::<Vec<_>>() }))
    })
    .await;
    let world = world(folder.path(), &bulk, numbered(10)).await;
    world.until("the others are delivered", 20, || world.verdicts(Verdict::Delivered) == 10).await;
    world.until("one is rejected", 5, || world.verdicts(REJECTED) == 1).await;
    let rejected = world.named("n003", RowState::Dead).await;
    assert_eq!((rejected.summary.reason.as_deref(), rejected.summary.attempts), (Some("answer"), 1));
    let said = rejected.last_answer.unwrap().body;
    assert_eq!(said, format!(r#"{{"code":"invalid","event":{{"id":"{}"}}}}"#, rejected.summary.event_id.unwrap()));
    let other = world.named("n002", RowState::Settled).await.last_answer.unwrap();
    assert_eq!((other.body.as_str(), other.result.as_str()), (r#"{"failed":[]}"#, "delivered"));
    let repeated = world.named("n004", RowState::Settled).await;
    assert_eq!(repeated.summary.attempts, 2);
    assert_eq!(bulk.names().iter().filter(|name| *name == "n004").count(), 2);
}

#[tokio::test]
async fn a_request_refused_as_a_whole_is_sent_event_by_event() {
    let folder = TempDir::new().unwrap();
    let bulk = busy_first(|events| {
        let is_bad = events.iter().any(|event| name(event) == "n003");
        // It names those that it refuses, which nobody else's row may keep.
        if is_bad { (Duration::ZERO, 400, json!({ "refused": events })) } else { taken() }
    })
    .await;
    let world = world(folder.path(), &bulk, numbered(10)).await;
    world.until("the others are delivered", 9, || world.verdicts(Verdict::Delivered) == 10).await;
    world.until("one is rejected", 5, || world.verdicts(REJECTED) == 1).await;
    assert_eq!(bulk.sizes().iter().filter(|size| **size == 1).count(), 11, "{:?}", bulk.sizes());
    assert_eq!(bulk.sizes().len(), 12);
    let twice: Vec<_> = numbered(10).flat_map(|(_, name)| [name.clone(), name]).collect();
    assert_eq!(bulk.names(), [vec!["first".to_owned()], twice].concat(), "with the others, then alone");
    let attempts = world.noted.attempts.lock().unwrap();
    assert_eq!(attempts.iter().filter(|(_, result)| *result == "retry").count(), 10);
}

#[tokio::test]
async fn an_answer_to_several_is_kept_without_what_they_brought() {
    let folder = TempDir::new().unwrap();
    let bulk = busy_first(|events| (Duration::ZERO, 500, json!({ "later": events }))).await;
    let world = world(folder.path(), &bulk, numbered(3)).await;
    let said = world.named("n001", RowState::Pending).await.last_answer.unwrap();
    let events = r#"{"id":"***","name":"***"}"#;
    assert_eq!(said.body, format!(r#"{{"later":[{events},{events},{events}]}}"#));
}

#[tokio::test]
async fn an_answer_may_repeat_all_that_it_was_sent() {
    let folder = TempDir::new().unwrap();
    let bulk = busy_first(|events| {
        let failed = events.iter().map(|event| json!({ "code": "invalid", "event": event }));
        (Duration::ZERO, 200, json!({ "failed": failed.collect::<Vec<_>>() }))
    })
    .await;
    // Together longer than any other answer may be.
    let names = numbered(90).map(|(account, name)| (account, name + &"x".repeat(1000)));
    let world = world(folder.path(), &bulk, names).await;
    world.until("all are rejected", 9, || world.verdicts(REJECTED) == 90).await;
    assert_eq!(bulk.sizes(), [1, 90]);
}

#[tokio::test]
async fn accounts_do_not_share_a_request() {
    let folder = TempDir::new().unwrap();
    let bulk = busy_first(|_| taken()).await;
    let names = numbered(12).enumerate().map(|(number, (_, name))| (["a", "b"][number % 2], name));
    let world = world(folder.path(), &bulk, names).await;
    world.until("all are delivered", 9, || world.verdicts(Verdict::Delivered) == 13).await;
    assert_eq!(bulk.sizes(), [1, 6, 6]);
    let seen = bulk.seen.lock().unwrap();
    let accounts: Vec<_> = seen.iter().map(|document| document["account"].as_str().unwrap()).collect();
    assert_eq!(accounts, ["a", "a", "b"]);
}

#[tokio::test]
async fn a_drained_worker_gives_whole_requests_back() {
    let folder = TempDir::new().unwrap();
    let bulk = busy_first(|_| (Duration::from_mins(1), 200, json!({ "failed": [] }))).await;
    let world = world(folder.path(), &bulk, numbered(150)).await;
    world.until("a full request is under way", 9, || bulk.sizes() == [1, 100]).await;
    within(5, world.delivery.drain(Duration::from_millis(50))).await;
    let rows = within(5, world.store.lease("shop", "mine", 1000, clock::now())).await;
    assert_eq!(rows.len(), 150);
    assert!(rows.iter().all(|row| row.attempts == 0));
}
