//! An operator switches tracking off, past the configuration and without a restart.

use std::{fs, time::Instant};

use serde_json::Value;

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    config::{GOAL, THANKS, shop},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::{Proxy, Setup},
    response::Response,
    tell,
};

const CONVERSIONS: &str = "throughline_conversions_total";
const ENABLED: &str = "throughline_tracking_enabled";

/// Runs `throughline bypass`: how it ended, and all that it said.
fn bypass(proxy: &Proxy, arguments: &[&str]) -> (Option<i32>, String) {
    let output = proxy.command(&[&["bypass"], arguments].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The same for what succeeds.
fn bypasses(proxy: &Proxy, arguments: &[&str]) -> String {
    let (code, said) = bypass(proxy, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

fn await_enabled(proxy: &Proxy, enabled: u32) {
    proxy.await_metric(ENABLED, &[("site", "default")], enabled);
}

fn readiness(proxy: &Proxy) -> Value {
    serde_json::from_str(&proxy.admin("/readyz").text()).unwrap()
}

fn start(network: &AdNetwork) -> (Origin, Proxy) {
    let origin = Origin::start();
    let proxy = Proxy::with(&shop(&origin, network)).start();
    (origin, proxy)
}

#[test]
fn a_bypass_holds_for_its_time_while_the_queue_is_delivered() {
    let network = AdNetwork::answering([Response::new(503), Response::html("OK")]);
    let (_origin, proxy) = start(&network);
    let mut before = proxy.visitor();
    before.lands("/?exotracker=abc");
    before.get(THANKS);
    network.await_received(1);

    let begun = Instant::now();
    let said = bypasses(&proxy, &["default", "--for", "1h"]);
    assert!(said.starts_with("default is bypassed (tracking: off) until 20"), "{said}");
    await_enabled(&proxy, 0);
    tell(&format!("a bypass was noticed after {:?}", begun.elapsed()));
    let ready = readiness(&proxy);
    let [bypassed] = &ready["bypassed"].as_array().unwrap()[..] else { panic!("one, not {ready}") };
    assert_eq!((&bypassed["site"], &bypassed["tracking"]), (&"default".into(), &"off".into()));
    assert!(bypassed.get("who").is_none() && ready["ready"] == true);

    let mut visitor = proxy.visitor();
    let landed = visitor.lands("/?exotracker=def");
    assert_eq!((landed.text().as_str(), landed.set_cookies().len()), (PAGE, 0));
    assert_eq!(visitor.get("/thank-you/1002?total=1").text(), PAGE, "no pixels");
    proxy.await_metric(CONVERSIONS, &[("outcome", "off")], 1);
    // What was taken in before is tried again and delivered.
    proxy.await_metric("throughline_postbacks_total", &[("verdict", "delivered")], 1);

    bypasses(&proxy, &["default", "--for", "1s"]);
    await_enabled(&proxy, 1);
    assert!(readiness(&proxy).get("bypassed").is_none());
    assert_eq!(bypasses(&proxy, &[]), "nothing is bypassed\n");
    visitor.lands("/?exotracker=ghi");
    visitor.get("/thank-you/1003?total=1");
    let received = network.await_received(3);
    assert_eq!(received[2].parameter("tag"), Some("ghi"), "tracked again");
    proxy.await_settled();
    assert_accounts(&proxy);
}

#[test]
fn a_bypass_is_set_and_ended_while_the_proxy_is_down_and_holds_after_a_restart() {
    let network = AdNetwork::answering(["OK"]);
    let (_origin, mut proxy) = start(&network);
    proxy.kill();
    bypasses(&proxy, &["default", "--observe"]);
    proxy.restart();
    proxy.await_metric(ENABLED, &[], 0);
    let mut visitor = proxy.visitor();
    assert!(visitor.lands("/?exotracker=abc").set_cookies().is_empty(), "from the first request on");
    let listed = bypasses(&proxy, &[]);
    assert!(listed.starts_with("default  observe  until it is ended  (since 20"), "{listed}");
    let json: Value = serde_json::from_str(bypasses(&proxy, &["--json"]).trim()).unwrap();
    assert_eq!(
        (&json["site"], &json["tracking"], &json["until"]),
        (&"default".into(), &"observe".into(), &Value::Null)
    );
    proxy.kill();
    bypasses(&proxy, &["default", "--end"]);
    proxy.restart();
    await_enabled(&proxy, 1);
    visitor.lands("/?exotracker=abc");
    visitor.get(THANKS);
    network.await_received(1);
}

#[test]
fn one_network_is_bypassed_beside_another_that_works() {
    let (origin, network, quiet) = (Origin::start(), AdNetwork::answering(["OK"]), AdNetwork::answering(["OK"]));
    let config = shop(&origin, &network).replace(
        "    conversions:",
        &format!(
            "      exo_de: {{ preset: exoclick, click: {{ param: exode, cookie: _exo_de }}, postback: {{ url: \"http://{}/tag.php\" }} }}\n    conversions:",
            quiet.address()
        ),
    ) + &format!("          exo_de: {{ goal: {GOAL} }}\n");
    let proxy = Proxy::with(&config).start();
    bypasses(&proxy, &["default/exo_de"]);
    await_fact(|| readiness(&proxy).get("bypassed").cloned(), || "the bypass is noticed".to_owned());
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc&exode=def");
    assert_eq!((visitor.cookie("_exoclick_cid").as_deref(), visitor.cookie("_exo_de")), (Some("abc"), None));
    visitor.get(THANKS);
    network.await_received(1);
    proxy.await_metric(CONVERSIONS, &[("network", "exo_de"), ("outcome", "off")], 1);
    await_enabled(&proxy, 1);
    proxy.await_settled();
    assert!(quiet.received().is_empty());
    assert_accounts(&proxy);
}

#[test]
fn a_damaged_file_bypasses_nothing_and_is_told() {
    let network = AdNetwork::answering(["OK"]);
    let (_origin, proxy) = start(&network);
    bypasses(&proxy, &["default"]);
    await_enabled(&proxy, 0);
    fs::write(proxy.folder().join("state/bypass.json"), b"\xff{").unwrap();
    await_enabled(&proxy, 1);
    proxy.await_metric("throughline_store_errors_total", &[("kind", "bypass")], 1);
    proxy.await_log("bypass.json is damaged, so nothing is bypassed");
    let (code, said) = bypass(&proxy, &[]);
    assert!(code == Some(1) && said.contains("is damaged"), "{said}");
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get(THANKS);
    network.await_received(1);
    bypasses(&proxy, &["default"]);
    await_enabled(&proxy, 0);
}

#[test]
fn an_operator_is_told_what_cannot_be_bypassed_and_the_audit_who_did_it() {
    let network = AdNetwork::answering(["OK"]);
    let (_origin, proxy) = start(&network);
    for (arguments, code, expected) in [
        (vec!["shop"], 1, "no site is called `shop`; there is default"),
        (vec!["default/exo"], 1, "the site `default` has no network `exo`; it has exoclick"),
        (vec!["default", "--end"], 1, "default is not bypassed"),
        (vec!["default", "--for", "1"], 2, "write a time like"),
        (vec!["default", "--for", "0s"], 2, "it would be over at once"),
        (vec!["default", "--for", "1h", "--end"], 2, "cannot be used with"),
        (vec!["--for", "1h"], 2, "required"),
        (vec!["a b"], 2, "SITE/NETWORK"),
    ] {
        let (found, said) = bypass(&proxy, &arguments);
        assert!(found == Some(code) && said.contains(expected), "{arguments:?}: {found:?} {said}");
    }
    bypasses(&proxy, &["default/exoclick", "--observe", "--for", "2d"]);
    assert_eq!(
        bypasses(&proxy, &["default/exoclick", "--end"]),
        "default/exoclick is not bypassed any more: tracking acts as configured\n"
    );
    let audit = proxy.outbox(&["audit"]);
    let entries: Vec<&str> = audit.lines().collect();
    assert_eq!(entries.len(), 2, "{audit}");
    assert!(entries[0].contains(": bypass default/exoclick ended: 1"), "{audit}");
    assert!(entries[1].contains(": bypass default/exoclick observe until 20"), "{audit}");
}

#[test]
fn explain_tells_of_a_bypass() {
    let origin = Origin::start();
    let setup: Setup = Proxy::with(&shop(&origin, &AdNetwork::answering(["OK"])));
    let explained = || {
        let url = "http://shop.example/thank-you/1001";
        let output = setup.command(&["explain", url, "--cookie", "_exoclick_cid=abc", "--json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let outcome = |account: &Value| account["conversions"][0]["networks"][0]["outcome"].as_str().unwrap().to_owned();
    assert_eq!(outcome(&explained()), "queued");
    // Before there is a store: done, but not in the audit.
    fs::create_dir(setup.folder().join("state")).unwrap();
    let output = setup.command(&["bypass", "default"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("done, but not entered in the audit: "));
    let account = explained();
    assert_eq!(outcome(&account), "off");
    let notes = account["notes"].to_string();
    assert!(notes.contains("an operator has switched tracking of default to `off`"), "{notes}");
}
