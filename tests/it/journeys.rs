//! What visitors did and typed on the way to their order is known when they have ordered.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::{Proxy, Setup},
    response::Response,
    visitor::Visitor,
};

mod captures;

type Headers<'a> = &'a [(&'a str, &'a str)];

const OUTCOMES: &str = "throughline_conversions_total";
const CAPTURES: &str = "throughline_captures_total";
const FORM: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded")];
/// `printf jane.doe@example.com | sha256sum`
const HASHED: &str = "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d";

/// A shop that captures `form.email` at its checkout, with more keys of the site, of the capture and of the
/// conversion.
#[derive(Default)]
struct Rules<'a> {
    site: &'a str,
    capture: &'a str,
    conversion: &'a str,
}

impl Rules<'_> {
    fn text(&self, upstream: &str, network: &AdNetwork) -> String {
        let Self { site, capture, conversion } = self;
        let capture = if capture.is_empty() {
            "{ name: checkout, path: /checkout, method: [POST, PUT], fields: { email: form.email } }"
        } else {
            capture
        };
        let network = network.address();
        format!(
            r#"sites:
  - upstream: {upstream}
{site}
    consent: {{ require: none }}
    networks:
      mine:
        click: {{ param: mid, cookie: _mid, keep: all }}
        postback:
          url: "http://{network}/pb"
          query: {{ order: "{{order_id}}", cids: '{{click_ids|join:","}}', hash: "{{email|sha256}}", raw: "{{email}}" }}
    captures:
      - {capture}
    conversions:
      - name: purchase
        path: /thanks
        order_id: query.order
        email: journey.email
{conversion}
        send: {{ mine: {{}} }}
"#
        )
    }

    fn setup(&self, origin: &Origin, network: &AdNetwork) -> Setup {
        Proxy::with(&self.text(&format!("\"http://{}\"", origin.address()), network))
    }

    fn start(&self) -> (Origin, AdNetwork, Proxy) {
        let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
        let proxy = self.setup(&origin, &network).start();
        (origin, network, proxy)
    }
}

/// Everything is sent, and the books balance.
fn end(proxy: &Proxy) {
    proxy.await_settled();
    assert_accounts(proxy);
}

/// Our visitor cookie alone, as a browser has it that lost the others.
fn only_ours(visitor: &Visitor) -> String {
    format!("_tl={}", visitor.cookie("_tl").expect("a visitor cookie"))
}

#[test]
fn clicks_are_recalled_when_their_cookie_is_gone() {
    let (_origin, network, proxy) = Rules::default().start();
    let mut visitor = proxy.visitor();
    for click in ["a", "b", "c", "a"] {
        visitor.lands(&format!("/?mid={click}"));
    }
    visitor.request("GET", "/thanks?order=1", &[("Cookie", &only_ours(&visitor))], "");
    let told = network.await_received(1).remove(0);
    assert_eq!(told.parameter("cids"), Some("b%2Cc%2Ca"), "one that came again is the youngest");
    visitor.request("GET", "/thanks?order=2", &[("Cookie", "_tl=forged")], "");
    proxy.await_metric(OUTCOMES, &[("outcome", "no_click")], 1);
    end(&proxy);
}

#[test]
fn a_visitor_who_refuses_our_cookies_is_recognised_by_the_sites_own_session() {
    let site = "    recognise_by: [cookie.PHPSESSID]";
    let (origin, network, proxy) = Rules { site, ..Rules::default() }.start();
    let first = Response::html(PAGE).header("Set-Cookie", "PHPSESSID=8f1c0d2e3a4b5c6d7e8f; path=/; HttpOnly");
    origin.change("/", first);
    // Keeps the site's cookie and none of ours.
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    let session = [FORM[0], ("Cookie", "PHPSESSID=8f1c0d2e3a4b5c6d7e8f")];
    visitor.request("POST", "/checkout", &session, "email=jane.doe%40example.com");
    visitor.request("GET", "/thanks?order=7", &session[1..], "");
    let told = network.await_received(1).remove(0);
    assert_eq!((told.parameter("cids"), told.parameter("hash")), (Some("abc"), Some(HASHED)));
    // Whoever has another session is another visitor.
    let other = [("Cookie", "PHPSESSID=ffffffffffffffffffff")];
    proxy.visitor().request("GET", "/thanks?order=8", &other, "");
    proxy.await_metric(OUTCOMES, &[("outcome", "no_click")], 1);
    let state = std::fs::read(proxy.folder().join("state/throughline.sqlite-wal")).unwrap_or_default();
    let raw = b"8f1c0d2e3a4b5c6d7e8f";
    assert!(!state.windows(raw.len()).any(|bytes| bytes == raw), "kept only as an HMAC");
    end(&proxy);
}

