//! Many hostile visitors at once, and the books still balance.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    config::GOAL,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    visitor::Visitor,
};

const THREADS: usize = 8;
const REQUESTS_EACH: usize = 26;
const HITS: &str = "throughline_conversion_hits_total";

/// Two networks, and two conversions on one path.
fn config(origin: &Origin, network: &AdNetwork) -> String {
    let (origin, network) = (origin.address(), network.address());
    format!(
        r#"sites:
  - upstream: "http://{origin}"
    networks:
      exoclick: {{ click: {{ param: exotracker }}, postback: {{ url: "http://{network}/one" }} }}
      exo_de:
        preset: exoclick
        click: {{ param: exode, cookie: _exo_de }}
        postback: {{ url: "http://{network}/two" }}
        sync: none
    conversions:
      - {{ name: purchase, path: "/thank-you/{{order_id}}", send: {{ exoclick: {{ goal: {GOAL} }}, exo_de: {{ goal: {GOAL} }} }} }}
      - {{ name: lead, path: "/thank-you/**", once_per: query.lead, send: {{ exoclick: {{ goal: {GOAL} }} }} }}
"#
    )
}

/// One request of the storm; whether it asked for a thank-you page.
fn fire(proxy: &Proxy, visitor: &mut Visitor, thread: usize, number: usize) -> bool {
    let page = format!("/thank-you/{thread}-{}?lead={thread}-{number}", number / 13);
    match number % 13 {
        0 => drop(visitor.lands(&format!("/?exotracker=c{thread}&exode=d{thread}"))),
        1 | 2 => drop(visitor.get(&page)),
        3 => drop(visitor.head(&page)),
        4 => drop(visitor.request("GET", &page, &[("Sec-Purpose", "prefetch;prerender")], "")),
        5 => abort(proxy, &page),
        6 => drop(visitor.get("/thank-you/missing")),
        7 => drop(visitor.get("/thank-you/broken")),
        8 => drop(visitor.request("GET", &page, &[("Sec-Fetch-Dest", "iframe")], "")),
        9 => drop(proxy.visitor().get(&format!("/thank-you/without-a-click-{thread}-{number}"))),
        10 => drop(proxy.visitor().sending("Cookie", "_exo_de=only; =; ;;\"").get(&page)),
        11 => drop(visitor.request("POST", &page, &[("Range", "bytes=0-1")], "total=1")),
        _ => drop(visitor.lands("/?exotracker=%00&exode=%0d%0a")),
    }
    !matches!(number % 13, 0 | 12)
}

/// A visitor who is gone before anything was answered.
fn abort(proxy: &Proxy, target: &str) {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\nCookie: _exoclick_cid=gone\r\n\r\n"
    )
    .unwrap();
}

#[test]
fn the_books_balance_after_a_storm() {
    let origin = Origin::start()
        .route("/thank-you/missing", Response::new(404).header("Content-Type", "text/html").body("gone"))
        .route("/thank-you/broken", Response::new(500));
    let answers = ["OK", "ERROR: Tag is invalid!", "ERROR: This conversion has already been notified and saved.", "?"];
    let turn = AtomicUsize::new(0);
    let network = AdNetwork::judging(move |_| answers[turn.fetch_add(1, Ordering::Relaxed) % answers.len()].into());
    let proxy = Proxy::with(&config(&origin, &network)).start();
    let asked = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (proxy, asked) = (&proxy, &asked);
            scope.spawn(move || {
                let mut visitor = proxy.visitor();
                for number in 0..REQUESTS_EACH {
                    let is_thank_you = fire(proxy, &mut visitor, thread, number);
                    asked.fetch_add(usize::from(is_thank_you), Ordering::Relaxed);
                }
            });
        }
    });
    // GET and POST are what a conversion takes unless told otherwise; a HEAD stands for its GET.
    let asked = u32::try_from(asked.into_inner()).unwrap();
    for conversion in ["purchase", "lead"] {
        proxy.await_metric(HITS, &[("conversion", conversion)], asked);
    }
    assert_accounts(&proxy);
    await_fact(
        || (proxy.metric("throughline_outbox_pending", &[]) < 0.5).then_some(()),
        || format!("a verdict for everything: {}", proxy.outbox_list()),
    );
    assert_accounts(&proxy);
    let outcomes = proxy.metrics().values("throughline_conversions_total", ["outcome"]);
    for outcome in ["queued", "duplicate", "no_click", "not_success", "not_document", "prefetch"] {
        assert!(outcomes.contains(&[outcome.to_owned()]), "{outcome} in {outcomes:?}");
    }
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}
