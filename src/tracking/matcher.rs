//! Which requests a conversion's rule speaks of: paths with named segments, and conditions.

use std::fmt;

use percent_encoding::percent_decode_str;
use regex::Regex;

mod condition;
mod segment;

pub use condition::{Condition, Test};
use segment::Segment;

/// A pattern for the path of a request.
#[derive(Clone, Debug)]
pub struct PathPattern {
    kind: PatternKind,
}

#[derive(Clone, Debug)]
enum PatternKind {
    Segments { segments: Vec<Segment>, rest: bool },
    Regex(Regex),
}

/// Why a text is no path pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Paths begin with a slash.
    #[error("a path begins with `/`")]
    NoSlash,
    /// `**` somewhere else than at the end.
    #[error("`**` may only stand at the end")]
    RestNotLast,
    /// A `?` or `#`: the query is not part of the path.
    #[error("a path has no `?` or `#`; look at the query with `when: {{ query.NAME: VALUE }}`")]
    Query,
    /// Braces that don't fit, or two names in one segment.
    #[error("the segment `{0}` is not TEXT{{name}}TEXT")]
    Segment(String),
    /// The same name twice.
    #[error("the name `{0}` stands in the path twice")]
    Repeated(String),
}

impl PathPattern {
    /// Reads `/thank-you/{order_id}`, `/a/*/b`, `/shop/**`.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let path = text.strip_prefix('/').ok_or(InvalidPattern::NoSlash)?;
        if path.contains(['?', '#']) {
            return Err(InvalidPattern::Query);
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts: Vec<&str> = if path.is_empty() { vec![] } else { path.split('/').collect() };
        let rest = parts.last() == Some(&"**");
        if rest {
            parts.pop();
        }
        if parts.contains(&"**") {
            return Err(InvalidPattern::RestNotLast);
        }
        let segments = parts.into_iter().map(Segment::parse).collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<&str> = segments.iter().filter_map(Segment::name).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.array_windows().find(|[one, other]| one == other) {
            return Err(InvalidPattern::Repeated((*name).to_owned()));
        }
        Ok(Self { kind: PatternKind::Segments { segments, rest } })
    }

    /// A regular expression over the whole decoded path; its named groups become path names.
    pub fn regex(text: &str) -> Result<Self, regex::Error> {
        Regex::new(&format!("^(?:{text})$")).map(|regex| Self { kind: PatternKind::Regex(regex) })
    }

    /// The names that a match yields.
    pub fn names(&self) -> Vec<&str> {
        match &self.kind {
            PatternKind::Segments { segments, .. } => segments.iter().filter_map(Segment::name).collect(),
            PatternKind::Regex(regex) => regex.capture_names().flatten().collect(),
        }
    }

    /// Matches the raw path of a request, one trailing slash ignored; yields its named segments.
    #[must_use]
    pub fn matches(&self, raw_path: &str) -> Option<Vec<(String, String)>> {
        match &self.kind {
            PatternKind::Segments { segments, rest } => match_segments(segments, *rest, raw_path),
            PatternKind::Regex(regex) => {
                let path = percent_decode_str(raw_path).decode_utf8().ok()?;
                let found = regex.captures(&path)?;
                let named = regex.capture_names().flatten();
                Some(named.filter_map(|name| Some((name.to_owned(), found.name(name)?.as_str().to_owned()))).collect())
            }
        }
    }
}

impl PathPattern {
    /// Whether it matches every path that another one matches, as far as that can be told.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (segments, rest, others, other_rest) = match (&self.kind, &other.kind) {
            (
                PatternKind::Segments { segments, rest },
                PatternKind::Segments { segments: others, rest: other_rest },
            ) => (segments, *rest, others, *other_rest),
            (PatternKind::Regex(regex), PatternKind::Regex(other)) => return regex.as_str() == other.as_str(),
            (PatternKind::Segments { .. } | PatternKind::Regex(_), _) => return false,
        };
        let is_long_enough = if rest { others.len() >= segments.len() } else { others.len() == segments.len() };
        is_long_enough && (rest || !other_rest) && segments.iter().zip(others).all(|(one, other)| one.covers(other))
    }
}

