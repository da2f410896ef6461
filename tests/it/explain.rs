//! What `throughline explain` and `throughline cookies` say, and that the proxy does what they say.

use std::process::Output;

use serde_json::Value;

use crate::support::{
    config::{GOAL, shop},
    network::AdNetwork,
    origin::Origin,
    proxy::{Proxy, Setup},
};

const SHOP: &str = r##"
secret: ${SEAL}
sites:
  - name: shop
    hosts: [shop.example]
    upstream: http://127.0.0.1:8080
    consent: { require: ad_storage, from: [{ cookie: choice, granted: "^yes", denied: "^no" }], pending: hold }
    networks:
      exoclick: { click: { param: exotracker } }
      rokt: { account_id: 42, public_key: ${ROKT_PUBLIC}, secret_key: { file: rokt.key } }
      mine:
        click: { param: mid }
        postback: { url: https://net.example/pb, query: { cid: "{click_id}", amount: "{value}", key: ${NET_KEY} } }
    captures:
      - { name: checkout, path: /checkout, method: POST, fields: { email: form.email } }
    conversions:
      - name: purchase
        path: /thank-you/{order_id}
        value: ['html("#total")', query.total]
        currency: EUR
        email: journey.email
        success_mark: Thank you
        failure_mark: 'html(".error")'
        send:
          exoclick: { goal: 0123456789abcdef0123456789abcdef }
          rokt: { conversiontype: purchase }
          mine: {}
      - name: paid
        triggers:
          - { path: /paid, method: POST, when: { form.status: Completed } }
          - { path: /callback, method: POST, caller: server, from_addresses: [198.51.100.0/24] }
        order_id: form.order
        send: { mine: {} }
"##;

const PAGE: &str = "<html><body><h1>Thank you</h1><b id=total>€ 1.234,56</b></body></html>";
const FAILED: &str = "<html><body><p class=error>Card refused</p></body></html>";

fn setup() -> Setup {
    Proxy::with(SHOP)
        .file("rokt.key", "rsec-CANARY\n")
        .file("page.html", PAGE)
        .file("failed.html", FAILED)
        .env("SEAL", "CANARY-CANARY-CANARY-CANARY-CANARY")
        .env("ROKT_PUBLIC", "rpub-CANARY")
        .env("NET_KEY", "net-CANARY")
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What it says of a request; `PAGE` and `FAILED` stand for the files.
fn explain(setup: &Setup, arguments: &[&str]) -> String {
    let folder = setup.folder();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| match *argument {
            "PAGE" => file("page.html"),
            "FAILED" => file("failed.html"),
            other => other.to_owned(),
        })
        .collect();
    let words: Vec<&str> = ["explain"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let (code, out, err) = said(setup.command(&words));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}\n{out}");
    assert!(!out.contains("CANARY"), "{out}");
    out
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of requests and what is said of them")]
fn each_step_of_a_request_is_told() {
    let setup = setup();
    let yes = ["--cookie", "choice=yes"];
    let thanks = "https://shop.example/thank-you/1001";
    let bought = [thanks, "--cookie", "choice=yes", "--cookie", "_mine_cid=m-1"];
    for (arguments, expected) in [
        (vec!["https://other.example/"], vec!["no site has the host other.example: it is answered with 421"]),
        (vec!["https://shop.example/about", yes[0], yes[1]], vec!["nothing in it concerns tracking"]),
        (
            vec!["https://shop.example/?exotracker=abc", yes[0], yes[1]],
            vec![
                "site         shop",
                "granted: cookie choice says so",
                "exoclick: abc: accepted: kept in the cookie `_exoclick_cid`",
                "mine: the query has no `mid`",
                "capture      checkout: the path / is not /checkout",
                "purchase: no: the path / is not /thank-you/{order_id}",
                "paid: no: the path / is not /paid or /callback",
                "Set-Cookie   _exoclick_cid=abc; HttpOnly; SameSite=None; Secure;",
                "Set-Cookie   _tl=(sealed); HttpOnly; SameSite=Lax; Secure;",
            ],
        ),
        (
            vec!["https://shop.example/?exotracker=abc"],
            vec!["pending: no place says anything", "abc: held: ", "_tl_hold=(sealed); HttpOnly;"],
        ),
        (
            vec!["https://shop.example/?exotracker=abc", "--cookie", "choice=no", "--header", "Sec-GPC: 1"],
            vec!["denied: the browser says Sec-GPC: 1", "abc: no_consent: the visitor has refused"],
        ),
        (
            vec!["https://shop.example/?exotracker=%7Bconversions_tracking%7D", yes[0], yes[1]],
            vec!["macro: it is a placeholder that the network did not replace"],
        ),
        (
            vec!["https://shop.example/?mid=a", yes[0], yes[1], "--header", "User-Agent: Twitterbot/1.0"],
            vec!["visitor      a bot, by its User-Agent", "mine: a: bot: a bot followed the link"],
        ),
        (
            vec!["https://shop.example/checkout", "--data", "email=a%40b.example", yes[0], yes[1]],
            vec!["request      POST ", "checkout: remembered", "  email      a@b.example"],
        ),
        (
            vec!["https://shop.example/checkout", yes[0], yes[1]],
            vec!["checkout: the path matches, but the method GET is not POST"],
        ),
        (
            bought.to_vec(),
            vec![
                "purchase: path and method match",
                "  order_id   1001  from path.order_id",
                "  value      missing: html(\"#total\") (not known), query.total",
                "  mine       waits: on disk, and decided when the answer has ended",
                "  rokt       waits: nothing to report by so far",
                "page         no pixels of exoclick: not before the page has shown what they need",
                "without --page or --live, what stands in the answer's body is not known: `html(\"#total\")`, marks",
                "journeys are not looked up",
            ],
        ),
        (
            [&bought[..], &["--page", "PAGE", "--remembered", "email=a@b.example"]].concat(),
            vec![
                "  value      1234.56  from html(\"#total\")",
                "  email      a@b.example  from journey.email",
                "  exoclick   no_click: nothing to report by: it needs click_id; its pixels go in",
                "    once per 1001, for 90d",
                "    pixel    https://s.chmsrv.com/tag.php?goal=0123456789abcdef0123456789abcdef&value=1234.56\n",
                "  rokt       queued: unless the store knows the key",
                "      authorization: ***",
                "{\"name\":\"amount\",\"value\":\"1234.56\"}",
                "  mine       queued",
                "    clicks   m-1",
                "    sent     GET https://net.example/pb?cid=m-1&amount=1234.56&key=***\n",
                "page         11 pixels of exoclick go in",
            ],
        ),
        (
            [&bought[..], &["--page", "FAILED"]].concat(),
            vec![
                "  exoclick   unproven: the page shows the failure mark html(\".error\")",
                "  mine       unproven: the page shows the failure mark html(\".error\")",
            ],
        ),
        (
            [&bought[..], &["--page", "PAGE", "--response-header", "Content-Security-Policy: img-src 'none'"]].concat(),
            vec!["page         11 pixels of exoclick go in"],
        ),
        (
            [&bought[..], &["--page", "PAGE", "--response-header", "Content-Type: text/plain"]].concat(),
            vec!["page         no pixels of exoclick: not_html", "unproven: the page has not been seen"],
        ),
        ([&bought[..], &["--status", "404"]].concat(), vec!["  exoclick   not_success: the status 404 does not count"]),
        (
            [&bought[..1], &["--method", "HEAD", yes[0], yes[1]]].concat(),
            vec!["request      HEAD", "visitor      nobody: HEAD", "  mine       not_document"],
        ),
        (
            vec!["https://shop.example/paid", "--data", "order=7&status=Pending", yes[0], yes[1]],
            vec![
                "paid: path and method match trigger 1 of 2",
                "  order_id   7  from form.order",
                "not_success: `when`: form.status is `Pending`",
            ],
        ),
        (
            vec!["https://shop.example/callback", "--data", "order=7", "--address", "203.0.113.9"],
            vec!["match trigger 2 of 2", "not_success: 203.0.113.9 is not one of `from_addresses`"],
        ),
        (vec!["https://shop.example/.throughline/frame/x"], vec!["below /.throughline we answer ourselves"]),
    ] {
        let out = explain(&setup, &arguments);
        for line in expected {
            assert!(out.contains(line), "{arguments:?}: no `{line}` in\n{out}");
        }
    }
    assert!(!setup.folder().join("state").exists(), "the store was touched");
}

#[test]
fn as_json_it_says_the_same() {
    let setup = setup();
    let thanks = "https://shop.example/thank-you/1001";
    let arguments = [thanks, "--cookie", "choice=yes", "--cookie", "_mine_cid=m-1", "--page", "PAGE", "--json"];
    let account: Value = serde_json::from_str(&explain(&setup, &arguments)).unwrap();
    let purchase = &account["conversions"][0];
    assert_eq!((account["site"].as_str(), account["consent"]["decision"].as_str()), (Some("shop"), Some("granted")));
    assert_eq!(purchase["once_per"], "1001");
    assert_eq!(purchase["fields"][1]["value"], "1234.56");
    assert_eq!(purchase["networks"][2]["outcome"], "queued");
    assert_eq!(purchase["networks"][2]["postback"]["url"], "https://net.example/pb?cid=m-1&amount=1234.56&key=***");
    assert_eq!(account["conversions"][1]["matches"], false);
}

#[test]
fn what_it_says_is_what_happens() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let setup = Proxy::with(&shop(&origin, &network));
    let target = "/thank-you/1001?total=49.90";
    let url = format!("http://shop.example{target}");
    let told = |more: &[&str]| {
        let words = [&["explain", &url, "--cookie", "_exoclick_cid=abc", "--json"], more].concat();
        let (code, out, err) = said(setup.command(&words));
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let account = told(&[]);
    let live = told(&["--live"]);
    assert_eq!(origin.last().target, target, "the site's own server was asked");
    let sent = |account: &Value| {
        account["conversions"][0]["networks"][0]["postback"]["url"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(sent(&account), sent(&live));
    let proxy = setup.start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get(target);
    let received = network.await_received(1);
    let address = format!("http://{}", network.address());
    assert_eq!(format!("{address}{}", received[0].target), sent(&account));
    assert!(sent(&account).contains(GOAL), "{account}");
}

#[test]
fn what_cannot_be_asked_is_said() {
    let setup = setup();
    for (arguments, code, expected) in [
        (vec!["thank-you"], 2, "write it whole"),
        (vec!["ftp://shop.example/"], 2, "it must begin with http:// or https://"),
        (vec!["https://shop.example/", "--header", "nonsense"], 2, "NAME: VALUE"),
        (vec!["https://shop.example/", "--content-type", "text/plain"], 2, "--data"),
        (vec!["https://shop.example/", "--page", "/nowhere.html"], 1, "/nowhere.html cannot be read"),
        (vec!["https://shop.example/", "--live", "--method", "POST"], 1, "--live asks with GET and HEAD alone"),
    ] {
        let words = [&["explain"], arguments.as_slice()].concat();
        let (found, out, err) = said(setup.command(&words));
        assert_eq!((found, out.as_str()), (Some(code), ""), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
    let (code, _, err) = said(Proxy::with(SHOP).command(&["explain", "https://shop.example/"]));
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("environment variable SEAL is not set"), "{err}");
    let setup = Proxy::with(SHOP).file("rokt.key", "rsec-CANARY\n");
    assert!(explain(&setup, &["https://shop.example/", "--no-environment"]).contains("site         shop"));
}

#[test]
fn cookies_lists_every_cookie_of_a_site_with_what_it_is_for() {
    let (code, out, err) = said(setup().command(&["cookies"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let names: Vec<&str> = out.lines().filter(|line| line.contains("(site shop)")).collect();
    let expected = ["_exoclick_cid", "_rokt_rtid", "_mine_cid", "_tl", "_tl_sync", "_tl_hold", "_tl_preview"];
    assert_eq!(names, expected.map(|name| format!("{name}  (site shop)")), "{out}");
    for expected in [
        "  attributes  HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=2592000; Domain=shop.example\n",
        "  lifetime    30 days\n",
        "  lifetime    1 hour\n",
        "  lifetime    until the browser is closed\n",
        "  consent     needed\n",
        "  consent     not asked for\n",
    ] {
        assert!(out.contains(expected), "no {expected} in\n{out}");
    }
    let (_, json, _) = said(setup().command(&["cookies", "--json"]));
    let cookies: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(cookies.len(), 7);
    assert_eq!((cookies[3]["name"].as_str(), cookies[3]["lifetime"].as_u64()), (Some("_tl"), Some(2_592_000)));
}
