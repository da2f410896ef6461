//! Servers that say how they are.

use super::*;

fn health(more: &str) -> String {
    format!("health: {{ path: /up, interval: 1s, timeout: 1s }}{more}")
}

#[test]
fn a_server_that_is_not_well_gets_no_requests_until_it_is() {
    let (first, second) = (Origin::start().route("/up", Response::new(500)), Origin::start());
    let addresses = [first.address(), second.address()];
    let proxy = Proxy::with(&site(&format!("{{ {}, {} }}", servers(addresses), health("")))).start();
    let url = format!("http://{}", first.address());
    proxy.await_metric("throughline_upstream_up", &[("server", &url)], 0);
    let pages = |origin: &Origin| origin.requests().iter().filter(|request| request.path() == "/").count();
    for _ in 0..4 {
        assert_eq!(proxy.visitor().get("/").status, 200);
    }
    assert_eq!((pages(&first), pages(&second)), (0, 4));
    proxy.await_log("asked for its health, it answers 500");

    first.change("/up", Response::redirect("/elsewhere"));
    proxy.await_metric("throughline_upstream_up", &[("server", &url)], 1);
    for _ in 0..4 {
        assert_eq!(proxy.visitor().get("/").status, 200);
    }
    assert_eq!((pages(&first), pages(&second)), (2, 6));
    let question = first.requests().into_iter().find(|request| request.path() == "/up").unwrap();
    assert_eq!(question.headers.get("host"), Some(first.address().to_string().as_str()));
    assert!(question.headers.get("user-agent").unwrap().starts_with("throughline-health/"));
}

#[test]
fn a_wrong_health_path_does_not_take_the_site_down() {
    let origin = Origin::start().route("/up", Response::new(404));
    let proxy = Proxy::with(&site(&format!("{{ {}, {} }}", servers([origin.address(), nobody()]), health("")))).start();
    proxy.await_metric("throughline_upstream_up", &[], 0);
    for _ in 0..4 {
        assert_eq!(proxy.visitor().get("/").text(), PAGE);
    }
}

#[test]
fn health_is_asked_for_with_a_name_that_visitors_use() {
    let origin = Origin::start();
    let proxy = Proxy::with(&format!(
        "sites: [{{ hosts: [shop.example], upstream: {{ url: \"http://{}\", {} }} }}]\n",
        origin.address(),
        health("")
    ))
    .start();
    let questions = origin.await_requests(2);
    assert_eq!(questions[0].headers.get("host"), Some("shop.example"));
    proxy.await_metric("throughline_upstream_up", &[], 1);
}

#[test]
fn a_silent_server_is_not_well() {
    let origin = Origin::start().route("/up", Response::hang());
    let config = site(&format!(
        "{{ url: \"http://{}\", {} }}",
        origin.address(),
        health("").replace("timeout: 1s", "timeout: 100ms")
    ));
    let proxy = Proxy::with(&config).start();
    proxy.await_metric("throughline_upstream_up", &[], 0);
    assert_eq!(proxy.visitor().get("/").text(), PAGE, "but what is left is tried");
}
