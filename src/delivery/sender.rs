//! Sends postbacks: each by the route of its destination, and with its token.
//!
//! What cannot be corrected by trying again is told here, because nobody else knows of it: a name that
//! stands for a private address, an account that gets no token.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::header::AUTHORIZATION;
use parking_lot::Mutex;

use super::{
    DeliveryObserver, Destination, Destinations,
    client::{Client, Clients, Reply},
    token::{Token, TokenSource, Tokens},
};
use crate::{
    store::clock,
    tracking::{postback::Postback, verdict::RetryReason},
};

/// Sends to all destinations of a configuration.
pub(super) struct Sender {
    clients: Clients,
    tokens: Tokens,
    alarms: Arc<Alarms>,
}

/// Tells operators, but not all the time.
struct Alarms {
    observer: Arc<dyn DeliveryObserver>,
    /// When a destination was last spoken of.
    told: Mutex<BTreeMap<DestinationName, Instant>>,
}

/// Site and network.
type DestinationName = (Arc<str>, Arc<str>);

/// Why there is no answer, and who did not give it.
struct Failure {
    reason: RetryReason,
    host: String,
    party: Party,
}

/// Whose answer is missing.
#[derive(Clone, Copy)]
enum Party {
    /// The network's.
    Network,
    /// That of the giver of tokens, with the status if there was one.
    TokenGiver(Option<u16>),
}

impl Sender {
    /// Sends to these destinations by these clients, which are theirs.
    pub(super) fn new(destinations: &Destinations, clients: Clients, observer: Arc<dyn DeliveryObserver>) -> Self {
        let tokens = Tokens::of(destinations, &clients, &Tokens::default());
        Self { clients, tokens, alarms: Arc::new(Alarms { observer, told: Mutex::new(BTreeMap::new()) }) }
    }

    /// Serves another configuration; what did not change keeps its connections and tokens.
    pub(super) fn replace(&mut self, destinations: &Destinations, clients: Clients) {
        self.clients = clients;
        self.tokens = Tokens::of(destinations, &self.clients, &self.tokens);
        self.alarms.told.lock().retain(|(site, network), _| destinations.find(site, network).is_some());
    }

    /// Sends one postback of a destination.
    pub(super) fn send(
        &self,
        destination: &Arc<Destination>,
        postback: Postback,
    ) -> impl Future<Output = Result<Reply, RetryReason>> + Send + use<> {
        let outbound = &destination.outbound;
        let client = self.clients.get(&outbound.route).cloned();
        let source = outbound.token.as_ref().map(|rule| self.tokens.get(&outbound.route, rule));
        let (destination, alarms) = (Arc::clone(destination), Arc::clone(&self.alarms));
        async move {
            // Without its client or its token nothing is sent: it would be something else.
            let Some(client) = client else { return Err(RetryReason::Connect) };
            let sent = match source {
                None => send_once(&client, &destination, postback).await,
                Some(None) => return Err(RetryReason::Connect),
                Some(Some(source)) => send_with_token(&client, &destination, &source, postback).await,
            };
            sent.map_err(|failure| {
                alarms.learn(&destination, &failure);
                failure.reason
            })
        }
    }
}

async fn send_once(client: &Client, destination: &Destination, postback: Postback) -> Result<Reply, Failure> {
    let (headers, host) = (postback.headers.clone(), postback.url.host_str().unwrap_or_default().to_owned());
    let mut reply = client.send(postback).await.map_err(|reason| Failure { reason, host, party: Party::Network })?;
    if reply.body.as_ref().is_some_and(|body| !body.is_empty()) {
        reply.mask = destination.outbound.mask.and_credentials(&headers);
    }
    Ok(reply)
}

/// A token that was good may have been revoked: once, another one is fetched for the same postback.
async fn send_with_token(
    client: &Client,
    destination: &Destination,
    source: &TokenSource,
    postback: Postback,
) -> Result<Reply, Failure> {
    let token = token_of(source).await?;
    let reply = send_once(client, destination, authorized(postback.clone(), &token)).await?;
    if reply.status != UNAUTHORIZED || token.is_fresh {
        return Ok(reply);
    }
    source.discard(&token).await;
    let token = token_of(source).await?;
    send_once(client, destination, authorized(postback, &token)).await
}

async fn token_of(source: &TokenSource) -> Result<Token, Failure> {
    let token = source.token().await;
    token.map_err(|no| Failure {
        reason: no.reason,
        host: source.host().to_owned(),
        party: Party::TokenGiver(no.status),
    })
}

fn authorized(mut postback: Postback, token: &Token) -> Postback {
    postback.headers.insert(AUTHORIZATION, token.header.clone());
    postback
}

impl Alarms {
    fn learn(&self, destination: &Destination, failure: &Failure) {
        let Destination { site, network, .. } = destination;
        let host = &failure.host;
        if failure.reason == RetryReason::RefusedAddress {
            self.observer.address_refused(site, network);
            if self.is_due(destination) {
                tracing::error!(
                    %site, %network, %host,
                    "not connected: the name stands for private or reserved addresses alone; conversions are kept. If \
                     that is meant, write `delivery: {{ allow_private: true }}` for this network, or the address itself"
                );
            }
        } else if let Party::TokenGiver(status) = failure.party
            && self.is_due(destination)
        {
            let (status, reason) = (status.unwrap_or_default(), failure.reason.as_str());
            tracing::warn!(%site, %network, %host, status, reason, "no access token; conversions are kept");
        }
    }

    fn is_due(&self, destination: &Destination) -> bool {
        let now = clock::instant();
        let key = (Arc::clone(&destination.site), Arc::clone(&destination.network));
        let mut told = self.told.lock();
        if told.get(&key).is_some_and(|at| now.saturating_duration_since(*at) < SILENCE) {
            return false;
        }
        told.insert(key, now);
        true
    }
}

const UNAUTHORIZED: u16 = 401;
const SILENCE: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
