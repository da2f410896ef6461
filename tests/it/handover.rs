//! One process after the other on the same sockets and the same store, and nobody notices.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection as Database;

use crate::support::{
    config::shop,
    h2_client,
    http::latin1,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    raw_origin::Connection,
    response::Response,
    tunnel::{self, greeting_echo},
    twin::Ask,
    visitor::Visitor,
};

mod commanded;
mod load;
mod operators;

/// The usual shop with more keys at the top, one per line.
fn shop_under(keys: &str, origin: &Origin) -> String {
    format!("{keys}\n{}", shop(origin, &AdNetwork::answering(["OK"])))
}

#[test]
fn a_connection_that_waits_for_nothing_is_not_cut_but_answered_once_more() {
    let origin = Origin::start();
    let mut proxy = Proxy::with(&shop_under("", &origin)).start();
    let mut waiting = Connection::to(proxy.address());
    let ask = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    waiting.send(ask).unwrap();
    let head = waiting.head().unwrap().unwrap();
    assert!(!head.to_ascii_lowercase().contains("connection: close"), "{head}");
    waiting.exactly(PAGE.len()).unwrap();
    let mut former = proxy.succeed();
    waiting.send(ask).unwrap();
    let head = waiting.head().unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.to_ascii_lowercase().contains("connection: close"), "{head}");
    waiting.exactly(PAGE.len()).unwrap();
    waiting.await_end().unwrap();
    assert_eq!(former.await_end().code(), Some(0));
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}

#[test]
fn who_asks_for_nothing_more_is_waited_for_no_longer_than_the_grace_period() {
    let origin = Origin::start();
    let mut proxy = Proxy::with(&shop_under("limits: { shutdown_grace: 1s }", &origin)).start();
    let silent = TcpStream::connect(proxy.address()).unwrap();
    let mut kept = Connection::to(proxy.address());
    kept.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    kept.head().unwrap().unwrap();
    kept.exactly(PAGE.len()).unwrap();
    let mut former = proxy.succeed();
    let began = Instant::now();
    assert_eq!(former.await_end().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    kept.await_end().unwrap();
    drop(silent);
}

#[test]
fn a_web_socket_lives_on_in_the_old_process_until_its_grace_period_ends() {
    let origin = greeting_echo("");
    let config =
        format!("limits: {{ shutdown_grace: 3s }}\nsites: [{{ upstream: \"http://{}\" }}]\n", origin.address());
    let mut proxy = Proxy::with(&config).start();
    let mut tunnel = open_tunnel(&proxy);
    let mut former = proxy.succeed();
    let began = Instant::now();
    for number in 0..10 {
        let word = format!("word {number}");
        tunnel.send(&word).unwrap();
        assert_eq!(latin1(&tunnel.exactly(word.len()).unwrap()), word, "{}", former.stderr());
        thread::sleep(Duration::from_millis(50));
    }
    let mut other = open_tunnel(&proxy);
    assert_eq!(former.await_end().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}: {}", began.elapsed(), former.stderr());
    assert!(former.stderr().contains("still under way when the grace period ended"), "{}", former.stderr());
    tunnel.await_end().ok();
    other.send("on").unwrap();
    assert_eq!(other.exactly(2).unwrap(), b"on", "the new process has tunnels of its own");
}

fn open_tunnel(proxy: &Proxy) -> Connection {
    tunnel::open(proxy.address(), "shop.example", b"").unwrap()
}

#[test]
fn a_stream_of_http2_is_finished_and_its_connection_told_to_go() {
    let origin = Origin::start().route("/slow", Response::html(PAGE).delayed(Duration::from_secs(3)));
    let mut proxy = Proxy::with(&shop_under("limits: { shutdown_grace: 8s }", &origin)).start();
    let mut visitor = h2_client::Connection::open(proxy.address(), None).unwrap();
    let visit = thread::spawn(move || {
        let seen = visitor.fetch(&Ask::new("GET", "/slow"));
        (visitor, seen)
    });
    origin.await_requests(1);
    let mut former = proxy.succeed();
    let (mut visitor, seen) = visit.join().unwrap();
    let seen = seen.unwrap();
    assert_eq!((seen.status, latin1(&seen.body).as_str()), (200, PAGE));
    assert_eq!(former.await_end().code(), Some(0));
    assert!(visitor.fetch(&Ask::new("GET", "/")).is_err(), "its process has ended");
    let mut visitor = h2_client::Connection::open(proxy.address(), None).unwrap();
    assert_eq!(visitor.fetch(&Ask::new("GET", "/")).unwrap().status, 200);
}

#[test]
fn listeners_that_stay_are_taken_over_new_ones_open_and_the_others_close() {
    let origin = Origin::start();
    let listen = |addresses: &str| shop_under(&format!("listen: [{addresses}]"), &origin);
    let mut proxy = Proxy::with(&listen("127.0.0.1:0, 127.0.0.2:0")).start();
    let before = proxy.addresses();
    proxy.configure(&listen("127.0.0.1:0, 127.0.0.3:0"));
    let mut former = proxy.succeed();
    let after = proxy.addresses();
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].ip().to_string(), "127.0.0.3");
    for address in &after {
        assert_eq!(Visitor::at(*address).get("/").text(), PAGE, "{address}");
    }
    assert_eq!(former.await_end().code(), Some(0));
    assert!(TcpStream::connect(before[1]).is_err(), "nobody listens there any more");
}

#[test]
fn the_version_before_works_on_a_store_that_a_newer_one_has_extended() {
    let origin = Origin::start();
    let network = AdNetwork::answering(["OK"]);
    let mut proxy = Proxy::with(&shop(&origin, &network)).start();
    let mut buyer = proxy.visitor();
    buyer.lands("/?exotracker=abc");
    buyer.get("/thank-you/1?total=1");
    network.await_received(1);
    proxy.await_settled();
    // What a newer version does when it starts: it adds.
    let store = Database::open(proxy.folder().join("state/throughline.sqlite")).unwrap();
    store.busy_timeout(Duration::from_secs(10)).unwrap();
    let version: i32 = store.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    store
        .execute_batch(&format!(
            "BEGIN IMMEDIATE; CREATE TABLE later (id INTEGER PRIMARY KEY, what TEXT NOT NULL);
             ALTER TABLE outbox ADD COLUMN later TEXT; ALTER TABLE history ADD COLUMN later TEXT;
             ALTER TABLE held ADD COLUMN later INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = {}; COMMIT;",
            version + 1
        ))
        .unwrap();
    let mut former = proxy.succeed();
    for order in 1..=3 {
        buyer.get(&format!("/thank-you/{order}?total=1"));
    }
    let received = network.await_received(3);
    assert_eq!(former.await_end().code(), Some(0));
    proxy.await_settled();
    assert_eq!(received.len(), 3, "the first order is known");
    let found: i32 = store.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(found, version + 1, "and nothing is taken back");
}

#[test]
fn without_a_predecessor_an_upgrade_is_a_start() {
    let origin = Origin::start();
    let mut proxy = Proxy::with(&shop_under("", &origin)).argument("--upgrade").start();
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    assert_eq!(proxy.terminate().code(), Some(0));
}
