//! How many wrong tokens an address may try before it has to wait.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Failed logins by where they came from; pure, time is an argument.
#[derive(Debug, Default)]
pub(super) struct Patience(HashMap<IpAddr, Failures>);

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Patience {
    /// Whether an address has tried too often, and must wait.
    pub(super) fn is_exhausted(&self, address: IpAddr, now: Instant) -> bool {
        let failures = self.0.get(&neighbourhood(address)).filter(|failures| failures.last + PAUSE > now);
        failures.is_some_and(|failures| failures.count >= TRIES)
    }

    /// Counts a wrong token.
    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) {
        self.0.retain(|_, failures| failures.last + PAUSE > now);
        let address = neighbourhood(address);
        // Whoever has so many addresses is not slowed by one more.
        if self.0.len() < MOST || self.0.contains_key(&address) {
            let failures = self.0.entry(address).or_insert(Failures { count: 0, last: now });
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
    }

    /// Forgets what an address did before it knew the token.
    pub(super) fn succeeded(&mut self, address: IpAddr) {
        self.0.remove(&neighbourhood(address));
    }
}

/// One subscriber has 2^64 addresses of IPv6 (RFC 6177).
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        IpAddr::V4(address) => address.into(),
    }
}

/// Wrong tokens in a row before the pause.
const TRIES: u32 = 5;
/// After the last of them.
const PAUSE: Duration = Duration::from_mins(1);
/// Addresses that are remembered.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::clock;

    #[test]
    fn five_wrong_tokens_cost_a_minute_and_a_right_one_is_forgiven() {
        let (mut patience, now) = (Patience::default(), clock::instant());
        let [one, near, far] = ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|it| it.parse::<IpAddr>().unwrap());
        for _ in 0..TRIES {
            assert!(!patience.is_exhausted(one, now));
            patience.failed(one, now);
        }
        assert!(patience.is_exhausted(one, now) && patience.is_exhausted(near, now), "a whole network");
        assert!(!patience.is_exhausted(far, now));
        assert!(!patience.is_exhausted(one, now + PAUSE));
        patience.succeeded(one);
        assert!(!patience.is_exhausted(one, now));
    }
}
