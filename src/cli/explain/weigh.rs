//! A request taken through the proxy's own decisions, and what came of each.

use uuid::Uuid;

use super::{
    account::{Account, CaptureAccount, ClickAccount, ConsentAccount, PixelAccount},
    mask::Mask,
    question::Question,
    why,
};
use crate::{
    html::{
        csp::{Page as Place, meta::MetaPolicies},
        page::{self, Page, Untouchable},
    },
    proxy::{endpoint, module::Body, runtime::TrackedSite},
    store::clock,
    tracking::{
        body::RequestBody,
        capture::CaptureRule,
        click::{ClickId, ClickResult},
        event::EventId,
        human::not_a_visit,
        late::LATE_COOKIE,
        network::{Mode, NetworkRules},
        site::SiteRules,
        value::{RequestView, View},
        visit::{AnswerBody, Answered, HOLD_COOKIE, PlannedClaim, Reply, Room, Visit},
        visitor::VISITOR_COOKIE,
    },
};

mod conversion;

pub(in crate::cli) use conversion::rendered;

/// Everything that the decisions left behind.
struct Weighed<'a> {
    site: &'a TrackedSite,
    question: &'a Question,
    /// What followed from the head of the answer.
    head: Answered,
    /// What followed from its body, if that is known.
    end: Option<Answered>,
    /// The body of the request.
    body: RequestBody,
    /// What was read of the body of the answer.
    shown: Option<AnswerBody>,
    /// Whether pixels can go into the page.
    page: Result<Page, Untouchable>,
    /// Where the page stands.
    place: Place,
}

/// The account of a request to this site.
pub(super) fn account(site: &TrackedSite, question: &Question, mask: &Mask) -> Account {
    let rules = &site.rules;
    let view = RequestView { query: &question.query, path: &[], headers: &question.headers };
    let mut account = Account {
        request: question.line.clone(),
        site: Some(rules.name.to_string()),
        visitor: why::visitor(not_a_visit(&question.method, &question.headers)),
        consent: consent(rules, view),
        ..Account::default()
    };
    if endpoint::below(&rules.endpoint, &question.path).is_some() {
        let endpoint = &rules.endpoint;
        account.notes.push(format!("below {endpoint} we answer ourselves: the site never hears of it"));
        return account;
    }
    let visit = Visit::begin(rules, &question.request());
    account.notes.extend(visit.is_none().then(|| "nothing in it concerns tracking: it passes as it is".to_owned()));
    account.notes.extend(notes(rules, question, visit.as_ref()));
    let weighed = Weighed::new(site, question, visit);
    account.consent.withdraws = weighed.head.withdrawal.is_some();
    account.clicks = weighed.clicks();
    account.captures = weighed.captures();
    account.conversions = weighed.conversions(mask);
    account.pixels = weighed.pixels();
    account.set_cookies = weighed.head.set_cookies.iter().map(|line| unsealed(line)).collect();
    account
}

impl<'a> Weighed<'a> {
    fn new(site: &'a TrackedSite, question: &'a Question, visit: Option<Visit>) -> Self {
        let reply = &question.reply;
        let body = question.request_body();
        // What nobody has said anything of is taken for a page.
        let is_empty = reply.body.as_ref().is_some_and(Vec::is_empty);
        let has_body = visit.as_ref().is_none_or(Visit::has_body) && !is_empty;
        let page = page::editable(reply.status, &reply.headers, has_body);
        let (scheme, host, port) = visit.as_ref().map_or(("https", "", None), Visit::origin);
        let place = Place::at(scheme, host, port);
        let (mut head, mut end, mut shown) = (Answered::default(), None, None);
        if let Some(mut visit) = visit {
            visit.take_body(question.request_body());
            let reads = has_body && visit.may_read_answer();
            let reader = reads.then(|| Body::following(&reply.headers, site)).flatten();
            let lets_load = |url: &str| site.csp.lets_load(&reply.headers, &place, url);
            let room = if page.is_ok() { Room::For(&lets_load) } else { Room::Closed };
            let now = clock::now();
            let answer =
                Reply { status: reply.status, headers: &reply.headers, may_have_body: reader.is_some(), room, now };
            // Made up, and the same each time.
            let mut count = 0;
            let mut uuid = || {
                count += 1;
                Uuid::from_u128(count)
            };
            let journey = question.journey.as_ref();
            head = visit.answered(answer, journey, &mut uuid);
            if let (Some(mut reader), Some(bytes)) = (reader, &reply.body) {
                reader.look_at(bytes);
                let read = reader.finish(site);
                end = Some(visit.finished(&read, journey, now, &mut uuid));
                shown = Some(read);
            }
        }
        Self { site, question, head, end, body, shown, page, place }
    }

