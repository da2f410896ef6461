//! A real browser walks through the demo.

use crate::support::{
    await_fact,
    browser::{Browser, Tab, Window},
    demo::Demo,
};

/// Follows an ad into the shop, in the tab that the ad opens.
fn follow(browser: &mut Browser, demo: &Demo, window: &Window, ad: &str) -> Tab {
    let networks = browser.open(window, &demo.networks());
    browser.click(&networks, &format!("a[href='/click/{ad}']"));
    browser.opened(window, &demo.shop())
}

/// Buys the first thing in the shop, up to the thank-you page.
fn buy(browser: &mut Browser, demo: &Demo, shop: &Tab) {
    for (link, place) in [("main a", "product/"), ("main a.button", "checkout"), ("main button", "thank-you/")] {
        browser.click(shop, link);
        browser.await_loaded(shop, &format!("{}{place}", demo.shop()));
    }
}

fn pixels(demo: &Demo) -> usize {
    demo.received().matches("<td>sync pixel</td>").count()
}

#[test]
fn a_click_travels_through_the_browser_to_the_network() {
    let (demo, mut browser) = (Demo::start(), Browser::start());
    let window = browser.window();
    let shop = follow(&mut browser, &demo, &window, "exoclick");
    let cookie = browser.cookie(&window, "_exoclick_cid").expect("the click ID in the jar");
    let click = cookie["value"].as_str().unwrap();
    assert_eq!((click.len(), &cookie["httpOnly"], &cookie["path"]), (32, &true.into(), &"/".into()));
    assert!(browser.evaluate(&shop, "location.search").as_str().unwrap().contains(click));
    assert_eq!(browser.evaluate(&shop, "document.cookie"), "", "no script of the site sees it");
    buy(&mut browser, &demo, &shop);
    assert!(browser.text(&shop).contains("Thank you"));
    let networks = browser.open(&window, &demo.networks());
    await_fact(
        || {
            let text = browser.text(&networks);
            let is_ours = |line: &str| line.contains("postback") && line.contains(click) && line.ends_with("OK");
            text.lines().any(is_ours).then_some(())
        },
        || format!("the postback on the networks' page: {}", demo.received()),
    );
    assert_eq!(pixels(&demo), 0, "a reported click needs no pixels");
}

#[test]
fn without_a_click_id_the_browser_itself_reports_once() {
    let (demo, mut browser) = (Demo::start(), Browser::start());
    let window = browser.window();
    let shop = follow(&mut browser, &demo, &window, "none");
    assert_eq!(browser.cookie(&window, "_exoclick_cid"), None);
    assert_eq!(pixels(&demo), 0);
    buy(&mut browser, &demo, &shop);
    assert_eq!(browser.evaluate(&shop, "[...document.images].filter(image => image.naturalWidth === 1).length"), 2);
    assert_eq!(pixels(&demo), 2, "both have left the browser: {}", demo.received());
    browser.reload(&shop);
    assert!(browser.text(&shop).contains("Thank you"));
    let duplicates = || demo.metrics().sum("throughline_conversions_total", &[("outcome", "duplicate")]);
    await_fact(|| (duplicates() > 0.5).then_some(()), || "a duplicate".into());
    assert_eq!(browser.evaluate(&shop, "document.images.length"), 0);
    assert_eq!(pixels(&demo), 2, "a reload reports nothing: {}", demo.received());
}
