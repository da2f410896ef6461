//! Persons and secrets in event records: what is shown of them, which is nothing unless it is asked for.

use std::fs;

use super::{WRITTEN, await_records};
use crate::support::{
    accounting::assert_accounts,
    await_fact,
    config::shop_of,
    network::AdNetwork,
    origin::Origin,
    proxy::{Proxy, Setup},
    response::Response,
};

/// A shop whose network is sent a person's values and a secret in many forms, and repeats all of them.
fn talkative(personal: &str) -> (Setup, Origin, AdNetwork, AdNetwork) {
    let (origin, hook) = (Origin::start(), AdNetwork::answering([Response::new(200)]));
    let network = AdNetwork::judging(|request| {
        let said = format!("NO {} {}", request.target, String::from_utf8_lossy(&request.raw_head));
        Response::from(said.as_str()).header("X-Echo", &request.target)
    });
    let networks = format!(
        "      mine:
        click: {{ param: mid }}
        settings: {{ key: {{ secret: true }} }}
        key: ${{KEY}}
        postback:
          url: \"http://{}/pb\"
          headers: {{ x-key: \"{{key}}\" }}
          query: {{ c: \"{{click_id}}\", k: \"{{key}}\", e: \"{{email}}\", h: \"{{email|sha256}}\", m: \"{{email|md5}}\", b: \"{{email|base64}}\" }}
        verdict: [{{ body_starts: \"NO\", is: rejected }}]",
        network.address()
    );
    let events = format!(
        "events:
  stdout: always
  file: {{ path: events.jsonl }}
  webhook: {{ url: \"http://{}/\" }}
  personal: {personal}
",
        hook.address()
    );
    let setup = Proxy::with(&format!("{events}{}", shop_of(&origin, &networks, "          mine: {}")));
    (setup.env("KEY", "CANARY/key one"), origin, network, hook)
}

fn tells_all(proxy: &Proxy, hook: &AdNetwork) -> Vec<String> {
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    visitor.get("/thank-you/1001?total=49.90&email=jane.canary%2B1%40mail.example");
    proxy.await_metric(WRITTEN, &[("sink", "webhook")], 5);
    let file = proxy.folder().join("events.jsonl");
    await_records(&file, 5);
    let sent: String =
        hook.received().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("1001") || text.contains("c=abc"), "orders and clicks are shown: {text}");
    await_fact(|| (proxy.stdout().lines().count() >= 7).then_some(()), || proxy.stdout());
    vec![text, sent, proxy.stdout(), proxy.stderr()]
}

#[test]
fn nothing_personal_and_no_secret_is_found_in_records() {
    let (setup, _origin, network, hook) = talkative("mask");
    let proxy = setup.start();
    let places = tells_all(&proxy, &hook);
    let sent = network.received().remove(0).target;
    assert!(sent.contains("e=jane.canary%2B1%40mail.example") && sent.contains("k=CANARY%2Fkey%20one"), "{sent}");
    // All that the network heard but the click, in whatever form.
    let forms = sent.split_once('?').unwrap().1.split('&').filter_map(|pair| pair.split_once('='));
    let forms: Vec<&str> = forms.filter(|(name, _)| *name != "c").map(|(_, value)| value).collect();
    for place in places {
        let place = place.to_lowercase();
        for canary in forms.iter().copied().chain(["canary"]) {
            assert!(!place.contains(&canary.to_lowercase()), "{canary} in {place}");
        }
    }
    assert_accounts(&proxy);
}

#[test]
fn who_keeps_personal_values_keeps_no_secrets() {
    let (setup, _origin, _network, hook) = talkative("keep");
    let proxy = setup.start();
    let [file, sent, stdout, log] = <[String; 4]>::try_from(tells_all(&proxy, &hook)).unwrap();
    for place in [&file, &sent, &stdout] {
        assert!(place.contains("jane.canary%2B1%40mail.example"), "{place}");
        assert!(!place.contains("key one") && !place.contains("key%20one"), "{place}");
    }
    assert!(!log.to_lowercase().contains("canary"), "{log}");
}
