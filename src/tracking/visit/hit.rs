//! A conversion's trigger that a request matched: what was read, and what is to be done about it.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use super::{Answered, Request, Room};
use crate::tracking::{
    click::ClickId,
    conversion::{ConversionRule, FieldNames, Outcome, SendRule},
    device::device_type,
    event::{Dedup, DedupKey, Event, EventId, Payload},
    human::NotAVisit,
    network::{Mode, NetworkRules, SyncPages, SyncRule},
    postback::{EventNames, Identity},
    site::{SHORT_WINDOW, SiteRules},
    timestamp::Timestamp,
    value::Value,
};

/// An outcome that needs no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Which conversion of the site.
    pub conversion: usize,
    /// Which of its networks, by its place under `send`.
    pub send: usize,
    /// What became of it.
    pub outcome: Outcome,
}

/// A conversion to be written down.
#[derive(Debug)]
pub struct PlannedRow {
    /// Which conversion of the site.
    pub conversion: usize,
    /// Which of its networks, by its place under `send`.
    pub send: usize,
    /// The row.
    pub event: Event,
    /// How repeats are recognised.
    pub dedup: Option<Dedup>,
}

/// A dedup key to be taken before counted pixels are shown.
#[derive(Debug)]
pub struct PlannedClaim {
    /// Which conversion of the site.
    pub conversion: usize,
    /// Which of its networks, by its place under `send`.
    pub send: usize,
    /// Which network of the site.
    pub network: usize,
    /// Stands for the pixels where a row would have its event id.
    pub event_id: EventId,
    /// How repeats are recognised.
    pub dedup: Option<Dedup>,
    /// The addresses of the pixels.
    pub pixels: Vec<String>,
}

/// What an answer says that concerns every hit.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    /// Why the request does not count.
    pub(super) disregard: Option<NotAVisit>,
    /// The final status.
    pub(super) status: u16,
    /// Which pixels can go into the page.
    pub(super) room: Room<'a>,
    /// The time of the answer.
    pub(super) now: Timestamp,
}

/// A matched trigger.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) conversion: usize,
    conditions_hold: bool,
    once: Option<String>,
    /// By place under `send`.
    payloads: Vec<Payload>,
}

impl Hit {
    /// Reads everything that may be needed later: the request is gone when the site has answered.
    pub(super) fn read(
        site: &SiteRules,
        conversion: usize,
        rule: &ConversionRule,
        request: &Request<'_>,
        path: &[(String, String)],
    ) -> Self {
        let view = request.view(path);
        let fields = rule.read_fields(view);
        let context = |name: &str| read_context(name, request);
        let payloads = rule.send.iter().map(|send| {
            let clicks =
                site.networks.get(send.network).map(|network| clicks_of(network, send, request, path, &fields));
            send.payload(view, &fields, &context, clicks.unwrap_or_default())
        });
        Self {
            conversion,
            conditions_hold: rule.when.iter().all(|condition| condition.holds(view)),
            once: rule.read_once(view, &fields),
            payloads: payloads.collect(),
        }
    }

    /// Whether a network of this conversion may have to show pixels.
    pub(super) fn may_show_pixels(&self, site: &SiteRules) -> bool {
        let Some(rule) = site.conversions.get(self.conversion) else { return false };
        self.conditions_hold
            && rule.send.iter().zip(&self.payloads).any(|(send, payload)| {
                site.networks.get(send.network).is_some_and(|network| {
                    counted_pixels(network).is_some()
                        && site.mode_of(network) == Mode::On
                        && !send.is_attributable(&names(
                            rule,
                            send,
                            payload,
                            EventId::new(Uuid::nil()),
                            Timestamp::default(),
                        ))
                })
            })
    }

    /// Decides for every network; the first outcome that applies, in the order of [`Outcome::ALL`].
    pub(super) fn plan(
        self,
        site: &SiteRules,
        facts: Facts<'_>,
        visitor: &mut dyn FnMut() -> Option<Uuid>,
        plan: &mut Answered,
    ) {
        let Some(rule) = site.conversions.get(self.conversion) else { return };
        let succeeded = self.conditions_hold && rule.succeeds(facts.status);
        let conversion = self.conversion;
        for (index, (send, payload)) in rule.send.iter().zip(self.payloads).enumerate() {
            let Some(network) = site.networks.get(send.network) else { continue };
            let event_id = EventId::new(Uuid::nil());
            let scope = names(rule, send, &payload, event_id, facts.now);
            let is_attributable = send.is_attributable(&scope);
            let sync = counted_pixels(network).filter(|_| !is_attributable);
            let mut pixels = None;
            let outcome = if site.mode_of(network) != Mode::On {
                Some(Outcome::Off)
            } else if let Some(reason) = facts.disregard {
                Some(reason.into())
            } else if !succeeded {
                Some(Outcome::NotSuccess)
            } else {
                pixels = sync.and_then(|sync| facts.room.hold(|| sync.urls(&scope)));
                if pixels.is_some() {
                    None
                } else if !is_attributable {
                    plan.unreached.extend(sync.map(|_| send.network));
                    Some(Outcome::NoClick)
                } else if !send.is_complete(&scope) {
                    Some(Outcome::Incomplete)
                } else {
                    None
                }
            };
            if let Some(outcome) = outcome {
                plan.decided.push(Decided { conversion, send: index, outcome });
                continue;
            }
            let dedup = dedup_of(site, rule, network, self.once.as_deref(), &payload, visitor);
            if let Some(pixels) = pixels {
                let network = send.network;
                plan.claims.push(PlannedClaim { conversion, send: index, network, event_id, dedup, pixels });
                continue;
            }
            plan.undeduplicated.extend(dedup.is_none().then_some(conversion));
            let event = Event {
                id: event_id,
                time: facts.now,
                site: Arc::clone(&site.name),
                conversion: Arc::clone(&rule.name),
                network: Arc::clone(&network.key),
                payload,
            };
            plan.rows.push(PlannedRow { conversion, send: index, event, dedup });
        }
    }
}

