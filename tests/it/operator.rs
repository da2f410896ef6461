//! What an operator meets: signals, exit statuses, the admin port, hosts.

use std::{net::TcpListener, thread};

use crate::support::{
    config::shop,
    network::AdNetwork,
    origin::{Origin, PAGE, nobody},
    proxy::Proxy,
    response::Response,
};

/// The usual shop with more keys at the top, one per line.
fn shop_under(keys: &str, origin: &Origin) -> String {
    format!("{keys}\n{}", shop(origin, &AdNetwork::answering(["OK"])))
}

#[test]
fn sighup_and_sigquit_end_nothing() {
    let origin = Origin::start();
    let mut proxy = Proxy::with(&shop_under("", &origin)).start();
    for (signal, said) in [("HUP", "the configuration was read again"), ("QUIT", "SIGQUIT ignored")] {
        proxy.signal(signal);
        proxy.await_log(said);
        assert_eq!(proxy.visitor().get("/").text(), PAGE);
    }
    assert_eq!(proxy.terminate().code(), Some(0));
}

#[test]
fn a_terminated_proxy_finishes_pages_and_refuses_new_ones() {
    let slow = Response::html(PAGE).dripping(std::time::Duration::from_millis(5));
    let orders = ["/thank-you/1", "/thank-you/2", "/thank-you/3", "/thank-you/4"];
    let origin = orders.iter().fold(Origin::start(), |origin, order| origin.route(order, slow.clone()));
    let network = AdNetwork::answering(["OK"]);
    let mut proxy = Proxy::with(&shop(&origin, &network)).start();
    let mut buyers = orders.map(|order| (order, proxy.visitor()));
    buyers[0].1.lands("/?exotracker=abc");
    let (pages, status) = thread::scope(|scope| {
        let pages: Vec<_> = buyers.iter_mut().map(|(order, buyer)| scope.spawn(|| buyer.get(order))).collect();
        origin.await_requests(1 + pages.len());
        let status = proxy.terminate();
        (pages.into_iter().map(|page| page.join().unwrap()).collect::<Vec<_>>(), status)
    });
    assert_eq!(status.code(), Some(0), "{}", proxy.stderr());
    for page in pages {
        assert!(page.is_complete() && page.text().starts_with("<!doctype html>"), "{:?}", page.ending);
    }
    assert!(proxy.visitor().try_request("GET", "/", &[], "").is_err(), "nobody listens any more");
    proxy.restart();
    assert_eq!(network.await_received(1)[0].parameter("tag"), Some("abc"), "sent before the end or after it");
}

#[test]
fn an_address_in_use_is_named_and_may_be_free_later() {
    let origin = Origin::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for keys in [format!("listen: {taken}"), format!("admin: {{ listen: {taken} }}")] {
        let (status, errors) = Proxy::with(&shop_under(&keys, &origin)).refuses();
        assert_eq!(status.code(), Some(75), "{errors}");
        assert!(errors.contains(&taken.to_string()), "{errors}");
    }
}

#[test]
fn a_broken_configuration_is_refused_with_everything_that_is_wrong() {
    let origin = Origin::start();
    let config = shop_under("max_page_delay: soon\nlistens: 127.0.0.1:0", &origin)
        .replace("value: query.total", "value: cookies.total")
        .replace("goal: 0123", "goal: xyz3");
    let (status, errors) = Proxy::with(&config).refuses();
    assert_eq!(status.code(), Some(78), "{errors}");
    for word in ["max_page_delay", "listens", "cookies", "goal"] {
        assert!(errors.contains(word), "{word} in {errors}");
    }
    let places = errors.lines().filter(|line| line.contains("throughline.yaml:")).count();
    assert!(places >= 4, "each with its place: {errors}");
}

#[test]
fn the_admin_token_guards_the_metrics_but_not_the_probes() {
    let origin = Origin::start();
    let keys = "admin: { listen: 127.0.0.1:0, token: \"${ADMIN_TOKEN}\" }";
    let proxy = Proxy::with(&shop_under(keys, &origin)).env("ADMIN_TOKEN", "a-long-secret").start();
    for (authorization, status) in [
        (None, 401),
        (Some("Bearer wrong"), 401),
        (Some("Bearer a-long-secre"), 401),
        (Some("Basic a-long-secret"), 401),
        (Some("Bearer a-long-secret"), 200),
    ] {
        let headers: Vec<_> = authorization.map(|value| ("Authorization", value)).into_iter().collect();
        let answer = proxy.operator().request("GET", "/metrics", &headers, "");
        assert_eq!(answer.status, status, "{authorization:?}");
        assert_eq!(answer.text().contains("throughline_build_info"), status == 200);
    }
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(proxy.admin(probe).status, 200, "{probe}");
    }
    assert!(!proxy.stderr().contains("a-long-secret"));
    assert_eq!(proxy.visitor().get("/metrics").text(), PAGE, "to visitors it is a page of the site");
}

#[test]
fn each_host_gets_its_own_site_and_strangers_are_refused() {
    let (one, two) = (Origin::start().page("/", "one"), Origin::start().page("/", "two"));
    let config = format!(
        r#"sites:
  - {{ name: one, hosts: [shop.example, "*.shop.example"], upstream: "http://{}", networks: {{}}, conversions: [] }}
  - {{ name: two, hosts: [other.example, "eu.shop.example"], upstream: "http://{}", networks: {{}}, conversions: [] }}
"#,
        one.address(),
        two.address()
    );
    let proxy = Proxy::with(&config).start();
    for (host, page) in [
        ("shop.example", "one"),
        ("SHOP.example.:8080", "one"),
        ("www.shop.example", "one"),
        ("a.b.shop.example", "one"),
        ("eu.shop.example", "two"),
        ("other.example", "two"),
    ] {
        let answer = proxy.visitor().host(host).get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, page), "{host}");
    }
    for host in ["stranger.example", "example", "notshop.example", "127.0.0.1", "www.other.example"] {
        assert_eq!(proxy.visitor().host(host).get("/").status, 421, "{host}");
    }
    proxy.await_metric("throughline_refused_total", &[("reason", "unknown_host")], 5);
    assert_eq!((one.requests().len(), two.requests().len()), (4, 2));
    proxy.await_metric("throughline_requests_total", &[("site", "two"), ("code", "200")], 2);
}

#[test]
fn a_site_without_its_own_server_breaks_no_other() {
    let origin = Origin::start();
    let config = format!(
        "sites:\n  - {{ name: dead, hosts: [dead.example], upstream: \"http://{}\" }}\n  - {{ name: live, upstream: \"http://{}\" }}\n",
        nobody(),
        origin.address()
    );
    let proxy = Proxy::with(&config).start();
    assert_eq!(proxy.visitor().host("dead.example").get("/").status, 502);
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}
