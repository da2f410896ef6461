//! Access tokens of networks that ask for OAuth 2.0: fetched, kept while they are good, thrown away.
//!
//! One request for a token is under way at a time, whoever needs one waits for it, and a failure counts
//! for all of them. A network that replaces its refresh token at each use is followed in memory alone:
//! on disk it would be one more secret to guard, and two instances would take it from each other. After
//! a restart the one of the configuration is used again.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, Response};
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    RefreshToken, RequestTokenError, Scope, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicErrorResponse, BasicTokenResponse, BasicTokenType},
};
use tokio::sync::Mutex;
use url::Url;

use super::{
    Destinations,
    client::{Client, Clients},
    outbound::{Credentials, TokenRule},
    route::Route,
};
use crate::{
    store::clock,
    tracking::{postback::Postback, verdict::RetryReason},
};

/// The tokens of all destinations.
#[derive(Default)]
pub(super) struct Tokens(HashMap<(Arc<Route>, Arc<TokenRule>), Arc<TokenSource>>);

/// Where one token comes from, and the token while it is good.
pub(super) struct TokenSource {
    rule: Arc<TokenRule>,
    client: Client,
    state: Mutex<State>,
}

/// A token as requests carry it.
#[derive(Clone)]
pub(super) struct Token {
    /// The value of `Authorization`.
    pub(super) header: HeaderValue,
    /// Whether it was fetched just now.
    pub(super) is_fresh: bool,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no access token: {}", reason.as_str())]
pub(super) struct NoToken {
    /// What it means for the postback.
    pub(super) reason: RetryReason,
    /// What the answer was, if there was one.
    pub(super) status: Option<u16>,
}

#[derive(Default)]
struct State {
    token: Option<Kept>,
    /// What the network gave us in place of the configured one.
    refresh_token: Option<RefreshToken>,
    failed: Option<(Instant, NoToken)>,
}

struct Kept {
    header: HeaderValue,
    until: Instant,
}

impl Tokens {
    /// The sources of these destinations; `known` ones keep their tokens.
    pub(super) fn of(destinations: &Destinations, clients: &Clients, known: &Self) -> Self {
        let mut sources = HashMap::new();
        for destination in destinations.iter() {
            let route = &destination.outbound.route;
            let (Some(rule), Some(client)) = (&destination.outbound.token, clients.get(route)) else { continue };
            let key = (Arc::clone(route), Arc::clone(rule));
            let source = known.0.get(&key).cloned();
            let source = source.unwrap_or_else(|| Arc::new(TokenSource::new(Arc::clone(rule), client.clone())));
            sources.insert(key, source);
        }
        Self(sources)
    }

    /// The source of a destination's tokens.
    pub(super) fn get(&self, route: &Arc<Route>, rule: &Arc<TokenRule>) -> Option<Arc<TokenSource>> {
        self.0.get(&(Arc::clone(route), Arc::clone(rule))).cloned()
    }
}

impl TokenSource {
    fn new(rule: Arc<TokenRule>, client: Client) -> Self {
        Self { rule, client, state: Mutex::new(State::default()) }
    }

    /// Whom it asks.
    pub(super) fn host(&self) -> &str {
        self.rule.url.host_str().unwrap_or_default()
    }

    /// A token that is good for a while.
    pub(super) async fn token(&self) -> Result<Token, NoToken> {
        let mut state = self.state.lock().await;
        let now = clock::instant();
        if let Some(kept) = state.token.as_ref().filter(|kept| now < kept.until) {
            return Ok(Token { header: kept.header.clone(), is_fresh: false });
        }
        if let Some((at, failure)) = state.failed
            && now.saturating_duration_since(at) < PAUSE
        {
            return Err(failure);
        }
        let fetched = self.fetch(&mut state).await;
        let now = clock::instant();
        match fetched {
            Ok((header, usable)) => {
                state.token = Some(Kept { header: header.clone(), until: now + usable });
                state.failed = None;
                Ok(Token { header, is_fresh: true })
            }
            Err(failure) => {
                state.failed = Some((now, failure));
                if failure.reason == RetryReason::Unauthorized {
                    // Whatever we were given meanwhile is no good any more.
                    state.refresh_token = None;
                }
                Err(failure)
            }
        }
    }

