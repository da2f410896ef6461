//! Decoding of sources: `query.total`, `html("#total")`, `journey.email`.
//!
//! A source that can never yield is a mistake, too: a name that no path has, a field that no capture
//! remembers, a selector that no page can be searched with.

use super::{page, problem::nearest};
use crate::tracking::value::Source;

/// What values can refer to where they stand.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The names in the paths; none: they are not known.
    pub path_names: Option<&'a [&'a str]>,
    /// The fields that captures of the site remember.
    pub remembered: &'a [&'a str],
}

/// What a text turned out to be.
pub enum Reading<T> {
    /// A source.
    Source(T),
    /// A source with a mistake, which has been noted.
    Broken,
    /// Something else.
    Other,
}

/// Takes a message and a remedy.
pub type Note<'a> = &'a dyn Fn(String, Option<String>);

/// Reads a source, without what may follow it.
pub fn source(text: &str, reach: Reach<'_>, note: Note<'_>) -> Reading<Source> {
    match Source::parse(text) {
        Some(Ok(source)) if is_reachable(&source, reach, note) => Reading::Source(source),
        Some(Ok(_)) => Reading::Broken,
        Some(Err(message)) => {
            note(message, None);
            Reading::Broken
        }
        None => Reading::Other,
    }
}

/// Splits `SOURCE | FILTER`. A selector may hold a `|` itself: behind one, the filter comes after `")`.
pub fn split_filter(text: &str) -> (&str, Option<&str>) {
    let pipes = || text.match_indices('|').filter_map(|(at, _)| text.split_at_checked(at));
    let ends_here = |before: &str| !text.starts_with("html(") || is_closed(before.trim_end());
    let is_pattern = |rest: &str| rest.trim_start_matches('|').trim_start().starts_with("regex(");
    let split = pipes()
        .find(|(before, rest)| ends_here(before) && is_pattern(rest))
        .or_else(|| pipes().find(|(before, _)| ends_here(before)));
    match split {
        Some((before, rest)) => (before.trim(), rest.get(1..).map(str::trim)),
        None => (text, None),
    }
}

/// Whether a selector ends here: `html("…")` or `html("…")@attribute`.
fn is_closed(text: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && !name.contains([' ', '"', '|', ')']);
    text.ends_with("\")") || text.rsplit_once("\")@").is_some_and(|(_, attribute)| is_name(attribute))
}

/// What is wrong with a text that looks like a source, but is none; and what was probably meant.
pub fn misspelt(text: &str) -> Option<(String, String)> {
    let end = text.find(['.', '('])?;
    let word = text.get(..end)?.trim_end();
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let near = nearest(word, Source::KINDS.map(|(word, _)| word)).filter(|_| plain)?;
    if near == word {
        let written = Source::KINDS.iter().filter(|(kind, _)| *kind == word).map(|(_, written)| format!("`{written}`"));
        let written = written.collect::<Vec<_>>().join(" or ");
        return Some((format!("`{text}` is not a source"), format!("write {written}.")));
    }
    Some((format!("`{word}` is not a source"), format!("did you mean `{near}`?")))
}

/// All sources, for a remedy.
pub fn all_kinds() -> String {
    Source::KINDS.map(|(_, written)| format!("`{written}`")).join(", ")
}

fn is_reachable(source: &Source, reach: Reach<'_>, note: Note<'_>) -> bool {
    match source {
        Source::Path(name) => {
            let known = reach.path_names.is_none_or(|names| names.contains(&name.as_str()));
            if !known {
                let remedy = format!("write it into the path, as in /thank-you/{{{name}}}");
                note(format!("no path here has `{{{name}}}`"), Some(remedy));
            }
            known
        }
        Source::Journey(name) => {
            let known = reach.remembered.contains(&name.as_str());
            if !known {
                note(format!("no capture of this site remembers `{name}`"), Some(remembered(name, reach.remembered)));
            }
            known
        }
        Source::Page(place) => page::is_readable(place, note),
        Source::Query(_)
        | Source::Header(_)
        | Source::Cookie(_)
        | Source::Form(_)
        | Source::Json(_)
        | Source::ResponseHeader(_)
        | Source::ResponseJson(_) => true,
    }
}

fn remembered(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `journey.{near}`?"),
        None if known.is_empty() => {
            format!(
                "write one beside `conversions`: `captures: [{{ name: NAME, path: PATH, fields: {{ {name}: … }} }}]`"
            )
        }
        None => format!("they remember {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_follows_the_end_of_a_source() {
        for (text, place, filter) in [
            ("query.total", "query.total", None),
            (r#"query.o | regex("(a|b)")"#, "query.o", Some(r#"regex("(a|b)")"#)),
            (r#"query.o|regex("x")"#, "query.o", Some(r#"regex("x")"#)),
            ("query.o | round", "query.o", Some("round")),
            (r#"html("a|b")"#, r#"html("a|b")"#, None),
            (r#"html("[lang|=en] b") | regex("([0-9]+)")"#, r#"html("[lang|=en] b")"#, Some(r#"regex("([0-9]+)")"#)),
            (r#"html("b")@data-x | regex("(a|b)")"#, r#"html("b")@data-x"#, Some(r#"regex("(a|b)")"#)),
            (r#"html("b") | regex("\"\)|(x)")"#, r#"html("b")"#, Some(r#"regex("\"\)|(x)")"#)),
            (r#"html("b") | round"#, r#"html("b")"#, Some("round")),
            ("html(\"a|", "html(\"a|", None),
        ] {
            assert_eq!(split_filter(text), (place, filter), "{text}");
        }
    }

    #[test]
    fn what_nearly_is_a_source_is_misspelt() {
        for text in [
            "qurey.total",
            "headers.x",
            "respose.header.x",
            "htlm(\"#total\")",
            "html.total",
            "html (\"a\")",
            "data-layer.value",
            "jsonld.offers",
            "journy.email",
            "Query.total",
            "frm.a",
            "query(total)",
        ] {
            assert!(Source::parse(text).is_none() && misspelt(text).is_some(), "{text}");
        }
        for text in ["EUR", "10", "10.50", "shop.example", "a b.c", "", ".", "(", "query", "urn:x.y", "$order.id"] {
            assert!(misspelt(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_kind_is_read_as_it_is_advised() {
        for (word, written) in Source::KINDS {
            assert!(Source::parse(written).is_some_and(|read| read.is_ok()), "{written}");
            assert!(written.starts_with(word), "{written}");
        }
    }
}
