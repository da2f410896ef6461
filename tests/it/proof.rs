//! What the site answered decides: values from the page, proof in it, and pages that end early.

use std::io::{Read as _, Write as _};

use crate::support::{
    accounting::{assert_accounts, assert_accounts_with},
    config::{GOAL, shop_of},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
};

const CONVERSIONS: &str = "throughline_conversions_total";

/// A shop whose thank-you page stands at `/done`, with these keys under its conversion.
fn config(origin: &Origin, network: &AdNetwork, conversion: &str) -> String {
    let networks = format!(
        "      exoclick: {{ optimistic: true, click: {{ param: exotracker }}, postback: {{ url: \"http://{}/tag.php\", query: {{ order: \"{{order_id}}\", cur: \"{{currency}}\" }} }} }}",
        network.address()
    );
    let all = shop_of(origin, &networks, &format!("          exoclick: {{ goal: {GOAL} }}"));
    let more: String = conversion.lines().flat_map(|line| ["        ", line.trim(), "\n"]).collect();
    all.replace("        path: \"/thank-you/{order_id}\"\n        value: query.total\n        currency: EUR\n        email: query.email\n", &more)
}

fn start(origin: &Origin, conversion: &str) -> (AdNetwork, Proxy) {
    let network = AdNetwork::answering(["OK"]);
    let proxy = Proxy::with(&config(origin, &network, conversion)).start();
    (network, proxy)
}

fn outcome(proxy: &Proxy, outcome: &str, count: u32) {
    proxy.await_metric(CONVERSIONS, &[("outcome", outcome)], count);
}

const FROM_THE_PAGE: &str = "path: /done
order_id: 'html(\"#order\")'
value: 'html(\"#total\")'
currency: data_layer.ecommerce.currency";

fn page(order: &str, total: &str) -> String {
    format!(
        "<!doctype html><title>Danke</title><h1>Vielen Dank!</h1><p>Bestellung <b id=order>{order}</b>
        <p>Summe: <span id=total>{total}</span>
        <script>dataLayer = window.dataLayer || []; dataLayer.push({{event: 'purchase', ecommerce: {{currency: 'EUR',}}}});</script>
        {}</body></html>",
        "<p>Mehr aus unserem Angebot</p>".repeat(300)
    )
}

#[test]
fn order_and_value_are_read_from_the_page_that_the_site_answered() {
    let origin = Origin::start().page("/done", page("A-1001", "1.234,56&nbsp;&euro;"));
    let (network, proxy) = start(&origin, FROM_THE_PAGE);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    assert_eq!(visitor.get("/done").text(), page("A-1001", "1.234,56&nbsp;&euro;"), "not a byte of it changes");
    let received = network.await_received(1);
    assert_eq!(received[0].parameter("value"), Some("1234.56"));
    assert_eq!(received[0].parameter("order"), Some("A-1001"));
    assert_eq!(received[0].parameter("cur"), Some("EUR"));
    visitor.get("/done");
    outcome(&proxy, "duplicate", 1);
    outcome(&proxy, "queued", 1);
    proxy.await_metric("throughline_fields_total", &[("field", "value"), ("result", "found")], 2);
    origin.change("/done", Response::html(page("A-1002", "1.234")));
    visitor.get("/done");
    assert_eq!(network.await_received(2)[1].parameter("value"), None, "1.234 could be either");
    proxy.await_metric("throughline_fields_total", &[("field", "value"), ("result", "doubtful")], 1);
    assert_accounts(&proxy);
}

#[test]
fn a_compressed_page_is_read_and_passes_compressed() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(page("A-1001", "12,50 €").as_bytes()).expect("memory");
    let compressed = gzip.finish().expect("memory");
    let response = Response::html(&compressed).header("Content-Encoding", "gzip").chunked(100);
    let origin = Origin::start().route("/done", response);
    let (network, proxy) = start(&origin, FROM_THE_PAGE);
    let mut visitor = proxy.visitor().sending("Cookie", "_exoclick_cid=abc").sending("Accept-Encoding", "gzip");
    assert_eq!(visitor.get("/done").body, compressed);
    assert_eq!(network.await_received(1)[0].parameter("value"), Some("12.50"));
    assert_accounts(&proxy);
}

#[test]
fn a_page_without_its_order_number_is_kept_for_a_person_who_completes_it() {
    let origin = Origin::start().page("/done", page("", "12,50 €"));
    let (network, proxy) = start(&origin, FROM_THE_PAGE);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get("/done");
    outcome(&proxy, "incomplete", 1);
    let list = proxy.outbox(&["list", "--state", "incomplete"]);
    let id =
        list.split_whitespace().find(|word| word.len() == 36 && word.contains('-')).expect("an event id").to_owned();
    assert!(network.received().is_empty());
    proxy.outbox(&["set", &id, "order_id=A-7"]);
    let received = network.await_received(1);
    assert_eq!((received[0].parameter("order"), received[0].parameter("value")), (Some("A-7"), Some("12.50")));
}

const PROVEN: &str = "path: /done/{order_id}
success_mark: Vielen Dank
failure_mark: 'html(\".failed\")'";

