//! The request that is asked about, and the answer that the site is said to give.

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

use super::Asked;
use crate::{
    store::clock,
    tracking::{
        body::{BodyTee, RequestBody},
        journey::{Journey, Remembered},
        visit::{Client, Request},
    },
};

/// A request and the answer to it.
pub(super) struct Question {
    /// How it is shown.
    pub(super) line: String,
    /// The host that it is sent to.
    pub(super) host: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    client: Client,
    body: Vec<u8>,
    /// What the visitor's journey is said to know.
    pub(super) journey: Option<Journey>,
    pub(super) reply: SaidReply,
}

/// What the site answers.
pub(super) struct SaidReply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// `None` when nobody has said what stands there.
    pub(super) body: Option<Vec<u8>>,
}

impl Question {
    /// # Errors
    /// When a text is not what it must be.
    pub(super) fn new(asked: &Asked) -> io::Result<Self> {
        let url = &asked.url;
        let host = url.host_str().unwrap_or_default().to_owned();
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let default = if asked.body.is_some() { Method::POST } else { Method::GET };
        let method = asked.method.clone().unwrap_or(default);
        let mut headers = HeaderMap::from_iter([
            (header::HOST, HeaderValue::try_from(&authority).map_err(io::Error::other)?),
            (header::USER_AGENT, HeaderValue::from_static(BROWSER)),
            (header::ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8")),
        ]);
        if asked.body.is_some() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, asked.content_type.clone().unwrap_or(form));
        }
        lay(&mut headers, &asked.headers);
        if !asked.cookies.is_empty() {
            let line = HeaderValue::try_from(asked.cookies.join("; ")).map_err(io::Error::other)?;
            headers.append(header::COOKIE, line);
        }
        let mut answer = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
        lay(&mut answer, &asked.response_headers);
        Ok(Self {
            line: format!("{method} {url}"),
            host: headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(&authority).to_owned(),
            method,
            path: url.path().to_owned(),
            query: url.query().unwrap_or_default().to_owned(),
            headers,
            client: Client { address: asked.address, over_tls: url.scheme() == "https" },
            body: asked.body.clone().unwrap_or_default(),
            journey: journey(asked)?,
            reply: SaidReply { status: asked.status, headers: answer, body: asked.page.clone() },
        })
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            authority: None,
            client: self.client,
        }
    }

    /// The body of the request, as the proxy reads it in passing.
    pub(super) fn request_body(&self) -> RequestBody {
        let Some(mut tee) = BodyTee::for_request(&self.headers) else { return RequestBody::default() };
        tee.push(&self.body);
        tee.finish()
    }
}

/// Headers that are given replace what would stand there without them.
fn lay(headers: &mut HeaderMap, given: &[(HeaderName, HeaderValue)]) {
    for (name, _) in given {
        headers.remove(name);
    }
    headers.extend(given.iter().cloned());
}

fn journey(asked: &Asked) -> io::Result<Option<Journey>> {
    if asked.passed.is_empty() && asked.remembered.is_empty() {
        return Ok(None);
    }
    let now = clock::now();
    let mut journey = Journey::default();
    for capture in &asked.passed {
        journey.pass(capture, now);
    }
    for text in &asked.remembered {
        let (name, value) =
            text.split_once('=').ok_or_else(|| io::Error::other(format!("`{text}` is not NAME=VALUE")))?;
        journey.fields.insert(name.to_owned(), Remembered::new(value, now));
    }
    Ok(Some(journey))
}

/// Reads an address of a page.
///
/// # Errors
/// When it is none.
pub fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write it whole: https://shop.example/thank-you"))?;
    let is_page = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_page.then_some(url).ok_or_else(|| "it must begin with http:// or https://".to_owned())
}

/// Reads `NAME: VALUE`.
///
/// # Errors
/// When it is something else.
pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `NAME: VALUE`")?;
    let name = HeaderName::try_from(name.trim()).map_err(|error| error.to_string())?;
    Ok((name, HeaderValue::try_from(value.trim()).map_err(|error| error.to_string())?))
}

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
/// More than is read of any page.
pub const LARGEST_BODY: usize = 16 << 20;
