//! Decoding of `delivery`: how long, how often and how many postbacks at a time.

use std::time::Duration;

use super::{decode::Field, tree::Node, units::written_duration};
use crate::delivery::rate::{InvalidRate, Rate};

/// How postbacks to a network are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// How old a conversion may become before it is given up.
    pub max_age: Duration,
    /// How often a conversion is tried that a working network does not take.
    pub max_attempts: u32,
    /// How many requests to one network may be under way at a time.
    pub concurrency: usize,
    /// How many requests one network gets in a time; `None` is as many as it takes.
    pub rate: Option<Rate>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self { max_age: Duration::from_hours(7 * 24), max_attempts: 20, concurrency: 8, rate: None }
    }
}

/// Reads a map over these defaults.
pub fn delivery(field: &Field<'_>, defaults: DeliverySettings) -> DeliverySettings {
    let Some(mut section) = field.section() else { return defaults };
    let settings = DeliverySettings {
        max_age: section.get("max_age").and_then(|field| field.duration()).unwrap_or(defaults.max_age),
        max_attempts: section
            .get("max_attempts")
            .and_then(|field| field.number_within(1..=100))
            .unwrap_or(defaults.max_attempts),
        concurrency: section.get("concurrency").and_then(|field| concurrency(&field)).unwrap_or(defaults.concurrency),
        rate: section.get("rate").and_then(|field| rate(&field)).or(defaults.rate),
    };
    // Read by `outbound`.
    section.know("allow_private");
    section.know("proxy");
    section.finish();
    settings
}

/// Holds a site to the `max_age` of the network's file: the network forgets what is older, or counts its
/// repeat as another conversion.
pub fn within_limit(settings: DeliverySettings, limit: Option<&Node>, written: &Field<'_>) -> DeliverySettings {
    let limit = limit.and_then(|limit| Field::at(limit, written.path.as_str(), written.problems()).duration());
    let Some(limit) = limit.filter(|limit| *limit < settings.max_age) else { return settings };
    let longest = written_duration(limit);
    written.warn(
        format!("this network takes no conversion that is older than {longest}"),
        Some(format!("`max_age: {longest}` is in force; write no more")),
    );
    DeliverySettings { max_age: limit, ..settings }
}

fn concurrency(field: &Field<'_>) -> Option<usize> {
    let count = field.parse::<usize>("number")?;
    if (1..=64).contains(&count) {
        return Some(count);
    }
    field.error(format!("{count} requests at a time are out of range"), Some("write a number from 1 to 64".to_owned()));
    None
}

fn rate(field: &Field<'_>) -> Option<Rate> {
    let text = field.text()?;
    let (what, remedy) = match Rate::parse(text) {
        Ok(rate) => return Some(rate),
        Err(InvalidRate::Malformed) => ("is not a rate", "write `50/s`, `100/m` or `500/h`"),
        Err(InvalidRate::OutOfRange) => ("is out of range", "write a number from 1 to 10000"),
    };
    field.error(format!("`{text}` {what}"), Some(remedy.to_owned()));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Problems;

    #[test]
    fn a_site_cannot_write_more_than_its_network_takes() {
        let days = |days: u64| Duration::from_hours(24 * days);
        for (limit, wanted, in_force, warnings) in
            [(Some("48h"), 7, 2, 1), (Some("48h"), 1, 1, 0), (Some("48h"), 2, 2, 0), (None, 30, 30, 0)]
        {
            let problems = Problems::default();
            let limit = limit.and_then(|limit| Node::parse("net.yaml", limit, &problems));
            let written = Node::parse("a.yaml", "{}", &problems).unwrap();
            let settings = DeliverySettings { max_age: days(wanted), ..DeliverySettings::default() };
            let held = within_limit(settings, limit.as_ref(), &Field::at(&written, "delivery", &problems));
            assert_eq!(held.max_age, days(in_force));
            assert_eq!(problems.into_sorted().len(), warnings);
        }
    }
}
