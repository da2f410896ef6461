//! When a network is sent to, and when not: the worker against networks that are unwell.

use super::*;
use crate::{
    delivery::{
        breaker::{BreakerState, Trouble},
        rate::Rate,
    },
    tracking::verdict::{BodyPattern, Judgement, Repeats, VerdictRule},
};

const BROKEN: Reaction = Reaction::Answer("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
const REFUSED: Reaction = Reaction::Answer("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n");
const GONE: Reaction = Reaction::Answer("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n");

impl World {
    async fn breaker(&self, network: &str) -> BreakerState {
        let all = within(5, self.delivery.breakers()).await;
        all.into_iter().find(|(_, key, _)| &**key == network).expect("a destination").2
    }

    async fn await_open(&self, network: &str) -> Trouble {
        within(5, async {
            loop {
                if let BreakerState::Open { trouble, .. } = self.breaker(network).await {
                    return trouble;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    fn rows(&self) -> Vec<RowSummary> {
        self.store.inspect().list(&Filter { limit: Some(1000), ..Filter::default() }).unwrap()
    }
}

/// One after the other, so that no answer is still under way when the breaker opens.
fn careful(network: &str) -> Destination {
    Destination { concurrency: 1, ..destination(network) }
}

#[tokio::test]
async fn a_network_that_fails_is_left_alone_and_its_conversions_wait() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| BROKEN).await;
    let world = World::start(folder.path(), vec![careful("mine"), destination("other")]);
    world.accept((0..50).map(|_| event("mine", &network.url())).collect()).await;
    assert_eq!(world.await_open("mine").await, Trouble::Failing);
    assert!(matches!(world.breaker("other").await, BreakerState::Closed { .. }));
    assert_eq!(
        *world.noted.left_alone.lock().unwrap(),
        [("mine".into(), false), ("other".into(), false), ("mine".into(), true)]
    );
    assert_eq!(network.count(), 10);
    world
        .until("the tenth is settled", 5, || world.rows().iter().filter(|row| row.reason.is_some()).count() == 10)
        .await;
    let rows = world.rows();
    assert!(rows.iter().all(|row| row.state == RowState::Pending));
    assert_eq!(rows.iter().filter(|row| row.attempts == 1).count(), 9);
    assert_eq!(rows.iter().filter(|row| row.reason.as_deref() == Some("down")).count(), 1, "the one that opened it");
    world.until("the others are given back", 5, || world.rows().iter().all(|row| !row.leased)).await;
    // Longer than the first conversions wait for their second attempt.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(network.count(), 10, "an open breaker sends nothing");
}

#[tokio::test]
async fn refused_credentials_pause_the_network_until_the_configuration_changes() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|number| if number < 3 { REFUSED } else { OK }).await;
    let world = World::start(folder.path(), vec![careful("mine")]);
    world.accept((0..50).map(|_| event("mine", &network.url())).collect()).await;
    assert_eq!(world.await_open("mine").await, Trouble::Credentials);
    assert_eq!(network.count(), 3);
    assert!(world.rows().iter().all(|row| (row.state, row.attempts) == (RowState::Pending, 0)));
    world.follow(vec![careful("mine"), destination("other")]);
    assert_eq!(world.await_open("mine").await, Trouble::Credentials, "they are the same");
    let mut rule = any_rule();
    rule.names.settings.insert("key".to_owned(), "another".to_owned());
    let corrected = Destination { routes: BTreeMap::from([("purchase".into(), rule)]), ..careful("mine") };
    world.follow(vec![corrected]);
    world.until("all are sent, and the refused ones again", 9, || network.count() == 53).await;
    assert_eq!(*world.noted.left_alone.lock().unwrap().last().unwrap(), ("mine".to_owned(), false));
}

#[tokio::test]
async fn a_network_that_has_gone_costs_ten_conversions_and_not_all() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| GONE).await;
    let world = World::start(folder.path(), vec![careful("mine")]);
    world.accept((0..50).map(|_| event("mine", &network.url())).collect()).await;
    world.await_open("mine").await;
    world
        .until("ten are dead", 5, || world.rows().iter().filter(|row| row.state == RowState::Dead).count() == 10)
        .await;
    assert_eq!(world.rows().iter().filter(|row| row.state == RowState::Pending).count(), 40);
}

