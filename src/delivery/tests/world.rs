//! A delivery with its store, and what is seen of both.

use std::{path::Path, sync::Mutex};

use uuid::Uuid;

use super::*;
use crate::{
    store::{Accepted, ErrorKind, NewRow, Retention, StoreObserver},
    tracking::{
        event::{EventId, Payload},
        postback::{Authorization, BodyRule, ConfiguredNames, ExtraPlace, RequestRule, Unrenderable, UrlRule},
        template::Template,
    },
};

#[derive(Default)]
pub(super) struct Noted {
    pub(super) attempts: Mutex<Vec<(String, &'static str)>>,
    pub(super) verdicts: Mutex<Vec<Verdict>>,
    pub(super) left_alone: Mutex<Vec<(String, bool)>>,
    pub(super) gone: Mutex<Vec<String>>,
}

impl DeliveryObserver for Noted {
    fn attempted(&self, _: &str, network: &str, result: &'static str, _: Duration) {
        self.attempts.lock().unwrap().push((network.into(), result));
    }
    fn settled(&self, _: &str, _: &str, verdict: Verdict) {
        self.verdicts.lock().unwrap().push(verdict);
    }
    fn left_alone(&self, _: &str, network: &str, is_left_alone: bool) {
        self.left_alone.lock().unwrap().push((network.into(), is_left_alone));
    }
    fn gone(&self, _: &str, network: &str) {
        self.gone.lock().unwrap().push(network.into());
    }
}

impl StoreObserver for Noted {
    fn committed(&self, _: Duration, _: usize) {}
    fn withdrawn(&self, _: &str, _: &str) {}
    fn failed(&self, kind: ErrorKind) {
        panic!("the store failed: {kind:?}");
    }
}

/// A rule whose content does not matter: the tests render by themselves.
pub(super) fn any_rule() -> PostbackRule {
    PostbackRule {
        request: RequestRule {
            method: Method::GET,
            url: UrlRule { origin: Template::literal("http://127.0.0.1"), path: Template::literal("/"), query: None },
            query: Vec::new(),
            headers: Vec::new(),
            authorization: Authorization::None,
            body: BodyRule::Empty,
            extra: ExtraPlace::Query,
            sign: None,
        },
        names: ConfiguredNames::default(),
        extra: Vec::new(),
    }
}

pub(super) fn destination(network: &str) -> Destination {
    let routes = BTreeMap::from([("purchase".into(), any_rule())]);
    Destination { max_age: Duration::from_hours(7 * 24), routes, ..Destination::plain(network) }
}

/// The field `url` is the address; `panic` and `broken` are what they say.
fn render(_: &PostbackRule, event: &Event) -> Result<Postback, Unrenderable> {
    match event.payload.fields["url"].as_str() {
        "panic" => panic!("as the test wants"),
        "broken" => Err(Unrenderable::Url),
        url => Ok(get(url)),
    }
}

pub(super) fn event(network: &str, url: &str) -> Event {
    Event {
        id: EventId::new(Uuid::new_v4()),
        time: clock::now(),
        site: "shop".into(),
        conversion: "purchase".into(),
        network: network.into(),
        payload: Payload { fields: BTreeMap::from([("url".into(), url.into())]), ..Payload::default() },
    }
}

pub(super) struct World {
    pub(super) store: Store,
    pub(super) delivery: Delivery,
    pub(super) noted: Arc<Noted>,
}

impl World {
    /// Puts other destinations in force.
    pub(super) fn follow(&self, destinations: Vec<Destination>) {
        let destinations = Arc::new(Destinations::new(destinations));
        self.delivery.replace(self.delivery.prepare(destinations).expect("clients"));
    }

    pub(super) fn start(folder: &Path, destinations: Vec<Destination>) -> Self {
        Self::rendering(folder, destinations, Box::new(render))
    }

    pub(super) fn rendering(folder: &Path, destinations: Vec<Destination>, render: Render) -> Self {
        drop(client());
        let noted = Arc::new(Noted::default());
        let (store, fresh) = Store::start(folder, Retention::default(), Arc::clone(&noted) as Arc<dyn StoreObserver>);
        let observer = Arc::clone(&noted) as Arc<dyn DeliveryObserver>;
        let destinations = Arc::new(Destinations::new(destinations));
        let delivery = Delivery::start_with(store.clone(), fresh, destinations, observer, render).unwrap();
        Self { store, delivery, noted }
    }

    pub(super) async fn accept(&self, events: Vec<Event>) {
        let rows = events.into_iter().map(|event| NewRow { event, key: None, hold: None }).collect();
        let answer = within(10, async { self.store.accept(rows).await.await.unwrap() }).await;
        assert!(answer.iter().all(|answer| *answer == Accepted::Queued));
    }

    /// Waits until a row of the store is as wanted.
    pub(super) async fn row(&self, seconds: u64, is_wanted: impl Fn(&RowSummary) -> bool) -> RowSummary {
        within(seconds, async {
            loop {
                let rows = self.store.inspect().list(&Filter::default()).unwrap();
                if let Some(row) = rows.into_iter().find(&is_wanted) {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    pub(super) async fn until(&self, what: &str, seconds: u64, mut is_so: impl FnMut() -> bool) {
        let reached = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(seconds), reached).await.is_ok(), "{what}");
    }
}