    fn rules(&self) -> &'a SiteRules {
        &self.site.rules
    }

    /// The plans, the last word first.
    fn plans(&self) -> impl Iterator<Item = &Answered> {
        self.end.iter().chain([&self.head])
    }

    fn view<'b>(&'b self, path: &'b [(String, String)]) -> View<'b> {
        let Question { query, headers, reply, journey, .. } = self.question;
        View {
            request: RequestView { query, path, headers },
            body: Some(&self.body),
            response: Some(&reply.headers),
            answer: self.shown.as_ref().map(|shown| &shown.json),
            page: self.shown.as_ref().map(|shown| &shown.page),
            journey: journey.as_ref(),
        }
    }

    fn clicks(&self) -> Vec<ClickAccount> {
        let rules = self.rules();
        let account = |(index, network): (usize, &NetworkRules)| {
            let found = network.click.find(&self.question.query);
            let result = self.head.clicks.iter().find(|(of, _)| *of == index).map(|(_, result)| *result);
            let because = match result {
                Some(result) => why::click(result, &network.click.cookie),
                None if rules.mode_of(network) != Mode::On => "tracking of this network is off, or observes".to_owned(),
                None if found.is_none() => format!("the query has no `{}`", network.click.param),
                None => "a network before it keeps the same cookie, and speaks for both".to_owned(),
            };
            ClickAccount {
                network: network.key.to_string(),
                param: network.click.param.clone(),
                result: result.map(ClickResult::as_str),
                because,
                arrived: texts(&found.and_then(Result::ok).unwrap_or_default()),
                carried: texts(&network.click.carried(&self.question.headers)),
            }
        };
        rules.networks.iter().enumerate().map(account).collect()
    }

    fn captures(&self) -> Vec<CaptureAccount> {
        let captures = self.rules().captures.iter().enumerate();
        let account = |(index, rule): (usize, &CaptureRule)| {
            let result = self.plans().flat_map(|plan| &plan.captures).find(|(of, _)| *of == index);
            let because = match (result, why::mismatch(&[&rule.trigger], self.question)) {
                (Some((_, result)), _) => why::capture(*result).to_owned(),
                (None, Some(mismatch)) => mismatch,
                (None, None) => "it is decided when the answer has ended: give its body with --page".to_owned(),
            };
            let remembered = self.plans().flat_map(|plan| &plan.remembrances);
            let journey = remembered.map(|it| &it.journey).find(|journey| journey.passed.contains_key(&*rule.name));
            let fields = journey.into_iter().flat_map(|journey| &journey.fields);
            CaptureAccount {
                name: rule.name.to_string(),
                result: result.map(|(_, result)| result.as_str()),
                because,
                remembered: fields.map(|(name, field)| (name.clone(), field.text.clone())).collect(),
            }
        };
        captures.map(account).collect()
    }

    fn pixels(&self) -> PixelAccount {
        let name = |network: usize| {
            self.rules().networks.get(network).map(|network| network.key.to_string()).unwrap_or_default()
        };
        let mut policies = MetaPolicies::default();
        self.question.reply.body.iter().for_each(|bytes| policies.look_at(bytes));
        let mut account = PixelAccount {
            page: self.page.as_ref().map_or_else(|reason| reason.as_str(), |_| "yes"),
            ..PixelAccount::default()
        };
        let matches = self.head.matches.iter().map(|(network, urls)| (*network, urls));
        let claims = self.head.claims.iter().filter(|claim| !self.is_refuted(claim.event_id));
        let (waiting, claims): (Vec<_>, Vec<_>) = claims.partition(|claim| claim.awaits_page && self.end.is_none());
        for (network, urls) in matches.chain(claims.iter().map(|claim| (claim.network, self.pixels_of(claim)))) {
            let (loaded, forbidden): (Vec<_>, Vec<_>) =
                urls.iter().cloned().partition(|url| policies.let_load(&self.place, url));
            if loaded.is_empty() && !forbidden.is_empty() {
                account.refused.push((name(network), "csp: a policy in the page forbids them".to_owned()));
            } else {
                account.injected.push((name(network), loaded));
            }
        }
        let unproven = waiting
            .iter()
            .map(|claim| (name(claim.network), "not before the page has shown what they need".to_owned()));
        account.refused.extend(unproven);
        let reason = self.page.as_ref().err().map_or("csp", |reason| reason.as_str());
        account.refused.extend(self.head.unreached.iter().map(|network| (name(*network), reason.to_owned())));
        let late = self.end.iter().flat_map(|plan| &plan.unreached);
        account.refused.extend(late.map(|network| (name(*network), "known only when the page had passed".to_owned())));
        account
    }

    /// A claim's pixels, with what the page has shown if there is one.
    fn pixels_of<'b>(&'b self, claim: &'b PlannedClaim) -> &'b Vec<String> {
        let mut ends = self.end.iter().flat_map(|plan| &plan.claim_ends);
        ends.find(|end| end.event_id == claim.event_id).map_or(&claim.pixels, |end| &end.pixels)
    }

    /// Whether the page has not shown what pixels wait for.
    fn is_refuted(&self, claim: EventId) -> bool {
        let ends = self.end.iter().flat_map(|plan| &plan.claim_ends);
        ends.into_iter().any(|end| end.event_id == claim && !end.is_proven)
    }
}

