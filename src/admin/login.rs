//! Logging in with the admin token, and out again.

use axum::{
    Extension,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use tokio::time::sleep;

use super::{
    Caller, Shared,
    door::{COOKIE, Guest, Refused, session_cookie},
    form::{Fields, Submitted},
    frame::{self, HOME, Notice},
    session::LIFETIME,
};
use crate::store::clock;

/// The form; whoever is known already needs none.
pub(super) async fn form(guest: Option<Extension<Guest>>) -> Response {
    if guest.is_some() {
        return Redirect::to(HOME).into_response();
    }
    page(None).into_response()
}

/// Opens a session for whoever has the token.
pub(super) async fn submit(
    State(console): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (door, address, fields) = (&console.door, caller.address.ip(), Fields::parse(&body));
    if !door.is_locked() {
        return Redirect::to(HOME).into_response();
    }
    if door.patience().is_exhausted(address, clock::instant()) {
        door.count(Refused::Login);
        let text = "Too many wrong tokens from your address. Wait a minute.";
        return (StatusCode::TOO_MANY_REQUESTS, page(Some(text))).into_response();
    }
    if !door.opens(fields.text("token").trim()) {
        door.patience().failed(address, clock::instant());
        door.count(Refused::Login);
        tracing::warn!(%address, "a login to the console with a wrong token");
        sleep(PAUSE).await;
        return (StatusCode::UNAUTHORIZED, page(Some("This is not the token."))).into_response();
    }
    door.patience().succeeded(address);
    let name: String =
        fields.get("name").unwrap_or_default().chars().filter(|char| !char.is_control()).take(40).collect();
    let opened = door.sessions().open(name, clock::instant());
    let Some(cookie) = opened.and_then(|id| cookie(&id, LIFETIME.as_secs(), &headers)) else {
        return frame::refusal(StatusCode::INTERNAL_SERVER_ERROR, "This system has no random numbers to give.");
    };
    ([(header::SET_COOKIE, cookie)], Redirect::to(HOME)).into_response()
}

/// Ends the session.
pub(super) async fn leave(State(console): State<Shared>, headers: HeaderMap, _: Submitted) -> Response {
    if let Some(id) = session_cookie(&headers) {
        console.door.sessions().close(id);
    }
    let gone = cookie("", 0, &headers).map(|cookie| [(header::SET_COOKIE, cookie)]);
    (gone.into_iter().flatten().collect::<HeaderMap>(), Redirect::to(PATH)).into_response()
}

fn page(trouble: Option<&str>) -> Markup {
    frame::bare(
        "Log in",
        &html! {
            main.login {
                h1 { "Throughline" }
                @if let Some(text) = trouble { (frame::notice(Notice::Bad, text)) }
                form method="post" action=(PATH) {
                    label for="token" { "Admin token" }
                    input #token type="password" name="token" required autofocus autocomplete="current-password";
                    p.hint { "The text of " code { "admin.token" } " in the configuration." }
                    label for="name" { "Your name " span.hint { "(for the audit)" } }
                    input #name type="text" name="name" maxlength="40" autocomplete="username";
                    button.primary type="submit" { "Log in" }
                }
            }
        },
    )
}

/// Ours alone, and only below the console: sites on other ports of this host get the same cookies.
fn cookie(id: &str, seconds: u64, headers: &HeaderMap) -> Option<HeaderValue> {
    let is_over_tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if is_over_tls { "; Secure" } else { "" };
    let text = format!("{COOKIE}={id}; Path={HOME}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).ok()
}

/// Where the form stands.
pub(super) const PATH: &str = "/console/login";
/// Before a wrong token is answered.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
