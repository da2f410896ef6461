//! The end of a process: what is under way is finished, what waits stays whole.

use std::{
    collections::BTreeSet,
    io::Read,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    await_fact,
    chaos::{Chaos, Fault, Mix},
    config::shop,
    crowd::{Crowd, shop_of_its_own},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    server::Request,
    site::Site,
};

/// Orders that wait when the end comes.
const WAITING: usize = 500;

#[test]
fn a_full_queue_survives_the_end_under_load_whole() {
    let site = Site::start();
    let mix = Mix::seeded(3).with(Fault::ServerError, 100_000);
    let network = Chaos::knowing(mix, |request: &Request| vec![request.parameter("o").unwrap().to_owned()]);
    let shop = shop_of_its_own(site.address(), &network.address().to_string());
    let mut proxy = Proxy::with(&shop).start();
    let crowd = Crowd::enter(&proxy, 6);
    for orders in (0..=WAITING).step_by(20) {
        await_fact(|| (crowd.noted() >= orders).then_some(()), || format!("{orders} orders, not {}", crowd.noted()));
    }
    assert_eq!(proxy.terminate().code(), Some(0), "{}", proxy.stderr());
    let noted = crowd.leave();
    assert!(noted.len() >= WAITING);
    let listed: BTreeSet<String> = {
        let store = rusqlite::Connection::open(proxy.folder().join("state/throughline.sqlite")).unwrap();
        let leased: u32 = store.query_row("SELECT count(lease) FROM outbox", [], |row| row.get(0)).unwrap();
        assert_eq!(leased, 0, "all leases were given back");
        let mut rows = store.prepare("SELECT payload ->> '$.fields.order_id' FROM outbox").unwrap();
        let found = rows.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
        found.map(|order| order.unwrap().expect("an order")).collect()
    };
    assert!(noted.is_subset(&listed), "{} of {} orders are gone", noted.difference(&listed).count(), noted.len());
    network.calms_down();
    proxy.restart();
    network.await_taken(noted.len());
    assert_eq!(network.ledger().missing(&noted), Vec::<String>::new());
}

#[test]
fn told_a_second_time_it_ends_at_once() {
    let origin = Origin::start().route("/slow", Response::html(PAGE).delayed(Duration::from_mins(1)));
    let config = format!("limits: {{ shutdown_grace: 50s }}\n{}", shop(&origin, &AdNetwork::answering(["OK"])));
    let mut proxy = Proxy::with(&config).start();
    let (address, began) = (proxy.address(), Instant::now());
    let visitor = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut stream, b"GET /slow HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
    });
    origin.await_requests(1);
    proxy.signal("TERM");
    proxy.await_log("finishing what is under way");
    await_fact(|| (proxy.admin("/readyz").status == 503).then_some(()), || "the end to begin".into());
    proxy.signal("TERM");
    assert_eq!(proxy.await_end().code(), Some(0), "{}", proxy.stderr());
    assert!(proxy.stderr().contains("a second time"), "{}", proxy.stderr());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    visitor.join().unwrap();
}