fn texts(ids: &[ClickId]) -> Vec<String> {
    ids.iter().map(|id| id.as_str().to_owned()).collect()
}

fn consent(rules: &SiteRules, view: RequestView<'_>) -> ConsentAccount {
    let explained = rules.consent.explain(None, view);
    let own = rules.networks.iter().filter_map(|network| {
        let requirement = network.consent.as_ref()?;
        Some((network.key.to_string(), rules.consent.decide(Some(requirement), view).as_str()))
    });
    ConsentAccount {
        decision: explained.decision.as_str(),
        because: why::consent(&explained.reason),
        signals: explained.readings.iter().map(|(signal, reading)| (signal.name(), reading.as_str())).collect(),
        networks: own.collect(),
        withdraws: false,
    }
}

/// What the account leaves open.
fn notes(rules: &SiteRules, question: &Question, visit: Option<&Visit>) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(visit) = visit else { return notes };
    if visit.recalls() && question.journey.is_none() {
        notes.push(
            "journeys are not looked up: say what this visitor did before with --passed and --remembered".to_owned(),
        );
    }
    if visit.may_read_answer() && question.reply.body.is_none() {
        let sources = rules.conversions.iter().flat_map(|rule| rule.sources());
        let mut unread: Vec<String> =
            sources.filter(|source| source.is_in_body()).map(|source| format!("`{}`", source.text())).collect();
        unread.sort_unstable();
        unread.dedup();
        let proof = rules.conversions.iter().any(|rule| !rule.proof.is_empty());
        unread.extend(proof.then(|| "marks of success and failure".to_owned()));
        let unread = unread.join(", ");
        notes.push(format!("without --page or --live, what stands in the answer's body is not known: {unread}"));
    }
    if visit.reads_request()
        && let Some(reason) = question.request_body().unreadable()
    {
        notes.push(format!("the body of the request can't be read: {}", reason.as_str()));
    }
    if visit.has_click_parameter() && rules.strip_click_params {
        notes.push("the site does not see the click parameters".to_owned());
    }
    notes
}

/// A `Set-Cookie` line without the value of a cookie that we seal: it is another one each time.
fn unsealed(line: &str) -> String {
    let sealed = [VISITOR_COOKIE, HOLD_COOKIE, LATE_COOKIE];
    match line.split_once('=') {
        Some((name, rest)) if sealed.contains(&name) && !rest.starts_with(';') => {
            let (_, attributes) = rest.split_once(';').unwrap_or((rest, ""));
            format!("{name}=(sealed);{attributes}")
        }
        Some(_) | None => line.to_owned(),
    }
}
