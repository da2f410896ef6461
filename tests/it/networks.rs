//! Several networks on one site.

use crate::support::{
    accounting::assert_accounts,
    config::{GOAL, THANKS, shop_of},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
};

const CONVERSIONS: &str = "throughline_conversions_total";

fn shop(origin: &Origin, networks: &str, send: &str) -> Proxy {
    Proxy::with(&shop_of(origin, networks, send)).start()
}

#[test]
fn a_network_that_attributes_by_itself_hears_of_orders_without_a_click() {
    let (origin, needy, curious) = (Origin::start(), AdNetwork::answering(["OK"]), AdNetwork::answering(["OK"]));
    let networks = format!(
        r#"      exoclick: {{ click: {{ param: exotracker }}, sync: none, postback: {{ url: "http://{}/tag.php" }} }}
      ingenious: {{ advertiser_id: i1, domain: shop.example, postback: {{ url: "http://{}/ts/i1/tsa" }} }}"#,
        needy.address(),
        curious.address()
    );
    let send = format!("          exoclick: {{ goal: {GOAL} }}\n          ingenious: {{ }}");
    let proxy = shop(&origin, &networks, &send);
    assert_eq!(proxy.visitor().get(THANKS).text(), PAGE);
    let first = curious.await_received(1).remove(0);
    assert_eq!((first.parameter("cid"), first.parameter("cli")), (Some("1001"), None));
    proxy.await_metric(CONVERSIONS, &[("network", "exoclick"), ("outcome", "no_click")], 1);
    assert!(needy.received().is_empty());
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get("/thank-you/1002?total=5");
    assert_eq!(needy.await_received(1)[0].parameter("tag"), Some("abc"));
    assert_eq!(curious.await_received(2)[1].parameter("cid"), Some("1002"));
    assert_accounts(&proxy);
}

#[test]
fn a_second_account_of_a_network_has_its_own_click_goal_and_answer() {
    let (origin, first, second) =
        (Origin::start(), AdNetwork::answering(["OK"]), AdNetwork::answering(["ERROR: Goal ID is invalid."]));
    let networks = format!(
        r#"      exoclick: {{ click: {{ param: exotracker }}, postback: {{ url: "http://{}/tag.php" }} }}
      exo_de:
        preset: exoclick
        click: {{ param: exode, cookie: _exo_de }}
        sync: none
        postback: {{ url: "http://{}/tag.php" }}"#,
        first.address(),
        second.address()
    );
    let other = "f".repeat(32);
    let send = format!("          exoclick: {{ goal: {GOAL} }}\n          exo_de: {{ goal: {other} }}");
    let proxy = shop(&origin, &networks, &send);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=one");
    visitor.lands("/?exode=two");
    assert_eq!(visitor.get(THANKS).text_without_frame(), PAGE);
    assert_eq!(first.await_received(1)[0].target, format!("/tag.php?goal={GOAL}&value=49.90&tag=one"));
    assert_eq!(second.await_received(1)[0].target, format!("/tag.php?goal={other}&value=49.90&tag=two"));
    proxy.await_metric("throughline_postbacks_total", &[("network", "exoclick"), ("verdict", "delivered")], 1);
    proxy.await_metric("throughline_postbacks_total", &[("network", "exo_de"), ("verdict", "rejected")], 1);
    assert_accounts(&proxy);
    // The third visitor has no click: only the account with pixels shows any.
    let page = proxy.visitor().get("/thank-you/1002?total=1").text();
    assert!(page.contains(GOAL) && !page.contains(&other), "{page}");
}

#[test]
fn a_pure_cookie_match_goes_into_one_page_per_visitor() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let networks = format!(
        r#"      own:
        click: {{ param: mid }}
        postback: {{ url: "http://{}/pb", query: {{ cid: "{{click_id}}" }} }}
        sync: {{ pages: all, every: 1h, pixels: ["https://px.example/match"] }}"#,
        network.address()
    );
    let proxy = shop(&origin, &networks, "          own: { }");
    let mut visitor = proxy.visitor();
    let first = visitor.get("/any/page");
    assert_eq!(first.text().matches("<img").count(), 1, "{}", first.text());
    assert!(first.text().contains("https://px.example/match"));
    let marker = first.set_cookie("_tl_sync_own").expect("a marker");
    assert_eq!(marker.attribute("max-age"), Some("3600"));
    assert!(first.header("cache-control").unwrap().contains("private"));
    for target in ["/", "/any/page", "/?mid=abc"] {
        let page = visitor.get(target);
        assert_eq!((page.text().as_str(), page.set_cookie("_tl_sync_own")), (PAGE, None), "{target}");
    }
    assert!(proxy.visitor().get("/").text().contains("<img"), "another visitor");
    visitor.get(THANKS);
    assert_eq!(network.await_received(1)[0].parameter("cid"), Some("abc"));
    assert_accounts(&proxy);
}
