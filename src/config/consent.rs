//! Decoding of `consent`: what a site, or a network of it, asks of visitors, and where their choice
//! stands.

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use regex::Regex;

use super::{
    condition::conditions,
    decode::{Field, Section},
    source::Reach,
    tree::Kind,
    value::regex,
};
use crate::tracking::{
    consent::{ConsentRules, Gpc, HOLD_FOR, PendingClick, Requirement, Signal},
    matcher::Condition,
    value::Source,
};

mod signal;

pub(super) use signal::BANNERS;
use signal::signal;

/// Reads a site's `consent`; `networks` are those of the site, with what they ask for themselves.
pub fn consent(site: &Field<'_>, field: Option<&Field<'_>>, networks: &[Option<Requirement>]) -> Arc<ConsentRules> {
    let Some(mut section) = field.and_then(|field| field.section_with("require")) else {
        // What is there but no map has been noted.
        if field.is_none() {
            if networks.contains(&None) {
                unwritten(site);
            }
            check_signals(site, &Requirement::None, networks);
        }
        return Arc::default();
    };
    let required = section.get("require");
    if required.is_none() && networks.contains(&None) {
        unwritten(section.field());
    }
    let require = required.as_ref().and_then(requirement).unwrap_or_default();
    let listed = section.get("from").map(|field| field.one_or_many()).unwrap_or_default();
    let mut signals: Vec<Signal> = listed.iter().filter_map(signal).collect();
    let bridge = section.get("bridge").and_then(|field| field.switch()).unwrap_or_default();
    if bridge {
        signals.insert(0, Signal::Bridge);
    }
    let pending = section.get("pending");
    let rules = ConsentRules {
        require,
        gpc: section.get("gpc").and_then(|field| field.choice(&GPC)).unwrap_or_default(),
        pending: pending.as_ref().and_then(|field| field.choice(&PENDING)).unwrap_or_default(),
        hold_for: section.get("hold_for").and_then(|field| field.duration_within(HOLD_BOUNDS)).unwrap_or(HOLD_FOR),
        bridge,
        unless: section.get("unless").map(|field| exemptions(&field)).unwrap_or_default(),
        signals,
    };
    // Signals that cannot be read have been noted.
    if listed.is_empty() && !bridge {
        check_signals(section.field(), &rules.require, networks);
    }
    if let Some(field) = pending.filter(|_| rules.pending == PendingClick::Hold) {
        field.warn(
            "`hold` stores the click in a cookie before the visitor has agreed",
            "make sure that you may, or write `pending: referer`, which stores nothing".to_owned(),
        );
    }
    section.finish();
    Arc::new(rules)
}

fn unwritten(field: &Field<'_>) {
    field.warn(
        "consent.require isn't written: every visitor is tracked",
        "write `consent: { require: none }` if that's meant, or ad_storage".to_owned(),
    );
}

/// Reads `none`, `ad_storage`, or `{ purposes: […], vendor: N }`.
pub fn requirement(field: &Field<'_>) -> Option<Requirement> {
    if !matches!(field.node.kind, Kind::Map(_)) {
        return match field.choice(&REQUIREMENTS)? {
            Word::None => Some(Requirement::None),
            Word::AdStorage => Some(Requirement::AdStorage),
        };
    }
    let mut section = field.section()?;
    let purposes = section.require("purposes", "write the IAB's numbers: `purposes: [1, 7]`");
    let purposes = purposes.map(|field| {
        let numbers = field.one_or_many().into_iter().filter_map(|item| item.number_within(1..=24));
        let numbers: Vec<u8> = numbers.filter_map(|number| u8::try_from(number).ok()).collect();
        if field.one_or_many().is_empty() {
            field.error("no purpose is asked for", "write the IAB's numbers: `purposes: [1, 7]`".to_owned());
        }
        numbers
    });
    let vendor = section.get("vendor").and_then(|field| field.number_within(1..=65535));
    section.finish();
    Some(Requirement::Purposes { purposes: purposes?, vendor: vendor.and_then(|vendor| u16::try_from(vendor).ok()) })
}

/// Conditions under which nobody is asked; they see any request, which has no named segments.
fn exemptions(field: &Field<'_>) -> Vec<Condition> {
    let reach = Reach { path_names: None, remembered: &[] };
    let instead = "look at query.NAME, header.NAME or cookie.NAME";
    let conditions = conditions(field, reach, instead);
    let is_known = |source: &Source| matches!(source, Source::Query(_) | Source::Header(_) | Source::Cookie(_));
    if !conditions.iter().all(|condition| is_known(&condition.source)) {
        let message = "these conditions stand for all pages, and are looked at before the site is asked";
        field.error(message, instead.to_owned());
    }
    conditions
}

/// Notes that nobody can agree to what is asked for, where no signal is listed.
fn check_signals(field: &Field<'_>, site: &Requirement, networks: &[Option<Requirement>]) {
    let mut asked = networks.iter().flatten().chain([site]);
    if asked.any(|requirement| *requirement != Requirement::None) {
        field.error(
            "consent is required, but nothing says what a visitor chose",
            "write where that stands: `from: [tcf]`, `from: [onetrust]` …, or `bridge: true`".to_owned(),
        );
    }
}

/// Reads `granted` and `denied` of a cookie or header.
fn patterns(section: &mut Section<'_>) -> (Option<Regex>, Option<Regex>) {
    let granted = section.require("granted", "write what it looks like once the visitor agreed: `granted: \"^yes\"`");
    let read = |field: Field<'_>| regex(&field, field.text()?);
    (granted.and_then(read), section.get("denied").and_then(read))
}

fn header_name(field: &Field<'_>) -> Option<HeaderName> {
    let text = field.text()?;
    let name = HeaderName::try_from(text).ok();
    if name.is_none() {
        field.error(format!("`{text}` is not the name of a header"), None);
    }
    name
}

/// The words that `require` takes.
#[derive(Clone, Copy)]
pub(super) enum Word {
    None,
    AdStorage,
}

pub(super) const REQUIREMENTS: [(&str, Word); 2] = [("none", Word::None), ("ad_storage", Word::AdStorage)];
pub(super) const GPC: [(&str, Gpc); 2] = [("deny", Gpc::Deny), ("ignore", Gpc::Ignore)];
pub(super) const PENDING: [(&str, PendingClick); 3] =
    [("referer", PendingClick::Referer), ("hold", PendingClick::Hold), ("drop", PendingClick::Drop)];
const HOLD_BOUNDS: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);
