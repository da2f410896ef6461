//! What one configuration makes of the proxy, and which edition is in force.
//!
//! A request takes the edition that is in force when its head has arrived and keeps it to its end, so
//! that it never sees two configurations; a connection lives through as many as there are. What an
//! edition has in common with the one before it (servers with what is thought of them, connections to
//! them, counters) is the same thing in both. Where a configuration comes from, and whether it may be
//! put in force, is decided elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    runtime::{SiteTable, Tracker},
    upstream::{self, Upstream},
    watch::Watch,
};
use crate::config::Limits;

/// What one configuration makes of the proxy.
#[derive(Debug)]
pub struct Edition {
    /// What tracking knows of all sites.
    pub tracker: Arc<Tracker>,
    /// Sites by their hosts, and the servers behind them.
    pub table: SiteTable,
    /// What one visitor may cost.
    pub limits: Limits,
}

/// The edition in force.
#[derive(Debug)]
pub struct Current {
    edition: ArcSwap<Edition>,
    watch: Arc<Watch>,
}

impl Current {
    /// Begins with this edition.
    #[must_use]
    pub fn new(edition: Edition) -> Arc<Self> {
        let watch = Watch::new(edition.limits);
        Arc::new(Self { edition: ArcSwap::from_pointee(edition), watch })
    }

    /// The edition in force now.
    #[must_use]
    pub fn edition(&self) -> Arc<Edition> {
        self.edition.load_full()
    }

    /// Who counts connections, in whichever edition they began.
    #[must_use]
    pub const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Looks after the servers of the edition in force: see [`upstream::attend`].
    pub async fn attend(&self) {
        let edition = self.edition();
        upstream::attend(edition.table.upstreams(), edition.table.settings(), &edition.tracker.metrics).await;
    }

    /// Puts another edition in force for all requests that begin from now on.
    ///
    /// The names of its new servers are looked up before; servers that it does not have any more are
    /// looked after no longer. On the runtime that serves requests, and not twice at a time.
    pub async fn replace(&self, next: Edition) {
        let metrics = Arc::clone(&next.tracker.metrics);
        upstream::attend(next.table.upstreams(), next.table.settings(), &metrics).await;
        self.watch.allow(next.limits);
        let next = Arc::new(next);
        let last = self.edition.swap(Arc::clone(&next));
        let stays = |one: &Arc<Upstream>| next.table.upstreams().iter().any(|other| Arc::ptr_eq(one, other));
        last.table.upstreams().iter().filter(|upstream| !stays(upstream)).for_each(|upstream| upstream.retire());
        let shown: BTreeSet<_> = next.table.upstreams().iter().flat_map(|upstream| upstream.labels()).collect();
        let gone = last.table.upstreams().iter().flat_map(|upstream| upstream.labels());
        for (site, server) in gone.filter(|labels| !shown.contains(labels)) {
            // Absent when two servers of a site have the same address.
            metrics.upstream_up.remove_label_values(&[site, server]).ok();
        }
        let tracks = |name: &str| next.tracker.site(name).is_some();
        for site in last.tracker.sites.iter().filter(|site| !tracks(&site.rules.name)) {
            metrics.tracking_enabled.remove_label_values(&[&*site.rules.name]).ok();
        }
    }
}
