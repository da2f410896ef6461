//! One network of ten hangs: the other nine notice nothing.
//!
//! Two proxies sell the same at the same time on this machine, one with a network that hangs and one
//! without. What the nine get from the first, compared with what they get from the second, is what
//! the hanging one takes from them. In the control four of the ten hang, which must show.

use std::{fmt::Write as _, time::Duration};

use crate::support::{
    chaos::{Chaos, Fault, Mix},
    load::{Ask, Pace, visits},
    proxy::Proxy,
    site::Site,
    tell,
};

/// The networks of a shop, the first of which may hang.
struct Market {
    networks: Vec<Chaos>,
    proxy: Proxy,
    _site: Site,
}

#[test]
fn nine_networks_go_on_while_the_tenth_hangs() {
    assert!(share_of_the_nine(1, Duration::from_secs(5)) >= 0.9, "a network that hangs slows the others");
}

#[test]
#[ignore = "takes a minute"]
fn nine_networks_keep_their_pace_while_the_tenth_hangs() {
    assert!(share_of_the_nine(1, Duration::from_mins(1)) >= 0.95, "a network that hangs slows the others");
}

#[test]
fn the_comparison_notices_more_networks_that_hang() {
    let share = share_of_the_nine(4, Duration::from_secs(5));
    assert!(share < 0.9, "{share}");
}

/// What the last nine get with so many networks hanging, as a share of what they get with none.
fn share_of_the_nine(hanging: usize, lasting: Duration) -> f64 {
    let markets = [Market::open(hanging), Market::open(0)];
    let proxies = markets.each_ref().map(|market| &market.proxy);
    let pace = Pace { per_second: 2 * ORDERS, lasting };
    let visits = visits(&proxies, pace, |number| Ask {
        proxy: usize::from(number % 2 == 1),
        kind: "order",
        target: format!("/thank-you/{number}"),
    });
    // Now, not when everything has arrived: what is late counts as lost pace.
    let [troubled, healthy] = markets.each_ref().map(Market::of_the_nine);
    assert_eq!(visits.errors(), Vec::<&str>::new());
    let share = f64::from(troubled) / f64::from(healthy);
    tell(&format!(
        "{} orders each: {troubled} postbacks to the nine with {hanging} of 10 hanging, {healthy} without: {share:.3}",
        visits.count() / 2
    ));
    assert!(f64::from(healthy) > 0.25 * 9.0 * f64::from(ORDERS) * lasting.as_secs_f64(), "the machine is too slow");
    share
}

impl Market {
    fn open(hanging: usize) -> Self {
        let site = Site::start();
        let mix = |index| if index < hanging { Mix::seeded(9).with(Fault::Hang, 100_000) } else { Mix::seeded(9) };
        let networks: Vec<_> = (0..10).map(|index| Chaos::start(mix(index))).collect();
        let mut config = format!("sites:\n  - upstream: \"http://{}\"\n    networks:\n", site.address());
        for (index, network) in networks.iter().enumerate() {
            writeln!(
                config,
                "      n{index}: {{ click: {{ param: cid, cookie: _own_cid }}, postback: {{ url: \"http://{}/pb\", query: {{ e: \"{{event_id}}\" }} }}, needs: [] }}",
                network.address()
            )
            .unwrap();
        }
        config += "    conversions:\n      - name: purchase\n        path: \"/thank-you/{order_id}\"\n        send:\n";
        for index in 0..10 {
            writeln!(config, "          n{index}: {{ }}").unwrap();
        }
        Self { networks, proxy: Proxy::with(&config).start(), _site: site }
    }

    /// What the last nine have taken in.
    fn of_the_nine(&self) -> u32 {
        let taken: usize = self.networks.iter().skip(1).map(Chaos::taken).sum();
        u32::try_from(taken).expect("a number of postbacks")
    }
}

/// Orders a second in each shop, each of which is reported to ten networks.
const ORDERS: u32 = 25;
