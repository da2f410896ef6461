//! What is tried again, and what never is.

use super::*;
use crate::support::{secure_origin::Way, tls::Authority};

#[test]
fn a_conversion_whose_first_server_refuses_is_counted_once() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let url = format!("\"http://{}\"", origin.address());
    let one = format!("upstream: {url}");
    let config =
        shop(&origin, &network).replace(&one, &format!("upstream: {{ {} }}", servers([nobody(), origin.address()])));
    assert!(config.contains("servers"), "{config}");
    let proxy = Proxy::with(&config).start();
    let mut visitor = proxy.visitor().sending("Cookie", "_exoclick_cid=abc");
    assert_eq!(visitor.request("GET", THANKS, &[], "").status, 200);
    proxy.await_metric("throughline_conversions_total", &[("outcome", "queued")], 1);
    proxy.await_metric("throughline_conversion_hits_total", &[], 1);
    network.await_received(1);
    proxy.await_settled();
    assert_eq!((network.received().len(), origin.requests().len()), (1, 1));
    assert_accounts(&proxy);
}

#[test]
fn a_post_is_never_sent_twice() {
    let origin = Origin::start();
    let proxy = Proxy::with(&site(&format!("\"http://{}\"", origin.address()))).start();
    posts_once_and_gets_twice(&origin, &proxy);

    let (origin, authority) = (Origin::start(), Authority::new());
    let named = Way::default().tls(&authority, &["localhost"], &[]).to(&origin);
    let upstream = format!("{{ url: \"https://localhost:{}\", tls: {{ ca: ca.pem }} }}", named.port());
    posts_once_and_gets_twice(&origin, &Proxy::with(&site(&upstream)).file("ca.pem", &authority.pem()).start());
}

fn posts_once_and_gets_twice(origin: &Origin, proxy: &Proxy) {
    // The second request on a connection is read, and gets a reset instead of an answer.
    origin.change("/pay", Response::reset());
    let paid = |method: &str| origin.requests().iter().filter(|it| it.path() == "/pay" && it.method == method).count();
    // By the time that the visitor asks again on it, the one behind is free.
    let mut visitor = proxy.visitor().on_one_connection();
    for posts in 1..=5 {
        assert_eq!(visitor.get("/").status, 200);
        assert!(is_gateway_error(visitor.request("POST", "/pay", &[], "amount=1").status));
        assert_eq!(paid("POST"), posts);
    }
    assert_eq!(visitor.get("/").status, 200);
    assert!(is_gateway_error(visitor.get("/pay").status));
    assert_eq!(paid("GET"), 2, "a GET on a used connection is repeated");
}

#[test]
fn a_get_that_breaks_off_is_asked_of_another_server_and_a_post_is_not() {
    let (broken, well) = (Origin::start().route("/pay", Response::reset()), Origin::start());
    let proxy = Proxy::with(&site(&format!("{{ {} }}", servers([broken.address(), well.address()])))).start();
    assert_eq!(proxy.visitor().get("/pay").text(), PAGE);
    assert_eq!((broken.requests().len(), well.requests().len()), (1, 1));
    let proxy = Proxy::with(&site(&format!("{{ {} }}", servers([broken.address(), well.address()])))).start();
    assert!(is_gateway_error(proxy.visitor().request("POST", "/pay", &[], "amount=1").status));
    assert_eq!((broken.requests().len(), well.requests().len()), (2, 1));
}

#[test]
fn a_dead_server_is_not_asked_again_and_again() {
    let dead = nobodies::<5>();
    let proxy = Proxy::with(&site(&format!("{{ {} }}", servers(dead)))).start();
    assert!(is_gateway_error(proxy.visitor().get("/").status));
    let up = proxy.metric("throughline_upstream_up", &[]);
    assert!((up - 2.0).abs() < 0.5, "three of five were tried, {up} are taken to be up");
}
