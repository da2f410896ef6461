//! Decoding of `click`: where a network's click IDs come from.

use std::time::Duration;

use super::whole_pattern;
use crate::{
    config::{cookie::ATTRIBUTES, decode::Field},
    tracking::click::{ClickRule, Keep},
};

/// Reads the map under `click`, and how long its cookie lives.
pub(super) fn click_rule(key: &str, field: &Field<'_>, block: &Field<'_>) -> Option<(ClickRule, Duration)> {
    let mut section = field.section_with("param")?;
    let param = section.get("param").and_then(|field| field.text().map(ToOwned::to_owned));
    if !section.contains("param") {
        // The map may stand in the network's file; what is missing belongs into the operator's.
        block.key_error(
            "`click.param` is missing",
            "write `click: { param: NAME }`, the query parameter in which your ad links carry the click ID".to_owned(),
        );
    }
    let cookie = section.get("cookie").and_then(|field| cookie_name(&field)).unwrap_or_else(|| format!("_{key}_cid"));
    let ttl = section.get("ttl").and_then(|field| field.duration()).unwrap_or(DEFAULT_TTL);
    let keep = section.get("keep").and_then(|field| field.choice(&KEEPS)).unwrap_or_default();
    let pattern = section.get("pattern").and_then(|field| whole_pattern(&field));
    // Read by `cookie_rule`, which knows who overrules whom.
    for attribute in ATTRIBUTES {
        let _known = section.get(attribute);
    }
    section.finish();
    Some((ClickRule { param: param?, cookie, keep, pattern }, ttl))
}

fn cookie_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !is_token || name.starts_with("_tl") {
        field.error(
            format!("`{name}` cannot name this cookie"),
            Some("use letters, digits, `-` and `_` (RFC 6265); names that begin with `_tl` are ours".to_owned()),
        );
        return None;
    }
    Some(name.to_owned())
}

pub(in crate::config) const KEEPS: [(&str, Keep); 3] =
    [("last", Keep::Last), ("first", Keep::First), ("all", Keep::All)];
const DEFAULT_TTL: Duration = Duration::from_hours(30 * 24);
