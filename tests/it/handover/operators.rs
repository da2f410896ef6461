//! Whoever is at the admin port when another process takes over.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::shop_under;
use crate::support::{DEADLINE, origin::Origin, proxy::Proxy};

#[test]
fn who_has_connected_before_a_hand_over_is_answered_after_it() {
    let mut proxy = Proxy::with(&shop_under("", &Origin::start())).start();
    let mut connections: Vec<_> = (0..8).map(|_| TcpStream::connect(proxy.admin_address()).unwrap()).collect();
    // Connections are accepted in their order.
    assert_eq!(proxy.admin("/healthz").text(), "ok\n");
    let mut former = proxy.succeed();
    for connection in &mut connections {
        connection.set_read_timeout(Some(DEADLINE)).unwrap();
        connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }
    for mut connection in connections {
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer:?}");
    }
    assert_eq!(former.await_end().code(), Some(0), "{}", former.stderr());
}
