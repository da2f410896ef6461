//! Decoding of `when`: conditions on the request, or on the head of the answer.

use super::{
    decode::Field,
    source::{Reach, Reading, all_kinds, misspelt, source},
    tree::{Kind, Node, Origin},
    value::regex,
};
use crate::tracking::{
    matcher::{Condition, Test},
    value::{PageSource, Source},
};

/// Reads the map under `when`. `instead` is what whoever asks for something in the page should write.
pub fn conditions(field: &Field<'_>, reach: Reach<'_>, instead: &str) -> Vec<Condition> {
    let entries = field.entries().unwrap_or_default();
    entries.into_iter().filter_map(|(place, field)| condition(place, &field, reach, instead)).collect()
}

/// Whether a condition asks for something that does not stand in the configuration: a secret.
pub fn asks_for_a_secret(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.origin != Origin::Written,
        Kind::List(items) => items.iter().any(asks_for_a_secret),
        Kind::Map(entries) => entries.iter().any(|entry| asks_for_a_secret(&entry.value)),
    }
}

/// Reads a text, a list of texts, or `{ regex: PATTERN }`.
pub fn test(field: &Field<'_>) -> Option<Test> {
    if matches!(field.node.kind, Kind::Map(_)) {
        let mut section = field.section()?;
        let pattern = section.require("regex", "write a text, a list of texts, or `{ regex: PATTERN }`")?;
        section.finish();
        return Some(Test::Regex(regex(&pattern, pattern.text()?)?));
    }
    if field.one_or_many().is_empty() {
        field.error("nothing is in an empty list", "write a text, a list of texts, or `{ regex: PATTERN }`".to_owned());
    }
    let texts: Vec<String> =
        field.one_or_many().iter().filter_map(|field| field.text().map(ToOwned::to_owned)).collect();
    Some(Test::OneOf(texts))
}

fn condition(place: &str, field: &Field<'_>, reach: Reach<'_>, instead: &str) -> Option<Condition> {
    let source = match source(place, reach, &|message, remedy| field.key_error(message, remedy)) {
        Reading::Source(source) => source,
        Reading::Broken => return None,
        Reading::Other => {
            let remedy = match misspelt(place) {
                Some((_, hint)) => hint.trim_end_matches('.').to_owned(),
                None => format!("sources are {}", all_kinds()),
            };
            field.key_error(format!("`{place}` is not a source"), Some(remedy));
            return None;
        }
    };
    if let Source::Page(PageSource::Html { .. } | PageSource::JsonLd(_) | PageSource::DataLayer(_))
    | Source::ResponseJson(_) = source
    {
        field.key_error(
            "a condition is decided by the head of the answer, before its body is there",
            Some(instead.to_owned()),
        );
        return None;
    }
    Some(Condition { source, test: test(field)? })
}
