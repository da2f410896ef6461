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

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Weak, time::Duration};

    use super::*;
    use crate::{
        config::{Config, Environment},
        metrics::Metrics,
        store::{Retention, Store},
    };

    struct World {
        store: Store,
        metrics: Arc<Metrics>,
    }

    impl World {
        fn edition(&self, before: Option<&Edition>, sites: &str) -> Edition {
            let config = Config::parse(Path::new("test.yaml"), sites, Environment::Process);
            let config = config.unwrap_or_else(|error| panic!("{error}"));
            let table = match before {
                Some(before) => before.table.succeeding(&config),
                None => SiteTable::new(&config),
            };
            let tracker =
                Tracker::new(&config, None, self.store.clone(), &self.metrics, &crate::events::Bus::default());
            Edition { tracker, table: table.expect("upstreams"), limits: config.server.limits }
        }

        /// The labels of a gauge that operators see.
        fn shown(&self, gauge: &str) -> Vec<String> {
            let metrics = self.metrics.render();
            let lines = metrics.lines().filter(|line| line.starts_with(gauge));
            lines.map(|line| line.trim_start_matches(gauge).to_owned()).collect()
        }
    }

    #[tokio::test]
    async fn what_is_no_longer_in_force_is_seen_to_its_end_by_requests_and_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let (store, _fresh) = Store::start(folder.path(), Retention::default(), metrics.clone());
        let world = World { store, metrics };
        let one = "
sites:
  - { name: old, hosts: [old.example], upstream: { url: 'http://localhost:1', health: { path: /up } } }
  - { name: both, hosts: [both.example], upstream: 'http://127.0.0.1:2' }
";
        let two = "
limits: { max_connections: 1 }
sites:
  - { name: both, hosts: [both.example], upstream: 'http://127.0.0.1:2' }
  - { name: new, hosts: [new.example], upstream: 'http://127.0.0.1:3' }
";
        let current = Current::new(world.edition(None, one));
        current.attend().await;
        let labels = "throughline_tracking_enabled";
        assert_eq!(world.shown(labels), ["{site=\"both\"} 1", "{site=\"old\"} 1"]);
        let under_way = current.edition();
        let next = world.edition(Some(&under_way), two);
        current.replace(next).await;

        assert!(under_way.table.find_host(b"old.example").is_some(), "a request keeps what it began with");
        let now = current.edition();
        assert!(now.table.find_host(b"old.example").is_none() && now.table.find_host(b"new.example").is_some());
        assert_eq!(world.shown(labels), ["{site=\"both\"} 1", "{site=\"new\"} 1"]);
        let servers = world.shown("throughline_upstream_up");
        assert!(servers.iter().all(|labels| !labels.contains("old")) && servers.len() == 2, "{servers:?}");
        let _place = current.watch().admit().expect("one place");
        assert!(current.watch().admit().is_err(), "the limits are those of the new edition");

        let gone: Weak<Upstream> = Arc::downgrade(&under_way.table.upstreams()[0]);
        drop(under_way);
        for _ in 0..500 {
            if gone.upgrade().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("somebody still looks after a server that is not in force");
    }
}
