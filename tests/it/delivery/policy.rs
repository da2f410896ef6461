//! Networks that are unwell, as an operator sees them.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::VERDICTS;
use crate::support::{
    accounting::assert_accounts,
    config::{GOAL, shop, shop_of},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
};

const BREAKER: &str = "throughline_breaker_open";
const DELIVERY: &str = "delivery: { concurrency: 1 }";

/// So many purchases of one visitor.
fn buys(proxy: &Proxy, count: usize) {
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    for order in 0..count {
        assert_eq!(visitor.get(&format!("/thank-you/{order}?total=1")).status, 200);
    }
}

/// A shop that sends its purchases one after the other.
fn careful(origin: &Origin, network: &AdNetwork) -> String {
    format!("{DELIVERY}\n{}", shop(origin, network))
}

#[test]
fn a_network_that_fails_is_left_alone_and_shown() {
    let (origin, network) = (Origin::start(), AdNetwork::answering([Response::new(500)]));
    let proxy = Proxy::with(&careful(&origin, &network)).start();
    assert_eq!(proxy.metrics().values(BREAKER, ["site", "network"]).len(), 1, "there from the start");
    proxy.await_metric(BREAKER, &[("network", "exoclick")], 0);
    buys(&proxy, 30);
    proxy.await_metric(BREAKER, &[("network", "exoclick")], 1);
    assert_eq!(network.received().len(), 10);
    proxy.await_log("left alone");
    assert!(proxy.outbox_list().contains("down"), "{}", proxy.outbox_list());
}

#[test]
fn wrong_credentials_burn_no_conversions_and_raise_one_alarm() {
    let (origin, network) = (Origin::start(), AdNetwork::answering([Response::new(403)]));
    let proxy = Proxy::with(&careful(&origin, &network)).start();
    buys(&proxy, 30);
    proxy.await_metric(BREAKER, &[("network", "exoclick")], 1);
    assert_eq!(network.received().len(), 3);
    proxy.await_log("refuses our credentials");
    assert_eq!(proxy.stderr().matches("refuses our credentials").count(), 1, "{}", proxy.stderr());
    proxy.await_metric("throughline_outbox_pending", &[], 30);
}

#[test]
fn a_network_that_has_recovered_gets_everything() {
    let answers: Vec<_> = (0..10).map(|_| Response::new(503)).chain([Response::from("OK")]).collect();
    let (origin, network) = (Origin::start(), AdNetwork::answering(answers));
    let proxy = Proxy::with(&careful(&origin, &network)).start();
    buys(&proxy, 30);
    proxy.await_metric(BREAKER, &[("network", "exoclick")], 1);
    // What failed would come again after 5 s.
    let deadline = Instant::now() + Duration::from_mins(1);
    while network.received().len() < 11 {
        assert!(Instant::now() < deadline, "no probe");
        thread::sleep(Duration::from_millis(100));
    }
    let received = network.received();
    assert!(received[10].at - received[9].at >= Duration::from_secs(29), "it is probed after 30 s");
    proxy.await_metric(VERDICTS, &[("verdict", "delivered")], 30);
    proxy.await_metric(BREAKER, &[("network", "exoclick")], 0);
    assert_accounts(&proxy);
}

#[test]
fn a_network_that_moved_is_named_and_not_followed() {
    let (origin, network) = (
        Origin::start(),
        AdNetwork::answering([Response::new(308).header("Location", "https://new.example/pb?token=CANARY-TOKEN")]),
    );
    let proxy = Proxy::with(&shop(&origin, &network)).start();
    buys(&proxy, 1);
    proxy.await_metric(VERDICTS, &[("verdict", "rejected")], 1);
    proxy.await_log("moved to another URL");
    let log = proxy.stderr();
    assert!(log.contains("new.example") && !log.contains("CANARY"), "{log}");
}

#[test]
fn many_networks_that_hang_leave_room_for_one_that_does_not() {
    let (origin, hanging, good) =
        (Origin::start(), AdNetwork::answering([Response::hang()]), AdNetwork::answering(["OK"]));
    let network = |key: &str, to: &AdNetwork| {
        format!(
            "      {key}: {{ preset: exoclick, click: {{ param: {key}, cookie: _{key} }}, postback: {{ url: \"http://{}/tag.php\" }} }}\n",
            to.address()
        )
    };
    let keys: Vec<String> = (0..12).map(|number| format!("hang{number:02}")).collect();
    let networks: String = keys.iter().map(|key| network(key, &hanging)).collect::<String>() + &network("good", &good);
    let send = |key: &str| format!("          {key}: {{ goal: {GOAL} }}\n");
    let sends: String = keys.iter().map(|key| send(key)).collect::<String>() + &send("good");
    let proxy = Proxy::with(&shop_of(&origin, networks.trim_end(), sends.trim_end())).start();
    let mut visitor = proxy.visitor();
    let clicks: Vec<String> = keys.iter().map(|key| format!("{key}=abc")).collect();
    visitor.lands(&format!("/?{}&good=def", clicks.join("&")));
    for order in 0..20 {
        assert_eq!(visitor.get(&format!("/thank-you/{order}?total=1")).status, 200);
    }
    proxy.await_metric(VERDICTS, &[("network", "good"), ("verdict", "delivered")], 20);
    assert!(hanging.received().len() <= 56, "{} hang", hanging.received().len());
}
