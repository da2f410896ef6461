//! What is told and noted of a request: its id, its part in a trace, its line in the access log.

use pingora::{
    Error, ErrorSource,
    http::{RequestHeader, ResponseHeader},
};
use pingora_proxy::Session;

use super::{
    super::{answer::Answer, connection::Over, forwarding, logbook, refusal::Refusal, upstream},
    Proxy,
    context::Context,
};
use crate::{
    access::{AccessLog, Asked, Ending, Record},
    store::clock,
    trace::{AttemptSpan, RequestFacts},
};

impl Proxy {
    /// Tells the site which request this is, and of which trace.
    pub(super) fn tell_site(&self, request: &mut RequestHeader, ctx: &Context) {
        self.logbook.tell_site(ctx.id.as_ref(), request);
        if let Some(headers) = ctx.attempt.headers() {
            forwarding::tell_trace(request, headers);
        }
    }

    /// Tells the visitor which request this was, with the site's answer.
    pub(super) fn tell_visitor(&self, response: &mut ResponseHeader, ctx: &mut Context) {
        ctx.told = Some(response.status.as_u16()).filter(|status| *status >= 200 || *status == 101);
        ctx.attempt.answered(response.status.as_u16());
        self.logbook.tell_visitor(ctx.id.as_ref(), response);
    }

    /// The same with an answer of ours.
    pub(super) fn identified(&self, answer: Answer, ctx: &Context) -> Answer {
        match self.logbook.for_visitor(ctx.id.as_ref()) {
            Some(id) => answer.with(logbook::HEADER, id),
            None => answer,
        }
    }

    /// Begins its line in the access log, where there is one.
    pub(super) fn begin_entry(&self, head: &RequestHeader) -> Option<Entry> {
        let access = &self.logbook.access;
        access.is_on().then(|| Entry { access: access.clone(), asked: asked_of(head, access) })
    }

    /// Notes a request that is over, where that is wanted.
    pub(super) fn note(&self, session: &Session, error: Option<&Error>, ctx: &mut Context) {
        ctx.attempt = AttemptSpan::default();
        let access = &self.logbook.access;
        let is_logged = access.is_on();
        if !is_logged && !ctx.span.is_recording() {
            return;
        }
        let head = session.req_header();
        let refused = refusal(ctx);
        let status = status(session, error, refused);
        let ending = ending(error);
        if is_logged {
            let asked = ctx.entry.take().map_or_else(|| asked_of(head, access), |entry| entry.asked);
            let bytes = session.body_bytes_sent() as u64;
            access.note(record(ctx, asked, (status, bytes), ending));
        }
        if ctx.span.is_recording() {
            let failure = refused.map(Refusal::as_str).or((ending != Ending::Complete).then_some(ending.as_str()));
            ctx.span.end(RequestFacts {
                method: &head.method,
                version: head.version,
                over_tls: ctx.client.is_some_and(|client| client.over_tls),
                site: ctx.site.as_ref().map(|(_, site)| &*site.rules.name),
                route: ctx.route.as_deref(),
                status,
                failure,
            });
        }
    }
}

/// What a line says of a request that is not over yet.
pub(super) struct Entry {
    access: AccessLog,
    asked: Asked,
}

impl Entry {
    /// Notes a request that nobody can finish any more. How much of an answer has gone out is not known.
    pub(super) fn of_a_panic(self, ctx: &Context) {
        let status = ctx.told.unwrap_or(FAILED);
        self.access.note(record(ctx, self.asked, (status, 0), Ending::Failed));
    }
}

fn record(ctx: &Context, asked: Asked, (status, bytes): (u16, u64), ending: Ending) -> Record {
    let now = clock::instant();
    let server_took = ctx.asked.zip(ctx.answered);
    Record {
        time: clock::now(),
        request_id: ctx.id.clone(),
        client: ctx.client.map(|client| client.address).or(ctx.connection.as_ref().map(|it| it.address())),
        site: ctx.site.as_ref().map(|(_, site)| site.rules.name.clone()),
        asked: Some(asked),
        status,
        bytes,
        took: now.saturating_duration_since(ctx.started),
        server: ctx.attempts.server(),
        server_took: server_took.map(|(asked, answered)| answered.saturating_duration_since(asked)),
        ending,
        refused: refusal(ctx).map(Refusal::as_str),
    }
}

/// Why it was refused, before it began or while it was served.
fn refusal(ctx: &Context) -> Option<Refusal> {
    ctx.refused.or_else(|| match ctx.connection.as_ref()?.pace.over()? {
        Over::Refused(refusal) => Some(refusal),
        Over::Idle => None,
    })
}

/// What the visitor was told; as nginx does it, 499 where the visitor left before anything could be.
fn status(session: &Session, error: Option<&Error>, refused: Option<Refusal>) -> u16 {
    let told = session.response_written().map(|response| response.status);
    if let Some(told) = told.filter(|status| !status.is_informational() || status.as_u16() == 101) {
        return told.as_u16();
    }
    if let Some(refused) = refused {
        return refused.status();
    }
    match error.map(upstream::status_for) {
        Some(0) | None => LEFT,
        Some(status) => status,
    }
}

fn ending(error: Option<&Error>) -> Ending {
    match error.map(Error::esource) {
        None => Ending::Complete,
        Some(ErrorSource::Downstream) => Ending::VisitorLeft,
        Some(ErrorSource::Upstream) => Ending::SiteFailed,
        Some(ErrorSource::Internal | ErrorSource::Unset) => Ending::Failed,
    }
}

fn asked_of(head: &RequestHeader, access: &AccessLog) -> Asked {
    let header = |name: http::HeaderName| head.headers.get(name).map(http::HeaderValue::as_bytes);
    let host = header(http::header::HOST).or_else(|| head.uri.host().map(str::as_bytes));
    let texts = [
        Some(head.method.as_str().as_bytes()),
        Some(head.raw_path()),
        host,
        header(http::header::REFERER),
        header(http::header::USER_AGENT),
    ];
    Asked::new(head.version, texts, access.query())
}

/// No status of HTTP, but the one that readers of logs know.
const LEFT: u16 = 499;
/// Of a request that has panicked before its answer.
const FAILED: u16 = 500;

#[cfg(test)]
mod tests;
