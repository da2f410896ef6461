//! What is known when a hit is decided: the request, the answer as far as it has come, the journey.

use std::collections::{BTreeMap, HashSet};

use http::HeaderMap;

use super::{
    Record, Room,
    consents::{Consents, is_yes},
    plan::Hold,
    remembrance::stored_address,
};
use crate::tracking::{
    body::RequestBody,
    channel::Credit,
    click::{ClickId, Keep},
    consent::Decision,
    conversion::{ConversionRule, FieldNames, Mark, Proof, SendRule},
    device::device_type,
    human::NotAVisit,
    journey::{Journey, JourneyKey},
    site::SiteRules,
    timestamp::Timestamp,
    trigger::TriggerRule,
    value::{PageValues, View},
};

/// How far the answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its head is there.
    Head,
    /// Its body has ended, whole or not.
    End,
}

/// What was read of the body of an answer.
#[derive(Debug, Default)]
pub struct AnswerBody {
    /// The fields of a page.
    pub page: PageValues,
    /// The marks that it shows.
    pub marks: HashSet<Mark>,
    /// Its JSON.
    pub json: RequestBody,
}

/// Everything that a decision depends on.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the request by itself")]
pub(super) struct Facts<'a> {
    pub(super) record: &'a Record,
    pub(super) body: &'a RequestBody,
    pub(super) response: &'a HeaderMap,
    pub(super) answer: Option<&'a AnswerBody>,
    pub(super) journey: Option<&'a Journey>,
    /// Whether the journey is still awaited.
    pub(super) journey_is_late: bool,
    pub(super) consents: &'a Consents,
    /// Why the request does not count.
    pub(super) disregard: Option<NotAVisit>,
    /// The final status.
    pub(super) status: u16,
    /// Whether a body follows that can be read.
    pub(super) may_have_body: bool,
    /// Which pixels can go into the page.
    pub(super) room: Room<'a>,
    /// The time of the answer.
    pub(super) now: Timestamp,
    pub(super) stage: Stage,
    /// Under which the visitor's journey is found.
    pub(super) keys: &'a [JourneyKey],
    /// Which of them our cookie makes.
    pub(super) visitor_key: Option<JourneyKey>,
    /// Whether another site has sent the visitor's browser here, which so brought no cookies.
    pub(super) is_sent_back: bool,
    /// Whether the visitor's conversions are kept from leaving.
    pub(super) is_held: bool,
}

impl Facts<'_> {
    pub(super) fn view<'b>(&'b self, path: &'b [(String, String)]) -> View<'b> {
        View {
            request: self.record.request().view(path),
            body: Some(self.body),
            response: Some(self.response),
            answer: self.answer.map(|answer| &answer.json),
            page: self.answer.map(|answer| &answer.page),
            journey: self.journey,
        }
    }

    /// Whether a candidate may be written down before the journey is there: when another server calls, or
    /// a visitor comes back without cookies, only the journey can tell whether the visitor has agreed.
    pub(super) fn may_store_unrecalled(&self, network: usize, trigger: &TriggerRule) -> bool {
        let decision = self.consents.of(network);
        decision == Decision::NotRequired || !trigger.caller.is_server() && is_yes(decision)
    }

    /// Whether the browser that gets this page may be told the verdict on a row.
    pub(super) fn browser_may_ask(&self, hold: Option<&Hold>, trigger: &TriggerRule) -> bool {
        self.stage == Stage::Head
            && !self.journey_is_late
            && !matches!(hold, Some(Hold::Incomplete { .. }))
            && !trigger.caller.is_server()
    }

    /// Whether the page shows what it must; one that has not been seen shows nothing.
    pub(super) fn is_proven(&self, proof: &Proof) -> bool {
        let shows = |mark: &Mark| self.answer.is_some_and(|answer| answer.marks.contains(mark));
        proof.is_empty() || proof.is_given(shows)
    }

    /// The configured click ID, else the one in this request's query, else those in the cookie, else
    /// those that the journey remembers.
    pub(super) fn clicks_of(
        &self,
        site: &SiteRules,
        send: &SendRule,
        view: View<'_>,
        fields: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let configured = send.click_id.as_ref().and_then(|value| value.read(view, &FieldNames(fields)));
        if let Some(id) = configured.and_then(|text| ClickId::parse(&text).ok()) {
            return vec![id.as_str().to_owned()];
        }
        let Some(network) = site.networks.get(send.network) else { return Vec::new() };
        let rule = &network.click;
        let request = self.record.request();
        let known = rule.carried(request.headers);
        let arrived = rule.find(request.query).and_then(Result::ok);
        let kept = match arrived {
            Some(arrived) => rule.combine(known, arrived),
            None => known,
        };
        if !kept.is_empty() {
            return kept.into_iter().map(|id| id.as_str().to_owned()).collect();
        }
        let Some(journey) = self.journey else { return Vec::new() };
        let recalled = journey.clicks_of(site.click_owner(send.network), self.now, network.click_ttl);
        let mut ids = recalled.into_iter().map(|click| click.id.clone());
        match rule.keep {
            Keep::Last => ids.next_back().into_iter().collect(),
            Keep::First => ids.take(1).collect(),
            Keep::All => ids.collect(),
        }
    }

    /// Whether this network's click earned the conversion, by what the journey knows of other paid visits.
    pub(super) fn is_credited(&self, site: &SiteRules, send: &SendRule, rule: &ConversionRule) -> bool {
        let (Credit::LastPaidClick, Some(journey)) = (rule.credit, self.journey) else { return true };
        let Some(network) = site.networks.get(send.network) else { return true };
        let request = self.record.request();
        if matches!(network.click.find(request.query), Some(Ok(_))) {
            // It comes with this very page.
            return true;
        }
        let owner = site.click_owner(send.network);
        let known = journey.clicks_of(owner, self.now, network.click_ttl);
        if known.is_empty() && network.click.carried(request.headers).is_empty() {
            return true;
        }
        // What nobody saw arrive came before all that is known.
        let own = known.into_iter().filter(|click| !click.is_carried).map(|click| click.time).max();
        let others = journey.clicks.iter().filter(|click| click.network != owner && !click.is_carried);
        let others = others.map(|click| click.time).chain(journey.channel.iter().map(|visit| visit.time));
        others.max() <= own
    }

    /// Built-in names that are read from the request, only where a template asks for them.
    ///
    /// Another server's request says nothing of the visitor; the journey may.
    pub(super) fn context(&self, site: &SiteRules, trigger: &TriggerRule, name: &str) -> Option<String> {
        let request = self.record.request();
        if trigger.caller.is_server() {
            return match name {
                "client_ip" => self.journey?.client_ip.as_ref().map(|it| it.text.clone()),
                "user_agent" => self.journey?.user_agent.as_ref().map(|it| it.text.clone()),
                _ => None,
            };
        }
        let header = |name: &http::HeaderName| request.headers.get(name)?.to_str().ok().map(ToOwned::to_owned);
        match name {
            "client_ip" => Some(stored_address(site, request.client.address).to_string()),
            "user_agent" => header(&http::header::USER_AGENT),
            "device_type" => Some(device_type(request.headers).to_owned()),
            "page_url" => {
                let scheme = if request.client.over_tls { "https" } else { "http" };
                let question = if request.query.is_empty() { "" } else { "?" };
                Some(format!("{scheme}://{}{}{question}{}", request.host(), request.path, request.query))
            }
            "gdpr" => Some(if self.consents.site == Decision::NotRequired { "0" } else { "1" }.to_owned()),
            "tcf" => site.consent.tcf_string(request.headers),
            _ => None,
        }
    }
}
