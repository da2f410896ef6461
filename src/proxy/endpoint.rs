//! The paths of a site that we answer ourselves, without asking its server: `ENDPOINT/frame/TOKEN`,
//! `ENDPOINT/preview/TOKEN` where an operator's link leads, and `ENDPOINT/consent` where a script tells us
//! the visitor's choice.
//!
//! Whatever else stands below the endpoint does not exist. Nothing here is tracked, kept by a cache or
//! found by a search engine, and only a choice and a preview are given cookies. A host that installs the tracking module
//! into a proxy of its own asks [`is_ours`] in its `request_filter`, disarms the module and sends the
//! [`answer`]; when it arms the module, it says that it does so, and pages get frames.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, header};
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::{
    answer::Answer,
    late,
    module::facts,
    runtime::{TrackedSite, Tracker},
};
use crate::{
    html::frame::FrameDocument,
    metrics::site::Injection,
    store::clock,
    tracking::{
        human::not_a_visit,
        late::LateSync,
        preview::Preview,
        visit::{Client, Consents},
        visitor::Seal,
    },
};

mod choice;

/// What a path below the endpoint means.
enum Resource<'a> {
    /// The hidden frame, and its token.
    Frame(&'a str),
    /// The link to a preview, and its token.
    Preview(&'a str),
    /// A choice that the visitor has made.
    Consent,
    /// Nothing.
    Unknown,
}

/// Whether we answer this request of a site ourselves.
#[must_use]
pub fn is_ours(site: &TrackedSite, request: &RequestHeader) -> bool {
    below(&site.rules.endpoint, request.uri.path()).is_some()
}

/// The answer to a request that [`is_ours`].
pub async fn answer(tracker: &Arc<Tracker>, site: &Arc<TrackedSite>, session: &mut Session, client: Client) -> Answer {
    let site = &site.in_force();
    let request = session.req_header();
    let resource = Resource::of(below(&site.rules.endpoint, request.uri.path()).unwrap_or_default(), site);
    match (resource, &request.method) {
        (Resource::Frame(token), &Method::GET | &Method::HEAD) => frame(tracker, site, request, client, token).await,
        (Resource::Preview(token), &Method::GET | &Method::HEAD) => {
            kept_to_ourselves(preview(site, client, token), &FrameDocument::Empty.policy())
        }
        (Resource::Frame(_) | Resource::Preview(_), _) => not_allowed(HeaderValue::from_static("GET, HEAD")),
        (Resource::Consent, &Method::POST) => {
            let answer = choice::answer(tracker, site, session, client).await;
            kept_to_ourselves(answer, &FrameDocument::Empty.policy())
        }
        (Resource::Consent, _) => not_allowed(HeaderValue::from_static("POST")),
        (Resource::Unknown, _) => kept_to_ourselves(Answer::error(404, None), &FrameDocument::Empty.policy()),
    }
}

impl<'a> Resource<'a> {
    /// Reads what follows the endpoint.
    fn of(path: &'a str, site: &TrackedSite) -> Self {
        let below = |folder: &str| path.strip_prefix(folder).filter(|token| !token.is_empty() && !token.contains('/'));
        if path == "/consent" && site.rules.consent.bridge {
            return Self::Consent;
        }
        let frame = below("/frame/").map(Self::Frame);
        frame.or_else(|| below("/preview/").map(Self::Preview)).unwrap_or(Self::Unknown)
    }
}

/// Begins a preview in the browser that has followed a link, or ends it, and shows the site.
fn preview(site: &TrackedSite, client: Client, token: &str) -> Answer {
    let (rules, now) = (&site.rules, clock::now());
    let line = if token == "off" {
        Some(Preview::ending_line(client.over_tls))
    } else {
        let sealed = rules.seal.as_deref().zip(Some(&*rules.name));
        let known = sealed.and_then(|(seal, name)| Some((Preview::of_token(token, seal, name, now)?, seal, name)));
        known.map(|(preview, seal, name)| preview.cookie_line(seal, name, client.over_tls, now))
    };
    match line.and_then(|line| HeaderValue::try_from(line).ok()) {
        Some(line) => Answer::see_other(HeaderValue::from_static("/")).with(header::SET_COOKIE, line),
        None => Answer::error(404, None),
    }
}

async fn frame(
    tracker: &Arc<Tracker>,
    site: &TrackedSite,
    request: &RequestHeader,
    client: Client,
    token: &str,
) -> Answer {
    let now = clock::now();
    let rules = &site.rules;
    let known = rules.seal.as_deref().and_then(|seal| Some((seal, LateSync::of_token(token, seal, &rules.name, now)?)));
    let Some((seal, late)) = known else {
        return kept_to_ourselves(Answer::error(404, None), &FrameDocument::Empty.policy());
    };
    // A browser that only looks ahead shows no pixels; they must be there when it shows the page.
    if not_a_visit(&request.method, &request.headers).is_some() {
        return document(FrameDocument::Empty);
    }
    let mut told = late::ask(tracker, site, &late, PATIENCE).await;
    // Whoever has changed their mind since sees none.
    let consents = Consents::read(rules, &facts(request, client));
    told.pixels.retain(|pixels| consents.allows(pixels.network));
    let next = late.next();
    if let (true, Some(next)) = (told.is_open, &next) {
        return waiting(next, seal, &rules.name);
    }
    let shown = late::claim(tracker, told.pixels, now, PATIENCE).await;
    let (shown, next) = match (shown, next) {
        (Some(shown), _) => (shown, None),
        (None, next) => (Vec::new(), next),
    };
    if let Some(next) = next {
        return waiting(&next, seal, &rules.name);
    }
    shown.iter().for_each(|(network, _)| site.metrics.injection(*network, Injection::Late));
    let urls: Vec<String> = shown.into_iter().flat_map(|(_, urls)| urls).collect();
    document(if urls.is_empty() { FrameDocument::Empty } else { FrameDocument::Pixels(&urls) })
}

fn waiting(next: &LateSync, seal: &Seal, site: &str) -> Answer {
    document(FrameDocument::Waiting { next: &next.token(seal, site) })
}

fn document(document: FrameDocument<'_>) -> Answer {
    kept_to_ourselves(Answer::page(document.html()), &document.policy())
}

/// Says which methods there are.
fn not_allowed(allowed: HeaderValue) -> Answer {
    let answer = Answer::error(405, None).with(header::ALLOW, allowed);
    kept_to_ourselves(answer, &FrameDocument::Empty.policy())
}

/// Adds what all our answers say; that no cache keeps them, they say anyway.
fn kept_to_ourselves(answer: Answer, policy: &str) -> Answer {
    let policy = HeaderValue::from_str(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    answer
        .with(header::CONTENT_SECURITY_POLICY, policy)
        .with(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"))
        .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
        .with(header::HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"))
}

/// What follows the endpoint in a path that is the endpoint or stands below it.
pub(crate) fn below<'a>(endpoint: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(endpoint).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// How long the store may take to say something; no page waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_endpoint_and_what_stands_below_it_is_ours() {
        for (path, rest) in [
            ("/.throughline", Some("")),
            ("/.throughline/", Some("/")),
            ("/.throughline/frame/a", Some("/frame/a")),
            ("/.throughlines", None),
            ("/shop/.throughline/frame/a", None),
            ("//.throughline/frame/a", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(below("/.throughline", path), rest, "{path}");
        }
    }
}
