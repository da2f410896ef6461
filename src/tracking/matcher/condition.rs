//! Conditions that a rule sets besides the path.

use regex::Regex;

use crate::tracking::value::{Source, View};

/// A condition on the visitor's request, or on the answer to it.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What is looked at.
    pub source: Source,
    /// What it must be.
    pub test: Test,
}

/// What a condition asks of a value.
#[derive(Clone, Debug)]
pub enum Test {
    /// One of these texts.
    OneOf(Vec<String>),
    /// A pattern, anywhere in the text.
    Regex(Regex),
}

impl Condition {
    /// Whether what is known fulfils it; an absent value fulfils nothing.
    #[must_use]
    pub fn holds<'a>(&self, view: impl Into<View<'a>>) -> bool {
        self.source.read_text(view.into()).is_some_and(|found| self.test.passes(&found))
    }
}

impl Test {
    /// Whether a value is what is asked for.
    #[must_use]
    pub fn passes(&self, found: &str) -> bool {
        match self {
            Self::OneOf(texts) => texts.iter().any(|text| text == found),
            Self::Regex(regex) => regex.is_match(found),
        }
    }
}
