//! The access log: a line for each request, whatever becomes of it, and no page that waits for one.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    await_fact,
    config::{THANKS, shop},
    edge::Wire,
    network::AdNetwork,
    origin::{Origin, PAGE, nobody},
    proxy::{Proxy, Setup},
    raw_origin::{Connection, RawOrigin},
    response::Response,
    streams::Multiplexed,
};

mod file;

/// The usual shop with an access log of these further keys.
fn logging(keys: &str, origin: &Origin, network: &AdNetwork) -> Setup {
    Proxy::with(&format!("log: {{ access: {{ file: access.log{keys} }} }}\n{}", shop(origin, network)))
}

fn file(proxy: &Proxy) -> PathBuf {
    proxy.folder().join("access.log")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// Waits for so many whole lines, and looks that there are no more.
fn lines(proxy: &Proxy, count: usize) -> Vec<String> {
    let file = file(proxy);
    let lines = || read(&file).split_inclusive('\n').filter(|line| line.ends_with('\n')).count();
    await_fact(|| (lines() >= count).then_some(()), || format!("{count} lines in {}", read(&file)));
    let lines: Vec<String> = read(&file).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

fn objects(proxy: &Proxy, count: usize) -> Vec<Value> {
    lines(proxy, count).iter().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A line without its time.
fn timeless(line: &str) -> String {
    let (before, rest) = line.split_once(" [").expect(line);
    let (time, after) = rest.split_once("] ").expect(line);
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
    format!("{before} {after}")
}

#[test]
fn each_request_is_a_line_that_programs_for_apache_and_nginx_read() {
    let origin =
        Origin::start().route("/old", Response::redirect("/")).route("/missing", Response::new(404).body("nothing"));
    let proxy = logging("", &origin, &AdNetwork::answering(["OK"])).start();
    let mut visitor = proxy.visitor().sending("User-Agent", "Browser/1.0");
    visitor.lands("/?exotracker=abc");
    for (number, target) in ["/old", "/missing?email=a@b.example", THANKS].into_iter().enumerate() {
        lines(&proxy, number + 1);
        visitor.get(target);
    }
    lines(&proxy, 4);
    visitor.head("/");
    let page = PAGE.len();
    let expected = [
        format!("127.0.0.0 - - \"GET / HTTP/1.1\" 200 {page} \"https://ads.example/\" \"Browser/1.0\""),
        "127.0.0.0 - - \"GET /old HTTP/1.1\" 302 0 \"-\" \"Browser/1.0\"".to_owned(),
        "127.0.0.0 - - \"GET /missing HTTP/1.1\" 404 7 \"-\" \"Browser/1.0\"".to_owned(),
    ];
    let found: Vec<String> = lines(&proxy, 5).iter().map(|line| timeless(line)).collect();
    assert_eq!(found[..3], expected);
    // A frame that awaits the verdict may be in it.
    assert!(found[3].starts_with("127.0.0.0 - - \"GET /thank-you/1001 HTTP/1.1\" 200 "), "{}", found[3]);
    assert_eq!(found[4], "127.0.0.0 - - \"HEAD / HTTP/1.1\" 200 0 \"-\" \"Browser/1.0\"");
    let mode = fs::metadata(file(&proxy)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn queries_and_whole_addresses_are_written_where_that_is_asked_for() {
    let origin = Origin::start();
    let setup = Proxy::with(&format!(
        "privacy: {{ client_ip: full }}\nlog: {{ access: {{ file: access.log, query: keep }} }}\n{}",
        shop(&origin, &AdNetwork::answering(["OK"]))
    ));
    let proxy = setup.start();
    proxy.visitor().sending("User-Agent", "B").request("GET", "/?a=b", &[("Referer", "https://x.example/?c=d")], "");
    let found = timeless(&lines(&proxy, 1)[0]);
    assert!(found.starts_with("127.0.0.1 - - \"GET /?a=b HTTP/1.1\" 200 "), "{found}");
    assert!(found.ends_with("\"https://x.example/?c=d\" \"B\""), "{found}");
}

#[test]
fn json_says_which_site_which_server_and_how_long() {
    let slow = Response::html(PAGE).delayed(Duration::from_millis(60));
    let origin = Origin::start().route("/slow", slow);
    let proxy = logging(", format: json", &origin, &AdNetwork::answering(["OK"])).start();
    proxy.visitor().get("/slow?secret=1");
    let object = &objects(&proxy, 1)[0];
    let expected = [
        ("client", "127.0.0.0"),
        ("site", "default"),
        ("host", "shop.example"),
        ("method", "GET"),
        ("target", "/slow"),
        ("protocol", "HTTP/1.1"),
        ("ending", "complete"),
    ];
    for (key, value) in expected {
        assert_eq!(object[key], value, "{key}");
    }
    assert_eq!(object["upstream"], origin.address().to_string());
    assert_eq!((object["status"].as_u64(), object["bytes"].as_u64()), (Some(200), Some(PAGE.len() as u64)));
    let (seconds, upstream) = (object["seconds"].as_f64().unwrap(), object["upstream_seconds"].as_f64().unwrap());
    assert!(upstream >= 0.06 && seconds >= upstream, "{object}");
    assert_eq!(object["request_id"].as_str().unwrap().len(), 32);
    let time = object["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    assert!(object["refused"].is_null() && object["referer"].is_null());
}

#[test]
fn http_2_tunnels_and_requests_for_nobody_have_their_lines() {
    let socket = RawOrigin::start(|visitor| {
        visitor.head()?;
        visitor.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
        )?;
        visitor.await_end()
    });
    let origin = Origin::start();
    let config = format!(
        "listen: [127.0.0.1:0, {{ address: 127.0.0.1:0, redirect: https, probe: /healthz }}, \
         {{ address: 127.0.0.1:0, tls: {{ cert: shop.pem, key: shop.key }} }}]
log: {{ access: {{ file: access.log, format: json }} }}
sites:
  - {{ name: shop, hosts: [shop.example], upstream: \"http://{}\" }}
  - {{ name: socket, hosts: [socket.example], upstream: \"http://{}\" }}
",
        origin.address(),
        socket.address()
    );
    let setup = Proxy::with(&config);
    crate::support::tls::Issued::to(&["shop.example"]).write(setup.folder(), "shop");
    let proxy = setup.start();
    let [plain, redirecting, tls] = proxy.addresses()[..] else { panic!("three listeners") };

    Multiplexed::plain(plain).get("/two");
    lines(&proxy, 1);
    Multiplexed::secure(tls).get("/secure");
    lines(&proxy, 2);
    let mut tunnel = Connection::to(plain);
    let handshake = "GET /socket HTTP/1.1\r\nHost: socket.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tunnel.send(handshake).unwrap();
    assert!(tunnel.head().unwrap().unwrap().contains(" 101 "));
    assert_eq!(tunnel.exactly(5).unwrap(), b"hello");
    drop(tunnel);
    lines(&proxy, 3);
    proxy.visitor().host("nobody.example").get("/lost");
    lines(&proxy, 4);
    let mut wire = Wire::to(redirecting);
    assert_eq!(wire.get("/page").status, 301);
    lines(&proxy, 5);
    assert_eq!(wire.get("/healthz").status, 200);
    lines(&proxy, 6);
    let mut wire = Wire::to(plain);
    wire.say("this is no HTTP\r\n\r\n");
    assert!(wire.end().said.starts_with("HTTP/1.1 400"));
    let objects = objects(&proxy, 7);
    let seen: Vec<[String; 5]> = objects
        .iter()
        .map(|line| ["site", "target", "protocol", "status", "refused"].map(|key| line[key].to_string()))
        .collect();
    let none = "null";
    let expected = [
        ["\"shop\"", "\"/two\"", "\"HTTP/2.0\"", "200", none],
        ["\"shop\"", "\"/secure\"", "\"HTTP/2.0\"", "200", none],
        ["\"socket\"", "\"/socket\"", "\"HTTP/1.1\"", "101", none],
        [none, "\"/lost\"", "\"HTTP/1.1\"", "421", "\"unknown_host\""],
        ["\"shop\"", "\"/page\"", "\"HTTP/1.1\"", "301", none],
        [none, "\"/healthz\"", "\"HTTP/1.1\"", "200", none],
        [none, none, none, "400", "\"malformed\""],
    ];
    assert_eq!(seen, expected);
    assert_eq!(objects[2]["bytes"], 5, "what went through the tunnel");
}

#[test]
fn whoever_ends_an_exchange_early_is_named() {
    let page = PAGE.repeat(2000);
    let origin = Origin::start()
        .route("/endless", Response::endless("for ever and ever "))
        .route("/hangs", Response::hang())
        .route("/breaks", Response::html(&page).reset_after(40_000))
        .route("/resets", Response::reset());
    let proxy = logging(", format: json", &origin, &AdNetwork::answering(["OK"])).start();
    let ended = |count: usize| {
        let object = objects(&proxy, count).pop().unwrap();
        (object["status"].as_u64().unwrap(), object["ending"].as_str().unwrap().to_owned(), object["bytes"].as_u64())
    };
    let mut leaver = proxy.visitor().open("GET", "/endless", &[], "").unwrap();
    leaver.stream.read_exact(&mut [0; 100]).unwrap();
    drop(leaver);
    let (status, ending, bytes) = ended(1);
    assert_eq!((status, ending.as_str()), (200, "visitor_left"));
    assert!(bytes > Some(0));

    let mut impatient = Connection::to(proxy.address());
    impatient.send("GET /hangs HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    origin.await_requests(2);
    drop(impatient);
    assert_eq!(ended(2), (499, "visitor_left".to_owned(), Some(0)));

    assert!(!proxy.visitor().get("/breaks").is_complete());
    let (status, ending, bytes) = ended(3);
    assert_eq!((status, ending.as_str()), (200, "site_failed"));
    assert!(bytes <= Some(40_000), "{bytes:?}");

    assert_eq!(proxy.visitor().get("/resets").status, 502);
    let (status, ending, _) = ended(4);
    assert_eq!((status, ending.as_str()), (502, "site_failed"));
}

#[test]
fn whatever_a_visitor_says_of_itself_stays_on_one_line() {
    let hostile = [
        "a\" 200 1 \"-\" \"forged\" \\",
        "tab\there",
        "\u{1b}[2J\u{7f}",
        "\u{4e2d}\u{6587} \u{2028} \u{85}",
        "{\"status\":200}",
    ];
    for format in ["combined", "json"] {
        let origin = Origin::start();
        let proxy = logging(&format!(", format: {format}"), &origin, &AdNetwork::answering(["OK"])).start();
        let mut arrived = 0;
        for said in hostile {
            for name in ["User-Agent", "Referer"] {
                let request = format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{name}: {said}\r\n\r\n");
                // Some is refused before it is a request; that has a line, too.
                drop(Wire::to(proxy.address()).ask(request.as_bytes(), "GET"));
                arrived += 1;
            }
        }
        let lines = lines(&proxy, arrived);
        for line in &lines {
            assert!(line.bytes().all(|byte| byte >= b' '), "{line:?}");
            match format {
                "json" => assert!(serde_json::from_str::<Value>(line).unwrap()["status"].is_u64()),
                _ => assert!(line.is_ascii() && line.matches('"').count() == 6, "{line:?}"),
            }
        }
    }
}

#[test]
fn a_dead_server_is_a_line_for_each_request_here_and_few_in_the_log() {
    let origin = Origin::start();
    let config =
        shop(&origin, &AdNetwork::answering(["OK"])).replace(&origin.address().to_string(), &nobody().to_string());
    let proxy =
        Proxy::with(&format!("log: {{ format: json, access: {{ file: access.log, format: json }} }}\n{config}"))
            .start();
    let mut visitor = proxy.visitor();
    (0..200).for_each(|_| assert_eq!(visitor.get("/").status, 502));
    let lines = objects(&proxy, 200);
    assert!(lines.iter().all(|line| line["status"] == 502 && line["ending"] == "site_failed"));
    let log: Vec<Value> = proxy.stderr().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let told: Vec<&Value> = log.iter().filter(|line| line["level"] == "WARN").collect();
    assert!(told.len() <= 10, "{told:#?}");
    let failing = told.iter().find(|line| line["message"] == "the site's own server fails").expect("a warning");
    let id = &failing["request_id"];
    assert!(lines.iter().any(|line| line["request_id"] == *id), "{id} leads from the warning to its request");
}
