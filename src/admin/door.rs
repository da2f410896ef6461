//! Who may see the console and act there.
//!
//! Four questions, in this order. Is it asked for under a name of ours? Otherwise a stranger's page may
//! have made its own name stand for this machine, and would see all that its reader sees here. Does what
//! changes something come from one of our own pages? Is it an operator: by the token in a header, or by
//! the session that it has opened? Does a form hold that session's proof? (That one is asked by
//! [`Submitted`](super::form::Submitted), which has read the form.)

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use prometheus::IntCounterVec;

use super::{
    Caller, Shared, frame, login,
    patience::Patience,
    session::{Session, Sessions, random},
};
use crate::store::{audit::Actor, clock};

mod origin;

use origin::{Names, is_same_origin};

/// The way into the console.
#[derive(Debug)]
pub(super) struct Door {
    token: Option<Token>,
    names: Names,
    /// What the forms of those show who need no session.
    csrf: String,
    sessions: Mutex<Sessions>,
    patience: Mutex<Patience>,
    refused: IntCounterVec,
}

/// Never printed.
struct Token(String);

/// An operator.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    /// As they have called themselves at the login.
    pub(super) name: Option<String>,
    /// Where they are.
    pub(super) address: IpAddr,
    /// What their forms must show; nothing if they show the token with each request.
    pub(super) csrf: Option<String>,
    /// Whether there is a session to end.
    pub(super) has_session: bool,
}

/// Why a request is refused; the word of `admin_refused_total`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    /// It asks for a name that is not ours.
    Host,
    /// It would change something and comes from somewhere else.
    Origin,
    /// The token in its header is wrong.
    Token,
    /// The token in the login form is wrong, or was tried too often.
    Login,
}

impl Door {
    /// Opens for this token, at this address and under these names.
    pub(super) fn new(token: Option<String>, hosts: Vec<String>, listen: IpAddr, refused: IntCounterVec) -> Self {
        for refusal in [Refused::Host, Refused::Origin, Refused::Token, Refused::Login] {
            refused.with_label_values(&[refusal.as_str()]).inc_by(0);
        }
        Self {
            token: token.map(Token),
            names: Names { hosts, listen },
            // Without randomness nobody's form is accepted: see `Submitted`.
            csrf: random().unwrap_or_default(),
            sessions: Mutex::default(),
            patience: Mutex::default(),
            refused,
        }
    }

    /// Counts a refusal.
    pub(super) fn count(&self, refused: Refused) {
        self.refused.with_label_values(&[refused.as_str()]).inc();
    }

    /// Whether this is the token, or none is needed.
    pub(super) fn opens(&self, shown: &str) -> bool {
        self.token.as_ref().is_none_or(|Token(token)| equal(token.as_bytes(), shown.as_bytes()))
    }

    /// Whether a header shows the token; a browser never adds it to a stranger's request.
    pub(super) fn is_shown_token(&self, headers: &HeaderMap) -> bool {
        self.token.is_some() && bearer(headers).is_some_and(|shown| self.opens(shown))
    }

    /// Whether it is asked for under a name of ours.
    pub(super) fn is_ours(&self, headers: &HeaderMap) -> bool {
        self.names.are_asked_for(headers)
    }

    /// Whether a token is needed at all.
    pub(super) const fn is_locked(&self) -> bool {
        self.token.is_some()
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks; nobody in particular for the login and what it needs.
    #[expect(clippy::result_large_err, reason = "it is the answer, made once and sent")]
    fn judge(&self, request: &Request, address: IpAddr) -> Result<Option<Guest>, Response> {
        let headers = request.headers();
        let is_shown_token = self.is_shown_token(headers);
        if !is_shown_token && !self.is_ours(headers) {
            self.count(Refused::Host);
            return Err(frame::refusal(StatusCode::MISDIRECTED_REQUEST, FOREIGN_HOST));
        }
        if !is_shown_token && !request.method().is_safe() && !is_same_origin(headers) {
            self.count(Refused::Origin);
            return Err(frame::refusal(StatusCode::FORBIDDEN, "This did not come from a page of the console."));
        }
        if is_shown_token {
            return Ok(Some(Guest { name: None, address, csrf: None, has_session: false }));
        }
        if self.token.is_none() {
            return Ok(Some(Guest { name: None, address, csrf: Some(self.csrf.clone()), has_session: false }));
        }
        let cookie = session_cookie(headers).unwrap_or_default();
        if let Some(Session { name, csrf, .. }) = self.sessions().find(cookie, clock::instant()) {
            let name = (!name.is_empty()).then(|| name.clone());
            return Ok(Some(Guest { name, address, csrf: Some(csrf.clone()), has_session: true }));
        }
        if bearer(headers).is_some() {
            self.count(Refused::Token);
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            return Err((StatusCode::UNAUTHORIZED, challenge, "the admin token is wrong\n").into_response());
        }
        match request.uri().path() {
            login::PATH | frame::STYLE | frame::SCRIPT => Ok(None),
            _ if request.method() == Method::GET => Err(Redirect::to(login::PATH).into_response()),
            _ => Err(frame::refusal(StatusCode::UNAUTHORIZED, "Your session is over. Log in and try again.")),
        }
    }
}

impl Guest {
    /// Who the audit says it was.
    pub(super) fn actor(&self) -> Actor {
        let Self { name, address, .. } = self;
        Actor::new(&match name {
            Some(name) => format!("{name} (console, {address})"),
            None => format!("console ({address})"),
        })
    }
}

impl Refused {
    /// The metric label.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Token => "token",
            Self::Login => "login",
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Lets nobody in but operators, and sends no answer without its rules for browsers.
pub(super) async fn guard(
    State(console): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    let answer = match console.door.judge(&request, caller.address.ip().to_canonical()) {
        Ok(guest) => {
            if let Some(guest) = guest {
                request.extensions_mut().insert(guest);
            }
            next.run(request).await
        }
        Err(refusal) => refusal,
    };
    frame::ruled(answer)
}

/// Compares without telling by its time where two texts begin to differ.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// What the session's cookie holds.
pub(super) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The session's cookie.
pub(super) const COOKIE: &str = "throughline_session";

const FOREIGN_HOST: &str =
    "The console is not known under this name. If the name is yours, add it to admin.hosts in the configuration.";

#[cfg(test)]
mod tests {
    use super::*;

    fn door(listen: &str) -> Door {
        let metrics = crate::metrics::Metrics::new();
        let hosts = vec!["console.example".to_owned()];
        Door::new(Some("a token".into()), hosts, listen.parse().unwrap(), metrics.admin_refused_total)
    }

    fn cookies(line: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())])
    }

    #[test]
    fn the_token_is_compared_whole_and_never_printed() {
        let door = door("127.0.0.1");
        for (shown, opens) in
            [("a token", true), ("a toke", false), ("a tokens", false), ("", false), ("b token", false)]
        {
            assert_eq!(door.opens(shown), opens, "{shown}");
        }
        assert!(!format!("{door:?}").contains("a token"));
        assert_eq!(session_cookie(&cookies("a=b; throughline_session=xyz; c=d")), Some("xyz"));
        assert_eq!(session_cookie(&cookies("xthroughline_session=a; throughline_sessions=b")), None);
    }
}
