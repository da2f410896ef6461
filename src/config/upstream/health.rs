//! How a server's health is asked for: which path, how often, and how long is waited.

use std::time::Duration;

use super::{HealthRules, SHORTEST};
use crate::config::decode::Field;

/// Reads the map under `health`.
pub fn health(field: &Field<'_>) -> Option<HealthRules> {
    let mut section = field.section_with("path")?;
    let path = section.require("path", "write what is asked for: `path: /up`").and_then(|field| health_path(&field));
    let interval = section.get("interval");
    let interval = interval.and_then(|field| field.duration_within(Duration::from_secs(1)..=Duration::from_hours(1)));
    let timeout = section.get("timeout");
    let timeout = timeout.and_then(|field| field.duration_within(SHORTEST..=Duration::from_mins(1)));
    section.finish();
    Some(HealthRules {
        path: path?,
        interval: interval.unwrap_or(Duration::from_secs(5)),
        timeout: timeout.unwrap_or(Duration::from_secs(2)),
    })
}

fn health_path(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let plain = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !plain {
        field.error(format!("`{text}` is not a path"), "write a path that begins with `/`, such as /up".to_owned());
    }
    plain.then(|| text.to_owned())
}
