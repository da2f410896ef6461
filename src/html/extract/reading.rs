//! What was found in a page, and why something may be missing.

use std::fmt;

use serde_json::Value;

/// What was found in a page.
#[derive(Clone, PartialEq)]
pub struct PageReading {
    pub(super) values: Vec<Option<Value>>,
    pub(super) marks: Vec<bool>,
    pub(super) gap: Option<Gap>,
}

impl PageReading {
    /// The field at this place in the rule; text from markup is a string and never empty.
    #[must_use]
    pub fn value(&self, field: usize) -> Option<&Value> {
        self.values.get(field)?.as_ref()
    }

    /// Whether the page has the mark at this place in the rule.
    #[must_use]
    pub fn has_mark(&self, mark: usize) -> bool {
        self.marks.get(mark).copied().unwrap_or_default()
    }

    /// Why something may be missing, if anything may.
    #[must_use]
    pub const fn gap(&self) -> Option<Gap> {
        self.gap
    }

    /// Whether the page was read to its end, or as far as all was found.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.gap.is_none()
    }
}

impl fmt::Debug for PageReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.values.iter().filter(|value| value.is_some()).count();
        // Not the values: they may be personal.
        f.debug_struct("PageReading")
            .field("found", &found)
            .field("marks", &self.marks)
            .field("gap", &self.gap)
            .finish()
    }
}

/// Why a page was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gap {
    /// It is too long.
    Length,
    /// A tag is too long, or too many elements are open.
    Memory,
    /// Its scripts are too long or hold too much.
    Scripts,
    /// A value that was asked for is too large.
    Value,
    /// The parser gave up.
    Markup,
}

impl Gap {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Memory => "memory",
            Self::Scripts => "scripts",
            Self::Value => "value",
            Self::Markup => "markup",
        }
    }
}
