//! Tracking that only watches, or does nothing at all.

use crate::support::{
    accounting::assert_accounts,
    config::{GOAL, THANKS, shop},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
};

const CONVERSIONS: &str = "throughline_conversions_total";

/// Where `tracking: MODE` may stand.
#[derive(Clone, Copy, Debug)]
enum Level {
    Process,
    Site,
    Network,
}

/// The usual shop with a mode at one level.
fn shop_in(mode: &str, level: Level, origin: &Origin, network: &AdNetwork) -> String {
    let config = shop(origin, network);
    match level {
        Level::Process => format!("tracking: {mode}\n{config}"),
        Level::Site => config.replace("    networks:", &format!("    tracking: {mode}\n    networks:")),
        Level::Network => config.replace("exoclick: { click:", &format!("exoclick: {{ tracking: {mode}, click:")),
    }
}

#[test]
fn observing_and_off_change_nothing_and_send_nothing() {
    for mode in ["observe", "off"] {
        for level in [Level::Process, Level::Site, Level::Network] {
            let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
            let proxy = Proxy::with(&shop_in(mode, level, &origin, &network)).start();
            let mut visitor = proxy.visitor();
            let landed = visitor.lands("/?exotracker=abc");
            assert_eq!((landed.text().as_str(), landed.set_cookies().len()), (PAGE, 0), "{mode} {level:?}");
            assert_eq!(visitor.get(THANKS).text(), PAGE, "no pixels: {mode} {level:?}");
            // A cookie from before does not count either.
            proxy.visitor().sending("Cookie", "_exoclick_cid=old").get("/thank-you/1002");
            proxy.await_metric(CONVERSIONS, &[("outcome", "off")], 2);
            proxy.await_metric(CONVERSIONS, &[], 2);
            assert_accounts(&proxy);
            assert!(network.received().is_empty(), "{mode} {level:?}");
        }
    }
}

#[test]
fn one_network_may_be_off_beside_another_that_works() {
    let (origin, network, quiet) = (Origin::start(), AdNetwork::answering(["OK"]), AdNetwork::answering(["OK"]));
    let config = shop(&origin, &network).replace(
        "    conversions:",
        &format!(
            "      exo_de: {{ preset: exoclick, tracking: off, click: {{ param: exode, cookie: _exo_de }}, postback: {{ url: \"http://{}/tag.php\" }} }}\n    conversions:",
            quiet.address()
        ),
    ) + &format!("          exo_de: {{ goal: {GOAL} }}\n");
    let proxy = Proxy::with(&config).start();
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc&exode=def");
    assert_eq!((visitor.cookie("_exoclick_cid").as_deref(), visitor.cookie("_exo_de")), (Some("abc"), None));
    visitor.get(THANKS);
    network.await_received(1);
    proxy.await_metric(CONVERSIONS, &[("network", "exo_de"), ("outcome", "off")], 1);
    proxy.await_settled();
    assert_accounts(&proxy);
    assert!(quiet.received().is_empty());
}
