//! File descriptors: as many as the connections that are allowed may need.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Limits;

/// Raises the limit that shells and service managers set low for old programs' sake.
pub(super) fn raise(limits: &Limits) {
    let needed = limits.max_connections as u64 * PER_CONNECTION + OTHERS;
    match rlimit::increase_nofile_limit(u64::MAX) {
        // Not again at each reload.
        Ok(allowed) if allowed < needed && TOLD.swap(needed, Ordering::Relaxed) != needed => tracing::warn!(
            allowed,
            needed,
            "not enough file descriptors for limits.max_connections: raise the hard limit (LimitNOFILE, ulimit -Hn)"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of file descriptors could not be raised"),
    }
}

/// The need that was last told to be more than is allowed.
static TOLD: AtomicU64 = AtomicU64::new(0);
/// The visitor's and the site's.
const PER_CONNECTION: u64 = 2;
/// The store, the networks, the operators.
const OTHERS: u64 = 100;
