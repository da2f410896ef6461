//! What all pages have around them, and what every answer tells the browser.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::{door::Guest, form::CSRF};

/// The pages that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// How sites and networks fare.
    Overview,
    /// The story of an order, a click, an event.
    Search,
    /// What is decided, as it happens.
    Live,
    /// What waits and what was given up.
    Outbox,
    /// What is switched off for a while.
    Bypass,
    /// What would be done about a request.
    Explain,
    /// The configuration in force.
    Configuration,
    /// Who did what.
    Audit,
}

/// How something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// It was done.
    Good,
    /// It was not, or needs somebody.
    Bad,
    /// To be known.
    Plain,
}

impl Section {
    const ALL: [Self; 8] = [
        Self::Overview,
        Self::Search,
        Self::Live,
        Self::Outbox,
        Self::Bypass,
        Self::Explain,
        Self::Configuration,
        Self::Audit,
    ];

    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => (HOME, "Overview"),
            Self::Search => ("/console/search", "Search"),
            Self::Live => ("/console/live", "Live"),
            Self::Outbox => ("/console/outbox", "Outbox"),
            Self::Bypass => ("/console/bypass", "Bypass"),
            Self::Explain => ("/console/explain", "Explain"),
            Self::Configuration => ("/console/configuration", "Configuration"),
            Self::Audit => ("/console/audit", "Audit"),
        }
    }
}

/// A page for an operator.
pub(super) fn page(guest: &Guest, here: Section, title: &str, content: &Markup) -> Markup {
    bare(
        title,
        &html! {
            header.bar {
                a.brand href=(HOME) { "Throughline" }
                nav aria-label="Console" {
                    @for section in Section::ALL {
                        @let (place, name) = section.place();
                        a href=(place) aria-current=[(section == here).then_some("page")] { (name) }
                    }
                }
                @if guest.has_session {
                    form.leave method="post" action="/console/logout" {
                        (proof(guest))
                        @if let Some(name) = &guest.name { span.who { (name) } }
                        button.quiet type="submit" { "Log out" }
                    }
                }
            }
            main { h1 { (title) } (content) }
        },
    )
}

/// A page for anybody.
pub(super) fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · Throughline" }
                link rel="stylesheet" href=(STYLE);
                link rel="icon" href="data:,";
            }
            body { (body) }
        }
    }
}

/// What every form of an operator carries.
pub(super) fn proof(guest: &Guest) -> Markup {
    html! { @if let Some(csrf) = &guest.csrf { input type="hidden" name=(CSRF) value=(csrf); } }
}

/// Something to be said above a page's content.
pub(super) fn notice(kind: Notice, text: &str) -> Markup {
    let (class, role) = match kind {
        Notice::Good => ("notice good", "status"),
        Notice::Bad => ("notice bad", "alert"),
        Notice::Plain => ("notice", "note"),
    };
    html! { p class=(class) role=(role) { (text) } }
}

/// A whole page that says why there is none.
pub(super) fn refusal(status: StatusCode, text: &str) -> Response {
    let body = html! {
        main.login { h1 { (status.canonical_reason().unwrap_or("Refused")) } p { (text) } p { a href=(HOME) { "To the overview" } } }
    };
    (status, bare("Refused", &body)).into_response()
}

/// The answer with what keeps it away from other pages, caches and scripts.
pub(super) fn ruled(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in &RULES {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The one stylesheet.
pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("console.css"))
}

/// The one script, for what comes live; without it all else works.
pub(super) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("console.js"))
}

/// Where the console begins.
pub(super) const HOME: &str = "/console/";
/// Where the stylesheet stands.
pub(super) const STYLE: &str = "/console/console.css";
/// Where the script stands.
pub(super) const SCRIPT: &str = "/console/console.js";

/// With `no-referrer`, forms would be sent with `Origin: null` (Fetch standard, section 3.2, read on 2026-11-22),
/// and over plain http nothing would tell ours from others.
static RULES: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
