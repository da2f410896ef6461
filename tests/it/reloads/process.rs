//! What a reload leaves behind in the process and in the state folder: nothing, and one file.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use crate::support::{
    await_fact,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    tell,
    tls::Issued,
    tls_client::TlsClient,
};

/// Many sites and networks, which differ by the letter; `care` is more about each site's server.
fn many(letter: &str, server: &str, care: &str, network: &AdNetwork) -> String {
    let site = |number: u32| {
        format!(
            r##"  - name: {letter}{number}
    hosts: [{letter}{number}.example]
    upstream: {{ url: "http://{server}", read_timeout: {}s{care} }}
    networks:
      own:
        click: {{ param: cid }}
        postback: {{ url: "http://{}/pb", query: {{ o: "{{order_id}}" }} }}
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        value: 'html("#total-{letter}")'
        send: {{ own: {{ }} }}
"##,
            number + 10,
            network.address()
        )
    };
    let sites: Vec<_> = (0..30).map(site).collect();
    format!("sites:\n{}", sites.concat())
}

#[derive(Debug)]
struct Use {
    memory: u64,
    descriptors: usize,
    threads: usize,
}

fn used(proxy: &Proxy) -> Use {
    let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", proxy.pid())).expect("it runs").count();
    Use { memory: proxy.memory(), descriptors: count("fd"), threads: count("task") }
}

#[test]
fn twenty_reloads_leave_nothing_behind() {
    reload_again_and_again(20);
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_reloads_leave_nothing_behind() {
    reload_again_and_again(100);
}

fn reload_again_and_again(rounds: usize) {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let server = origin.address().to_string();
    let configs = ["a", "b"].map(|letter| many(letter, &server, "", &network));
    let proxy = Proxy::with(&configs[0]).start();
    let reload = |round: usize| {
        proxy.follows(&configs[round % 2]);
        let host = format!("{}3.example", ["a", "b"][round % 2]);
        assert_eq!(proxy.visitor().host(&host).get("/").text(), PAGE);
    };
    // Both configurations once or twice, so that allocator, pools and counters have all they need.
    (1..=4).for_each(reload);
    let before = used(&proxy);
    (5..=4 + rounds).for_each(reload);
    // Connections and questions under way end after a moment.
    let after = await_fact(
        || Some(used(&proxy)).filter(|now| now.descriptors <= before.descriptors + 60),
        || format!("{before:?} {:?}", used(&proxy)),
    );
    tell(&format!("{rounds} reloads of 30 sites: {before:?} {after:?}"));
    // What the allocator keeps moves up and down by half of that.
    assert!(after.memory < before.memory + (16 << 20), "{before:?} {after:?}");
    assert!(after.threads <= before.threads + 8, "{before:?} {after:?}");
}

#[test]
fn nobody_looks_after_servers_that_are_not_in_force() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let server = format!("localhost:{}", origin.address().port());
    let config = |letter: &str| {
        let care = format!(", health: {{ path: /up-{letter}, interval: 1s }}");
        many(letter, &server, &care, &network)
    };
    let proxy = Proxy::with(&config("a")).start();
    for letter in ["b", "a", "b"] {
        proxy.follows(&config(letter));
    }
    let gone = "/up-a";
    await_fact(
        || {
            origin.forget();
            origin.await_requests(60);
            origin.requests().iter().all(|request| request.path() != gone).then_some(())
        },
        || format!("{gone} is still asked for"),
    );
}

