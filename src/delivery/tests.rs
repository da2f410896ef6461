//! The worker and its client against networks on real sockets.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, Method};
use tempfile::TempDir;
use url::Url;

use super::{client::Client, route::Route, *};
use crate::{
    store::{
        clock,
        inspector::{Filter, RowState, RowSummary},
    },
    tracking::{
        event::Event,
        postback::{Postback, PostbackRule},
        verdict::VerdictRules,
    },
};

mod answers;
mod batches;
mod network;
mod policy;
mod world;

use network::{Network, OK, Reaction};
use world::{World, any_rule, destination, event};

fn client() -> Client {
    // Another test of this process may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::new(&Route::default()).unwrap()
}

fn get(url: &str) -> Postback {
    Postback { method: Method::GET, url: Url::parse(url).unwrap(), headers: HeaderMap::new(), body: Vec::new() }
}

async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), future).await.expect("in time")
}

#[tokio::test]
async fn a_conversion_is_sent_once_and_moves_into_the_history() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| OK).await;
    let world = World::start(folder.path(), vec![destination("mine")]);
    world.accept(vec![event("mine", &network.url())]).await;
    let row = world.row(5, |row| row.state == RowState::Settled).await;
    assert_eq!((row.verdict.as_deref(), row.attempts, network.count()), (Some("delivered"), 1, 1));
    assert_eq!(*world.noted.attempts.lock().unwrap(), [("mine".into(), "delivered")]);
    assert_eq!(*world.noted.verdicts.lock().unwrap(), [Verdict::Delivered]);
}

#[tokio::test]
async fn a_hanging_network_slows_no_other() {
    let folder = TempDir::new().unwrap();
    let hanging = Network::that(|_| Reaction::Hang).await;
    let good = Network::that(|_| OK).await;
    let world = World::start(folder.path(), vec![destination("hanging"), destination("good")]);
    world.accept((0..400).map(|_| event("hanging", &hanging.url())).collect()).await;
    world.accept((0..400).map(|_| event("good", &good.url())).collect()).await;
    world.until("the good network has everything", 5, || good.count() == 400).await;
    assert_eq!(hanging.count(), 8, "its concurrency");
}

#[tokio::test]
async fn a_failed_attempt_is_repeated_under_the_same_id() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|number| if number == 0 { Reaction::Reset } else { OK }).await;
    let world = World::start(folder.path(), vec![destination("mine")]);
    let event = event("mine", &network.url());
    world.accept(vec![event.clone()]).await;
    let waiting = world.row(5, |row| row.attempts == 1).await;
    assert_eq!((waiting.state, waiting.reason.as_deref()), (RowState::Pending, Some("reset")));
    let delivered = world.row(9, |row| row.state == RowState::Settled).await;
    assert_eq!((delivered.event_id, delivered.attempts), (Some(event.id), 2));
}

#[tokio::test]
async fn what_is_withdrawn_is_not_sent_even_from_the_workers_hands() {
    let folder = TempDir::new().unwrap();
    let late = Reaction::Late("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK");
    let network = Network::that(move |_| late).await;
    let world = World::start(folder.path(), vec![destination("mine")]);
    let clicked = |click: &str| {
        let mut event = event("mine", &network.url());
        event.payload.clicks = vec![click.into()];
        event
    };
    // Eight are on the wire; the others wait in the worker's queue behind them.
    world.accept((0..8).map(|_| clicked("before")).collect()).await;
    world.until("the network is busy", 5, || network.count() == 8).await;
    world.accept((0..8).map(|_| clicked("mine")).collect()).await;
    world.accept(vec![clicked("after")]).await;
    within(5, world.store.withdraw("shop", &[("mine", "mine")], &[])).await;
    // Those on the wire can't be called back, but nothing that they lead to is heard any more.
    within(5, world.store.withdraw("shop", &[("mine", "before")], &[])).await;
    let delivered = world.row(9, |row| row.state == RowState::Settled && row.attempts > 0).await;
    assert_eq!(delivered.verdict.as_deref(), Some("delivered"));
    assert_eq!(network.count(), 9);
    assert_eq!(
        *world.noted.verdicts.lock().unwrap(),
        [Verdict::Delivered],
        "one verdict each; the store counts the others"
    );
    let rows = world.store.inspect().list(&Filter::default()).unwrap();
    assert_eq!(rows.iter().filter(|row| row.verdict.as_deref() == Some("withdrawn")).count(), 16);
}

#[tokio::test]
async fn refused_credentials_keep_the_conversion_without_counting() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| Reaction::Answer("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")).await;
    let world = World::start(folder.path(), vec![destination("mine")]);
    world.accept(vec![event("mine", &network.url())]).await;
    let row = world.row(5, |row| row.reason.is_some()).await;
    assert_eq!((row.state, row.attempts), (RowState::Pending, 0));
    assert!(row.next.unwrap().since(clock::now()) > Duration::from_secs(290));
}

