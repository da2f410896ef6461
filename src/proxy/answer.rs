//! Answers of our own: errors, refusals, redirects, probes.
//!
//! They are plain and say nothing about who gives them or about tracking.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use pingora::{Result, http::ResponseHeader};
use pingora_proxy::Session;

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    location: Option<HeaderValue>,
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
        Self { status, content_type: "text/html; charset=utf-8", body, location: None }
    }

    /// Says that we are well.
    #[must_use]
    pub const fn well() -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "text/plain; charset=utf-8",
            body: Bytes::from_static(b"ok\n"),
            location: None,
        }
    }

    /// Sends the visitor elsewhere for good; the method stays what it was (RFC 9110, section 15.4.9).
    #[must_use]
    pub fn redirect(location: HeaderValue, method: &Method) -> Self {
        // The old code for what a browser does with links: it is known to every client.
        let is_safe = method == Method::GET || method == Method::HEAD;
        let status = if is_safe { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
        Self { status, content_type: "text/plain; charset=utf-8", body: Bytes::new(), location: Some(location) }
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
        head.insert_header(header::CONTENT_TYPE, self.content_type)?;
        head.insert_header(header::CONTENT_LENGTH, self.body.len())?;
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        if let Some(location) = self.location {
            head.insert_header(header::LOCATION, location)?;
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

/// How long the rest of a request may still come after it was answered.
const LINGER: Duration = Duration::from_secs(1);