#[test]
fn a_failed_order_at_the_same_address_is_no_conversion() {
    let failed = "<!doctype html><p class='failed notice'>Vielen Dank, aber die Zahlung ging nicht.</p></body></html>";
    let unsure = "<!doctype html><p>Bitte warten</p></body></html>";
    let origin = Origin::start().page("/done/1", failed).page("/done/2", unsure).page("/done/3", page("3", "1"));
    let (network, proxy) = start(&origin, PROVEN);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get("/done/1");
    visitor.get("/done/2");
    outcome(&proxy, "unproven", 2);
    visitor.get("/done/3");
    outcome(&proxy, "queued", 1);
    assert_eq!(network.await_received(1)[0].parameter("order"), Some("3"));
    origin.change("/done/1", Response::html(page("1", "1")));
    visitor.get("/done/1");
    outcome(&proxy, "queued", 2);
    assert_accounts(&proxy);
}

#[test]
fn counted_pixels_wait_for_the_proof_and_give_their_key_back_without_it() {
    let failed = "<!doctype html><p class=failed>Vielen Dank, aber nein</p></body></html>";
    let origin = Origin::start().page("/done/1", failed);
    let (_network, proxy) = start(&origin, PROVEN);
    let mut visitor = proxy.visitor();
    assert_eq!(visitor.get("/done/1").text(), failed);
    outcome(&proxy, "unproven", 1);
    proxy.await_metric("throughline_injections_total", &[("result", "unproven")], 1);
    origin.change("/done/1", Response::html(page("1", "1")));
    assert_eq!(visitor.get("/done/1").text().matches("<img").count(), 11, "the order is as new");
    outcome(&proxy, "no_click", 1);
    assert!(!visitor.get("/done/1").text().contains("<img"));
    outcome(&proxy, "duplicate", 1);
    assert_accounts(&proxy);
}

#[test]
fn a_page_cut_off_behind_its_head_counts_unless_proof_was_asked_for() {
    let cut = || Response::html(page("A-1", "9,99 €")).reset_after(20);
    let origin = Origin::start().route("/done/1", cut()).route("/plain/1", cut());
    let (network, proxy) = start(&origin, "path: [\"/plain/{order_id}\"]\nvalue: 'html(\"#total\")'");
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    assert!(!visitor.get("/plain/1").is_complete());
    let received = network.await_received(1);
    assert_eq!((received[0].parameter("order"), received[0].parameter("value")), (Some("1"), None));
    assert_accounts(&proxy);
    let (network, proxy) = start(&origin, PROVEN);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    assert!(!visitor.get("/done/1").is_complete());
    outcome(&proxy, "unproven", 1);
    assert!(network.received().is_empty());
    assert_accounts(&proxy);
}

#[test]
fn a_crash_between_head_and_end_of_a_page_loses_no_conversion() {
    let silent = || Response::html(page("A-1", "9,99 €")).hang_after(20);
    let origin = Origin::start().route("/done/1", silent()).route("/plain/1", silent());
    let network = AdNetwork::answering(["OK"]);
    let plain = "path: [\"/plain/{order_id}\"]\nvalue: 'html(\"#total\")'";
    let mut proxy = Proxy::with(&config(&origin, &network, plain)).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    let page = visitor.open("GET", "/plain/1", &[], "");
    proxy.restart();
    drop(page);
    assert_eq!(network.await_received(1)[0].parameter("order"), Some("1"));
    assert_accounts_with(&proxy, 1);

    let network = AdNetwork::answering(["OK"]);
    let mut proxy = Proxy::with(&config(&origin, &network, PROVEN)).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    let page = visitor.open("GET", "/done/1", &[], "");
    proxy.restart();
    drop(page);
    let kept = || proxy.outbox(&["list", "--state", "incomplete"]).contains("proof");
    crate::support::await_fact(|| kept().then_some(()), || proxy.outbox_list());
    assert!(network.received().is_empty(), "nobody saw the proof");
}

#[test]
fn where_the_site_sends_the_visitor_tells_success_from_failure() {
    let origin = Origin::start().route("/pay", Response::redirect("/cart"));
    let rule = "path: /pay\nmethod: POST\nstatus: 3xx\norder_id: form.order\nwhen: { response.header.location: { regex: \"/thanks\" } }";
    let (network, proxy) = start(&origin, rule);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    visitor.request("POST", "/pay", &form, "order=7&x=1");
    outcome(&proxy, "not_success", 1);
    origin.change("/pay", Response::redirect("/thanks?id=7"));
    visitor.request("POST", "/pay", &form, "order=7&x=1");
    assert_eq!(network.await_received(1)[0].parameter("order"), Some("7"));
    assert_eq!(origin.last().body, b"order=7&x=1");
    outcome(&proxy, "queued", 1);
    assert_accounts(&proxy);
}

#[test]
fn a_page_that_is_read_is_not_held_back() {
    let slow = Response::html(page("A-1", "9,99 €")).hang_after(400);
    let origin = Origin::start().route("/done", slow);
    let (_network, proxy) = start(&origin, FROM_THE_PAGE);
    let mut visitor = proxy.visitor().sending("Cookie", "_exoclick_cid=abc");
    let mut opened = visitor.open("GET", "/done", &[], "").expect("an answer");
    let mut begun = [0; 400];
    opened.stream.read_exact(&mut begun).expect("what the site has sent");
    assert_eq!(begun, page("A-1", "9,99 €").as_bytes()[..400]);
}
