//! A page with a Content-Security-Policy: what is added to it, and what it forbids.

use crate::support::{
    accounting::assert_accounts,
    browser::Browser,
    config::{GOAL, THANKS, shop, shop_of, with_site_key},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
};

const CSP: &str = "Content-Security-Policy";
const REPORT_ONLY: &str = "Content-Security-Policy-Report-Only";

const HOSTS: &str = "https://s.chmsrv.com https://s.chnsrv.com https://s.ds10lf.com https://s.ds165z.com \
    https://s.eln7dc.com https://s.opoxv.com https://s.orbsrv.com https://s.pemsrv.com https://s.zlinkw.com \
    https://s.magsrv.com https://syndication.realsrv.com";

/// A site with this thank-you page, and the proxy before it.
fn start(page: Response, mode: &str) -> (Origin, Proxy) {
    let origin = Origin::start().route("/thank-you/1001", page);
    let config = with_site_key(&shop(&origin, &AdNetwork::answering(["OK"])), &format!("csp: {mode}"));
    (origin, Proxy::with(&config).start())
}

fn with_policy(policy: &str) -> Response {
    Response::html(PAGE).header(CSP, policy)
}

fn counted(proxy: &Proxy, result: &str) -> bool {
    proxy.metric("throughline_injections_total", &[("network", "exoclick"), ("result", result)]) > 0.5
}

#[test]
fn exactly_the_hosts_of_the_pixels_are_added() {
    for (policy, becomes) in [
        ("default-src 'none'; script-src 'self'", format!("default-src 'none'; img-src {HOSTS}; script-src 'self'")),
        (
            "img-src 'self' data: ;report-uri /r, script-src x",
            format!("img-src 'self' data: {HOSTS} ;report-uri /r, script-src x"),
        ),
        (
            "img-src *.chmsrv.com *.chnsrv.com",
            format!("img-src *.chmsrv.com *.chnsrv.com {}", HOSTS.split_once("chnsrv.com ").unwrap().1),
        ),
        ("img-src  https: ; default-src 'none';", "img-src  https: ; default-src 'none';".into()),
        ("upgrade-insecure-requests", "upgrade-insecure-requests".into()),
    ] {
        let (_origin, proxy) = start(with_policy(policy).header(REPORT_ONLY, policy), "amend");
        let answer = proxy.visitor().get(THANKS);
        assert_eq!(answer.text().matches("<img").count(), 11, "{policy}");
        assert_eq!((answer.header(CSP), answer.header(REPORT_ONLY)), (Some(&*becomes), Some(&*becomes)));
        assert!(counted(&proxy, "injected") && !counted(&proxy, "csp"));
        // What gets no pixels keeps its policy.
        let again = proxy.visitor().get(THANKS);
        assert_eq!((again.text().as_str(), again.header(CSP)), (PAGE, Some(policy)));
        assert_accounts(&proxy);
    }
}

#[test]
fn every_line_of_the_header_counts() {
    let page = with_policy("img-src https:").header("X-Between", "1").header(CSP, "img-src 'self', default-src 'none'");
    let (_origin, proxy) = start(page, "amend");
    let answer = proxy.visitor().get(THANKS);
    assert_eq!(
        answer.headers.all(CSP),
        ["img-src https:".to_owned(), format!("img-src 'self' {HOSTS}, default-src 'none'; img-src {HOSTS}")]
    );
}

#[test]
fn a_respected_policy_keeps_its_bytes_and_the_page_too() {
    for policy in ["default-src 'self'", "img-src https:, img-src 'none'"] {
        let (origin, proxy) = start(with_policy(policy), "respect");
        let answer = proxy.visitor().get(THANKS);
        assert_eq!((answer.text().as_str(), answer.header(CSP)), (PAGE, Some(policy)));
        assert_eq!(answer.header("content-length"), Some(&*PAGE.len().to_string()), "nothing was edited");
        assert!(counted(&proxy, "csp") && !counted(&proxy, "injected"));
        assert!(proxy.metric("throughline_conversions_total", &[("outcome", "no_click")]) > 0.5);
        // The conversion has not been taken for reported.
        origin.change("/thank-you/1001", with_policy("img-src https:"));
        assert_eq!(proxy.visitor().get(THANKS).text().matches("<img").count(), 11);
        assert_accounts(&proxy);
    }
}

