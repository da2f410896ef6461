//! What one place says of a visitor's choice.

use regex::Regex;

/// What one place says, the stricter the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// Nothing is there.
    Absent,
    /// The visitor agreed.
    Granted,
    /// Something is there, but no choice: banners write their cookies before anybody is asked.
    Undecided,
    /// The visitor refused, or what is there cannot be understood.
    Denied,
}

impl Reading {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Granted => "granted",
            Self::Undecided => "undecided",
            Self::Denied => "denied",
        }
    }

    /// The choice, if one was made: whether the visitor agreed.
    pub(super) const fn choice(self) -> Option<bool> {
        match self {
            Self::Granted => Some(true),
            Self::Denied => Some(false),
            Self::Absent | Self::Undecided => None,
        }
    }

    /// A choice of which one knows what it is.
    pub(super) const fn of(granted: bool) -> Self {
        if granted { Self::Granted } else { Self::Denied }
    }

    /// A choice in a word: whatever is not this one is a denial.
    pub(super) fn of_word(text: &str, granted: &str) -> Self {
        Self::of(text == granted)
    }

    /// A choice by patterns; neither fits: a denial.
    pub(super) fn of_patterns(text: &str, granted: &Regex, denied: Option<&Regex>) -> Self {
        Self::of(!denied.is_some_and(|denied| denied.is_match(text)) && granted.is_match(text))
    }

    /// This, if the visitor was asked; until then nothing that stands there is a choice.
    pub(super) fn once(self, is_chosen: bool) -> Self {
        if is_chosen || self == Self::Absent { self } else { Self::Undecided }
    }

    /// What all these ids say together: one denial is enough, and all are needed for a grant.
    pub(super) fn of_all(ids: &[String], read: impl Fn(&str) -> Self) -> Self {
        ids.iter().map(|id| read(id)).max().unwrap_or(Self::Undecided)
    }
}

/// The strictest of what several cookies of one name say.
impl From<Option<Reading>> for Reading {
    fn from(strictest: Option<Reading>) -> Self {
        strictest.unwrap_or(Self::Absent)
    }
}
