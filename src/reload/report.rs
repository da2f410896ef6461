//! How a reload ended, for the log and for whoever asked for it.

use std::fmt;

use crate::config::{
    ConfigError,
    difference::Difference,
    problem::{Problem, Severity},
};

/// What a reload has changed.
#[derive(Debug)]
pub struct Report {
    /// By the paths of keys.
    pub differences: Vec<Difference>,
    /// Whether variables or files of secrets hold something else now.
    pub has_other_secrets: bool,
    /// What is legal but odd.
    pub warnings: Vec<Problem>,
}

/// Why nothing was changed.
#[derive(Debug)]
pub struct Refused {
    /// All that is wrong, warnings included.
    pub problems: Vec<Problem>,
}

impl Report {
    pub(super) fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        let Self { differences, has_other_secrets, .. } = self;
        let changes = differences.len();
        tracing::info!(changes, "the configuration was read again and is in force");
        for difference in differences.iter().take(LOGGED) {
            tracing::info!("changed: {difference}");
        }
        if changes > LOGGED {
            tracing::info!("changed: {} keys more", changes - LOGGED);
        }
        if *has_other_secrets {
            tracing::info!("changed: what variables or files of secrets hold");
        }
    }
}

impl Refused {
    pub(super) fn log(&self) {
        for problem in &self.problems {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        tracing::error!("the configuration was read again and cannot be used; nothing was changed");
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Self {
        Self { problems: error.problems }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Differences that one reload writes into the log.
const LOGGED: usize = 50;
