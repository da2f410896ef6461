//! What became of one hit, and of its fields: the words that are counted.

/// What became of one hit for one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Tracking is off or only observes.
    Off,
    /// Fetched ahead of time.
    Prefetch,
    /// Not a page that somebody sees.
    NotDocument,
    /// A program looks at the page.
    Bot,
    /// The answer's status, or a condition, says it is no success.
    NotSuccess,
    /// The journey did not pass what must come before.
    NotPreceded,
    /// The visitor has not agreed, or not yet.
    NoConsent,
    /// Another paid visit came later.
    NotCredited,
    /// None of the identifiers that the network needs.
    NoClick,
    /// A required parameter has no value.
    Incomplete,
    /// The page does not show what it must, or shows what it must not.
    Unproven,
    /// The rule is only tried out.
    Shadow,
    /// The visitor previews the site, and nothing is to leave.
    Held,
    /// Known already.
    Duplicate,
    /// Certainly never written.
    Unstored,
    /// On disk.
    Queued,
}

impl Outcome {
    /// All outcomes in their order of precedence.
    pub const ALL: [Self; 16] = [
        Self::Off,
        Self::Prefetch,
        Self::NotDocument,
        Self::Bot,
        Self::NotSuccess,
        Self::NotPreceded,
        Self::NoConsent,
        Self::NotCredited,
        Self::NoClick,
        Self::Incomplete,
        Self::Unproven,
        Self::Shadow,
        Self::Held,
        Self::Duplicate,
        Self::Unstored,
        Self::Queued,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Prefetch => "prefetch",
            Self::NotDocument => "not_document",
            Self::Bot => "bot",
            Self::NotSuccess => "not_success",
            Self::NotPreceded => "not_preceded",
            Self::NoConsent => "no_consent",
            Self::NotCredited => "not_credited",
            Self::NoClick => "no_click",
            Self::Incomplete => "incomplete",
            Self::Unproven => "unproven",
            Self::Shadow => "shadow",
            Self::Held => "held",
            Self::Duplicate => "duplicate",
            Self::Unstored => "unstored",
            Self::Queued => "queued",
        }
    }
}

impl Outcome {
    /// Whether somebody has seen a page that could have been a conversion.
    #[must_use]
    pub const fn is_judged(self) -> bool {
        !matches!(self, Self::Off | Self::Prefetch | Self::NotDocument | Self::Bot | Self::NotSuccess)
    }
}

/// What became of a field, as counted in `fields_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldResult {
    /// It has a value.
    Found,
    /// There was nothing.
    Missing,
    /// What was there could be misread, or is not what it must be.
    Doubtful,
}

impl FieldResult {
    /// All results.
    pub const ALL: [Self; 3] = [Self::Found, Self::Missing, Self::Doubtful];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Missing => "missing",
            Self::Doubtful => "doubtful",
        }
    }
}
