//! Looking after servers beside the requests: their names are resolved and their health is asked for, as
//! long as new requests may go to them.

use std::{sync::Arc, time::Duration};

use pingora::{
    connectors::{ConnectorOptions, http::Connector},
    server::configuration::ServerConf,
};
use tokio::task::{AbortHandle, JoinHandle};

use super::{Upstream, server::Server};
use crate::metrics::Metrics;

/// Whether somebody looks after the servers.
#[derive(Debug, Default)]
pub(super) enum Care {
    /// Nobody yet.
    #[default]
    None,
    /// These tasks do.
    By(Vec<AbortHandle>),
    /// Nobody any more: no new request goes to them.
    Retired,
}

/// Resolves names and asks for health, beside the requests and until they are retired; those that are
/// looked after already are left alone.
///
/// Comes back when all names were looked up once, or after a moment without those that take longer.
pub async fn attend(upstreams: &[Arc<Upstream>], settings: &ServerConf, metrics: &Metrics) {
    let new: Vec<&Arc<Upstream>> = upstreams.iter().filter(|upstream| upstream.is_taken_care_of_by_us()).collect();
    for upstream in &new {
        for (index, (server, (site, url))) in upstream.servers.iter().zip(upstream.labels()).enumerate() {
            server.show(metrics.upstream_up.with_label_values(&[site, url]));
            let resolved = Arc::clone(upstream);
            upstream.cared_for_by(&tokio::spawn(async move {
                if let Some(server) = resolved.servers.get(index) {
                    server.keep_resolved(&resolved.rules, &resolved.dialing).await;
                }
            }));
        }
    }
    let resolved = async {
        for server in new.iter().flat_map(|upstream| &upstream.servers) {
            server.await_looked_up().await;
        }
    };
    // The other sites need not wait for a name that takes long.
    let _late = tokio::time::timeout(PATIENCE, resolved).await;
    if new.iter().any(|upstream| upstream.questions.is_some()) {
        let connector = Arc::new(Connector::new(Some(ConnectorOptions::from_server_conf(settings))));
        for upstream in new.into_iter().filter(|upstream| upstream.questions.is_some()) {
            upstream.cared_for_by(&tokio::spawn(Arc::clone(upstream).keep_asking(Arc::clone(&connector))));
        }
    }
}

impl Upstream {
    /// Stops to look after the servers, because no new request goes to them.
    pub fn retire(&self) {
        let care = std::mem::replace(&mut *self.care.lock(), Care::Retired);
        if let Care::By(tasks) = care {
            tasks.iter().for_each(AbortHandle::abort);
        }
        self.servers.iter().for_each(Server::hide);
    }

    /// Whether nobody has begun to look after the servers before.
    fn is_taken_care_of_by_us(&self) -> bool {
        let mut care = self.care.lock();
        let is_new = matches!(*care, Care::None);
        if is_new {
            *care = Care::By(Vec::new());
        }
        is_new
    }

    /// Keeps a task until the servers are retired.
    fn cared_for_by(&self, task: &JoinHandle<()>) {
        match &mut *self.care.lock() {
            Care::By(tasks) => tasks.push(task.abort_handle()),
            Care::None | Care::Retired => task.abort(),
        }
    }
}

/// How long the start waits for names.
const PATIENCE: Duration = Duration::from_secs(3);
