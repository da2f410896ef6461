//! Where another version of HTTP, or Pingora, can't say the same: each with its reason and what happens instead.
//!
//! A difference that stands here must be of exactly this kind; one that never occurs must be taken out.

use super::{cases::Case, comparison::Difference};
use crate::support::twin::{Seen, Transport};

/// A difference that is not ours to remove.
pub(super) struct Known {
    /// Of which aspects, as [`Difference::aspect`] names them.
    pub(super) aspect: &'static str,
    /// Why.
    pub(super) reason: &'static str,
    /// On which roads and in which cases.
    pub(super) applies: fn(&Occasion<'_>) -> bool,
    /// What happens instead.
    pub(super) instead: fn(&Seen) -> bool,
}

/// Where a difference was found.
pub(super) struct Occasion<'a> {
    pub(super) case: &'a Case,
    pub(super) visitor: Transport,
    pub(super) origin: Transport,
    /// What the site answered without the proxy.
    pub(super) direct: &'a Seen,
}

impl Known {
    /// The entry that explains this difference.
    pub(super) fn find(difference: &Difference, occasion: &Occasion<'_>, got: &Seen) -> Option<usize> {
        KNOWN_DIFFERENCES
            .iter()
            .position(|known| known.aspect == difference.aspect && (known.applies)(occasion) && (known.instead)(got))
    }
}

pub(super) const KNOWN_DIFFERENCES: &[Known] = &[];