#[tokio::test]
async fn however_many_networks_hang_the_others_are_served() {
    let folder = TempDir::new().unwrap();
    let hanging = Network::that(|_| Reaction::Hang).await;
    let good = Network::that(|_| OK).await;
    let names = |kind: &str, count: usize| (0..count).map(|n| format!("{kind}{n:02}")).collect::<Vec<_>>();
    let (hang, work) = (names("hang", 20), names("work", 3));
    let all = hang.iter().chain(&work).map(|name| destination(name)).collect();
    let world = World::start(folder.path(), all);
    let events = |names: &[String], url: &str, count: usize| {
        names.iter().flat_map(|name| (0..count).map(|_| event(name, url)).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    world.accept(events(&hang, &hanging.url(), 10)).await;
    world.until("all of them hang", 5, || hanging.count() >= 20).await;
    let began = clock::instant();
    world.accept(events(&work, &good.url(), 100)).await;
    world.until("the others have everything", 9, || good.count() == 300).await;
    // Whatever hangs ends after 10 s.
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert!(hanging.count() <= 56, "{} hang", hanging.count());
}

#[tokio::test]
async fn a_network_gets_no_more_than_its_rate() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| OK).await;
    let limited = Destination { rate: Rate::parse("20/s").ok(), ..destination("mine") };
    let world = World::start(folder.path(), vec![limited]);
    let began = clock::instant();
    world.accept((0..60).map(|_| event("mine", &network.url())).collect()).await;
    world.until("everything is sent", 9, || network.count() == 60).await;
    assert!(began.elapsed() >= Duration::from_millis(1900), "20 at once, 40 at 20/s: {:?}", began.elapsed());
}

#[tokio::test]
async fn patience_is_for_the_whole_destination() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|number| {
        if number > 0 {
            return OK;
        }
        Reaction::Answer("HTTP/1.1 503 Later\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let world = World::start(folder.path(), vec![careful("mine")]);
    world.accept(vec![event("mine", &network.url())]).await;
    world.row(5, |row| row.attempts == 1).await;
    let began = clock::instant();
    world.accept(vec![event("mine", &network.url())]).await;
    world.until("the second is sent", 9, || network.count() >= 2).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_later_conversion_of_an_order_waits_for_an_earlier_one() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|number| if number == 0 { BROKEN } else { OK }).await;
    let world = World::start(folder.path(), vec![Destination { in_order: true, ..destination("mine") }]);
    let conversion = |what: &str, order: &str, after: u64| {
        let mut event = event("mine", &format!("{}&what={what}", network.url()));
        event.time = event.time.plus(Duration::from_millis(after));
        event.payload.fields.insert("order_id".into(), order.into());
        event
    };
    let events = vec![conversion("lead", "A", 0), conversion("sale", "A", 1), conversion("other", "B", 2)];
    world.accept(events).await;
    world.until("all are sent", 15, || network.count() == 4).await;
    let seen = network.seen.lock().unwrap().clone();
    let order: Vec<_> = seen
        .iter()
        .filter_map(|head| ["lead", "sale", "other"].into_iter().find(|what| head.contains(&format!("what={what} "))))
        .collect();
    assert_eq!(order, ["lead", "other", "lead", "sale"]);
}

#[tokio::test]
async fn what_is_unclear_is_asked_again_where_repeats_are_dropped() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|number| {
        if number > 0 { OK } else { Reaction::Answer("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n???") }
    })
    .await;
    let delivered = VerdictRule {
        status: vec![],
        body: vec![BodyPattern::Is("OK".into())],
        judgement: Judgement::Final(Verdict::Delivered),
    };
    let verdicts = VerdictRules::new(vec![delivered]).with_repeats(Repeats::Dropped);
    let world = World::start(folder.path(), vec![Destination { verdicts, ..destination("mine") }]);
    world.accept(vec![event("mine", &network.url())]).await;
    let waiting = world.row(5, |row| row.attempts == 1).await;
    assert_eq!((waiting.state, waiting.reason.as_deref()), (RowState::Pending, Some("unclear")));
    let row = world.row(9, |row| row.state == RowState::Settled).await;
    assert_eq!((row.verdict.as_deref(), row.attempts), (Some("delivered"), 2));
}

#[tokio::test]
async fn a_conversion_has_so_many_attempts() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| BROKEN).await;
    let world = World::start(folder.path(), vec![Destination { max_attempts: 2, ..destination("mine") }]);
    world.accept(vec![event("mine", &network.url())]).await;
    let dead = world.row(15, |row| row.state == RowState::Dead).await;
    assert_eq!((dead.verdict.as_deref(), dead.attempts, network.count()), (Some("expired"), 2, 2));
}

#[tokio::test]
async fn a_redirect_tells_the_host_it_points_to() {
    for (location, host) in [
        ("https://new.example/pb?key=secret", Some("new.example")),
        ("//other.example/", Some("other.example")),
        ("/elsewhere", Some("127.0.0.1")),
        ("https://", None),
    ] {
        let answer = format!("HTTP/1.1 301 Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let answer: &'static str = answer.leak();
        let network = Network::that(move |_| Reaction::Answer(answer)).await;
        let reply = client().send(get(&network.url())).await.unwrap();
        assert_eq!(reply.moved_to.as_deref(), host, "{location}");
    }
}
