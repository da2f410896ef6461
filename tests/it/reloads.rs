//! A changed configuration is taken up while everything goes on, or not at all.

use std::{thread, time::Duration};

use crate::support::{
    http::latin1,
    origin::{Origin, PAGE},
    proxy::Proxy,
    response::Response,
    streams::Multiplexed,
    tunnel::{self, greeting_echo},
};

mod delivery;
mod load;
mod process;

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
    let echo = greeting_echo("");
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
    let mut tunnel = tunnel::open(proxy.address(), "echo.example", b"").unwrap();
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
