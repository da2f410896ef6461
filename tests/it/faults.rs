//! Whatever breaks, the site comes first.

use std::{
    fs,
    io::Read,
    time::{Duration, Instant},
};

use crate::support::{
    accounting::assert_accounts,
    config::{THANKS, shop},
    http::Ending,
    network::AdNetwork,
    origin::{Origin, PAGE, nobody},
    proxy::Proxy,
    response::Response,
};

mod disk;

fn start(origin: &Origin) -> (AdNetwork, Proxy) {
    let network = AdNetwork::answering(["OK"]);
    let proxy = Proxy::with(&shop(origin, &network)).start();
    (network, proxy)
}

#[test]
fn an_origin_that_is_down_is_a_502_and_no_conversion() {
    let origin = Origin::start();
    let network = AdNetwork::answering(["OK"]);
    let config = shop(&origin, &network).replace(&origin.address().to_string(), &nobody().to_string());
    let proxy = Proxy::with(&config).start();
    let mut visitor = proxy.visitor().sending("Cookie", "_exoclick_cid=abc");
    assert_eq!(visitor.get(THANKS).status, 502);
    proxy.await_metric("throughline_unanswered_total", &[], 1);
    assert!(proxy.metric("throughline_conversion_hits_total", &[]) < 0.5);
    assert!(network.received().is_empty());
}

#[test]
fn a_page_that_breaks_off_is_never_given_a_clean_end() {
    let page = PAGE.repeat(2000);
    for broken in [
        Response::html(&page).reset_after(40_000),
        Response::html(&page).chunked(8192).reset_after(40_000),
        Response::html(&page[..40_000]).claiming(page.len()),
    ] {
        let origin = Origin::start().route("/", broken.clone()).route("/thank-you/1001", broken);
        let (_network, proxy) = start(&origin);
        for target in ["/", THANKS] {
            let answer = proxy.visitor().get(target);
            assert!(answer.status == 200 && !answer.is_complete(), "{target}: {:?}", answer.ending);
            assert!(page.as_bytes().starts_with(&answer.body), "{target}: only the origin's bytes, in order");
        }
        assert_accounts(&proxy);
    }
}

#[test]
fn a_body_longer_than_it_claims_ends_where_it_claims() {
    let origin = Origin::start().route("/", Response::html("abcdef").claiming(3));
    let answer = start(&origin).1.visitor().get("/");
    assert_eq!((answer.ending.clone(), answer.text().as_str()), (Ending::Complete, "abc"));
}

#[test]
fn a_slow_origin_is_only_as_slow_as_it_is() {
    let origin = Origin::start().route("/", Response::html(PAGE).delayed(Duration::from_millis(300)));
    let answer = start(&origin).1.visitor().get("/");
    assert_eq!(answer.text(), PAGE);
    assert!(answer.head_after < Duration::from_millis(800), "{:?}", answer.head_after);
}

#[test]
fn bytes_that_the_origin_has_sent_reach_the_visitor_at_once() {
    let stuck = Response::html(PAGE).chunked(PAGE.len()).hang_after(PAGE.len() + 4);
    let origin = Origin::start().route("/stream", stuck);
    let (_network, proxy) = start(&origin);
    let mut open = proxy.visitor().open("GET", "/stream", &[], "").unwrap();
    let began = Instant::now();
    let mut first = [0; 20];
    open.stream.read_exact(&mut first).unwrap();
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[test]
fn without_a_state_folder_pages_are_served_and_the_loss_is_counted() {
    let origin = Origin::start();
    let network = AdNetwork::answering(["OK"]);
    // A file where the folder should be: no rights, however high, make a folder of it.
    let config = format!("state: {{ path: ./broken }}\n{}", shop(&origin, &network));
    let proxy = Proxy::with(&config).file("broken", "").env("THROUGHLINE_SECRET", &"s".repeat(64)).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    let answer = visitor.get(THANKS);
    assert_eq!((answer.status, answer.text().as_str()), (200, PAGE));
    proxy.await_metric("throughline_conversions_total", &[("outcome", "unstored")], 1);
    let ready = proxy.admin("/readyz");
    assert!(ready.text().contains("broken") || ready.text().contains("state"), "{}", ready.text());
    assert!(!proxy.stderr().is_empty(), "loudly");
    assert_accounts(&proxy);
}

#[test]
fn a_strict_proxy_refuses_to_run_without_a_state_folder() {
    let origin = Origin::start();
    let config = format!("state: {{ path: ./broken }}\n{}", shop(&origin, &AdNetwork::answering(["OK"])));
    let (status, errors) = Proxy::with(&config).file("broken", "").argument("--strict").refuses();
    assert!(!status.success());
    assert!(errors.contains("broken"), "{errors}");
}

#[test]
fn a_state_folder_that_vanishes_takes_no_page_with_it() {
    let origin = Origin::start();
    let (_network, proxy) = start(&origin);
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    fs::remove_dir_all(proxy.folder().join("state")).unwrap();
    for order in 0..10 {
        let answer = visitor.get(&format!("/thank-you/{order}?total=1"));
        assert_eq!((answer.status, answer.text_without_frame().as_str()), (200, PAGE));
        assert!(answer.head_after < Duration::from_millis(500), "{:?}", answer.head_after);
    }
    assert_accounts(&proxy);
}

#[test]
fn two_processes_on_one_store_report_an_order_once() {
    let origin = Origin::start();
    let network = AdNetwork::answering(["OK"]);
    let first = Proxy::with(&shop(&origin, &network)).start();
    let state = first.folder().join("state");
    let config = format!("state: {{ path: \"{}\" }}\n{}", state.display(), shop(&origin, &network));
    let second = Proxy::with(&config).start();
    for proxy in [&first, &second] {
        let mut visitor = proxy.visitor().sending("Cookie", "_exoclick_cid=abc");
        assert_eq!(visitor.get(THANKS).status, 200);
    }
    first.await_metric("throughline_conversions_total", &[("outcome", "queued")], 1);
    second.await_metric("throughline_conversions_total", &[("outcome", "duplicate")], 1);
    network.await_received(1);
    first.await_settled();
    assert_eq!(network.received().len(), 1);
}

#[test]
fn a_terminated_proxy_finishes_the_page_it_is_serving() {
    let slow = Response::html(PAGE).delayed(Duration::from_millis(500));
    let origin = Origin::start().route("/slow", slow);
    let (_network, mut proxy) = start(&origin);
    let mut visitor = proxy.visitor();
    let page = std::thread::spawn(move || visitor.get("/slow"));
    origin.await_requests(1);
    assert!(proxy.terminate().success());
    let answer = page.join().unwrap();
    assert!(answer.is_complete() && answer.text() == PAGE);
}
