//! What a request adds to its visitor's journey: clicks, a paid channel, captured fields.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::{Record, Request, Visit, consents::Consents};
use crate::tracking::{
    capture::CaptureRule,
    conversion::FieldNames,
    human::NotAVisit,
    journey::{Identifier, Journey, JourneyKey, RecalledClick, Remembered},
    network::Mode,
    personal,
    site::{SiteRules, StoredAddress},
    timestamp::Timestamp,
    value::{RequestView, Source, View},
};

/// Something to be remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembrance {
    /// Under these keys.
    pub keys: Vec<JourneyKey>,
    /// What is new.
    pub journey: Journey,
    /// Until this time.
    pub expires: Timestamp,
}

/// What became of a capture, as counted in `captures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaptureResult {
    /// It is remembered.
    Remembered,
    /// Tracking is off, or the request is nobody's.
    Disregarded,
    /// The answer's status, or a condition, says it is no success.
    NotSuccess,
    /// The visitor has not agreed, or not yet.
    NoConsent,
    /// None of its fields has a value.
    Nothing,
}

impl CaptureResult {
    /// All results.
    pub const ALL: [Self; 5] = [Self::Remembered, Self::Disregarded, Self::NotSuccess, Self::NoConsent, Self::Nothing];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Remembered => "remembered",
            Self::Disregarded => "disregarded",
            Self::NotSuccess => "not_success",
            Self::NoConsent => "no_consent",
            Self::Nothing => "nothing",
        }
    }
}

/// A capture whose trigger a request matched.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) capture: usize,
    pub(super) path: Vec<(String, String)>,
}

/// What is remembered of it, under which order.
pub(super) fn read(
    rule: &CaptureRule,
    status: u16,
    view: View<'_>,
    now: Timestamp,
) -> Result<(Journey, Option<String>), CaptureResult> {
    if !rule.trigger.succeeds(status) || !rule.trigger.holds(view) {
        return Err(CaptureResult::NotSuccess);
    }
    let mut fields = BTreeMap::new();
    for (name, value) in &rule.fields {
        let Some(text) = value.read(view, &FieldNames(&fields)) else { continue };
        if let Some(text) = personal::normal(name, text) {
            fields.insert(name.clone(), text);
        }
    }
    let key = rule.key.as_ref().and_then(|key| key.read(view, &FieldNames(&fields)));
    if fields.is_empty() && key.is_none() && !(rule.fields.is_empty() && rule.key.is_none()) {
        return Err(CaptureResult::Nothing);
    }
    let mut journey = Journey::default();
    journey.fields.extend(fields.into_iter().map(|(name, text)| (name, Remembered::new(text, now))));
    journey.pass(&rule.name, now);
    Ok((journey, key))
}

/// The captures that look at a request.
pub(super) fn find(site: &SiteRules, request: &Request<'_>) -> Vec<Passing> {
    let captures = site.captures.iter().enumerate();
    captures
        .filter_map(|(capture, rule)| {
            let path = rule.trigger.matches(request.method, request.path)?;
            Some(Passing { capture, path })
        })
        .collect()
}

/// The paid channel that a request came by.
pub(super) fn channel(site: &SiteRules, request: &Request<'_>) -> Option<String> {
    if site.channels.is_empty() || request.query.is_empty() || !site.keeps_journeys() {
        return None;
    }
    site.channels.iter().find(|channel| channel.is_in(request.query)).map(|channel| channel.param.clone())
}

/// The names of the journey by what the site itself recognises its visitors by.
pub(super) fn sessions(site: &SiteRules, headers: &HeaderMap) -> Vec<JourneyKey> {
    let Some(names) = &site.journeys else { return Vec::new() };
    let names_of = |(name, value): (&str, String)| names.session(&site.name, name, &value);
    recognised(site, headers).filter_map(names_of).collect()
}

