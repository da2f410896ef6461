//! Thank-you pages that are never seen: no host serves them, we answer in their place, or another
//! pattern comes first.

use super::text;
use crate::config::{
    decode::Field,
    problem::{Place, shown},
    site::{HostPattern, Site},
};
use crate::tracking::{matcher::PathPattern, trigger::TriggerRule};

/// Notes what is odd about the paths of a conversion.
pub(super) fn advise(conversion: &Field<'_>, site: &Site) {
    let name = conversion.find("name");
    let name = name.as_ref().and_then(text);
    let Some(rule) = site.rules.conversions.iter().find(|rule| Some(&*rule.name) == name) else { return };
    let fields = match conversion.find("triggers") {
        Some(triggers) => triggers.one_or_many(),
        None => vec![conversion.clone()],
    };
    let mut earlier: Vec<Pattern<'_>> = Vec::new();
    for (field, trigger) in fields.iter().zip(&rule.triggers) {
        never_asked_for(field, &site.hosts);
        let written = field.find("path").map(|path| path.one_or_many()).unwrap_or_default();
        for (field, path) in written.iter().zip(&trigger.paths) {
            answered_by_us(field, &site.rules.endpoint);
            let pattern = Pattern { path, trigger, place: &field.node.place };
            if let Some(first) = earlier.iter().find(|other| other.hides(&pattern)) {
                let (before, place) = (first.path, first.place.seen_from(pattern.place));
                field.warn(
                    format!(
                        "{} is never looked at: {} {place} matches all that it does",
                        shown(&path.to_string()),
                        shown(&before.to_string())
                    ),
                    "write this one first, or remove it".to_owned(),
                );
            }
            earlier.push(pattern);
        }
    }
}

/// A pattern of a conversion.
struct Pattern<'a> {
    path: &'a PathPattern,
    trigger: &'a TriggerRule,
    place: &'a Place,
}

impl Pattern<'_> {
    /// Whether no request ever gets to the other one: the first that matches path and method counts, and its
    /// conditions are looked at afterwards.
    fn hides(&self, other: &Self) -> bool {
        let methods = &self.trigger.methods;
        self.path.covers(other.path) && other.trigger.methods.iter().all(|method| methods.contains(method))
    }
}

/// A condition on a host that this site doesn't have.
fn never_asked_for(trigger: &Field<'_>, hosts: &[HostPattern]) {
    let conditions = trigger.find("when").and_then(|when| when.entries()).unwrap_or_default();
    for (_, test) in conditions.iter().filter(|(source, _)| source.eq_ignore_ascii_case("header.host")) {
        let asked = test.one_or_many();
        let texts: Option<Vec<&str>> = asked.iter().map(text).collect();
        let serves = |asked: &&str| {
            let asked = asked.rsplit_once(':').map_or(*asked, |(host, _)| host).to_ascii_lowercase();
            hosts.iter().any(|host| match host {
                HostPattern::Exact(host) => *host == asked,
                HostPattern::Below(suffix) => asked.ends_with(suffix),
            })
        };
        // A pattern is none of these texts, and a site without hosts has all that no other has.
        if texts.is_some_and(|texts| !hosts.is_empty() && !texts.iter().any(serves)) {
            test.warn(
                "no host of this site is called so: this never happens",
                "add it to `hosts`, or write this conversion into the site that has it".to_owned(),
            );
        }
    }
}

/// A page that we answer in the site's place.
fn answered_by_us(path: &Field<'_>, endpoint: &str) {
    let below = text(path).and_then(|path| path.strip_prefix(endpoint));
    if below.is_some_and(|below| below.is_empty() || below.starts_with('/')) {
        path.warn(
            format!("what is below {} is answered by us: the site never sees it", shown(endpoint)),
            "write another `endpoint`, or the path of the site's own page".to_owned(),
        );
    }
}
