//! Pixels for a visitor without a click, of a conversion that only its page tells from another: by the
//! time that is known, the page has gone, so a frame in it fetches them.

use crate::support::{
    accounting::assert_accounts,
    config::{GOAL, shop_of},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    visitor::{Answer, Visitor},
};

const CONVERSIONS: &str = "throughline_conversions_total";

/// A shop whose order stands in the page, and a network that counts one pixel.
fn start(origin: &Origin, pixel: &AdNetwork, order_id: &str) -> Proxy {
    let networks = format!(
        r#"      exoclick: {{ click: {{ param: exotracker }}, sync: {{ pixels: ["http://{}/pixel"] }} }}"#,
        pixel.address()
    );
    let all = shop_of(origin, &networks, &format!("          exoclick: {{ goal: {GOAL} }}"));
    let written = "        path: \"/thank-you/{order_id}\"\n        value: query.total\n        currency: EUR\n        email: query.email\n";
    assert!(all.contains(written));
    let config = all.replace(
        written,
        &format!("        path: /done\n        order_id: {order_id}\n        value: 'html(\"#total\")'\n"),
    );
    Proxy::with(&config).start()
}

fn page(order: &str, total: &str) -> String {
    format!("<!doctype html><title>Done</title><p>Order <b id=order>{order}</b>, <i id=total>{total}</i></body></html>")
}

/// The address of the frame in a page.
fn frame(page: &Answer) -> Option<String> {
    let text = page.text();
    let (_, rest) = text.split_once("src=\"/.throughline/frame/")?;
    Some(format!("/.throughline/frame/{}", rest.split_once('"')?.0))
}

/// Asks as the frame does, until it has pixels or asks no more.
fn fetched(visitor: &mut Visitor, page: &Answer) -> Vec<String> {
    let mut next = frame(page);
    while let Some(address) = next {
        let answer = visitor.get(&address);
        let text = answer.text();
        let pixels: Vec<String> =
            text.split("<img src=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned()).collect();
        if !pixels.is_empty() {
            return pixels;
        }
        next = text
            .split_once("content=\"2;url=")
            .map(|(_, rest)| format!("/.throughline/frame/{}", rest.split_once('"').unwrap().0));
    }
    Vec::new()
}

#[test]
fn pixels_of_an_order_that_stands_in_the_page_come_with_a_frame_and_once() {
    let origin = Origin::start().page("/done", page("A-1001", "12,50 €"));
    let pixel = AdNetwork::answering(["pixel"]);
    let proxy = start(&origin, &pixel, "'html(\"#order\")'");
    let mut visitor = proxy.visitor();
    let done = visitor.get("/done");
    assert!(!done.text().contains("<img"), "{}", done.text());
    assert!(frame(&done).is_some(), "{}", done.text());
    proxy.await_metric(CONVERSIONS, &[("outcome", "no_click")], 1);
    let wanted = format!("http://{}/pixel?goal={GOAL}&amp;value=12.50", pixel.address());
    assert_eq!(fetched(&mut visitor, &done), [wanted]);
    assert!(fetched(&mut visitor, &done).is_empty(), "an old tab shows nothing again");
    let again = visitor.get("/done");
    proxy.await_metric(CONVERSIONS, &[("outcome", "duplicate")], 1);
    assert!(fetched(&mut visitor, &again).is_empty());
    assert_accounts(&proxy);
}

#[test]
fn the_next_page_shows_them_when_the_frame_never_loaded() {
    let origin = Origin::start().page("/done", page("A-1001", "12,50 €")).page("/", page("", ""));
    let pixel = AdNetwork::answering(["pixel"]);
    let proxy = start(&origin, &pixel, "'html(\"#order\")'");
    let mut visitor = proxy.visitor();
    visitor.get("/done");
    proxy.await_metric(CONVERSIONS, &[("outcome", "no_click")], 1);
    let next = visitor.request("GET", "/", &[("Accept", "text/html")], "");
    assert!(next.text().contains(&format!("<img src=\"http://{}/pixel", pixel.address())), "{}", next.text());
    proxy.await_metric("throughline_injections_total", &[("result", "late")], 1);
    assert_accounts(&proxy);
}

#[test]
fn pixels_in_the_page_say_the_value_that_stands_above_them() {
    let origin = Origin::start().page("/done", page("A-1001", "1.234,56 €"));
    let pixel = AdNetwork::answering(["pixel"]);
    let proxy = start(&origin, &pixel, "query.order");
    let done = proxy.visitor().get("/done?order=1");
    let wanted = format!("<img src=\"http://{}/pixel?goal={GOAL}&amp;value=1234.56\"", pixel.address());
    assert_eq!(done.text().matches(&wanted).count(), 1, "{}", done.text());
    proxy.await_metric(CONVERSIONS, &[("outcome", "no_click")], 1);
    assert_accounts(&proxy);
}