#[test]
fn a_listener_shows_the_certificates_of_the_configuration_in_force() {
    let origin = Origin::start();
    let (first, second) = (Issued::to(&["shop.example"]), Issued::to(&["shop.example"]));
    let config = |name: &str| {
        format!(
            "listen: {{ address: 127.0.0.1:0, tls: [{{ cert: {name}.pem, key: {name}.key }}] }}\n\
             sites: [{{ upstream: \"http://{}\" }}]\n",
            origin.address()
        )
    };
    let setup = Proxy::with(&config("first"));
    first.write(setup.folder(), "first");
    second.write(setup.folder(), "second");
    let proxy = setup.start();
    let shown = || TlsClient::new().connect(proxy.address(), "shop.example").unwrap().shown;
    assert!(shown() == first.der);
    proxy.follows(&config("second"));
    assert!(shown() == second.der);
    let names = || proxy.metrics().values("throughline_certificate_expires_seconds", ["name"]);
    await_fact(
        || (names().len() == 1 && names().iter().all(|[name]| name.ends_with("second.pem"))).then_some(()),
        || format!("{:?}", names()),
    );
    // A renewed file is still taken up by itself.
    first.write(proxy.folder(), "second");
    await_fact(|| (shown() == first.der).then_some(()), || "the renewed certificate".to_owned());
    proxy.configure(&format!("sites: [{{ upstream: \"http://{}\" }}]\n", origin.address()));
    assert!(!proxy.reload(), "TLS cannot be given up without a new socket");
}

#[test]
fn the_last_good_configuration_runs_when_the_file_is_broken() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let config = format!(
        "secret: ${{SECRET}}\n{}",
        crate::support::crowd::shop_of_its_own(origin.address(), &network.address().to_string())
    );
    let secret = "a secret that is never written down, 0123456789";
    let setup = Proxy::with(&config).env("SECRET", secret).argument("--last-good");
    let mut proxy = setup.start();
    let kept = proxy.folder().join("state/last-good.json");
    let text = fs::read_to_string(&kept).unwrap();
    assert!(text.contains("${SECRET}") && !text.contains(secret), "{text}");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);

    proxy.configure(&format!("{config}\n  - nonsense: [\n"));
    proxy.restart();
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    proxy.await_log("the last one that was accepted is in force");
    proxy.await_metric("throughline_config_last_reload_successful", &[], 0);
    assert!(proxy.admin("/readyz").text().contains("\"state\":\"last_good\""));
    let mut buyer = proxy.visitor();
    buyer.lands("/?cid=abc");
    buyer.get("/thank-you/1");
    network.await_received(1);

    assert!(!proxy.reload(), "the file is still broken");
    assert!(proxy.admin("/readyz").text().contains("\"state\":\"last_good\""));
    proxy.follows(&config);
    proxy.await_metric("throughline_config_last_reload_successful", &[], 1);
}

#[test]
fn without_a_last_good_configuration_or_the_wish_for_it_a_broken_file_does_not_start() {
    let broken = "sites:\n  - upstream: \"http://127.0.0.1:1\"\n    nonsense: 1\n";
    let (status, errors) = Proxy::with(broken).argument("--last-good").refuses();
    assert_eq!(status.code(), Some(78), "{errors}");
    assert!(errors.contains("unknown key `nonsense`") && errors.contains("accepted before"), "{errors}");

    let whole = broken.replace("    nonsense: 1\n", "");
    let mut proxy = Proxy::with(&whole).start();
    assert_eq!(proxy.terminate().code(), Some(0));
    proxy.configure(broken);
    let output = proxy.command(&["run"]);
    assert_eq!(output.status.code(), Some(78), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn signals_in_quick_succession_are_all_heard() {
    let (one, two) = (Origin::start(), Origin::start().page("/", "<html><body>two</body></html>"));
    let config = |origin: &Origin| format!("sites:\n  - upstream: \"http://{}\"\n", origin.address());
    let proxy = Proxy::with(&config(&one)).start();
    for _ in 0..20 {
        proxy.signal("HUP");
    }
    proxy.configure(&config(&two));
    proxy.signal("HUP");
    await_fact(|| proxy.visitor().get("/").text().contains("two").then_some(()), || proxy.stderr());
    let began = std::time::Instant::now();
    assert!(proxy.reload() && began.elapsed() < Duration::from_secs(10));
}
