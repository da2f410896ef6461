//! A changed configuration is taken up while everything goes on, or not at all.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    http::latin1,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    raw_origin::{Connection, RawOrigin},
    response::Response,
    server::lock,
    streams::Multiplexed,
    tell,
    visitor::Visitor,
};

mod delivery;
mod process;

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

#[test]
fn sites_come_and_go_and_counters_stay() {
    let (old, both, new) = (Origin::start(), Origin::start(), Origin::start());
    let site = |name: &str, origin: &Origin| {
        format!("  - {{ name: {name}, hosts: [{name}.example], upstream: \"http://{}\" }}\n", origin.address())
    };
    let proxy = Proxy::with(&format!("sites:\n{}{}", site("old", &old), site("both", &both))).start();
    let status = |host: &str| proxy.visitor().host(host).get("/").status;
    let keeps = |host: &str| (0..3).for_each(|_| assert_eq!(status(host), 200, "{host}"));
    assert_eq!(status("new.example"), 421);
    keeps("old.example");
    keeps("both.example");
    let answered = |site: &str| proxy.metric("throughline_requests_total", &[("site", site)]);
    let seen = answered("both");
    proxy.follows(&format!("sites:\n{}{}", site("both", &both), site("new", &new)));
    assert_eq!(status("old.example"), 421);
    keeps("new.example");
    keeps("both.example");
    assert!(answered("both") >= seen + 2.5 && answered("old") > 2.5, "counters never go back");
    let metrics = proxy.admin("/metrics").text();
    for gauge in ["throughline_tracking_enabled{", "throughline_upstream_up{"] {
        let lines: Vec<_> = metrics.lines().filter(|line| line.starts_with(gauge)).collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| !line.contains("\"old\"")), "{lines:?}");
    }
    proxy.await_log("changed: sites.new (new)");
    proxy.await_log("changed: sites.old (removed)");
}

#[test]
fn a_broken_file_changes_nothing_and_says_where_it_is_broken() {
    let (origin, other) = (Origin::start(), Origin::start());
    let config = |origin: &Origin| format!("sites:\n  - upstream: \"http://{}\"\n", origin.address());
    let proxy = Proxy::with(&config(&origin)).start();
    let is_fresh = |value| proxy.await_metric("throughline_config_last_reload_successful", &[], value);
    is_fresh(1);
    for broken in ["    nonsense: 1\n", "    error_pages: { 502: missing.html }\n", "    hosts: [\n"] {
        proxy.configure(&(config(&other) + broken));
        assert!(!proxy.reload(), "{broken}");
        assert_eq!(proxy.visitor().get("/").text(), PAGE);
        is_fresh(0);
        let ready = proxy.admin("/readyz");
        assert_eq!(ready.status, 200);
        let told: serde_json::Value = serde_json::from_str(&ready.text()).unwrap();
        assert_eq!(told["configuration"]["state"], "before", "{told}");
        assert!(told["configuration"]["mistakes"].as_u64() >= Some(1), "{told}");
    }
    assert!(other.requests().is_empty());
    proxy.await_log("unknown key `nonsense`");
    proxy.await_log("missing.html");
    proxy.follows(&config(&other));
    proxy.visitor().get("/");
    other.await_requests(1);
    is_fresh(1);
    assert!(proxy.admin("/readyz").text().contains("\"configuration\":{\"state\":\"file\"}"));
}

#[test]
fn what_only_a_new_process_can_change_is_refused_with_all_that_came_with_it() {
    let (origin, other) = (Origin::start(), Origin::start());
    let config = |origin: &Origin| format!("sites:\n  - upstream: \"http://{}\"\n", origin.address());
    let proxy = Proxy::with(&config(&origin)).start();
    for keys in [
        "listen: { address: 127.0.0.1:0, proxy_protocol: yes }\ntrusted_proxies: 127.0.0.1\n",
        "listen: [127.0.0.1:0, 127.0.0.1:0]\n",
        "admin: { listen: 127.0.0.1:1 }\n",
        "state: { path: ./elsewhere }\n",
        "threads: 7\n",
    ] {
        proxy.configure(&format!("{keys}{}", config(&other)));
        assert!(!proxy.reload(), "{keys}");
    }
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    assert!(other.requests().is_empty() && !proxy.folder().join("elsewhere").exists());
    for key in ["listen", "admin", "state", "threads"] {
        proxy.await_log(&format!(": {key}: this cannot be changed while the process runs"));
    }
    proxy.await_log("`throughline handover`");
}

#[test]
fn a_tunnel_and_a_slow_download_survive_the_end_of_their_site() {
    let echo = RawOrigin::start(|visitor| {
        visitor.head()?;
        visitor.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        loop {
            let some = visitor.some()?;
            if some.is_empty() {
                return Ok(());
            }
            visitor.send(some)?;
        }
    });
    let large = "x".repeat(2000);
    let files = Origin::start().route("/file", Response::html(&large).dripping(Duration::from_millis(2)));
    let next = Origin::start();
    let before = format!(
        "sites:\n  - {{ name: echo, hosts: [echo.example], upstream: \"http://{}\" }}\n\
         \x20 - {{ name: files, hosts: [files.example], upstream: \"http://{}\" }}\n",
        echo.address(),
        files.address()
    );
    let proxy = Proxy::with(&before).start();
    let mut tunnel = Connection::to(proxy.address());
    let handshake = "GET / HTTP/1.1\r\nHost: echo.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tunnel.send(handshake).unwrap();
    assert!(tunnel.head().unwrap().unwrap_or_default().starts_with("HTTP/1.1 101 "));
    thread::scope(|scope| {
        let download = scope.spawn(|| proxy.visitor().host("files.example").get("/file"));
        files.await_requests(1);
        for _ in 0..3 {
            proxy.follows(&format!("sites:\n  - upstream: \"http://{}\"\n", next.address()));
            proxy.follows(&before);
        }
        proxy.follows(&format!("sites:\n  - upstream: \"http://{}\"\n", next.address()));
        tunnel.send("still there").unwrap();
        assert_eq!(latin1(&tunnel.exactly(11).unwrap()), "still there");
        let file = download.join().unwrap();
        assert!(file.is_complete() && file.text() == large, "{:?}", file.ending);
    });
    assert_eq!(proxy.visitor().host("echo.example").get("/").text(), PAGE);
}

#[test]
fn the_limits_of_a_request_are_those_in_force_when_it_begins() {
    let origin = Origin::start();
    let site = format!("sites:\n  - upstream: \"http://{}\"\n", origin.address());
    let proxy = Proxy::with(&site).start();
    let mut visitor = proxy.visitor().on_one_connection();
    let mut streams = Multiplexed::plain(proxy.address());
    let long = "x".repeat(3000);
    let large = [("X-Long", long.as_str())];
    assert_eq!(visitor.request("GET", "/", &large, "").status, 200);
    assert_eq!(streams.get("/").status, 200);
    proxy.follows(&format!("limits: {{ max_header_bytes: 1KiB }}\n{site}"));
    assert_eq!(visitor.request("GET", "/", &large, "").status, 431, "on a connection from before");
    assert_eq!(streams.get("/").status, 200, "the connection lives on");
    proxy.follows(&site);
    assert_eq!(proxy.visitor().request("GET", "/", &large, "").status, 200);
}
