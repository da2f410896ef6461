//! Decoding of `delivery`: how long and how many postbacks at a time.

use std::time::Duration;

use super::decode::Field;

/// How postbacks to a network are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// How old a conversion may become before it is given up.
    pub max_age: Duration,
    /// How many requests to one network may be under way at a time.
    pub concurrency: usize,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self { max_age: Duration::from_hours(7 * 24), concurrency: 8 }
    }
}

/// Reads a map over these defaults.
pub fn delivery(field: &Field<'_>, defaults: DeliverySettings) -> DeliverySettings {
    let Some(mut section) = field.section() else { return defaults };
    let settings = DeliverySettings {
        max_age: section.get("max_age").and_then(|field| field.duration()).unwrap_or(defaults.max_age),
        concurrency: section.get("concurrency").and_then(|field| concurrency(&field)).unwrap_or(defaults.concurrency),
    };
    // Read by `outbound`.
    section.know("allow_private");
    section.know("proxy");
    section.finish();
    settings
}

fn concurrency(field: &Field<'_>) -> Option<usize> {
    let count = field.parse::<usize>("number")?;
    if (1..=64).contains(&count) {
        return Some(count);
    }
    field.error(format!("{count} requests at a time are out of range"), Some("write a number from 1 to 64".to_owned()));
    None
}
