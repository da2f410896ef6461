//! A site that an operator has switched off, or one of its networks, while it is served.
//!
//! What is switched is laid over the site's rules once, when it changes. A request asks for the rules in
//! force when it begins, and keeps them to its end: half of a visit is never tracked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::RwLock;

use super::runtime::TrackedSite;
use crate::{
    store::{Switched, bypass::Bypass},
    tracking::{network::Mode, site::SiteRules},
};

/// What is switched at present of one site.
#[derive(Debug, Default)]
pub(super) struct Switch {
    /// Whether anything is; all that most requests ask.
    is_set: AtomicBool,
    site: RwLock<Option<Arc<TrackedSite>>>,
}

impl TrackedSite {
    /// The site as it is tracked now: as configured, unless an operator has switched something.
    #[must_use]
    pub fn in_force(self: &Arc<Self>) -> Arc<Self> {
        let switched = if self.switch.is_set.load(Ordering::Relaxed) { self.switch.site.read().clone() } else { None };
        switched.unwrap_or_else(|| Arc::clone(self))
    }
}

impl Switched for TrackedSite {
    fn heed(&self, bypasses: &[Bypass]) {
        let rules = lowered(&self.rules, bypasses);
        self.metrics.tracks(rules.as_ref().map_or(self.rules.mode, |rules| rules.mode));
        let site = rules.map(|rules| Arc::new(self.with_rules(Arc::new(rules))));
        let is_set = site.is_some();
        *self.switch.site.write() = site;
        self.switch.is_set.store(is_set, Ordering::Relaxed);
    }
}

/// The rules with everything switched; `None` when nothing of it makes a difference.
fn lowered(rules: &SiteRules, bypasses: &[Bypass]) -> Option<SiteRules> {
    let ours = || bypasses.iter().filter(|bypass| bypass.target.site == *rules.name);
    let mode_of = |network: Option<&str>, configured: Mode| {
        let switched = ours().filter(|bypass| bypass.target.network.as_deref() == network);
        switched.fold(configured, |mode, bypass| mode.and(bypass.tracking.into()))
    };
    let mode = mode_of(None, rules.mode);
    let modes: Vec<Mode> = rules.networks.iter().map(|network| mode_of(Some(&network.key), network.mode)).collect();
    let is_same = mode == rules.mode && rules.networks.iter().zip(&modes).all(|(network, mode)| network.mode == *mode);
    if is_same {
        return None;
    }
    let mut lowered = SiteRules { mode, ..rules.clone() };
    lowered.networks.iter_mut().zip(modes).for_each(|(network, mode)| network.mode = mode);
    Some(lowered)
}