#[test]
fn a_thank_you_page_out_of_the_blue_is_not_preceded() {
    let (_origin, network, proxy) = Rules { conversion: "        after: checkout", ..Rules::default() }.start();
    let mut forger = proxy.visitor();
    forger.lands("/?mid=forged");
    forger.get("/thanks?order=1");
    proxy.await_metric(OUTCOMES, &[("outcome", "not_preceded")], 1);
    let mut buyer = proxy.visitor();
    buyer.lands("/?mid=true");
    buyer.request("POST", "/checkout", &FORM, "email=jane.doe%40example.com");
    buyer.get("/thanks?order=2");
    proxy.await_metric(OUTCOMES, &[("outcome", "queued")], 1);
    assert_eq!(network.await_received(1)[0].parameter("cids"), Some("true"));
    end(&proxy);
}

#[test]
fn a_checkout_counts_only_for_so_long() {
    let conversion = "        after: checkout\n        within: 1s";
    let (_origin, _network, proxy) = Rules { conversion, ..Rules::default() }.start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    visitor.request("POST", "/checkout", &FORM, "email=jane.doe%40example.com");
    let began = Instant::now();
    visitor.get("/thanks?order=0");
    if began.elapsed() < Duration::from_secs(1) {
        proxy.await_metric(OUTCOMES, &[("outcome", "queued")], 1);
    }
    let mut order = 0;
    await_fact(
        || {
            order += 1;
            visitor.get(&format!("/thanks?order={order}"));
            (proxy.metric(OUTCOMES, &[("outcome", "not_preceded")]) > 0.5).then_some(())
        },
        || "the checkout to be too long ago".to_owned(),
    );
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    end(&proxy);
}

#[test]
fn journeys_survive_a_restart() {
    let (_origin, network, mut proxy) = Rules::default().start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    visitor.request("POST", "/checkout", &FORM, "email=jane.doe%40example.com");
    assert!(proxy.terminate().success());
    proxy.restart();
    visitor.request("GET", "/thanks?order=7", &[("Cookie", &only_ours(&visitor))], "");
    let told = network.await_received(1).remove(0);
    assert_eq!((told.parameter("cids"), told.parameter("hash")), (Some("abc"), Some(HASHED)));
    end(&proxy);
}

#[test]
fn journeys_are_found_after_the_secret_was_changed() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let site = "    recognise_by: [cookie.PHPSESSID]";
    let setup = Rules { site, ..Rules::default() }.setup(&origin, &network);
    let path = setup.folder().join("throughline.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("secret: ${{OLD}}\n{config}")).unwrap();
    let setup = setup.env("OLD", &"o".repeat(40)).env("NEW", &"n".repeat(40));
    let mut proxy = setup.start();
    let cookie = [("Cookie", "PHPSESSID=8f1c0d2e3a4b5c6d7e8f")];
    let mut visitor = proxy.visitor();
    visitor.request("GET", "/?mid=abc", &cookie, "");
    assert!(proxy.terminate().success());
    std::fs::write(&path, format!("secret: [\"${{NEW}}\", \"${{OLD}}\"]\n{config}")).unwrap();
    proxy.restart();
    visitor.request("GET", "/thanks?order=1", &cookie, "");
    assert_eq!(network.await_received(1)[0].parameter("cids"), Some("abc"));
    let ours = only_ours(&visitor);
    visitor.request("GET", "/thanks?order=2", &[("Cookie", &ours)], "");
    assert_eq!(network.await_received(2)[1].parameter("cids"), Some("abc"), "our own cookie, too");
    end(&proxy);
}

