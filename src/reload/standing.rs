//! Which configuration is in force, and what is wrong with the other one.

use crate::{config::problem::Problem, tracking::timestamp::Timestamp};

/// How the configuration in force stands to the one in its file.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Since when.
    pub since: Timestamp,
    /// Which one is in force.
    pub source: Source,
}

/// Which configuration is in force.
#[derive(Clone, Debug)]
pub enum Source {
    /// The one of the file, as it was last read.
    File,
    /// The one before: the file was changed, and these problems stand in the way.
    Before(Vec<Problem>),
    /// The last one that was accepted: at the start, these problems stood in the way of the file.
    LastGood(Vec<Problem>),
}

impl Source {
    /// The word for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Before(_) => "before",
            Self::LastGood(_) => "last_good",
        }
    }

    /// What stands in the way of the file.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::File => &[],
            Self::Before(problems) | Self::LastGood(problems) => problems,
        }
    }
}
