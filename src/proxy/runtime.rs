//! What a running proxy shares between its requests: the sites, the store, the metrics.

use std::{sync::Arc, time::Duration};

use crate::{
    config::Config,
    events::Bus,
    metrics::Metrics,
    store::Store,
    tracking::{journey::JourneyKeys, visitor::Seal},
};

mod site;
mod table;

pub use site::TrackedSite;
pub use table::SiteTable;

/// Everything that tracking needs at run time.
#[derive(Debug)]
pub struct Tracker {
    /// All sites.
    pub sites: Vec<Arc<TrackedSite>>,
    /// Where conversions are written down.
    pub store: Store,
    /// How long a thank-you page may wait for that.
    pub max_page_delay: Duration,
    /// The counters that belong to no site.
    pub metrics: Arc<Metrics>,
    /// Who is told of clicks and decisions.
    pub events: Bus,
}

impl Tracker {
    /// Prepares tracking for all sites of a configuration.
    #[must_use]
    pub fn new(
        config: &Config,
        names: Option<&Names>,
        store: Store,
        metrics: &Arc<Metrics>,
        events: &Bus,
    ) -> Arc<Self> {
        let sites = config.sites.iter().map(|site| Arc::new(TrackedSite::new(site, names, metrics, events)));
        Arc::new(Self {
            sites: sites.inspect(|site| store.switches().tell(site)).collect(),
            store,
            max_page_delay: config.server.max_page_delay,
            metrics: Arc::clone(metrics),
            events: events.clone(),
        })
    }

    /// The site with this name, for hosts that choose it themselves.
    #[must_use]
    pub fn site(&self, name: &str) -> Option<&Arc<TrackedSite>> {
        self.sites.iter().find(|site| &*site.rules.name == name)
    }
}

/// What the secret makes: visitors are recognised by it, and by nobody else.
#[derive(Clone, Debug)]
pub struct Names {
    /// Seals what browsers carry.
    pub seal: Arc<Seal>,
    /// Names journeys.
    pub journeys: Arc<JourneyKeys>,
}

/// Sites for tests.
#[cfg(test)]
pub(super) mod sample {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    /// The first site of a configuration, in which visitors have no names.
    pub(in crate::proxy) fn site(config: &str, metrics: &Arc<Metrics>) -> TrackedSite {
        let config = Config::parse(Path::new("test.yaml"), config, Environment::Process).expect("a configuration");
        TrackedSite::new(&config.sites[0], None, metrics, &Bus::default())
    }
}
