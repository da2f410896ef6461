//! Reasons in plain words.

use super::question::Question;
use crate::tracking::{
    click::{ClickResult, InvalidClickId},
    consent::{Decision, Reason},
    conversion::{ConversionRule, Mark, Outcome, SendRule},
    human::NotAVisit,
    trigger::TriggerRule,
    value::View,
    visit::{AnswerBody, CaptureResult},
};

/// What an outcome follows from.
pub(super) struct Circumstances<'a> {
    pub(super) rule: &'a ConversionRule,
    pub(super) trigger: &'a TriggerRule,
    pub(super) view: View<'a>,
    pub(super) question: &'a Question,
    pub(super) shown: Option<&'a AnswerBody>,
}

/// Whether somebody looks at a page.
pub(super) const fn visitor(disregard: Option<NotAVisit>) -> &'static str {
    match disregard {
        None => "somebody who looks at a page",
        Some(NotAVisit::Prefetch) => "nobody yet: the browser fetches ahead of time",
        Some(NotAVisit::NotDocument) => "nobody: HEAD, or something other than a page",
        Some(NotAVisit::Bot) => "a bot, by its User-Agent",
    }
}

/// Where a decision on consent comes from.
pub(super) fn consent(reason: &Reason<'_>) -> String {
    match reason {
        Reason::NotRequired => "nobody asks for it".to_owned(),
        Reason::Exempt => "the conditions under `unless` hold".to_owned(),
        Reason::OptedOut => "the browser says Sec-GPC: 1".to_owned(),
        Reason::Signal(signal) => format!("{} says so", signal.name()),
        Reason::Silence => "no place says anything".to_owned(),
    }
}

/// What became of a click ID that arrived.
pub(super) fn click(result: ClickResult, cookie: &str) -> String {
    match result {
        ClickResult::Accepted => format!("kept in the cookie `{cookie}`"),
        ClickResult::Kept => format!("the cookie `{cookie}` has one already, and the first counts"),
        ClickResult::Invalid(reason) => invalid(reason).to_owned(),
        ClickResult::NotModified => "a 304 carries no cookie".to_owned(),
        ClickResult::Oversized => "our cookies would grow over 4 KiB".to_owned(),
        ClickResult::NotVisited => "nobody looks at a page".to_owned(),
        ClickResult::Bot => "a bot followed the link".to_owned(),
        ClickResult::Unset => "the connection changes its protocol".to_owned(),
        ClickResult::Refused => "the visitor has refused".to_owned(),
        ClickResult::Pending => {
            "the visitor has not chosen yet: it is taken from the Referer of a later request".to_owned()
        }
        ClickResult::Held => "the visitor has not chosen yet: a sealed cookie holds it".to_owned(),
        ClickResult::Dropped => "the visitor has not chosen yet, and it is lost".to_owned(),
    }
}

const fn invalid(reason: InvalidClickId) -> &'static str {
    match reason {
        InvalidClickId::Duplicated => "the parameter stands in the query more than once",
        InvalidClickId::Empty => "it is empty",
        InvalidClickId::TooLong => "it is longer than 1,024 bytes",
        InvalidClickId::Bytes => "it has something other than visible ASCII, or quotes or angle brackets",
        InvalidClickId::Pattern => "it does not look like this network's click IDs",
        InvalidClickId::Macro => "it is a placeholder that the network did not replace",
    }
}

/// What became of a capture that the request matches.
pub(super) const fn capture(result: CaptureResult) -> &'static str {
    match result {
        CaptureResult::Remembered => "it is remembered",
        CaptureResult::Disregarded => "tracking is off, or nobody looks at a page",
        CaptureResult::NotSuccess => "the status, or a condition under `when`, says it is no success",
        CaptureResult::NoConsent => "the visitor has not agreed, or not yet",
        CaptureResult::Nothing => "none of its fields has a value",
    }
}

