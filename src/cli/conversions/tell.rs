//! A story as people read it: what became of it, what that means, and how it came to that.

use std::fmt::Write as _;

use crate::{
    cli::listing::plain,
    guide::{self, Meaning},
    store::{
        Attempt,
        story::{Field, Happening, HitRecord, Story},
    },
    tracking::{
        conversion::Outcome,
        grounds::{Choice, Landing, Rival},
        timestamp::Timestamp,
    },
};

/// What became of it means, and what to do: of the verdict if there is one, else of the outcome.
pub(super) fn meaning(story: &Story) -> Option<Meaning> {
    story.hit.verdict.as_deref().and_then(guide::verdict).or_else(|| guide::outcome(&story.hit.outcome))
}

/// All of it in lines.
pub(super) fn story(story: &Story, request: Option<&str>) -> String {
    let mut page = Page::default();
    let HitRecord { site, conversion, network, outcome, verdict, reason, .. } = &story.hit;
    let fate = verdict.as_ref().unwrap_or(outcome);
    let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    page.line("", &format!("{conversion} of {site} for {network}: {fate}{reason}"));
    if let Some(Meaning { means, remedy }) = meaning(story) {
        let is_reported = verdict.is_some() || outcome == Outcome::Queued.as_str();
        let label = if is_reported { "that is" } else { "not reported" };
        page.line("", &format!("{label}: {means}"));
        page.line("", &format!("to do: {remedy}"));
    }
    let mut last = None;
    for scene in &story.scenes {
        // What has the same time is told under it.
        let at = if scene.at == last { String::new() } else { scene.at.map(Timestamp::rfc3339).unwrap_or_default() };
        last = scene.at;
        happening(&mut page, &at, &scene.what, &story.hit);
    }
    if let Some(request) = request {
        page.scene("", "request", &format!("{request}  as the configuration makes it now"));
    }
    page.0
}

fn happening(page: &mut Page, at: &str, what: &Happening, hit: &HitRecord) {
    match what {
        Happening::Landing(Landing { param, click_id, network, is_carried, .. }) => {
            let seen = if *is_carried { "seen in the cookie: " } else { "" };
            page.scene(at, "landing", &format!("{seen}{param}={click_id} of {network}"));
        }
        Happening::Capture { name } => page.scene(at, "capture", name),
        Happening::Rival(Rival { by, .. }) => page.scene(at, "later visit", &format!("by {by}, which earned it")),
        Happening::Page { status } => {
            let status = status.map_or_else(String::new, |status| format!(": the site answered {status}"));
            page.scene(at, "hit", &format!("{}{status}", hit.conversion));
        }
        Happening::Consent(Choice { decision, from }) => {
            let from = from.as_ref().map(|from| format!(", by {from}")).unwrap_or_default();
            page.scene(at, "consent", &format!("{decision}{from}"));
        }
        Happening::Match { by } => page.scene(at, "journey", &format!("found by {}", by.join(" and "))),
        Happening::Clicks { ids, from } => {
            let from = from.as_ref().map(|from| format!("  from {from}")).unwrap_or_default();
            page.scene(at, "clicks", &format!("{}{from}", ids.join(", ")));
        }
        Happening::Fields { fields } => {
            let mut at = at;
            for field in fields {
                page.scene(at, &field.name, &told(field));
                at = "";
            }
        }
        Happening::Outcome { outcome, reason } => {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            page.scene(at, "outcome", &format!("{outcome}{reason}"));
        }
        Happening::WouldSend { request } => {
            page.scene(at, "would send", &request.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        Happening::Attempt(Attempt { number, answer }) => {
            let status = answer.status.map(|status| format!("{status} ")).unwrap_or_default();
            let text = format!("{status}{}, {} ms: {}", answer.result, answer.millis, answer.body);
            page.scene(at, &format!("attempt {number}"), &text);
        }
        Happening::Waits { next, reason, missing } => {
            let why = reason.as_ref().map(|reason| format!(" after {reason}")).unwrap_or_default();
            let text = match next {
                _ if !missing.is_empty() => format!("for a person who adds {}", missing.join(", ")),
                Some(next) => format!("until {}{why}", next.rfc3339()),
                None => format!("for its page to end{why}"),
            };
            page.scene("", "waits", &text);
        }
        Happening::Verdict { verdict, reason } => {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            page.scene(at, "verdict", &format!("{verdict}{reason}"));
        }
        Happening::Deed(deed) => {
            let others = deed.count.saturating_sub(1);
            let others = if others > 0 { format!("  (and {others} more)") } else { String::new() };
            page.scene(at, "operator", &format!("{}: {} {}{others}", deed.who, deed.action, deed.arguments));
        }
    }
}

fn told(field: &Field) -> String {
    let Field { value, result, from, captured, .. } = field;
    let value = match (value, result.as_deref()) {
        (Some(value), _) => value.as_str(),
        (None, Some("found")) => "found",
        (None, Some(result)) => result,
        (None, None) => "",
    };
    let from = from.as_ref().map(|from| format!("  from {from}")).unwrap_or_default();
    let captured = captured.map(|at| format!(", captured {}", at.rfc3339())).unwrap_or_default();
    format!("{value}{from}{captured}")
}

/// Lines of a time, a label and what is to be said; what a stranger wrote stays in its line.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, indent: &str, text: &str) {
        // Writing into a string can't fail.
        let _written = writeln!(self.0, "{indent}{}", plain(text).trim_end());
    }

    fn scene(&mut self, at: &str, label: &str, text: &str) {
        self.line("  ", &format!("{at:<24}  {:<12} {text}", plain(label)));
    }
}
