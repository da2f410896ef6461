//! Reloads while visitors keep asking.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{
    accounting::assert_accounts, await_fact, network::AdNetwork, origin::Origin, proxy::Proxy, response::Response,
    server::lock, streams::Multiplexed, tell, visitor::Visitor,
};

/// One of two configurations that differ in everything a request can meet: the site, what a click is kept
/// in, the network and its address.
struct Face {
    letter: &'static str,
    origin: Origin,
    network: AdNetwork,
}

impl Face {
    fn new(letter: &'static str) -> Self {
        let origin = Origin::start();
        origin.change("/", Response::html(format!("<html><body>{letter}</body></html>")));
        Self { letter, origin, network: AdNetwork::answering(["OK"]) }
    }

    fn configuration(&self) -> String {
        let Self { letter, origin, network } = self;
        let (site, network) = (origin.address(), network.address());
        format!(
            r#"sites:
  - name: shop
    upstream: "http://{site}"
    networks:
      own_{letter}:
        click: {{ param: cid, cookie: _{letter}_cid }}
        postback: {{ url: "http://{network}/pb", query: {{ o: "{{order_id}}", by: "{letter}" }} }}
    conversions:
      - name: purchase_{letter}
        path: "/thank-you/{{order_id}}"
        send: {{ own_{letter}: {{ }} }}
"#
        )
    }

    /// Both networks, so that nothing of either is left waiting.
    fn both(one: &Self, other: &Self) -> String {
        let networks = |config: &str| {
            let (_, rest) = config.split_once("    networks:\n").unwrap();
            let (networks, conversions) = rest.split_once("    conversions:\n").unwrap();
            (networks.to_owned(), conversions.to_owned())
        };
        let (first, second) = (one.configuration(), other.configuration());
        let ((networks, conversions), (more_networks, more)) = (networks(&first), networks(&second));
        let head = first.split_once("    networks:\n").unwrap().0;
        // Two conversions may not count the same page twice here.
        let more = more.replace("/thank-you/", "/thanks/");
        format!("{head}    networks:\n{networks}{more_networks}    conversions:\n{conversions}{more}")
    }
}

/// Visitors who keep asking, until it is over.
struct Bustle<'a> {
    proxy: &'a Proxy,
    over: AtomicBool,
    orders: AtomicUsize,
    answers: AtomicUsize,
    errors: Mutex<Vec<String>>,
}

impl Bustle<'_> {
    /// Orders on one connection with HTTP/1.1, and landings of strangers.
    fn visit(&self) {
        let clicks = "_a_cid=abc; _b_cid=abc";
        let mut buyer = self.proxy.visitor().on_one_connection().sending("Cookie", clicks);
        while !self.over.load(Ordering::SeqCst) {
            let number = self.orders.fetch_add(1, Ordering::SeqCst);
            self.ask(&mut buyer, &format!("/thank-you/{number}"));
            self.ask(&mut self.proxy.visitor(), "/?cid=xyz");
        }
    }

    fn ask(&self, visitor: &mut Visitor, target: &str) {
        match visitor.try_request("GET", target, &[], "") {
            Ok(answer) if answer.status == 200 && answer.is_complete() => {
                let set: Vec<_> = answer.set_cookies().into_iter().map(|cookie| cookie.name).collect();
                self.judge(target, &answer.text(), &set);
            }
            Ok(answer) => self.fail(format!("{target}: {} {:?}", answer.status, answer.ending)),
            Err(error) => self.fail(format!("{target}: {error}")),
        }
    }

    /// Landings on one connection with HTTP/2, which lives through all of it.
    fn stream(&self) {
        let mut connection = Multiplexed::plain(self.proxy.address());
        while !self.over.load(Ordering::SeqCst) {
            let asked = connection.ask("/?cid=xyz", &[]);
            match connection.try_hear(asked) {
                Ok(answer) if answer.status == 200 => {
                    let cookies = answer.cookies();
                    let set = ["_a_cid", "_b_cid"].into_iter().filter(|name| cookies.contains(name));
                    self.judge("/?cid=xyz over HTTP/2", &answer.text(), &set.map(str::to_owned).collect::<Vec<_>>());
                }
                Ok(answer) => self.fail(format!("HTTP/2: {}", answer.status)),
                Err(error) => self.fail(format!("HTTP/2: {error}")),
            }
        }
    }

    /// Whoever asked the site of one configuration was given the cookies of that one.
    fn judge(&self, target: &str, page: &str, set: &[String]) {
        self.answers.fetch_add(1, Ordering::SeqCst);
        let is_landing = target.starts_with("/?");
        for (letter, cookie, others) in [("a", "_a_cid", "_b_cid"), ("b", "_b_cid", "_a_cid")] {
            let is_mixed = page.contains(&format!("<body>{letter}</body>"))
                && (is_landing != set.iter().any(|name| name == cookie) || set.iter().any(|name| name == others));
            if is_mixed {
                self.fail(format!("{target}: the page of {letter} with {set:?}"));
            }
        }
    }

    fn fail(&self, error: String) {
        lock(&self.errors).push(error);
    }
}

#[test]
fn ten_reloads_under_load_fail_no_request_and_mix_no_configurations() {
    reload_under_load(10);
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_reloads_under_load_fail_no_request_and_mix_no_configurations() {
    reload_under_load(100);
}

fn reload_under_load(rounds: usize) {
    let faces = [Face::new("a"), Face::new("b")];
    let proxy = Proxy::with(&faces[0].configuration()).start();
    let bustle = Bustle {
        proxy: &proxy,
        over: AtomicBool::default(),
        orders: AtomicUsize::default(),
        answers: AtomicUsize::default(),
        errors: Mutex::default(),
    };
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| bustle.visit());
        }
        for _ in 0..2 {
            scope.spawn(|| bustle.stream());
        }
        for round in 1..=rounds {
            let before = bustle.answers.load(Ordering::SeqCst);
            proxy.follows(&faces[round % 2].configuration());
            // Both configurations must be seen at work.
            await_fact(
                || (bustle.answers.load(Ordering::SeqCst) > before + 20).then_some(()),
                || format!("answers after reload {round}: {}", proxy.stderr()),
            );
        }
        bustle.over.store(true, Ordering::SeqCst);
    });
    let errors = lock(&bustle.errors);
    assert!(errors.is_empty(), "{} errors: {:?}", errors.len(), &errors[..errors.len().min(5)]);
    // What was accepted under one configuration and not sent before the next one is sent when it is back.
    proxy.follows(&Face::both(&faces[0], &faces[1]));
    let placed = bustle.orders.load(Ordering::SeqCst);
    await_fact(
        || (orders_at(&faces).len() >= placed).then_some(()),
        || format!("{} of {placed} orders: {}", orders_at(&faces).len(), proxy.outbox_list()),
    );
    let mut reported = orders_at(&faces);
    reported.sort_unstable();
    reported.dedup();
    assert_eq!(reported.len(), placed, "each order once");
    assert_accounts(&proxy);
    for face in &faces {
        assert!(!face.network.received().is_empty(), "{} was in force", face.letter);
    }
    tell(&format!("{rounds} reloads, {} pages, {placed} orders, 0 errors", bustle.answers.load(Ordering::SeqCst)));
}

fn orders_at(faces: &[Face; 2]) -> Vec<String> {
    let all = faces.iter().flat_map(|face| face.network.received());
    all.filter_map(|postback| postback.parameter("o").map(str::to_owned)).collect()
}
