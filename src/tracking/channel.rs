//! Paid channels: visits that somebody else paid for, recorded so that credit can be decided.

use super::{matcher::Test, value::QueryPairs};

/// What tells that a visit came by a paid channel.
#[derive(Clone, Debug)]
pub struct ChannelRule {
    /// The query parameter: `gclid`, `utm_medium`.
    pub param: String,
    /// What its value must be; any, without it.
    pub is: Option<Test>,
}

/// Whether a network is told of a conversion that followed a click of its.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credit {
    /// Whenever there was one.
    #[default]
    Always,
    /// Only if no paid visit came later.
    LastPaidClick,
}

impl ChannelRule {
    /// Whether this query belongs to a visit by the channel.
    #[must_use]
    pub fn is_in(&self, query: &str) -> bool {
        QueryPairs::new(query)
            .named_decoded(&self.param)
            .any(|value| !value.is_empty() && self.is.as_ref().is_none_or(|test| test.passes(&value)))
    }
}