#[tokio::test]
async fn a_row_that_panics_three_times_is_poison() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| OK).await;
    let world = World::start(folder.path(), vec![destination("mine")]);
    world.accept(vec![event("mine", "panic"), event("mine", &network.url())]).await;
    let dead = world.row(9, |row| row.state == RowState::Dead).await;
    assert_eq!((dead.reason.as_deref(), dead.attempts), (Some("poison"), 3));
    assert_eq!(network.count(), 1, "its neighbour was sent");
}

#[tokio::test]
async fn a_row_that_makes_no_request_is_a_dead_letter() {
    let folder = TempDir::new().unwrap();
    let world = World::start(folder.path(), vec![destination("mine")]);
    world.accept(vec![event("mine", "broken")]).await;
    let dead = world.row(5, |row| row.state == RowState::Dead).await;
    assert_eq!((dead.verdict.as_deref(), dead.reason.as_deref()), (Some("rejected"), Some("unrenderable")));
}

#[tokio::test]
async fn a_row_that_is_too_old_expires_unsent() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| OK).await;
    let world = World::start(folder.path(), vec![destination("mine")]);
    let mut old = event("mine", &network.url());
    old.time = crate::tracking::timestamp::Timestamp::from_millis(old.time.as_millis() - 8 * 86_400_000);
    world.accept(vec![old]).await;
    let waiting = world.row(5, |row| !row.leased).await;
    assert_eq!(waiting.state, RowState::Pending, "the clock may be wrong, for all that is known so early");
    let dead = world.row(9, |row| row.state == RowState::Dead).await;
    assert_eq!((dead.verdict.as_deref(), dead.attempts, network.count()), (Some("expired"), 0, 0));
}

#[tokio::test]
async fn rows_without_a_destination_wait_for_one() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| OK).await;
    let paused = Destination { paused: true, ..destination("paused") };
    let world = World::start(folder.path(), vec![paused]);
    world.accept(vec![event("later", &network.url()), event("paused", &network.url())]).await;
    for name in ["later", "paused"] {
        let row = world.row(5, |row| row.network == name && !row.leased).await;
        assert_eq!((row.state, row.attempts), (RowState::Pending, 0));
    }
    assert_eq!(network.count(), 0);
    world.follow(vec![destination("later"), destination("paused")]);
    world.until("both are sent", 5, || network.count() == 2).await;
}

#[tokio::test]
async fn a_row_without_a_route_is_not_spun_on() {
    let folder = TempDir::new().unwrap();
    let world = World::start(folder.path(), vec![Destination { routes: BTreeMap::new(), ..destination("mine") }]);
    world.accept(vec![event("mine", "http://127.0.0.1:9/")]).await;
    let row = world.row(5, |row| !row.leased).await;
    assert!(row.next.unwrap().since(clock::now()) > Duration::from_secs(200));
    assert_eq!((row.attempts, row.state), (0, RowState::Pending));
}

#[tokio::test]
async fn a_row_whose_route_comes_back_is_sent_at_once() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| OK).await;
    let world = World::start(folder.path(), vec![Destination { routes: BTreeMap::new(), ..destination("mine") }]);
    world.accept(vec![event("mine", &network.url())]).await;
    world.row(5, |row| !row.leased && row.next.unwrap().since(clock::now()) > Duration::from_secs(200)).await;
    world.follow(vec![destination("mine")]);
    world.until("it is sent", 5, || network.count() == 1).await;
}

#[tokio::test]
async fn a_network_that_is_no_longer_configured_is_spoken_of_no_more() {
    let folder = TempDir::new().unwrap();
    let world = World::start(folder.path(), vec![destination("one"), destination("two")]);
    world.follow(vec![destination("two")]);
    world.until("it is gone", 5, || *world.noted.gone.lock().unwrap() == ["one"]).await;
    assert_eq!(within(5, world.delivery.breakers()).await.len(), 1);
}

#[tokio::test]
async fn a_drained_worker_gives_everything_back() {
    let folder = TempDir::new().unwrap();
    let hanging = Network::that(|_| Reaction::Hang).await;
    let world = World::start(folder.path(), vec![destination("mine")]);
    world.accept((0..300).map(|_| event("mine", &hanging.url())).collect()).await;
    world.until("requests are under way", 5, || hanging.count() == 8).await;
    within(5, world.delivery.drain(Duration::from_millis(50))).await;
    let rows = within(5, world.store.lease("shop", "mine", 1000, clock::now())).await;
    assert_eq!(rows.len(), 300);
    assert!(rows.iter().all(|row| row.attempts == 0));
}

#[tokio::test]
async fn a_drained_worker_waits_for_answers_that_come() {
    let folder = TempDir::new().unwrap();
    let network = Network::that(|_| OK).await;
    let world = World::start(folder.path(), vec![destination("mine")]);
    world.accept(vec![event("mine", &network.url())]).await;
    world.until("the request is under way", 5, || network.count() == 1).await;
    within(6, world.delivery.drain(Duration::from_secs(5))).await;
    within(5, world.store.close()).await;
    assert_eq!(world.store.inspect().list(&Filter::default()).unwrap()[0].state, RowState::Settled);
}