    /// Throws a token away that the network has refused, unless there is another one already.
    pub(super) async fn discard(&self, refused: &Token) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|kept| kept.header == refused.header) {
            state.token = None;
        }
    }

    /// Asks for a token, and says for how long it may be used.
    async fn fetch(&self, state: &mut State) -> Result<(HeaderValue, Duration), NoToken> {
        let refresh_token = state.refresh_token.clone().or_else(|| self.configured_refresh_token());
        let given = self.ask(refresh_token.as_ref()).await?;
        if let Some(new) = given.refresh_token()
            && refresh_token.is_some_and(|old| old.secret() != new.secret())
        {
            if state.refresh_token.is_none() {
                tracing::warn!(
                    host = %self.host(),
                    "the network replaces refresh tokens; the new ones are kept in memory alone, so the configured \
                     one must still be good after a restart: ask the network for one that stays"
                );
            }
            state.refresh_token = Some(new.clone());
        }
        let unusable = NoToken { reason: RetryReason::Status, status: Some(200) };
        if given.token_type() != &BasicTokenType::Bearer {
            return Err(unusable);
        }
        let header = HeaderValue::try_from(format!("Bearer {}", given.access_token().secret()));
        let mut header = header.map_err(|_| unusable)?;
        header.set_sensitive(true);
        Ok((header, usable_for(given.expires_in())))
    }

    async fn ask(&self, refresh_token: Option<&RefreshToken>) -> Result<BasicTokenResponse, NoToken> {
        let http = Carrier { client: self.client.clone(), status: AtomicU16::new(0) };
        let (client, rule) = (self.oauth(), &self.rule);
        let scopes =
            || rule.scope.iter().flat_map(|scope| scope.split_whitespace()).map(|it| Scope::new(it.to_owned()));
        let audience = rule.audience.as_ref();
        let answer = if let Some(refresh_token) = refresh_token {
            let mut request = client.exchange_refresh_token(refresh_token).add_scopes(scopes());
            if let Some(audience) = audience {
                request = request.add_extra_param("audience", audience);
            }
            request.request_async(&http).await
        } else {
            let mut request = client.exchange_client_credentials().add_scopes(scopes());
            if let Some(audience) = audience {
                request = request.add_extra_param("audience", audience);
            }
            request.request_async(&http).await
        };
        answer.map_err(|error| no_token(&error, http.status.load(Ordering::Relaxed)))
    }

    fn configured_refresh_token(&self) -> Option<RefreshToken> {
        self.rule.refresh_token.clone().map(RefreshToken::new)
    }

    fn oauth(&self) -> BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet> {
        let rule = &self.rule;
        let credentials = match rule.credentials {
            Credentials::Header => AuthType::BasicAuth,
            Credentials::Body => AuthType::RequestBody,
        };
        let client = BasicClient::new(ClientId::new(rule.client_id.clone()))
            .set_token_uri(TokenUrl::from_url(rule.url.clone()))
            .set_auth_type(credentials);
        match &rule.client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.clone())),
            None => client,
        }
    }
}

/// Carries requests for a token by the destination's own route and within its limits.
struct Carrier {
    client: Client,
    /// Of the last answer.
    status: AtomicU16,
}

impl<'c> AsyncHttpClient<'c> for Carrier {
    type Error = NoToken;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoToken>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let unsendable = NoToken { reason: RetryReason::Connect, status: None };
            let (parts, body) = request.into_parts();
            let url = Url::parse(&parts.uri.to_string()).map_err(|_| unsendable)?;
            let postback = Postback { method: parts.method, url, headers: parts.headers, body };
            let reply = self.client.send(postback).await.map_err(|reason| NoToken { reason, status: None })?;
            self.status.store(reply.status, Ordering::Relaxed);
            let body = reply.body.ok_or(NoToken { reason: RetryReason::Timeout, status: Some(reply.status) })?;
            Response::builder().status(reply.status).body(body).map_err(|_| unsendable)
        })
    }
}

/// How long a token is used: it must not end on its way.
fn usable_for(lifetime: Option<Duration>) -> Duration {
    let lifetime = lifetime.unwrap_or(UNSPOKEN).min(LONGEST);
    lifetime.saturating_sub(MARGIN).max(lifetime / 2)
}

fn no_token(error: &RequestTokenError<NoToken, BasicErrorResponse>, status: u16) -> NoToken {
    if let RequestTokenError::Request(failure) = error {
        return *failure;
    }
    let reason = match status {
        // RFC 6749, section 5.2: credentials, grant or scope are wrong, and stay so until someone corrects them.
        400 | 401 | 403 => RetryReason::Unauthorized,
        _ => RetryReason::Status,
    };
    NoToken { reason, status: Some(status) }
}

/// Before its end, at which a token is replaced.
const MARGIN: Duration = Duration::from_mins(1);
/// The lifetime of a token that comes without one.
const UNSPOKEN: Duration = Duration::from_mins(10);
const LONGEST: Duration = Duration::from_hours(24);
/// After a failure, for which nobody asks again.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_before_it_ends() {
        for (lifetime, usable) in [(3600, 3540), (121, 61), (60, 30), (1, 0), (0, 0), (u64::MAX, 86_340)] {
            assert_eq!(usable_for(Some(Duration::from_secs(lifetime))).as_secs(), usable, "{lifetime}");
        }
        assert_eq!(usable_for(None), Duration::from_mins(9));
    }

    #[test]
    fn only_an_answer_about_the_account_is_a_refusal() {
        let broken = RequestTokenError::Other("x".to_owned());
        for (status, reason) in [
            (400, RetryReason::Unauthorized),
            (401, RetryReason::Unauthorized),
            (403, RetryReason::Unauthorized),
            (200, RetryReason::Status),
            (302, RetryReason::Status),
            (429, RetryReason::Status),
            (503, RetryReason::Status),
        ] {
            assert_eq!(no_token(&broken, status), NoToken { reason, status: Some(status) });
        }
        let timeout = NoToken { reason: RetryReason::Timeout, status: None };
        assert_eq!(no_token(&RequestTokenError::Request(timeout), 0), timeout);
    }
}
