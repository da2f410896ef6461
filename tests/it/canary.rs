//! Personal values are found nowhere but at the network, and click IDs in no log and no metric.

use std::fs;

use crate::support::{accounting::assert_accounts, await_fact, network::AdNetwork, origin::Origin, proxy::Proxy};

/// What must not turn up, in lower case.
const SECRETS: [&str; 4] = ["canary-click", "canary@mail.example", "4915112345678", "canary-name"];

#[test]
fn nothing_personal_is_found_in_logs_and_metrics() {
    for format in ["combined", "json"] {
        look_with(&format!(
            "log: {{ level: debug, request_id: both, access: {{ file: access.log, format: {format} }} }}"
        ));
    }
}

fn look_with(log: &str) {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["NO, canary@mail.example of canary-click"]));
    let configuration = format!(
        "{log}
sites:
  - upstream: \"http://{}\"
    consent: {{ require: none }}
    networks:
      mine:
        click: {{ param: mid }}
        postback:
          url: \"http://{}/pb\"
          query: {{ c: \"{{click_id}}\", e: \"{{email}}\", p: \"{{phone}}\", n: \"{{name}}\" }}
        verdict: [{{ body_starts: \"NO\", is: rejected }}]
    captures: [{{ name: checkout, path: /checkout, method: POST, fields: {{ email: form.email, phone: form.phone }} }}]
    conversions:
      - name: purchase
        path: \"/thank-you/{{order_id}}\"
        email: journey.email
        phone: journey.phone
        fields: {{ name: query.name }}
        send: {{ mine: {{}} }}
",
        origin.address(),
        network.address()
    );
    let proxy = Proxy::with(&configuration).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=CANARY-click");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    visitor.request("POST", "/checkout", &form, "email=CANARY%40mail.example&phone=%2B49+151+12345678");
    visitor.request(
        "GET",
        "/thank-you/1?name=CANARY-name",
        &[("Referer", "https://shop.example/?mid=CANARY-click")],
        "",
    );
    let sent = &network.await_received(1)[0].target;
    for told in ["CANARY-click", "canary%40mail.example", "4915112345678", "CANARY-name"] {
        assert!(sent.contains(told), "the network hears {told}: {sent}");
    }
    proxy.await_metric("throughline_postbacks_total", &[("verdict", "rejected")], 1);
    let metrics = String::from_utf8_lossy(&proxy.admin("/metrics").body).to_lowercase();
    let log = proxy.stderr().to_lowercase();
    assert!(log.contains("throughline starts"), "the log says what it can");
    let access = || fs::read_to_string(proxy.folder().join("access.log")).unwrap_or_default().to_lowercase();
    await_fact(|| (access().lines().count() >= 3).then_some(()), access);
    let access = access();
    assert!(access.contains("/thank-you/1"), "{access}");
    for secret in SECRETS {
        assert!(!metrics.contains(secret), "{secret} in the metrics");
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
        assert!(!access.contains(secret), "{secret} in the access log:\n{access}");
    }
    assert_accounts(&proxy);
}
