//! The answer of the site's own server, asked for as a visitor would.

use std::{error::Error, io, time::Duration};

use http::Method;
use tokio::runtime;

use super::question::{LARGEST_BODY, Question, SaidReply};
use crate::config::{Scheme, ServerAddress, UpstreamRules};

/// Asks the first server of a site.
///
/// # Errors
/// When it can't be reached, or is spoken to in a way that only the proxy knows.
pub(super) fn ask(upstream: &UpstreamRules, question: &Question) -> io::Result<SaidReply> {
    if !matches!(question.method, Method::GET | Method::HEAD) {
        return Err(io::Error::other("--live asks with GET and HEAD alone: others may change something at the site"));
    }
    let server = upstream.servers.first().ok_or_else(|| io::Error::other("the site has no server"))?;
    let scheme = match server.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
        Scheme::H2c => return Err(io::Error::other("--live does not speak h2c: give the answer with --page")),
    };
    let ServerAddress::Tcp { host, port } = &server.address else {
        return Err(io::Error::other("--live does not speak to Unix sockets: give the answer with --page"));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let mark = if question.query.is_empty() { "" } else { "?" };
    let url = format!("{scheme}://{host}:{port}{}{mark}{}", question.path, question.query);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let reply = runtime.block_on(async {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(upstream.read_timeout.min(PATIENCE))
            .build()?;
        let mut response =
            client.request(question.method.clone(), url).headers(question.headers.clone()).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await?
            && body.len() < LARGEST_BODY
        {
            body.extend_from_slice(&chunk);
        }
        Ok(SaidReply { status, headers, body: Some(body) })
    });
    reply.map_err(|error: reqwest::Error| {
        let reason = error.source().map(ToString::to_string).unwrap_or_default();
        io::Error::other(format!("the site's own server {} did not answer: {error} {reason}", server.url))
    })
}

const PATIENCE: Duration = Duration::from_secs(30);