impl fmt::Display for PathPattern {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (segments, rest) = match &self.kind {
            PatternKind::Segments { segments, rest } => (segments, *rest),
            PatternKind::Regex(regex) => {
                let whole = regex.as_str();
                let inner = whole.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$"));
                return write!(f, "regex {}", inner.unwrap_or(whole));
            }
        };
        for segment in segments {
            write!(f, "/{segment}")?;
        }
        f.write_str(if rest {
            "/**"
        } else if segments.is_empty() {
            "/"
        } else {
            ""
        })
    }
}

fn match_segments(segments: &[Segment], rest: bool, raw_path: &str) -> Option<Vec<(String, String)>> {
    let path = raw_path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut parts = path.split('/').skip(usize::from(path.is_empty()));
    let mut names = Vec::new();
    for segment in segments {
        segment.take(parts.next()?, &mut names)?;
    }
    (rest || parts.next().is_none()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
        PathPattern::parse(pattern).expect("a pattern").matches(path)
    }

    fn order(id: &str) -> Vec<(String, String)> {
        vec![("id".to_owned(), id.to_owned())]
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_written() {
        for text in ["/", "/thank-you", "/o/order-{id}.html", "/a/*/b", "/shop/**", "/**"] {
            let shown = PathPattern::parse(text).expect("a pattern").to_string();
            assert_eq!(shown, text);
        }
        assert_eq!(PathPattern::regex("/o/[0-9]+").expect("a pattern").to_string(), "regex /o/[0-9]+");
    }

    #[test]
    fn paths_match_by_decoded_segments() {
        for (pattern, path, expected) in [
            ("/thank-you", "/thank-you", Some(vec![])),
            ("/thank-you", "/thank-you/", Some(vec![])),
            ("/thank-you/", "/thank-you", Some(vec![])),
            ("/thank-you", "/thank%2Dyou", Some(vec![])),
            ("/thank-you", "/Thank-You", None),
            ("/thank-you", "/thank-you/7", None),
            ("/thank-you", "/thank-you//", None),
            ("/o/{id}", "/o/7", Some(order("7"))),
            ("/o/{id}", "/o/a%2Fb", Some(order("a/b"))),
            ("/o/{id}", "/o/", None),
            ("/o/{id}", "/o/%ff", None),
            ("/o/order-{id}.html", "/o/order-7.html", Some(order("7"))),
            ("/o/order-{id}.html", "/o/order-.html", None),
            ("/a/*/{id}", "/a/x/7", Some(order("7"))),
            ("/a/**", "/a", Some(vec![])),
            ("/a/**", "/a/b/c", Some(vec![])),
            ("/a/**", "/ab", None),
            ("/**", "/", Some(vec![])),
            ("/", "/", Some(vec![])),
            ("/", "/x", None),
        ] {
            assert_eq!(matched(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_regular_expression_is_anchored() {
        let pattern = PathPattern::regex("/o/(?<id>[0-9]+)").expect("a pattern");
        assert_eq!(pattern.matches("/o/17"), Some(order("17")));
        assert_eq!(pattern.matches("/o/17/x"), None);
        assert_eq!(pattern.names(), ["id"]);
    }

    #[test]
    fn broken_patterns_say_what_is_wrong() {
        for (pattern, error) in [
            ("thank-you", InvalidPattern::NoSlash),
            ("/a/**/b", InvalidPattern::RestNotLast),
            ("/a?b=c", InvalidPattern::Query),
            ("/a/{b", InvalidPattern::Segment("{b".into())),
            ("/a/{b}{c}", InvalidPattern::Segment("{b}{c}".into())),
            ("/{b}/{b}", InvalidPattern::Repeated("b".into())),
        ] {
            assert_eq!(PathPattern::parse(pattern).err(), Some(error), "{pattern}");
        }
    }
}
