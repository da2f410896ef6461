//! Asking servers how they are, over the same kind of connection that requests take.
//!
//! 2xx and 3xx mean well, anything else and silence do not; two answers in a row decide. A server
//! that is not well gets no requests while another is. When none is well all are tried nevertheless:
//! a wrong path here must not take down a site that works.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Uri, Version, header, uri::PathAndQuery};
use pingora::{
    Error, ErrorType, OrErr, Result, connectors::http::Connector, http::RequestHeader,
    protocols::http::client::HttpSession,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Upstream, endpoint::Endpoint, introduction::Introduction, server::Server};
use crate::config::{HealthRules, Scheme};

/// How a site's servers are asked.
#[derive(Debug)]
pub(super) struct Questions {
    path: PathAndQuery,
    interval: Duration,
    timeout: Duration,
}

impl Questions {
    pub(super) fn new(rules: &HealthRules) -> Self {
        Self {
            path: rules.path.parse().unwrap_or(PathAndQuery::from_static("/")),
            interval: rules.interval.max(Duration::from_millis(1)),
            timeout: rules.timeout,
        }
    }
}

impl Upstream {
    /// Asks all servers again and again.
    pub(super) async fn keep_asking(self: Arc<Self>, connector: Arc<Connector>) {
        let Some(questions) = &self.questions else { return };
        let mut ticks = interval(questions.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut asked = JoinSet::new();
            for server in &self.servers {
                for endpoint in server.endpoints().iter() {
                    let (upstream, connector, endpoint) =
                        (Arc::clone(&self), Arc::clone(&connector), Arc::clone(endpoint));
                    asked.spawn(async move { upstream.ask(&connector, &endpoint).await });
                }
            }
            asked.join_all().await;
        }
    }

    async fn ask(&self, connector: &Connector, endpoint: &Endpoint) {
        let (Some(questions), Some(server)) = (&self.questions, self.servers.get(endpoint.server)) else { return };
        let answer = timeout(questions.timeout, self.status(questions, connector, server, endpoint)).await;
        let (well, why) = match answer {
            Ok(Ok(status)) => ((200..400).contains(&status), format!("asked for its health, it answers {status}")),
            Ok(Err(error)) => (false, format!("it cannot be asked for its health: {error}")),
            Err(_) => (false, format!("asked for its health, it is silent for {:?}", questions.timeout)),
        };
        endpoint.has_answered(well);
        server.tell(&why);
    }

    async fn status(
        &self,
        questions: &Questions,
        connector: &Connector,
        server: &Server,
        endpoint: &Endpoint,
    ) -> Result<u16> {
        let host = self.host_for(server).unwrap_or(&self.public_host);
        let introduction = self.dialing.proxy_protocol.map(Introduction::of_ourselves);
        let peer = endpoint.line.own_peer(host.to_str().unwrap_or_default(), introduction, questions.timeout);
        let (mut session, _) = connector.get_http_session(&*peer).await?;
        let request = question(&questions.path, host, server.rules.scheme, matches!(session, HttpSession::H2(_)))?;
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        let status = loop {
            session.read_response_header().await?;
            match session.response_header().map(|head| head.status) {
                Some(status) if status.is_informational() => {}
                Some(status) => break status.as_u16(),
                None => return Error::e_explain(ErrorType::InvalidHTTPHeader, "no head"),
            }
        };
        session.shutdown().await;
        Ok(status)
    }
}

fn question(path: &PathAndQuery, host: &HeaderValue, scheme: Scheme, is_http2: bool) -> Result<RequestHeader> {
    let mut request = RequestHeader::build("GET", path.as_str().as_bytes(), None)?;
    request.insert_header(header::USER_AGENT, concat!("throughline-health/", env!("CARGO_PKG_VERSION")))?;
    if is_http2 {
        let scheme = if scheme == Scheme::Https { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(path.clone()).build();
        request.set_uri(uri.or_err(ErrorType::InvalidHTTPHeader, "in the question for a server's health")?);
        request.set_version(Version::HTTP_2);
    } else {
        request.insert_header(header::HOST, host)?;
        request.insert_header(header::CONNECTION, "close")?;
    }
    Ok(request)
}