/// Why none of these triggers matches path and method; nothing if one does.
pub(super) fn mismatch(triggers: &[&TriggerRule], question: &Question) -> Option<String> {
    let (method, path) = (&question.method, &question.path);
    if triggers.iter().any(|trigger| trigger.matches(method, path).is_some()) {
        return None;
    }
    let right_path = triggers.iter().find(|trigger| trigger.paths.iter().any(|it| it.matches(path).is_some()));
    if let Some(trigger) = right_path {
        let methods: Vec<&str> = trigger.methods.iter().map(http::Method::as_str).collect();
        return Some(format!("the path matches, but the method {method} is not {}", methods.join(" or ")));
    }
    let paths = triggers.iter().flat_map(|trigger| &trigger.paths).map(ToString::to_string);
    Some(format!("the path {path} is not {}", paths.collect::<Vec<_>>().join(" or ")))
}

/// Why a network hears nothing.
pub(super) fn outcome(outcome: Outcome, about: &Circumstances<'_>, send: &SendRule, consent: Decision) -> String {
    match outcome {
        Outcome::Off => "tracking is off, or observes".to_owned(),
        Outcome::Prefetch => visitor(Some(NotAVisit::Prefetch)).to_owned(),
        Outcome::NotDocument => visitor(Some(NotAVisit::NotDocument)).to_owned(),
        Outcome::Bot => visitor(Some(NotAVisit::Bot)).to_owned(),
        Outcome::NotSuccess => not_success(about),
        Outcome::NotPreceded => {
            let captures = about.rule.after.iter().flat_map(|after| &after.captures);
            format!("this journey has not passed {}", captures.cloned().collect::<Vec<_>>().join(" or "))
        }
        Outcome::NoConsent if about.trigger.caller.is_server() => {
            "what the journey remembers of this visitor's choice decides, and that is not known here".to_owned()
        }
        Outcome::NoConsent => format!("the visitor's decision: {}", consent.as_str()),
        Outcome::NotCredited => "another paid visit came later".to_owned(),
        Outcome::NoClick => format!("{}, and no pixels go in", needs(send)),
        Outcome::Unproven => unproven(about),
        Outcome::Incomplete => "a required parameter has no value, or what tells it from a repeat".to_owned(),
        Outcome::Shadow => "`shadow: true`: the rule is tried out, and nothing is sent".to_owned(),
        Outcome::Held => "the visitor previews the site, and conversions are held".to_owned(),
        Outcome::Duplicate | Outcome::Unstored | Outcome::Queued => String::new(),
    }
}

/// What a network needs, and does not have.
pub(super) fn needs(send: &SendRule) -> String {
    let groups: Vec<String> = send.needs.iter().map(|group| group.join(" or ")).collect();
    format!("nothing to report by: it needs {}", groups.join(" and "))
}

/// What the page does not show, or should not.
pub(super) fn unproven(about: &Circumstances<'_>) -> String {
    let Some(shown) = about.shown else { return "the page has not been seen".to_owned() };
    let proof = &about.rule.proof;
    match proof.failure.iter().find(|mark| shown.marks.contains(mark)) {
        Some(mark) => format!("the page shows the failure mark {}", named(mark)),
        None => {
            let wanted: Vec<String> = proof.success.iter().map(named).collect();
            format!("the page does not show {}", wanted.join(" or "))
        }
    }
}

fn named(mark: &Mark) -> String {
    match mark {
        Mark::Text(text) => format!("\"{text}\""),
        Mark::Html(css) => format!("html(\"{css}\")"),
    }
}

fn not_success(about: &Circumstances<'_>) -> String {
    let Circumstances { trigger, view, question, .. } = about;
    let address = question.request().client.address;
    if !trigger.caller.may_be_at(address) {
        return format!("{address} is not one of `from_addresses`");
    }
    if !trigger.succeeds(question.reply.status) {
        return format!("the status {} does not count", question.reply.status);
    }
    // What it must be may be a secret.
    let failed = trigger.when.iter().find(|condition| !condition.holds(*view));
    failed.map_or_else(String::new, |condition| match condition.source.read_text(*view) {
        Some(found) => format!("`when`: {} is `{found}`", condition.source.text()),
        None => format!("`when`: {} has no value", condition.source.text()),
    })
}
