//! The console in a real browser: every page in both colour schemes, on a desk and on a phone.

use super::{OUTCOMES, Story, TOKEN};
use crate::support::browser::{Browser, Screen};

/// Which pages are looked at, and what they are called.
const PAGES: [(&str, &str); 10] = [
    ("overview", "/console/"),
    ("search", "/console/search"),
    ("story", "/console/search?q=A-1002"),
    ("live", "/console/live"),
    ("outbox", "/console/outbox"),
    ("letter", "/console/outbox/A-1002"),
    ("bypass", "/console/bypass"),
    ("explain", "/console/explain"),
    ("configuration", "/console/configuration"),
    ("audit", "/console/audit"),
];

fn with_a_history() -> Story {
    let story = Story::start();
    for click in ["abc", "def"] {
        story.proxy.visitor().lands(&format!("/?cid={click}"));
    }
    for order in ["A-1000", "A-1001", "A-1001"] {
        story.sells(order);
    }
    story.buries("A-1002");
    story.buries("%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E");
    story.proxy.visitor().sending("Cookie", "_cid=ghi").get("/lead");
    story.proxy.visitor().sending("User-Agent", "Googlebot/2.1").get("/thank-you/A-1003");
    story.await_metric(OUTCOMES, &[("outcome", "incomplete")], 1);
    let mut operator = story.operator();
    let set = [("target", "shop/other"), ("tracking", "observe"), ("for", "1h")];
    operator.fills("/console/bypass", "/console/bypass", &set);
    story
}

#[test]
fn every_page_fits_every_screen_and_has_no_fault_in_it() {
    let (story, mut browser) = (with_a_history(), Browser::start());
    let window = browser.window();
    let home = format!("http://{}", story.proxy.admin_address());
    let tab = browser.open(&window, &format!("{home}/"));
    browser.await_loaded(&tab, &format!("{home}/console/login"));
    for screen in Screen::ALL {
        browser.shows(&tab, screen);
        browser.screenshot(&tab, &format!("console-login-{}", screen.name()));
    }
    browser.evaluate(&tab, &format!("document.querySelector('#token').value = {TOKEN:?}"));
    browser.evaluate(&tab, "document.querySelector('#name').value = 'Ada'");
    browser.click(&tab, "button");
    browser.await_loaded(&tab, &format!("{home}/console/"));
    browser.await_text(&tab, "Overview");
    let cookie = browser.cookie(&window, "throughline_session").expect("a session");
    assert_eq!(
        (&cookie["httpOnly"], &cookie["sameSite"], &cookie["path"]),
        (&true.into(), &"Strict".into(), &"/console/".into())
    );
    for (name, page) in PAGES {
        let tab = browser.open(&window, &format!("{home}{page}"));
        if name == "explain" {
            browser.evaluate(
                &tab,
                "document.querySelector('[name=url]').value = 'https://shop.example/thank-you/1001?total=49.90'",
            );
            browser.evaluate(&tab, "document.querySelector('[name=cookies]').value = '_cid=abc'");
            browser.click(&tab, "main button");
            browser.await_text(&tab, "Conversion purchase");
        }
        if name == "live" {
            browser.await_text(&tab, "connected");
        }
        for screen in Screen::ALL {
            browser.shows(&tab, screen);
            assert!(browser.fits(&tab, screen), "{name} on {}", screen.name());
            browser.screenshot(&tab, &format!("console-{name}-{}", screen.name()));
        }
        let unlabelled = "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')].filter(it => !it.labels.length && !it.ariaLabel).length";
        assert_eq!(browser.evaluate(&tab, unlabelled), 0, "{name}");
        assert_eq!(
            browser.evaluate(&tab, "getComputedStyle(document.querySelector('.bar')).display"),
            "flex",
            "{name} has its style"
        );
        assert_eq!(browser.evaluate(&tab, "document.querySelectorAll('h1').length"), 1, "{name}");
    }
}

#[test]
fn a_page_that_is_too_wide_is_noticed() {
    let mut browser = Browser::start();
    let window = browser.window();
    for (width, fits) in [(360, true), (380, false), (500, false)] {
        let page = format!(
            "data:text/html,<!doctype html><meta name=viewport content=width=device-width><body style='margin:0'><div style='position:absolute;width:{width}px'>wide"
        );
        let tab = browser.open(&window, &page);
        let phone = Screen::ALL[2];
        browser.shows(&tab, phone);
        browser.await_text(&tab, "wide");
        assert_eq!(browser.fits(&tab, phone), fits, "{width} px on {}", phone.name());
    }
}

#[test]
fn an_operator_sends_a_dead_letter_again_by_clicking() {
    let (story, mut browser) = (Story::start(), Browser::start());
    story.buries("A-1");
    let before = story.network.received().len();
    let window = browser.window();
    let home = format!("http://{}", story.proxy.admin_address());
    let tab = browser.open(&window, &format!("{home}/console/login"));
    browser.evaluate(&tab, &format!("document.querySelector('#token').value = {TOKEN:?}"));
    browser.click(&tab, "button");
    browser.await_text(&tab, "Overview");
    browser.click(&tab, "a[href^='/console/outbox?state=dead']");
    browser.await_text(&tab, "dead letter");
    browser.click(&tab, "td a");
    browser.await_text(&tab, "said so");
    browser.click(&tab, "button[value=replay]");
    browser.await_text(&tab, "1 postback would be sent again");
    browser.click(&tab, "button[name=confirmed]");
    browser.await_text(&tab, "1 dead letter will be sent again");
    story.network.await_received(before + 1);
}
