//! Decoding of `limits`: what one visitor may cost.

use std::time::Duration;

use super::decode::Field;

/// What one visitor may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a request to the end of its head; also for a TLS handshake.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive_timeout: Duration,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Connections in all.
    pub max_connections: usize,
    /// Connections of one address; of one /64 for IPv6.
    pub max_connections_per_address: usize,
    /// Bytes a second that the body of a request must bring on average; 0: any.
    pub min_body_rate: u64,
    /// How long requests may go on after the signal to stop.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_mins(1),
            max_header_bytes: 64 << 10,
            max_connections: 20_000,
            max_connections_per_address: 200,
            min_body_rate: 500,
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// Reads a map over the defaults.
pub fn limits(field: &Field<'_>) -> Limits {
    let defaults = Limits::default();
    let Some(mut section) = field.section() else { return defaults };
    let mut time = |key, least, most, default| {
        section.get(key).and_then(|field| field.duration_within(least..=most)).unwrap_or(default)
    };
    let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
    let header_timeout =
        time("header_timeout", Duration::from_millis(100), Duration::from_mins(10), defaults.header_timeout);
    let keep_alive_timeout = time("keep_alive_timeout", second, hour, defaults.keep_alive_timeout);
    let shutdown_grace = time("shutdown_grace", Duration::ZERO, hour, defaults.shutdown_grace);
    let mut count = |key, default| {
        let count = section.get(key).and_then(|field| field.number_within(1..=MOST_CONNECTIONS));
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
    };
    let max_connections = count("max_connections", defaults.max_connections);
    let max_connections_per_address = count("max_connections_per_address", defaults.max_connections_per_address);
    let mut size = |key, least, most| section.get(key).and_then(|field| field.size_within(least..=most));
    let max_header_bytes = size("max_header_bytes", 1 << 10, LARGEST_HEAD).and_then(|size| usize::try_from(size).ok());
    let min_body_rate = size("min_body_rate", 0, FASTEST_BODY);
    section.finish();
    Limits {
        header_timeout,
        keep_alive_timeout,
        max_header_bytes: max_header_bytes.unwrap_or(defaults.max_header_bytes),
        max_connections,
        max_connections_per_address,
        min_body_rate: min_body_rate.unwrap_or(defaults.min_body_rate),
        shutdown_grace,
    }
}

/// A process may have this many files open at the very most, in common systems' settings.
const MOST_CONNECTIONS: u32 = 1_000_000;
/// Pingora 0.9.1 refuses a request whose head is larger, whatever we allow.
const LARGEST_HEAD: u64 = 1 << 20;
/// A visitor on a telephone must be able to send a form.
const FASTEST_BODY: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{problem::Problems, tree::Node};

    fn read(text: &str) -> (Limits, usize) {
        let problems = Problems::default();
        let node = Node::parse("a.yaml", text, &problems).unwrap();
        let limits = limits(&Field::root(&node, &problems));
        (limits, problems.into_sorted().len())
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        assert_eq!(read("{}"), (Limits::default(), 0));
        let twenty = Limits { max_connections: 20, ..Limits::default() };
        assert_eq!(read("max_connections: 20"), (twenty, 0));
    }

    #[test]
    fn all_of_it_can_be_written() {
        let text = "{ header_timeout: 100ms, keep_alive_timeout: 1h, max_header_bytes: 1MiB, max_connections: 1,
            max_connections_per_address: 1000000, min_body_rate: 0B, shutdown_grace: 0s }";
        let expected = Limits {
            header_timeout: Duration::from_millis(100),
            keep_alive_timeout: Duration::from_hours(1),
            max_header_bytes: 1 << 20,
            max_connections: 1,
            max_connections_per_address: 1_000_000,
            min_body_rate: 0,
            shutdown_grace: Duration::ZERO,
        };
        assert_eq!(read(text), (expected, 0));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let text = "{ header_timeout: 99ms, keep_alive_timeout: 999ms, max_header_bytes: 1023B, max_connections: 0,
            max_connections_per_address: 0, min_body_rate: 1025KiB, shutdown_grace: 61m }";
        assert_eq!(read(text), (Limits::default(), 7));
    }
}
