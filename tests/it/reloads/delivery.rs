//! Postbacks across a reload: what waited for the change is sent, what did not keeps its place.

use std::fs;

use crate::support::{
    accounting::assert_accounts, await_fact, network::AdNetwork, origin::Origin, proxy::Proxy, response::Response,
};

/// A shop with one network that wants a key, which stands in a file.
fn shop(origin: &Origin, network: &AdNetwork) -> String {
    format!(
        r#"sites:
  - upstream: "http://{}"
    networks:
      own:
        click: {{ param: cid }}
        settings: {{ token: {{ secret: true, required: true }} }}
        token: {{ file: token }}
        postback: {{ url: "http://{}/pb", query: {{ o: "{{order_id}}", key: "{{token}}" }} }}
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        send: {{ own: {{ }} }}
"#,
        origin.address(),
        network.address()
    )
}

/// The same shop without its network.
fn shop_alone(origin: &Origin) -> String {
    format!("sites:\n  - upstream: \"http://{}\"\n", origin.address())
}

fn buys(proxy: &Proxy, orders: std::ops::Range<u32>) {
    let mut buyer = proxy.visitor();
    buyer.lands("/?cid=abc");
    for order in orders {
        buyer.get(&format!("/thank-you/{order}"));
    }
}

#[test]
fn new_credentials_wake_what_the_old_ones_had_stopped() {
    let origin = Origin::start();
    let network = AdNetwork::judging(|postback| {
        if postback.parameter("key") == Some("new-credentials") { "OK".into() } else { Response::new(401) }
    });
    let proxy = Proxy::with(&shop(&origin, &network)).file("token", "old-credentials\n").start();
    buys(&proxy, 0..8);
    proxy.await_metric("throughline_breaker_open", &[("network", "own")], 1);
    proxy.await_metric("throughline_outbox_pending", &[], 8);
    let refused = network.received().len();

    assert!(proxy.reload(), "nothing has changed");
    proxy.await_metric("throughline_breaker_open", &[("network", "own")], 1);
    assert_eq!(network.received().len(), refused, "nor has the network, which is left alone as before");

    fs::write(proxy.folder().join("token"), "new-credentials\n").unwrap();
    assert!(proxy.reload());
    proxy.await_settled();
    proxy.await_metric("throughline_postbacks_total", &[("verdict", "delivered")], 8);
    assert!(network.received().len() >= refused + 8);
    proxy.await_metric("throughline_breaker_open", &[("network", "own")], 0);
    assert_accounts(&proxy);
    proxy.await_log("changed: what variables or files of secrets hold");
    let log = proxy.stderr();
    assert!(!log.contains("old-credentials") && !log.contains("new-credentials"), "{log}");
}

#[test]
fn what_waits_for_a_network_that_went_away_is_sent_when_it_is_back() {
    let origin = Origin::start();
    let busy = AdNetwork::answering([Response::new(503).header("Retry-After", "3600")]);
    let proxy = Proxy::with(&shop(&origin, &busy)).file("token", "credentials").start();
    buys(&proxy, 0..1);
    busy.await_received(1);
    await_fact(
        || (proxy.metric("throughline_postback_attempts_total", &[("result", "retry")]) > 0.5).then_some(()),
        || proxy.outbox_list(),
    );
    proxy.follows(&shop_alone(&origin));
    proxy.await_metric("throughline_outbox_parked", &[("network", "own")], 1);
    proxy.await_metric("throughline_outbox_pending", &[], 0);
    let gauges = proxy.admin("/metrics").text();
    assert!(!gauges.contains("throughline_breaker_open{"), "{gauges}");

    let back = AdNetwork::answering(["OK"]);
    proxy.follows(&shop(&origin, &back));
    assert_eq!(back.await_received(1)[0].parameter("o"), Some("0"));
    proxy.await_settled();
    proxy.await_metric("throughline_outbox_parked", &[], 0);
    assert_accounts(&proxy);
}

#[test]
fn a_conversion_without_its_rule_waits_for_the_rule() {
    let origin = Origin::start();
    let network = AdNetwork::answering([Response::new(500), "OK".into()]);
    let proxy = Proxy::with(&shop(&origin, &network)).file("token", "credentials").start();
    buys(&proxy, 0..1);
    network.await_received(1);
    let renamed = shop(&origin, &network).replace("name: purchase", "name: sale");
    proxy.follows(&renamed);
    await_fact(|| proxy.outbox_list().contains("purchase").then_some(()), || proxy.outbox_list());
    proxy.follows(&shop(&origin, &network));
    network.await_received(2);
    proxy.await_settled();
    assert_accounts(&proxy);
}
