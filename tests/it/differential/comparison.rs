//! What differs between two roads to the same site.
//!
//! Only what belongs to one connection is left out: how a body is framed, and what RFC 9110 section
//! 7.6.1 calls hop-by-hop. Everything else is compared byte for byte.

use std::{collections::BTreeMap, fmt};

use crate::support::{
    h2_origin::HOP_BY_HOP,
    twin::{Ended, FETCH, Fields, Heard, Seen},
};

/// One thing that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// `status`, `header etag`, `body`, `asked: header cookie`, …
    pub(super) aspect: String,
    wanted: String,
    got: String,
}

impl Difference {
    pub(super) fn new(aspect: impl Into<String>, wanted: impl fmt::Debug, got: impl fmt::Debug) -> Self {
        let short =
            |text: String| if text.len() > 300 { text.chars().take(300).collect::<String>() + "…" } else { text };
        Self { aspect: aspect.into(), wanted: short(format!("{wanted:?}")), got: short(format!("{got:?}")) }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} became {}", self.aspect, self.wanted, self.got)
    }
}

/// What differs between two answers.
pub(super) fn of_answers(wanted: &Seen, got: &Seen) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |aspect: &str, wanted: &dyn fmt::Debug, got: &dyn fmt::Debug, same: bool| {
        if !same {
            found.push(Difference::new(aspect, wanted, got));
        }
    };
    compare("status", &wanted.status, &got.status, wanted.status == got.status);
    if let (Some(one), Some(other)) = (&wanted.reason, &got.reason) {
        compare("reason", one, other, one == other);
    }
    compare("ended", &wanted.ended, &got.ended, wanted.ended == got.ended);
    compare("informational", &hints(wanted), &hints(got), hints(wanted) == hints(got));
    compare("trailers", &wanted.trailers, &got.trailers, by_name(&wanted.trailers) == by_name(&got.trailers));
    // Of an answer that was cut off, less may have come this far; what came must be its beginning.
    let same_body = wanted.body == got.body
        || wanted.ended == Ended::CutOff && got.ended == Ended::CutOff && wanted.body.starts_with(&got.body);
    compare("body", &around(&wanted.body, &got.body), &around(&got.body, &wanted.body), same_body);
    found.extend(of_headers("header", &wanted.headers, &got.headers));
    found
}

/// What differs between two requests that reached the site.
pub(super) fn of_requests(wanted: &Heard, got: &Heard) -> Vec<Difference> {
    let mut found = Vec::new();
    if wanted.method != got.method {
        found.push(Difference::new("asked: method", &wanted.method, &got.method));
    }
    if wanted.target != got.target {
        found.push(Difference::new("asked: target", &wanted.target, &got.target));
    }
    if wanted.body != got.body {
        found.push(Difference::new("asked: body", around(&wanted.body, &got.body), around(&got.body, &wanted.body)));
    }
    found.extend(of_headers("asked: header", &wanted.headers, &got.headers));
    found
}

fn of_headers(aspect: &str, wanted: &Fields, got: &Fields) -> Vec<Difference> {
    let (wanted, got) = (by_name(wanted), by_name(got));
    let names: std::collections::BTreeSet<&str> = wanted.keys().chain(got.keys()).copied().collect();
    let differs = names.into_iter().filter(|name| wanted.get(name) != got.get(name));
    differs.map(|name| Difference::new(format!("{aspect} {name}"), wanted.get(name), got.get(name))).collect()
}

/// The order of values counts within a name only (RFC 9110 section 5.3).
fn by_name(fields: &Fields) -> BTreeMap<&str, Vec<&str>> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in fields {
        if !HOP_BY_HOP.contains(&name.as_str()) && name != FETCH {
            names.entry(name).or_default().push(value);
        }
    }
    names
}

/// The length of a body and its bytes around the first that differs from another's.
fn around(body: &[u8], other: &[u8]) -> String {
    let at = body.iter().zip(other).position(|(one, two)| one != two).unwrap_or(body.len().min(other.len()));
    let shown = &body[at.saturating_sub(10)..body.len().min(at + 60)];
    format!("{} bytes, around {at}: {}", body.len(), shown.escape_ascii())
}

fn hints(seen: &Seen) -> Vec<(u16, BTreeMap<&str, Vec<&str>>)> {
    seen.informational.iter().map(|(status, headers)| (*status, by_name(headers))).collect()
}
