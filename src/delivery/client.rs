//! The HTTP client: one request out, a bounded answer back.
//!
//! Every wait and every buffer has a limit, because a network is a stranger. Redirects are not
//! followed and no proxy of the environment is used: a postback goes where the configuration says.

use std::time::Duration;

use reqwest::{
    Certificate, Response,
    header::{LOCATION, RETRY_AFTER},
    redirect,
};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::tracking::{postback::Postback, verdict::RetryReason};

/// The client that all destinations share, with its pool of connections.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// An answer, as far as it was read.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, or `None` when it was endless, too slow or broke off.
    pub body: Option<Vec<u8>>,
    /// The header of that name.
    pub retry_after: Option<String>,
    /// The host that a redirect points to; the rest of its address may hold secrets.
    pub moved_to: Option<String>,
}

impl Client {
    /// Sets the client up; a rustls crypto provider must have been installed.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .no_proxy()
                .connect_timeout(CONNECT)
        };
        let by_system = builder().build();
        by_system
            .or_else(|error| {
                tracing::warn!(
                    %error,
                    "the system's certificate authorities cannot be used (is ca-certificates installed?): \
                     networks are verified by those that this version brings along"
                );
                let roots = TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root));
                builder().tls_certs_only(roots.collect::<Result<Vec<_>, _>>()?).build()
            })
            .map(Self)
    }

    /// Sends one postback.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn send(&self, postback: Postback) -> Result<Reply, RetryReason> {
        let Postback { method, url, headers, body } = postback;
        let mut request = self.0.request(method, url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        let head = tokio::time::timeout(HEAD, request.send()).await;
        let response = head.map_err(|_| RetryReason::Timeout)?.map_err(|error| reason(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let moved_to = moved_to(&response);
        let body = tokio::time::timeout(BODY, read(response)).await.ok().flatten();
        Ok(Reply { status, body, retry_after, moved_to })
    }
}

fn moved_to(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()?.host_str().map(str::to_owned)
}

/// The whole body, if it is no longer than what a verdict may need.
async fn read(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MAX_BODY {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn reason(error: &reqwest::Error) -> RetryReason {
    if error.is_connect() {
        RetryReason::Connect
    } else if error.is_timeout() {
        RetryReason::Timeout
    } else {
        RetryReason::Reset
    }
}

const CONNECT: Duration = Duration::from_secs(3);
/// From the start to the head of the answer; with the body's time, 15 s in all.
const HEAD: Duration = Duration::from_secs(10);
const BODY: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 64 * 1024;
