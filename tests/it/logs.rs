//! What the process says on standard error: how much, and in which form, is for a reload to change.

use serde_json::Value;

use crate::support::{config::shop, network::AdNetwork, origin::Origin, proxy::Proxy};

#[test]
fn level_and_format_of_the_log_follow_a_reload() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let shop = shop(&origin, &network);
    let proxy = Proxy::with(&shop).start();
    let configured = |log: &str| format!("log: {{ {log} }}\n{shop}");
    let said = |from: usize| -> Vec<String> { proxy.stderr().lines().skip(from).map(str::to_owned).collect() };
    proxy.follows(&configured("format: json"));
    proxy.await_log("\"message\":\"");
    let before = said(0).len();
    // A mistake is told in the form that is in force.
    proxy.configure(&configured("format: jsn"));
    assert!(!proxy.reload());
    proxy.await_log("`jsn` is none of");
    let lines = said(before);
    assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{lines:#?}");

    proxy.follows(&configured("format: text, level: error"));
    let before = said(0).len();
    proxy.follows(&configured("format: text, level: error, request_id: both"));
    assert!(said(before).is_empty(), "a reload that succeeds is no error: {:#?}", said(before));
    proxy.follows(&configured("format: text, level: info"));
    proxy.await_log("changed: log.level: error → info");
    let lines = said(before);
    assert!(lines.iter().all(|line| line.contains("  INFO ") || line.contains("  WARN ")), "{lines:#?}");
}