#[test]
fn journeys_that_cannot_be_read_in_time_delay_no_page() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let rules = Rules { conversion: "        after: checkout", ..Rules::default() };
    let config = rules.text(&format!("\"http://{}\"", origin.address()), &network);
    let proxy = Proxy::with(&format!("max_page_delay: 100ms\n{config}")).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    visitor.request("POST", "/checkout", &FORM, "email=jane.doe%40example.com");
    // Whoever opens the file from now on waits for somebody to write; the writer has it open already.
    let state = proxy.folder().join("state");
    let file = state.join("throughline.sqlite");
    std::fs::rename(&file, state.join("aside")).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let answer = visitor.get("/thanks?order=7");
    assert_eq!((answer.status, answer.text().as_str()), (200, PAGE));
    assert!(answer.head_after >= Duration::from_millis(90), "the store was asked: {:?}", answer.head_after);
    assert!(answer.head_after < Duration::from_secs(1), "{:?}", answer.head_after);
    proxy.await_metric("throughline_late_recalls_total", &[], 1);
    assert!(visitor.get("/").head_after < Duration::from_millis(90), "pages without a conversion wait for nothing");
    // The reader goes on and finds no store there, but what this process remembers decides after all: the
    // visitor was at the checkout. Whether it can be written depends on when the writer missed its file.
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&file).unwrap());
    std::fs::remove_file(&file).unwrap();
    std::fs::rename(state.join("aside"), &file).unwrap();
    await_fact(
        || {
            let counted = |outcome| proxy.metric(OUTCOMES, &[("outcome", outcome)]);
            (counted("queued") + counted("unstored") > 0.5).then_some(())
        },
        || proxy.admin("/metrics").text(),
    );
    assert_accounts(&proxy);
}

#[test]
fn whatever_comes_twice_is_one_conversion() {
    let (_origin, network, proxy) = Rules::default().start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    visitor.request("POST", "/checkout", &FORM, "email=jane.doe%40example.com");
    let cookie = format!("{}; _mid=abc", only_ours(&visitor));
    let tabs: Vec<_> = (0..8)
        .map(|_| {
            let mut tab = proxy.visitor().sending("Cookie", &cookie);
            thread::spawn(move || tab.get("/thanks?order=7").status)
        })
        .collect();
    assert!(tabs.into_iter().all(|tab| tab.join().unwrap() == 200));
    visitor.get("/thanks?order=7");
    proxy.await_metric(OUTCOMES, &[("outcome", "queued")], 1);
    proxy.await_metric(OUTCOMES, &[("outcome", "duplicate")], 8);
    end(&proxy);
    assert_eq!(network.received().len(), 1);
}

#[test]
fn two_processes_on_one_store_know_the_same_journeys() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let rules = Rules { conversion: "        after: checkout", ..Rules::default() };
    let first = rules.setup(&origin, &network).start();
    let state = first.folder().join("state");
    let config = rules.text(&format!("\"http://{}\"", origin.address()), &network);
    let second = Proxy::with(&format!("state: {{ path: \"{}\" }}\n{config}", state.display())).start();
    let mut visitor = first.visitor();
    visitor.lands("/?mid=abc");
    visitor.request("POST", "/checkout", &FORM, "email=jane.doe%40example.com");
    let cookie = only_ours(&visitor);
    // What the one remembers is on disk soon, and no sooner.
    let mut order = 0;
    await_fact(
        || {
            order += 1;
            second.visitor().request("GET", &format!("/thanks?order={order}"), &[("Cookie", &cookie)], "");
            second.metric(OUTCOMES, &[("outcome", "queued")]).gt(&0.5).then_some(())
        },
        || second.stderr(),
    );
    visitor.get(&format!("/thanks?order={order}"));
    first.await_metric(OUTCOMES, &[("outcome", "duplicate")], 1);
    let told = network.await_received(1).remove(0);
    assert_eq!((told.parameter("cids"), told.parameter("hash")), (Some("abc"), Some(HASHED)));
    first.await_settled();
    assert_eq!(network.received().len(), 1);
}
