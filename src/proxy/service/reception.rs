//! A request at the door: whose it is, whether it may come in, and what we answer ourselves.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::{
    super::{
        answer::Answer,
        connection::Connection,
        edition::Edition,
        forwarding,
        refusal::{self, Refusal},
    },
    Proxy,
    context::{Context, Upload},
};
use crate::{
    metrics::Metrics,
    trace::RequestSpan,
    tracking::{site::normal_host, visit::Client},
};

impl Proxy {
    /// Judges a request that has just arrived, and says whose it is.
    pub(super) fn receive(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        ends_with_head: bool,
    ) -> Result<Client, Refusal> {
        let connection = session.digest().and_then(Connection::of).cloned();
        let Some(connection) = connection else { return Err(Refusal::Malformed) };
        // HTTP/2 says it beside the head.
        let is_http2 = session.req_header().version == Version::HTTP_2;
        let has_body = (is_http2 || !ends_with_head) && !session.is_body_empty();
        if has_body {
            // What is left of a body when it has been answered must not drip in for ever.
            session.set_total_drain_timeout(Some(DRAIN));
        }
        let head = session.req_header();
        let timed = has_body && refusal::has_timed_body(&head.method, &head.headers);
        connection.pace.serving(timed);
        ctx.upload = timed.then(|| Upload(Arc::clone(&connection)));
        let Edition { table, limits, .. } = &*ctx.edition;
        ctx.is_trusted = table.trusts(connection.visitor.ip());
        let client = forwarding::client(&connection, ctx.is_trusted, &head.headers, table);
        ctx.connection = Some(Arc::clone(&connection));
        ctx.id = self.logbook.id(&head.headers, ctx.is_trusted);
        ctx.entry = self.begin_entry(head);
        ctx.span = RequestSpan::begin(&head.method, &head.headers, ctx.is_trusted);
        if let Some(http1) = session.as_downstream().as_http1() {
            refusal::judge(&http1.get_headers_raw_bytes(), head.version, &head.headers, limits.max_header_bytes)?;
        }
        if self.forwarding.has_seen(&head.headers) {
            return Err(Refusal::Loop);
        }
        ctx.claims = forwarding::claims(&head.headers);
        if ctx.claims.address && !ctx.is_trusted {
            self.note_claims(&ctx.edition.tracker.metrics, &connection);
        }
        Ok(client)
    }

    /// A proxy before us that is not in `trusted_proxies` makes every visitor look like itself.
    fn note_claims(&self, metrics: &Metrics, connection: &Connection) {
        metrics.untrusted_forwarded_total.inc();
        if !self.warned_of_claims.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                peer = %connection.address(),
                "a request says who it is forwarded for, and is not believed: if this address is a proxy of yours, \
                 name it in `trusted_proxies`; this is said once, and counted in throughline_untrusted_forwarded_total"
            );
        }
    }

    /// What is answered without asking any site.
    pub(super) fn own_answer(session: &Session, ctx: &mut Context) -> Option<Answer> {
        let head = session.req_header();
        let listener = ctx.connection.as_ref().map(|connection| &connection.listener)?;
        let is_probe = listener.probe.as_deref() == Some(head.uri.path());
        if is_probe && matches!(ctx.refused, None | Some(Refusal::UnknownHost)) {
            // Whatever host it names, it is no request of that site's visitors.
            (ctx.site, ctx.refused) = (None, None);
            return Some(Answer::well());
        }
        if ctx.refused.is_none() && ctx.is_redirected() {
            match https_location(head) {
                Some(location) => return Some(Answer::redirect(location, &head.method)),
                None => ctx.refused = Some(Refusal::NoHost),
            }
        }
        let refusal = ctx.refused?;
        ctx.edition.tracker.metrics.refused_total.with_label_values(&[refusal.as_str()]).inc();
        Some(Answer::error(refusal.status(), None))
    }
}

/// For the rest of a body that nobody waits for any more.
const DRAIN: Duration = Duration::from_secs(10);

/// Where the same page is, over TLS on its usual port.
fn https_location(head: &RequestHeader) -> Option<HeaderValue> {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| head.uri.host())?;
    let host = normal_host(host);
    // Anything else would send the visitor to another place than a browser thinks it is at.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_plain) {
        return None;
    }
    let rest = match head.raw_path() {
        path if path.starts_with(b"/") => path,
        // In absolute form, or the `*` of OPTIONS.
        _ => head.uri.path_and_query().map_or("/", |rest| rest.as_str()).as_bytes(),
    };
    let rest = if rest.starts_with(b"/") { rest } else { b"/" };
    HeaderValue::from_bytes(&[b"https://", host.as_bytes(), rest].concat()).ok()
}
