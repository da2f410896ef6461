//! The demo begins and ends as a guest should.

use std::net::TcpListener;

use crate::support::{demo::Demo, visitor::Visitor};

#[test]
fn the_demo_ends_with_ctrl_c_or_its_terminal_and_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let mut demo = Demo::start();
        assert_eq!(demo.files().len(), 1, "one folder of its own: {:?}", demo.files());
        let status = demo.signal(signal);
        assert_eq!((status.code(), demo.files()), (Some(0), Vec::new()), "after SIG{signal}");
    }
}

#[test]
fn an_address_that_is_taken_is_named_and_may_be_free_later() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for arguments in [["--listen", &taken, "--admin", "127.0.0.1:0"], ["--listen", "127.0.0.1:0", "--admin", &taken]] {
        let (status, errors) = Demo::refuses(&arguments);
        assert_eq!(status.code(), Some(75), "{errors}");
        assert!(errors.contains(&taken) && errors.lines().count() == 1, "{errors}");
    }
}

#[test]
fn an_ad_leads_into_the_shop_through_the_proxy() {
    let demo = Demo::start();
    let networks = demo.networks();
    let mut visitor = Visitor::at(networks["http://".len()..].trim_end_matches('/').parse().unwrap());
    let ad = visitor.get("/click/exoclick");
    let place = ad.header("location").unwrap();
    assert!(place.starts_with(&format!("{}?exotracker=", demo.shop())), "{place}");
}