/// The same, and what they were called under older secrets.
pub(super) fn all_sessions(site: &SiteRules, headers: &HeaderMap) -> Vec<JourneyKey> {
    let Some(names) = &site.journeys else { return Vec::new() };
    let names_of = |(name, value): (&str, String)| names.all(&site.name, Identifier::Session { name, value: &value });
    recognised(site, headers).flat_map(names_of).collect()
}

fn recognised<'a>(site: &'a SiteRules, headers: &'a HeaderMap) -> impl Iterator<Item = (&'a str, String)> {
    let view = RequestView { query: "", path: &[], headers };
    site.recognise_by.iter().filter_map(move |source| Some((source.name(), source.read_text(view.into())?)))
}

/// The same, where the site has just begun a session.
pub(super) fn given_sessions(site: &SiteRules, response: &HeaderMap) -> Vec<JourneyKey> {
    let Some(names) = &site.journeys else { return Vec::new() };
    let given = |name: &str| -> Option<String> {
        let lines = response.get_all(http::header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        let value = lines
            .filter_map(|line| line.split(';').next()?.trim().strip_prefix(name)?.strip_prefix('='))
            .next_back()?;
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
        (!value.is_empty() && value != "deleted").then(|| value.into_owned())
    };
    let cookies = site.recognise_by.iter().filter_map(|source| match source {
        Source::Cookie(name) => Some(name),
        Source::Query(_)
        | Source::Path(_)
        | Source::Header(_)
        | Source::Form(_)
        | Source::Json(_)
        | Source::ResponseHeader(_)
        | Source::ResponseJson(_)
        | Source::Page(_)
        | Source::Journey(_) => None,
    });
    cookies.filter_map(|name| names.session(&site.name, name, &given(name)?)).collect()
}

/// The clicks in the cookies of a request, as far as the visitor agrees to them.
pub(super) fn carried(site: &SiteRules, record: &Record, consents: &Consents, now: Timestamp) -> Vec<RecalledClick> {
    let headers = record.request().headers;
    let networks = site.networks.iter().enumerate().filter(|(index, network)| {
        consents.allows(*index) && site.mode_of(network) == Mode::On && site.click_owner(*index) == &*network.key
    });
    networks
        .flat_map(|(_, network)| {
            let ids = network.click.carried(headers);
            ids.into_iter().map(|id| RecalledClick {
                network: network.key.to_string(),
                id: id.as_str().to_owned(),
                time: now,
                is_carried: true,
            })
        })
        .collect()
}

impl Visit {
    /// Whether a capture looks at this request even though no page is shown for it: forms are often
    /// sent by scripts.
    pub(super) fn captures_count(&self) -> bool {
        matches!(self.disregard, None | Some(NotAVisit::NotDocument)) && self.has_body
    }
}

/// Describes who a journey belongs to, for conversions that another server reports.
pub(super) fn describe(journey: &mut Journey, site: &SiteRules, record: &Record, consents: &Consents, now: Timestamp) {
    let request = record.request();
    let address = stored_address(site, request.client.address).to_string();
    journey.client_ip = Some(Remembered::new(address, now));
    let agent = request.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    journey.user_agent = agent.map(|agent| Remembered::new(agent, now));
    journey.consent = Some(Remembered::new(consents.in_words(site), now));
}

/// A visitor's address as far as it may be stored.
pub(super) fn stored_address(site: &SiteRules, address: std::net::IpAddr) -> std::net::IpAddr {
    match site.client_ip {
        StoredAddress::Full => address.to_canonical(),
        StoredAddress::Truncated => personal::truncate(address.to_canonical()),
    }
}

/// Clicks as a journey keeps them.
pub(super) fn recalled<'a>(
    network: &'a str,
    ids: impl IntoIterator<Item = &'a str> + 'a,
    time: Timestamp,
) -> impl Iterator<Item = RecalledClick> + 'a {
    ids.into_iter().map(move |id| RecalledClick {
        network: network.to_owned(),
        id: id.to_owned(),
        time,
        is_carried: false,
    })
}
