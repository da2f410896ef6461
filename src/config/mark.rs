//! Decoding of `success_mark` and `failure_mark`: what a page shows when it is what it seems.

use super::{
    decode::{Field, Section},
    page::is_findable,
    source::misspelt,
    tree::{Kind, Origin},
};
use crate::tracking::{
    conversion::{Mark, Proof},
    value::{PageSource, Source},
};

/// Reads what a page must show.
pub fn proof(section: &mut Section<'_>) -> Proof {
    let success = section.get("success_mark").map(|field| marks(&field)).unwrap_or_default();
    let failure = section.get("failure_mark").map(|field| marks(&field)).unwrap_or_default();
    Proof { success, failure }
}

fn marks(field: &Field<'_>) -> Vec<Mark> {
    let fields = field.one_or_many();
    if fields.is_empty() {
        field.error("there is no mark", Some("remove the key to believe every page".to_owned()));
    }
    let read = |field: &Field<'_>| {
        let mark = mark(field)?;
        is_findable(&mark, &|message, remedy| field.error(message, remedy)).then_some(mark)
    };
    fields.iter().filter_map(read).collect()
}

/// Reads a text, `html("CSS")`, or `{ literal: TEXT }`.
fn mark(field: &Field<'_>) -> Option<Mark> {
    if matches!(field.node.kind, Kind::Map(_)) && field.node.entry("literal").is_some() {
        let mut section = field.section()?;
        let text = section.get("literal").and_then(|field| field.text().map(ToOwned::to_owned));
        section.finish();
        return text.map(Mark::Text);
    }
    let (text, scalar) = (field.text()?.trim(), field.scalar()?);
    if scalar.origin != Origin::Written {
        return Some(Mark::Text(text.to_owned()));
    }
    let refuse = |message: String, hint: &str| {
        field.error(message, Some(format!("{hint} For the text itself write {{ literal: {text:?} }}")));
        None
    };
    match Source::parse(text) {
        Some(Ok(Source::Page(PageSource::Html { css, attribute: None }))) => Some(Mark::Html(css)),
        Some(Ok(Source::Page(PageSource::Html { .. }))) => refuse(
            format!("`{text}` reads an attribute"),
            "write an element that is there or not: `html(\"a[href]\")`.",
        ),
        Some(Err(message)) if text.starts_with("html(") => {
            field.error(message, None);
            None
        }
        Some(_) => refuse(
            format!("`{text}` is not in the page that a visitor sees"),
            "write a text, or `html(\"CSS\")`; what stands elsewhere is for `when`.",
        ),
        // Sentences have dots and brackets, but no bracket with a quote behind the first word.
        None => match misspelt(text).filter(|_| text.contains("(\"")) {
            Some((message, _)) => refuse(message, "write a text, or `html(\"CSS\")`."),
            None => Some(Mark::Text(text.to_owned())),
        },
    }
}
