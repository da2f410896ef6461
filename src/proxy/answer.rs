//! Answers of our own: errors, refusals, redirects, probes, the pages of our endpoint.
//!
//! They are plain and say nothing about who gives them or about tracking.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::{Result, http::ResponseHeader};
use pingora_proxy::Session;

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// A short page that names the status, or the operator's own.
    #[must_use]
    pub fn error(status: u16, own: Option<&Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let body = own.cloned().unwrap_or_else(|| {
            let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
            format!("<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n").into()
        });
        Self { status, content_type: HTML, body, headers: Vec::new() }
    }

    /// A page of ours, in HTML.
    #[must_use]
    pub fn page(html: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, content_type: HTML, body: html.into(), headers: Vec::new() }
    }

    /// Says that all is done, and nothing to be shown.
    #[must_use]
    pub const fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, content_type: HTML, body: Bytes::new(), headers: Vec::new() }
    }

    /// Says that we are well.
    #[must_use]
    pub const fn well() -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "text/plain; charset=utf-8",
            body: Bytes::from_static(b"ok\n"),
            headers: Vec::new(),
        }
    }

    /// Sends the visitor elsewhere for good; the method stays what it was (RFC 9110, section 15.4.9).
    #[must_use]
    pub fn redirect(location: HeaderValue, method: &Method) -> Self {
        // The old code for what a browser does with links: it is known to every client.
        let is_safe = method == Method::GET || method == Method::HEAD;
        let status = if is_safe { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
        let headers = vec![(header::LOCATION, location)];
        Self { status, content_type: "text/plain; charset=utf-8", body: Bytes::new(), headers }
    }

    /// Sends the visitor to another page for now (RFC 9110, section 15.4.4).
    #[must_use]
    pub fn see_other(location: HeaderValue) -> Self {
        let headers = vec![(header::LOCATION, location)];
        Self { status: StatusCode::SEE_OTHER, content_type: "text/plain; charset=utf-8", body: Bytes::new(), headers }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends it, unless something has been sent already.
    ///
    /// It goes past the tracking module: what we say ourselves is no answer of the site.
    ///
    /// # Errors
    /// When the visitor is gone.
    pub async fn send(self, session: &mut Session) -> Result<()> {
        let has_begun = session.response_written().is_some_and(|written| {
            !written.status.is_informational() || written.status == StatusCode::SWITCHING_PROTOCOLS
        });
        if has_begun {
            return Ok(());
        }
        let mut head = ResponseHeader::build(self.status, Some(5))?;
        // There is neither a type nor a length without a body (RFC 9110, section 8.6).
        if self.status != StatusCode::NO_CONTENT {
            head.insert_header(header::CONTENT_TYPE, self.content_type)?;
            head.insert_header(header::CONTENT_LENGTH, self.body.len())?;
        }
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        for (name, value) in self.headers {
            head.append_header(name, value)?;
        }
        let is_head = session.req_header().method == Method::HEAD;
        let downstream = session.as_downstream_mut();
        downstream.write_response_header(Box::new(head)).await?;
        if is_head || self.body.is_empty() {
            downstream.finish_body().await?;
        } else {
            downstream.write_response_body(self.body, true).await?;
        }
        if downstream.as_http1().is_some() && !downstream.is_body_done() {
            // What was not read when a connection is closed takes back what was just said (RFC 9112,
            // section 9.6).
            downstream.set_total_drain_timeout(Some(LINGER));
            if let Err(error) = downstream.drain_request_body().await {
                tracing::trace!(%error, "the rest of a request's body did not come");
            }
        }
        Ok(())
    }
}

const HTML: &str = "text/html; charset=utf-8";
/// How long the rest of a request may still come after it was answered.
const LINGER: Duration = Duration::from_secs(1);
