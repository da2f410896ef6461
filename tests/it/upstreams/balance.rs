//! Which server a request goes to.

use super::*;

#[test]
fn servers_take_turns_by_their_weights() {
    let (large, small) = (Origin::start(), Origin::start());
    let proxy = Proxy::with(&site(&format!(
        "{{ servers: [{{ url: \"http://{}\", weight: 3 }}, \"http://{}\"] }}",
        large.address(),
        small.address()
    )))
    .start();
    for _ in 0..8 {
        assert_eq!(proxy.visitor().get("/").text(), PAGE);
    }
    assert_eq!((large.requests().len(), small.requests().len()), (6, 2));
    proxy.await_metric("throughline_upstream_up", &[], 2);
}

#[test]
fn a_server_that_cannot_be_reached_is_left_out_after_the_first_try() {
    let (dead, alive) = (nobody(), Origin::start());
    let proxy = Proxy::with(&site(&format!("{{ {} }}", servers([dead, alive.address()])))).start();
    for _ in 0..10 {
        let answer = proxy.visitor().request("POST", "/order", &[], "x=1");
        assert_eq!((answer.status, answer.text().as_str()), (200, PAGE));
    }
    assert_eq!(alive.requests().len(), 10, "each was sent once");
    assert!(alive.requests().iter().all(|request| request.body == b"x=1"));
    proxy.await_metric("throughline_upstream_up", &[("server", &format!("http://{dead}"))], 0);
    proxy.await_metric("throughline_upstream_up", &[("server", &format!("http://{}", alive.address()))], 1);
    assert_eq!(proxy.stderr().matches("the server is down").count(), 1, "{}", proxy.stderr());
}

#[test]
fn a_server_that_is_reached_again_is_up_again() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let proxy = Proxy::with(&site(&format!("\"http://{address}\""))).start();
    assert!(is_gateway_error(proxy.visitor().get("/").status));
    proxy.await_metric("throughline_upstream_up", &[], 0);
    let place = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for mut stream in place.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok_and(|read| read > 0) {
                std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").ok();
            }
        }
    });
    assert_eq!(proxy.visitor().get("/").text(), "hi", "the only server is tried however it stands");
    proxy.await_metric("throughline_upstream_up", &[], 1);
    proxy.await_log("the server is back");
}

#[test]
fn a_name_that_does_not_resolve_harms_no_other_site() {
    let origin = Origin::start();
    let proxy = Proxy::with(&format!(
        "sites:\n  - {{ name: lost, hosts: [lost.example], upstream: \"http://does-not-exist.invalid\" }}\n  - {{ name: shop, upstream: \"http://localhost:{}\" }}\n",
        origin.address().port()
    ))
    .start();
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    assert!(is_gateway_error(proxy.visitor().host("lost.example").get("/").status));
    proxy.await_metric("throughline_upstream_up", &[("site", "lost")], 0);
    proxy.await_metric("throughline_upstream_up", &[("site", "shop")], 1);
    proxy.await_log("cannot be resolved");
}

#[test]
fn a_server_sees_the_host_that_is_configured() {
    let origin = Origin::start().route("/away", Response::redirect("http://shop.example/there"));
    let address = origin.address();
    for (host, seen) in [
        ("preserve", "shop.example".to_owned()),
        ("upstream", address.to_string()),
        ("old.example", "old.example".into()),
    ] {
        let proxy = Proxy::with(&site(&format!("{{ url: \"http://{address}\", host: {host} }}"))).start();
        let answer = proxy.visitor().get("/away");
        assert_eq!(origin.last().headers.get("host"), Some(seen.as_str()), "{host}");
        assert_eq!(answer.header("location"), Some("http://shop.example/there"), "is left alone");
    }
}

#[test]
fn a_slow_server_ends_in_a_timeout() {
    let origin = Origin::start().route("/slow", Response::hang());
    let proxy = Proxy::with(&site(&format!("{{ url: \"http://{}\", read_timeout: 300ms }}", origin.address()))).start();
    let began = Instant::now();
    assert!(is_gateway_error(proxy.visitor().get("/slow").status));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(origin.requests().len(), 1, "a slow server is not asked twice");
}
