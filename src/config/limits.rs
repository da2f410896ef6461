//! Decoding of `limits`: what one visitor may cost.

use std::time::Duration;

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
