//! What an operator types, and what the real binary says to it.

use std::{path::Path, process::Output};

use crate::support::{
    config::{GOAL, shop_with},
    network::AdNetwork,
    origin::Origin,
    process::{finish, throughline},
    proxy::Proxy,
};

fn run(arguments: &[&str], configuration: &Path) -> (Option<i32>, String, String) {
    said(finish(throughline(arguments, configuration)))
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const SECRETIVE: &str = r"
max_page_delay: 50ms
secret: { file: seal.key }
admin: { token: ${ADMIN_TOKEN} }
sites:
  - upstream: http://127.0.0.1:8080
    consent: { require: none }
    networks:
      rokt: { account_id: 42, public_key: ${ROKT_PUBLIC}, secret_key: { file: rokt.key } }
    conversions:
      - name: purchase
        path: /thank-you/{order_id}
        send: { rokt: { conversiontype: purchase } }
";

#[test]
fn check_finds_everything_in_one_run_and_ends_with_78() {
    let setup = Proxy::with("sites:\n  - upstreams: http://127.0.0.1:8080\n    networks: { exoclik: {} }\n");
    let (code, out, err) = said(setup.command(&["check"]));
    assert_eq!((code, out.as_str()), (Some(78), ""));
    for expected in ["upstreams: unknown key `upstreams`; did you mean `upstream`?", "did you mean `exoclick`?"] {
        assert!(err.contains(expected), "{err}");
    }
    assert!(err.lines().all(|line| line.contains("throughline.yaml:")), "{err}");
}

#[test]
fn check_wants_the_environment_unless_told_otherwise() {
    let setup =
        Proxy::with(SECRETIVE).file("seal.key", "0123456789abcdef0123456789abcdef").file("rokt.key", "rsec-CANARY");
    let (code, _, err) = said(setup.command(&["check"]));
    assert_eq!(code, Some(78));
    assert!(err.contains("environment variable ROKT_PUBLIC is not set"), "{err}");
    let (code, out, err) = said(setup.command(&["check", "--no-environment"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.ends_with("throughline.yaml: the configuration is in order\n"), "{out}");
    let setup = setup.env("ROKT_PUBLIC", "rpub-CANARY").env("ADMIN_TOKEN", "token-CANARY");
    assert_eq!(said(setup.command(&["check"])).0, Some(0));
}

#[test]
fn check_looks_at_all_files_that_are_named() {
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/minimal.yaml");
    let (code, out, err) = run(&["check", good.to_str().unwrap(), "nowhere.yaml"], Path::new("ignored.yaml"));
    assert_eq!(code, Some(78));
    assert!(out.contains("minimal.yaml: the configuration is in order"), "{out}");
    assert!(err.contains("nowhere.yaml:1:1: the file cannot be read"), "{err}");
}

#[test]
fn check_tells_what_is_odd_and_can_be_made_to_refuse_it() {
    let setup =
        Proxy::with("max_page_delay: 2s\nsites: [{ upstream: 'http://127.0.0.1:1', consent: { require: none } }]\n");
    for (arguments, expected) in [(["check"].as_slice(), Some(0)), (["check", "--deny-warnings"].as_slice(), Some(78))]
    {
        let (code, out, err) = said(setup.command(arguments));
        assert_eq!(code, expected, "{err}");
        assert!(err.contains("throughline.yaml:4:17: warning: max_page_delay: with a slow disk"), "{err}");
        assert_eq!(out.contains("is in order"), code == Some(0), "{out}");
    }
}

#[test]
fn check_reads_the_store_for_names_that_are_gone() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let text = shop_with(&origin, &network, "")
        .replace("sites:\n  - ", "sites:\n  - name: shop\n    consent: { require: none }\n    ");
    let mut proxy = Proxy::with(&format!("max_page_delay: 500ms\n{text}")).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get("/thank-you/1001?total=49.90");
    network.await_received(1);
    proxy.await_settled();
    let check = |proxy: &Proxy, text: &str| {
        let file = proxy.folder().join("throughline.yaml");
        let text = std::fs::read_to_string(&file).unwrap().replace("name: shop", text);
        std::fs::write(proxy.folder().join("other.yaml"), text).unwrap();
        said(proxy.command(&["check", proxy.folder().join("other.yaml").to_str().unwrap()]))
    };
    assert_eq!(check(&proxy, "name: shop").2, "", "while it runs, too");
    let (code, _, err) = check(&proxy, "name: store");
    assert_eq!(code, Some(0));
    assert!(
        err.contains("other.yaml:1:1: warning: the store knows the site `shop`, which is not configured any more"),
        "{err}"
    );
    assert!(proxy.terminate().success());
    let renamed = std::fs::read_to_string(proxy.folder().join("throughline.yaml"))
        .unwrap()
        .replace("name: purchase", "name: sale");
    std::fs::write(proxy.folder().join("throughline.yaml"), renamed).unwrap();
    let (_, _, err) = check(&proxy, "name: shop");
    assert!(err.contains("warning: the store knows the conversion `purchase` of this site"), "{err}");
}

#[test]
fn schema_is_json_for_editors() {
    let (code, out, err) = run(&["schema"], Path::new("nowhere.yaml"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\""), "{out}");
}

#[test]
fn show_names_secrets_and_never_shows_them() {
    let setup = Proxy::with(SECRETIVE)
        .file("seal.key", "CANARY-CANARY-CANARY-CANARY-CANARY")
        .file("rokt.key", "rsec-CANARY")
        .env("ROKT_PUBLIC", "rpub-CANARY")
        .env("ADMIN_TOKEN", "token-CANARY");
    let (code, out, err) = said(setup.command(&["show"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(!out.contains("CANARY"), "{out}");
    for expected in ["${ROKT_PUBLIC}", "file: rokt.key", "max_age: 7d", "url: https://api.rokt.com/v2/events"] {
        assert!(out.contains(expected), "no {expected} in\n{out}");
    }
    let setup = setup.file("shown.yaml", &out);
    let shown = setup.folder().join("shown.yaml");
    let (code, _, err) = said(setup.command(&["check", shown.to_str().unwrap()]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
}

#[test]
fn show_refuses_what_check_refuses() {
    let (code, out, err) = said(Proxy::with("sites: []\n").command(&["show"]));
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.contains("there is no site"), "{err}");
}

#[test]
fn networks_lists_them_and_prints_one() {
    let nowhere = Path::new("nowhere.yaml");
    let (code, out, _) = run(&["networks"], nowhere);
    assert_eq!(code, Some(0));
    for name in ["clickmeter", "exoclick", "ingenious", "rokt", "rokt_conversion"] {
        assert!(out.lines().any(|line| line.split_whitespace().next() == Some(name)), "no {name} in\n{out}");
    }
    let (code, out, _) = run(&["networks", "exoclick"], nowhere);
    assert_eq!(code, Some(0));
    assert!(out.contains("name: ExoClick") && out.contains("examples:"), "{out}");
    let (code, out, err) = run(&["networks", "exoclik"], nowhere);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "there is no network `exoclik`; did you mean `exoclick`?\n");
}

#[test]
fn a_command_line_that_is_wrong_ends_with_2() {
    for arguments in
        [["nonsense"].as_slice(), &["check", "--nonsense"], &["outbox"], &["outbox", "list", "--state", "x"]]
    {
        assert_eq!(run(arguments, Path::new("nowhere.yaml")).0, Some(2), "{arguments:?}");
    }
}

#[test]
fn the_outbox_of_a_proxy_that_never_ran_says_so() {
    let (code, _, err) =
        said(Proxy::with("sites: [{ upstream: 'http://127.0.0.1:1' }]\n").command(&["outbox", "list"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("there is no store in"), "{err}");
}

#[test]
fn the_outbox_shows_orders_and_clicks_but_no_person() {
    let (origin, network) =
        (Origin::start(), AdNetwork::answering(["ERROR: Goal ID is invalid. (CANARY@mail.example)"]));
    let personal = "email: query.email\nphone: query.phone\nfields: { first_name: query.name }";
    let configuration = shop_with(&origin, &network, personal).replace(
        &format!("{{ goal: {GOAL} }}"),
        &format!("{{ goal: {GOAL}, extra: {{ mail: \"{{email}}\", fon: \"{{phone}}\", who: \"{{first_name}}\" }} }}"),
    );
    let proxy = Proxy::with(&configuration).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=click-1");
    visitor.get("/thank-you/A-1001?total=49.90&email=CANARY%40mail.example&phone=%2B4915112345678&name=CANARY-Alice");
    assert!(network.await_received(1)[0].target.contains("mail=canary%40mail.example"), "it did leave for the network");
    proxy.await_metric("throughline_postbacks_total", &[("verdict", "rejected")], 1);

    let list = proxy.outbox(&["list"]);
    assert!(list.contains("purchase") && list.contains("dead") && list.contains("rejected (answer)"), "{list}");
    assert_eq!(proxy.outbox(&["list", "--state", "pending"]), "nothing here\n");
    assert_eq!(proxy.outbox(&["list", "--network", "rokt"]), "nothing here\n");
    let json = proxy.outbox(&["list", "--json"]);
    let row: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((row["state"].as_str(), row["verdict"].as_str()), (Some("dead"), Some("rejected")));

    let by_order = proxy.outbox(&["show", "A-1001"]);
    let by_event = proxy.outbox(&["show", row["event_id"].as_str().unwrap()]);
    assert_eq!(by_order, by_event);
    for expected in ["click-1", "A-1001", "49.90", "***", "Goal ID is invalid"] {
        assert!(by_order.contains(expected), "no {expected} in\n{by_order}");
    }
    let shown = proxy.outbox(&["show", "A-1001", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(shown.trim()).unwrap()["fields"]["email"], "***");
    for text in [&list, &json, &by_order, &shown, &proxy.stderr()] {
        let holds = |personal: &str| text.to_lowercase().contains(personal);
        assert!(!holds("canary") && !holds("15112345678"), "{text}");
    }
    assert_eq!(run(&["outbox", "show", "A-1002"], &proxy.folder().join("throughline.yaml")).0, Some(1));
}
