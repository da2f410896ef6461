//! One segment of a path pattern: how it is written, and what it takes.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::InvalidPattern;

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text.
    Literal(String),
    /// Anything, `*`.
    Any,
    /// Anything between two texts, under a name.
    Named { prefix: String, name: String, suffix: String },
}

impl Segment {
    /// Reads one.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let invalid = || InvalidPattern::Segment(text.to_owned());
        let Some((prefix, after)) = text.split_once('{') else {
            return if text.contains(['}', '*']) { Err(invalid()) } else { Ok(Self::Literal(text.to_owned())) };
        };
        let (name, suffix) = after.split_once('}').ok_or_else(invalid)?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || suffix.contains(['{', '}', '*']) || prefix.contains(['}', '*']) {
            return Err(invalid());
        }
        Ok(Self::Named { prefix: prefix.to_owned(), name: name.to_owned(), suffix: suffix.to_owned() })
    }

    /// Takes a raw segment of a request's path, and its name with it; `None` when it is another one.
    pub(super) fn take(&self, raw: &str, names: &mut Vec<(String, String)>) -> Option<()> {
        // Most requests end here: a segment that needs no decoding and is another one.
        if let Self::Literal(text) = self
            && raw != text
            && !raw.contains('%')
        {
            return None;
        }
        // Decoded segment by segment, so that `%2F` stays inside its segment.
        let decoded = percent_decode_str(raw).decode_utf8().ok()?;
        match self {
            Self::Literal(text) => (*text == decoded).then_some(()),
            Self::Any => (!decoded.is_empty()).then_some(()),
            Self::Named { prefix, name, suffix } => {
                let value = decoded.strip_prefix(prefix.as_str())?.strip_suffix(suffix.as_str())?;
                (!value.is_empty()).then(|| names.push((name.clone(), value.to_owned())))
            }
        }
    }

    /// Whether it matches whatever another one matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(text), Self::Literal(other)) => text == other,
            (Self::Literal(_), Self::Any | Self::Named { .. }) => false,
            (Self::Any, Self::Literal(text)) => !text.is_empty(),
            (Self::Any, Self::Any | Self::Named { .. }) => true,
            (Self::Named { prefix, suffix, .. }, Self::Literal(text)) => {
                let inner = text.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
                inner.is_some_and(|inner| !inner.is_empty())
            }
            (Self::Named { prefix, suffix, .. }, Self::Any) => prefix.is_empty() && suffix.is_empty(),
            (Self::Named { prefix, suffix, .. }, Self::Named { prefix: longer, suffix: other, .. }) => {
                longer.starts_with(prefix.as_str()) && other.ends_with(suffix.as_str())
            }
        }
    }

    /// The name that it gives to what it takes.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Named { name, .. } => Some(name),
            Self::Literal(_) | Self::Any => None,
        }
    }
}

impl fmt::Display for Segment {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Any => f.write_str("*"),
            Self::Named { prefix, name, suffix } => write!(f, "{prefix}{{{name}}}{suffix}"),
        }
    }
}
