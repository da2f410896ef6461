//! How long what is over is kept.

use std::time::Duration;

/// How long what is over is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The history: from the verdict.
    pub history: Duration,
    /// What is known of one visitor: from the last visit that added to it.
    pub journeys: Duration,
    /// Dead letters, from the verdict, and incomplete conversions, from their page.
    pub dead_letters: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let month = Duration::from_hours(30 * 24);
        Self { history: month, journeys: month, dead_letters: month }
    }
}