impl From<NotAVisit> for Outcome {
    fn from(reason: NotAVisit) -> Self {
        match reason {
            NotAVisit::Prefetch => Self::Prefetch,
            NotAVisit::NotDocument => Self::NotDocument,
        }
    }
}

impl PlannedRow {
    pub(super) fn event_id_from(&mut self, uuid: &mut dyn FnMut() -> Uuid) {
        self.event.id = EventId::new(uuid());
    }
}

impl PlannedClaim {
    pub(super) fn event_id_from(&mut self, uuid: &mut dyn FnMut() -> Uuid) {
        self.event_id = EventId::new(uuid());
    }
}

/// Pixels that the network counts as a conversion.
fn counted_pixels(network: &NetworkRules) -> Option<&SyncRule> {
    network.sync.as_ref().filter(|sync| matches!(sync.pages, SyncPages::Conversion))
}

fn names<'a>(
    rule: &'a ConversionRule,
    send: &'a SendRule,
    payload: &'a Payload,
    id: EventId,
    time: Timestamp,
) -> EventNames<'a> {
    EventNames::new(&send.postback.names, payload, Identity { id, time, conversion: &rule.name })
}

/// The configured click ID, else the one in this request's query, else those in the cookie.
fn clicks_of(
    network: &NetworkRules,
    send: &SendRule,
    request: &Request<'_>,
    path: &[(String, String)],
    fields: &BTreeMap<String, String>,
) -> Vec<String> {
    let configured = send.click_id.as_ref().and_then(|value: &Value| read_value(value, request, path, fields));
    if let Some(id) = configured.and_then(|text| ClickId::parse(&text).ok()) {
        return vec![id.as_str().to_owned()];
    }
    let rule = &network.click;
    let known = rule.carried(request.headers);
    let arrived = rule.find(request.query).and_then(Result::ok);
    let kept = match arrived {
        Some(arrived) => rule.combine(known, arrived),
        None => known,
    };
    kept.into_iter().map(|id| id.as_str().to_owned()).collect()
}

fn read_value(
    value: &Value,
    request: &Request<'_>,
    path: &[(String, String)],
    fields: &BTreeMap<String, String>,
) -> Option<String> {
    value.read(request.view(path), &FieldNames(fields))
}

/// What tells this conversion from a repeat: its order, else the click, else the visitor.
///
/// Goals and other parameters are no part of it: an order that is reported with another goal is still
/// the same order.
fn dedup_of(
    site: &SiteRules,
    rule: &ConversionRule,
    network: &NetworkRules,
    once: Option<&str>,
    payload: &Payload,
    visitor: &mut dyn FnMut() -> Option<Uuid>,
) -> Option<Dedup> {
    let key = |kind: &str, value: &str| DedupKey::new(&[&site.name, &rule.name, &network.key, kind, value]);
    if let Some(once) = once {
        return Some(Dedup { key: key("once", once), window: rule.dedup_window });
    }
    if !payload.clicks.is_empty() {
        return Some(Dedup { key: key("click", &payload.clicks.join(",")), window: SHORT_WINDOW });
    }
    let visitor = visitor()?.to_string();
    Some(Dedup { key: key("visitor", &visitor), window: SHORT_WINDOW })
}

/// Built-in names that are read from the request, only where a template asks for them.
fn read_context(name: &str, request: &Request<'_>) -> Option<String> {
    let header = |name: &http::HeaderName| request.headers.get(name)?.to_str().ok().map(ToOwned::to_owned);
    match name {
        "client_ip" => Some(request.client.address.to_canonical().to_string()),
        "user_agent" => header(&http::header::USER_AGENT),
        "device_type" => Some(device_type(request.headers).to_owned()),
        "page_url" => {
            let scheme = if request.client.over_tls { "https" } else { "http" };
            let question = if request.query.is_empty() { "" } else { "?" };
            Some(format!("{scheme}://{}{}{question}{}", request.host(), request.path, request.query))
        }
        _ => None,
    }
}
