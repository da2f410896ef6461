//! Watches over all connections: how many there are, and which have had their time.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{connection::Connection, refusal::Refusal};
use crate::{config::Limits, store::clock};

/// All connections of a process.
#[derive(Debug)]
pub struct Watch {
    /// The time that connections are measured by.
    pub clock: Arc<Clock>,
    watched: Mutex<Watched>,
}

/// Milliseconds since the watch began, as exact as it looks around; never 0.
#[derive(Debug)]
pub struct Clock(AtomicU64);

#[derive(Debug)]
struct Watched {
    limits: Limits,
    next: u64,
    connections: HashMap<u64, Option<Weak<Connection>>>,
    per_address: HashMap<IpAddr, usize>,
}

/// A connection's place among those that are allowed; given back when dropped.
#[derive(Debug)]
pub struct Place {
    watch: Arc<Watch>,
    number: u64,
    address: Option<IpAddr>,
}

impl Watch {
    /// Begins to watch.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let watched = Watched { limits, next: 0, connections: HashMap::new(), per_address: HashMap::new() };
        Arc::new(Self { clock: Arc::default(), watched: Mutex::new(watched) })
    }

    /// Allows as many connections from now on; those that are open stay.
    pub fn allow(&self, limits: Limits) {
        self.watched.lock().limits = limits;
    }

    /// A place for one more connection, if there is one.
    ///
    /// # Errors
    /// [`Refusal::Connections`] when all places are taken.
    pub fn admit(self: &Arc<Self>) -> Result<Place, Refusal> {
        let mut watched = self.watched.lock();
        if watched.connections.len() >= watched.limits.max_connections {
            return Err(Refusal::Connections);
        }
        let number = watched.next;
        watched.next += 1;
        watched.connections.insert(number, None);
        drop(watched);
        Ok(Place { watch: Arc::clone(self), number, address: None })
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.watched.lock().connections.is_empty()
    }

    /// Looks at all connections again and again; ends with the process.
    pub async fn keep_looking(self: Arc<Self>) {
        let start = clock::instant();
        // A connection is closed at most this much after its time.
        let mut interval = tokio::time::interval(PERIOD);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let elapsed = clock::instant().saturating_duration_since(start).as_millis();
            self.clock.set(u64::try_from(elapsed).unwrap_or(u64::MAX).max(1));
            self.look();
        }
    }

    fn look(&self) {
        let now = self.clock.now();
        let watched = self.watched.lock();
        for connection in watched.connections.values().flatten().filter_map(Weak::upgrade) {
            connection.pace.look(now);
        }
    }
}

impl Place {
    /// Says whose connection it is; trusted proxies speak for many visitors and are not counted.
    ///
    /// # Errors
    /// [`Refusal::ConnectionsPerAddress`] when this address has all it may have.
    pub fn taken_by(&mut self, address: IpAddr) -> Result<(), Refusal> {
        let address = counted_as(address);
        let mut watched = self.watch.watched.lock();
        let most = watched.limits.max_connections_per_address;
        let count = watched.per_address.entry(address).or_default();
        if *count >= most {
            return Err(Refusal::ConnectionsPerAddress);
        }
        *count += 1;
        self.address = Some(address);
        Ok(())
    }

    /// Lets the watch look at the connection.
    pub fn watch(&self, connection: &Arc<Connection>) {
        self.watch.watched.lock().connections.insert(self.number, Some(Arc::downgrade(connection)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut watched = self.watch.watched.lock();
        watched.connections.remove(&self.number);
        if let Some(address) = self.address
            && let Entry::Occupied(mut count) = watched.per_address.entry(address)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Clock {
    /// Milliseconds since the watch began.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn set(&self, milliseconds: u64) {
        self.0.store(milliseconds, Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        // 0 stands for "not waiting" in connections.
        Self(AtomicU64::new(1))
    }
}

/// IPv6 subscribers get at least a /64 each (RFC 6177) and could use a new address every time.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

const PERIOD: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(max_connections: usize, max_connections_per_address: usize) -> Arc<Watch> {
        Watch::new(Limits { max_connections, max_connections_per_address, ..Limits::default() })
    }

    #[test]
    fn places_are_limited_and_come_back() {
        let watch = watch(2, 9);
        let first = watch.admit().expect("a place");
        let _second = watch.admit().expect("a place");
        assert_eq!(watch.admit().err(), Some(Refusal::Connections));
        drop(first);
        assert!(watch.admit().is_ok());
    }

    #[test]
    fn one_address_does_not_take_the_places_of_others() {
        let watch = watch(9, 1);
        let mut first = watch.admit().expect("a place");
        first.taken_by("192.0.2.1".parse().expect("an address")).expect("its first connection");
        let mut second = watch.admit().expect("a place");
        let mapped = second.taken_by("::ffff:192.0.2.1".parse().expect("an address"));
        assert_eq!(mapped, Err(Refusal::ConnectionsPerAddress));
        assert!(second.taken_by("192.0.2.2".parse().expect("an address")).is_ok());
        drop(first);
        let mut third = watch.admit().expect("a place");
        assert!(third.taken_by("192.0.2.1".parse().expect("an address")).is_ok());
    }

    #[test]
    fn a_subnet_of_ipv6_counts_as_one() {
        let watch = watch(9, 1);
        let mut first = watch.admit().expect("a place");
        first.taken_by("2001:db8::1".parse().expect("an address")).expect("its first connection");
        let mut second = watch.admit().expect("a place");
        let neighbour = second.taken_by("2001:db8::2".parse().expect("an address"));
        assert_eq!(neighbour, Err(Refusal::ConnectionsPerAddress));
        assert!(second.taken_by("2001:db8:0:1::1".parse().expect("an address")).is_ok());
    }
}
