//! Rules that are tried out: `shadow: true`.

use serde_json::Value;

use crate::support::{
    accounting::assert_accounts,
    config::{GOAL, THANKS, shop},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
};

const CONVERSIONS: &str = "throughline_conversions_total";

/// The usual shop, and a rule for the same page that is tried out.
fn shop_with_trial(origin: &Origin, network: &AdNetwork) -> String {
    let trial = format!(
        "      - name: trial
        path: \"/thank-you/{{order_id}}\"
        value: query.net
        currency: EUR
        shadow: true
        send:
          exoclick: {{ goal: {GOAL} }}
"
    );
    shop(origin, network) + &trial
}

#[test]
fn a_rule_that_is_tried_out_counts_while_another_sends() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = Proxy::with(&shop_with_trial(&origin, &network)).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get(THANKS);
    visitor.get(THANKS);
    network.await_received(1);
    for (conversion, outcome, count) in
        [("purchase", "queued", 1), ("purchase", "duplicate", 1), ("trial", "shadow", 2), ("trial", "queued", 0)]
    {
        proxy.await_metric(CONVERSIONS, &[("conversion", conversion), ("outcome", outcome)], count);
    }
    proxy.await_metric(
        "throughline_fields_total",
        &[("conversion", "trial"), ("field", "value"), ("result", "missing")],
        2,
    );
    proxy.await_settled();
    assert_accounts(&proxy);
    assert_eq!(network.received().len(), 1);
    assert!(!proxy.outbox_list().contains("trial"), "{}", proxy.outbox_list());
}

#[test]
fn a_rule_that_is_tried_out_shows_no_pixels() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let config = shop_with_trial(&origin, &network);
    let alone = config.replace(
        "      - name: purchase\n        path: \"/thank-you/",
        "      - name: purchase\n        path: \"/never/",
    );
    assert_ne!(alone, config);
    let proxy = Proxy::with(&alone).start();
    assert_eq!(proxy.visitor().get(THANKS).text(), PAGE);
    proxy.await_metric(CONVERSIONS, &[("conversion", "trial"), ("outcome", "no_click")], 1);
    proxy.await_metric("throughline_injections_total", &[], 0);
}

#[test]
fn explain_shows_what_a_rule_that_is_tried_out_would_send() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let setup = Proxy::with(&shop_with_trial(&origin, &network));
    let url = "http://shop.example/thank-you/1001?total=49.90&net=41.93";
    let output = setup.command(&["explain", url, "--cookie", "_exoclick_cid=abc", "--json"]);
    let account: Value = serde_json::from_slice(&output.stdout).unwrap();
    let trial = &account["conversions"][1]["networks"][0];
    assert_eq!((&trial["outcome"], &trial["told_apart_by"]), (&"shadow".into(), &Value::Null), "{trial}");
    let sent = trial["postback"]["url"].as_str().unwrap();
    assert!(sent.contains("value=41.93") && sent.contains("tag=abc"), "{sent}");
    let words = setup.command(&["explain", url, "--cookie", "_exoclick_cid=abc"]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("`shadow: true`: the rule is tried out, and nothing is sent"), "{words}");
}
