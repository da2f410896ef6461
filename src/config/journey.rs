//! Decoding of `recognise_by` and `channels`: how journeys are found again, and what else brings visitors.

use super::{condition::test, decode::Field, tree::Kind};
use crate::tracking::{channel::ChannelRule, value::Source};

/// Reads the sources under `recognise_by`.
pub fn recognise_by(field: &Field<'_>) -> Vec<Source> {
    field.one_or_many().iter().filter_map(recognition).collect()
}

fn recognition(field: &Field<'_>) -> Option<Source> {
    let text = field.text()?;
    if let Some(Ok(source @ (Source::Cookie(_) | Source::Header(_)))) = Source::parse(text) {
        return Some(source);
    }
    field.error(
        format!("`{text}` recognises no visitor"),
        Some("write the cookie of the site's own session, `cookie.NAME`, or `header.NAME`".to_owned()),
    );
    None
}

/// Reads the list under `channels`: names of parameters, and maps that say more.
pub fn channels(field: &Field<'_>) -> Vec<ChannelRule> {
    field.one_or_many().iter().filter_map(channel).collect()
}

fn channel(field: &Field<'_>) -> Option<ChannelRule> {
    if !matches!(field.node.kind, Kind::Map(_)) {
        return Some(ChannelRule { param: field.text()?.to_owned(), is: None });
    }
    let mut section = field.section()?;
    let param = section.require("param", "write `{ param: utm_medium, is: cpc }`");
    let is = section.get("is");
    section.finish();
    let is = match is {
        Some(field) => Some(test(&field)?),
        None => None,
    };
    Some(ChannelRule { param: param?.text()?.to_owned(), is })
}
