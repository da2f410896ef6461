//! Finds the `#` that silently cut a value.
//!
//! In YAML a `#` after a space begins a comment, so `value: #total` is empty and
//! `value: html("div #total")` ends at `div`. No parser complains; this does.

use saphyr_parser::{Marker, Span};

use crate::config::problem::Severity;

/// Whether the comment in `rest`, what follows a plain scalar on its line, was meant to be text.
///
/// `written` is the scalar as YAML understood it. An error when the value can't have been meant
/// so, a warning when it only looks odd.
pub(super) fn cut(written: &str, rest: &str) -> Option<Severity> {
    let trimmed = rest.trim_start_matches([' ', '\t']);
    let comment = trimmed.strip_prefix('#').filter(|_| trimmed.len() < rest.len())?;
    if opens_more_than_it_closes(written) {
        return Some(Severity::Error);
    }
    // `#total` against `# the total`: a comment has a space, a selector has none.
    let glued = comment.starts_with(|first: char| first.is_alphanumeric() || first == '_');
    let one_word = !comment.trim_end().contains(char::is_whitespace);
    match (glued, one_word, written.is_empty()) {
        (true, true, true) => Some(Severity::Error),
        (true, false, true) | (true, true, false) => Some(Severity::Warning),
        (true, false, false) | (false, _, _) => None,
    }
}

/// What follows a plain scalar on its line; `None` for an empty one that is not after `:` or `-`.
pub(super) fn after(source: &[char], span: Span, empty: bool) -> Option<String> {
    let from = if empty {
        // An empty value stands at the `:` or `-` before it.
        matches!(source.get(span.start.index())?, ':' | '-').then(|| span.start.index() + 1)?
    } else {
        span.end.index()
    };
    Some(source.get(from..)?.iter().take_while(|character| **character != '\n').collect())
}

/// The `-` of an item without a value; the scanner places it behind the comment that follows.
pub(super) fn dash_before(source: &[char], mark: Marker) -> Option<Marker> {
    let start = mark.index().checked_sub(mark.col())?;
    let line = source.get(start..mark.index())?;
    let comment = line.iter().scan(' ', |last, now| Some((std::mem::replace(last, *now), *now)));
    let end = comment.take_while(|pair| !matches!(pair, (' ' | '\t', '#'))).count();
    let dash = line.get(..end)?.iter().rposition(|character| !matches!(character, ' ' | '\t'))?;
    (line.get(dash) == Some(&'-')).then(|| Marker::new(start + dash, mark.line(), dash))
}

/// Whether a quote or bracket is left open; a closing one alone may be a smile.
fn opens_more_than_it_closes(text: &str) -> bool {
    let count = |wanted: char| text.chars().filter(|character| *character == wanted).count();
    count('"') % 2 == 1 || count('(') > count(')') || count('[') > count(']') || count('{') > count('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_told_from_a_value_that_was_cut() {
        for (written, rest, expected) in [
            (r#"html("div"#, r#" #total")"#, Some(Severity::Error)),
            ("(see", " # 1)", Some(Severity::Error)),
            ("", " #total", Some(Severity::Error)),
            ("", " #total of the order", Some(Severity::Warning)),
            ("div", " #total", Some(Severity::Warning)),
            ("80", " # the default", None),
            ("80", " #the default", None),
            ("80", "", None),
            ("", " # none yet", None),
            ("", " ## none", None),
            (":)", " # a smile", None),
            ("a", "#b", None),
        ] {
            assert_eq!(cut(written, rest), expected, "{written}{rest}");
        }
    }
}
