//! What becomes of click parameters.

use super::InvalidClickId;

/// What became of a click parameter, as counted in `clicks_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClickResult {
    /// A cookie was set.
    Accepted,
    /// The cookie already says the same.
    Kept,
    /// The value was refused.
    Invalid(InvalidClickId),
    /// The answer was a 304, which may refresh an answer in a shared cache.
    NotModified,
    /// Our cookies would have grown over 4 KiB.
    Oversized,
    /// A prefetch or a request for something other than a page.
    NotVisited,
    /// A program followed the link.
    Bot,
    /// The connection changed its protocol: nothing that follows is a page.
    Unset,
    /// The visitor has not agreed.
    Refused,
    /// The visitor has not chosen yet; a later request may still bring it.
    Pending,
    /// The visitor has not chosen yet; a sealed cookie holds it.
    Held,
    /// The visitor has not chosen yet, and it is lost.
    Dropped,
}

impl ClickResult {
    /// Whether it says that the visitor has agreed, where that is asked for.
    #[must_use]
    pub const fn is_consented(self) -> bool {
        matches!(self, Self::Accepted | Self::Kept | Self::Oversized)
    }

    /// All results, so that counters exist from the start.
    pub const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Kept,
        Self::Invalid(InvalidClickId::Duplicated),
        Self::Invalid(InvalidClickId::Empty),
        Self::Invalid(InvalidClickId::TooLong),
        Self::Invalid(InvalidClickId::Bytes),
        Self::Invalid(InvalidClickId::Pattern),
        Self::Invalid(InvalidClickId::Macro),
        Self::NotModified,
        Self::Oversized,
        Self::NotVisited,
        Self::Bot,
        Self::Unset,
        Self::Refused,
        Self::Pending,
        Self::Held,
        Self::Dropped,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Kept => "kept",
            Self::Invalid(InvalidClickId::Duplicated) => "duplicated",
            Self::Invalid(InvalidClickId::Empty) => "empty",
            Self::Invalid(InvalidClickId::TooLong) => "too_long",
            Self::Invalid(InvalidClickId::Bytes) => "bytes",
            Self::Invalid(InvalidClickId::Pattern) => "pattern",
            Self::Invalid(InvalidClickId::Macro) => "macro",
            Self::NotModified => "not_modified",
            Self::Oversized => "oversized",
            Self::NotVisited => "not_visited",
            Self::Bot => "bot",
            Self::Unset => "unset",
            Self::Refused => "no_consent",
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Dropped => "dropped",
        }
    }
}
