//! The HTTP client: one request out, a bounded answer back.
//!
//! Every wait and every buffer has a limit, because a network is a stranger. Redirects are not
//! followed and no proxy of the environment is used: a postback goes where the configuration says.
//! Answers are not decompressed, so none can be a bomb.

use std::{borrow::Cow, collections::HashMap, error::Error, fmt, mem, sync::Arc, time::Duration};

use http::HeaderMap;
use reqwest::{
    Certificate, ClientBuilder, Identity, Proxy, Response,
    header::{LOCATION, RETRY_AFTER},
    redirect, tls,
};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::{
    Destinations,
    mask::Mask,
    resolver::{CheckedResolver, RefusedAddress},
    route::{Addresses, Route},
};
use crate::tracking::{postback::Postback, verdict::RetryReason};

/// The client of one route, with its pool of connections.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// The clients of all destinations, one for each route.
#[derive(Clone, Debug, Default)]
pub struct Clients(HashMap<Arc<Route>, Client>);

/// An answer, as far as it was read.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, or `None` when it was endless, too slow or broke off.
    pub body: Option<Vec<u8>>,
    /// The header of that name.
    pub retry_after: Option<String>,
    /// The host that a redirect points to; the rest of its address may hold secrets.
    pub moved_to: Option<String>,
    /// All of its headers.
    pub headers: HeaderMap,
    /// What is masked in what people see of it.
    pub mask: Mask,
}

impl Clients {
    /// Makes the clients of these destinations; `known` ones keep their connections.
    ///
    /// # Errors
    /// When TLS or a proxy can't be set up.
    pub fn of(destinations: &Destinations, known: &Self) -> Result<Self, reqwest::Error> {
        let mut clients = HashMap::new();
        for destination in destinations.iter() {
            let route = &destination.outbound.route;
            if !clients.contains_key(route) {
                let client = known.get(route).map_or_else(|| Client::new(route), |known| Ok(known.clone()))?;
                clients.insert(Arc::clone(route), client);
            }
        }
        Ok(Self(clients))
    }

    /// The client of a route.
    #[must_use]
    pub fn get(&self, route: &Route) -> Option<&Client> {
        self.0.get(route)
    }
}

impl Client {
    /// Sets the client up; a rustls crypto provider must have been installed.
    ///
    /// # Errors
    /// When TLS or the proxy can't be set up.
    pub fn new(route: &Route) -> Result<Self, reqwest::Error> {
        let by_system = with_route(route)?.tls_certs_merge(authorities(route)?).build();
        by_system
            .or_else(|error| {
                tracing::warn!(
                    %error,
                    "the system's certificate authorities cannot be used (is ca-certificates installed?): \
                     networks are verified by those that this version brings along"
                );
                let brought = TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root));
                let mut roots = brought.collect::<Result<Vec<_>, _>>()?;
                roots.extend(authorities(route)?);
                with_route(route)?.tls_certs_only(roots).build()
            })
            .map(Self)
    }

    /// Sends one request.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn send(&self, postback: Postback) -> Result<Reply, RetryReason> {
        let Postback { method, url, headers, body } = postback;
        // A network may repeat what it did not take, with a word on each.
        let most = MAX_BODY + 2 * body.len();
        let mut request = self.0.request(method, url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        let head = tokio::time::timeout(HEAD, request.send()).await;
        let mut response = head.map_err(|_| RetryReason::Timeout)?.map_err(|error| reason(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let moved_to = moved_to(&response);
        let headers = mem::take(response.headers_mut());
        let body = tokio::time::timeout(BODY, read(response, most)).await.ok().flatten();
        Ok(Reply { status, body, retry_after, moved_to, headers, mask: Mask::default() })
    }
}

impl Reply {
    /// A part of the body without our secrets, to be cut for people only then: half a secret at a cut
    /// would not be found.
    #[must_use]
    pub fn masked<'a>(&self, part: &'a [u8]) -> Cow<'a, [u8]> {
        self.mask.masked(part)
    }
}

/// A body may repeat what was sent.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

fn with_route(route: &Route) -> Result<ClientBuilder, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT)
        .tls_version_min(tls::Version::TLS_1_2)
        .http2_max_header_list_size(MAX_HTTP2_HEAD)
        // A connection that died in silence must not swallow one request after the other.
        .http2_keep_alive_interval(HTTP2_PING)
        .http2_keep_alive_timeout(HTTP2_PONG);
    if let Some(identity) = &route.identity {
        builder = builder.identity(Identity::from_pem(identity.pem())?);
    }
    let addresses = match &route.proxy {
        None => route.addresses,
        Some(server) => {
            let mut proxy = Proxy::all(server.url.clone())?;
            if let Some((user, password)) = &server.credentials {
                proxy = proxy.basic_auth(user, password);
            }
            builder = builder.proxy(proxy);
            // Only the proxy's own name is asked for here, and that is the operator's choice.
            Addresses::Any
        }
    };
    Ok(builder.dns_resolver(CheckedResolver::new(addresses)))
}

fn authorities(route: &Route) -> Result<Vec<Certificate>, reqwest::Error> {
    route.authorities.iter().map(|der| Certificate::from_der(der)).collect()
}

fn moved_to(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()?.host_str().map(str::to_owned)
}

/// The whole body, if it is no longer than what a verdict may need.
async fn read(mut response: Response, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > most {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn reason(error: &reqwest::Error) -> RetryReason {
    if is_refusal(error) {
        RetryReason::RefusedAddress
    } else if error.is_connect() {
        RetryReason::Connect
    } else if error.is_timeout() {
        RetryReason::Timeout
    } else {
        RetryReason::Reset
    }
}

fn is_refusal(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<RefusedAddress>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// For the connection and the TLS handshake, 3 s each; a name has 3 s of its own among them.
const CONNECT: Duration = Duration::from_secs(6);
/// From the start to the head of the answer; with the body's time, 15 s in all.
const HEAD: Duration = Duration::from_secs(10);
const BODY: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 64 * 1024;
/// Of HTTP/2; hyper ends a head of HTTP/1 at 100 fields or about 400 KiB.
const MAX_HTTP2_HEAD: u32 = 64 * 1024;
const HTTP2_PING: Duration = Duration::from_secs(20);
const HTTP2_PONG: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