#[test]
fn a_respected_policy_lets_in_what_it_allows() {
    let (_origin, proxy) = start(
        with_policy("img-src *.ds10lf.com https://s.magsrv.com/tag.php").header(REPORT_ONLY, "img-src 'none'"),
        "respect",
    );
    let answer = proxy.visitor().get(THANKS);
    assert_eq!(answer.header(REPORT_ONLY), Some("img-src 'none'"), "what only reports forbids nothing");
    let page = answer.text();
    assert_eq!(page.matches("<img").count(), 2, "{page}");
    assert!(page.contains("//s.ds10lf.com/tag.php") && page.contains("//s.magsrv.com/tag.php"));
    assert!(counted(&proxy, "injected") && !counted(&proxy, "csp"));
}

#[test]
fn a_policy_in_the_page_has_the_last_word() {
    let page = |content: &str| {
        let meta = format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{content}\">");
        PAGE.replace("<head>", &format!("<head>{meta}"))
    };
    for (content, pixels) in [
        ("default-src &#39;self&#39;", 0),
        ("img-src https://*.ds165z.com", 1),
        ("img-src https:; default-src 'none'", 11),
    ] {
        for size in [1, 5, 4096] {
            let html = page(content);
            let (_origin, proxy) = start(Response::html(&html).chunked(size), "amend");
            let answer = proxy.visitor().get(THANKS);
            let text = answer.text();
            assert!(answer.is_complete());
            assert_eq!(text.matches("<img").count(), pixels, "{content} in chunks of {size}: {text}");
            assert_eq!((counted(&proxy, "csp"), counted(&proxy, "injected")), (pixels == 0, pixels > 0));
            if pixels == 0 {
                assert_eq!(text, html);
            }
            assert_accounts(&proxy);
        }
    }
}

#[test]
fn a_match_of_cookies_waits_for_a_page_that_lets_it() {
    let origin = Origin::start().route("/", with_policy("img-src 'self'")).page("/open", PAGE);
    let networks = r#"      mine:
        click: { param: mid, cookie: _mine_cid, ttl: 30d }
        postback: { url: "https://net.example/pb", query: { cid: "{click_id}" } }
        sync: { pages: all, every: 1h, pixels: ["https://px.example/match"] }"#;
    let config = shop_of(&origin, networks, "          mine: {}");
    let proxy = Proxy::with(&with_site_key(&config, "csp: respect")).start();
    let mut visitor = proxy.visitor();
    let refused = visitor.get("/");
    assert_eq!((refused.text().as_str(), refused.set_cookies().len()), (PAGE, 0), "and no mark of it");
    assert!(proxy.metric("throughline_injections_total", &[("network", "mine"), ("result", "csp")]) > 0.5);
    assert!(visitor.get("/open").text().contains("https://px.example/match"));
}

/// How many pixels a browser fetches from a thank-you page with this policy, and how many stand in the page.
fn fetched(policy: &str, mode: &str, html: impl Fn(&str) -> String) -> (usize, u64) {
    let pixel = AdNetwork::answering(["pixel"]);
    let address = format!("http://{}/pixel", pixel.address());
    let origin = Origin::start().route("/thank-you/1001", Response::html(html(&address)).header(CSP, policy));
    let networks =
        format!(r#"      exoclick: {{ click: {{ param: exotracker }}, sync: {{ pixels: ["{address}"] }} }}"#);
    let config = shop_of(&origin, &networks, &format!("          exoclick: {{ goal: {GOAL} }}"));
    let proxy = Proxy::with(&with_site_key(&config, &format!("csp: {mode}"))).start();
    let mut browser = Browser::start();
    let window = browser.window();
    // A page has loaded when each of its images has loaded or failed.
    let tab = browser.open(&window, &format!("http://{}{THANKS}", proxy.address()));
    assert!(browser.text(&tab).contains("A page"));
    let images = browser.evaluate(&tab, "document.images.length").as_u64().unwrap();
    (pixel.received().iter().filter(|request| request.path() == "/pixel").count(), images)
}

#[test]
fn a_browser_loads_the_pixels_of_an_amended_policy_and_of_no_other() {
    let strict = "default-src 'none'; script-src 'self'";
    let plain = |_: &str| PAGE.to_owned();
    assert_eq!(fetched(strict, "amend", plain), (1, 1));
    assert_eq!(fetched(strict, "respect", plain), (0, 0), "not even tried");
    let own = |pixel: &str| PAGE.replace("</h1>", &format!("</h1><img src=\"{pixel}?own\">"));
    assert_eq!(fetched(strict, "respect", own), (0, 1), "the browser obeys the policy");
    let meta = |_: &str| {
        PAGE.replace("<head>", "<head><meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">")
    };
    assert_eq!(fetched(strict, "amend", meta), (0, 0), "and the page's own is left as it is");
}
