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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::Metrics,
        proxy::runtime::sample,
        store::bypass::{Halt, Target},
        tracking::timestamp::Timestamp,
    };

    const CONFIG: &str = "
sites:
  - name: shop
    upstream: http://127.0.0.1:1
    networks:
      exoclick: { click: { param: exo } }
      exo_de: { preset: exoclick, tracking: observe, click: { param: exode, cookie: _exo_de } }
";

    fn site(metrics: &Arc<Metrics>) -> Arc<TrackedSite> {
        Arc::new(sample::site(CONFIG, metrics))
    }

    fn bypass(target: &str, tracking: Halt) -> Bypass {
        let target: Target = target.parse().expect("a target");
        Bypass { target, tracking, since: Timestamp::default(), until: None, who: "test".to_owned() }
    }

    /// The modes in force: of the site, and of its networks on it.
    fn modes(site: &Arc<TrackedSite>) -> (Mode, Vec<Mode>) {
        let rules = Arc::clone(&site.in_force().rules);
        (rules.mode, rules.networks.iter().map(|network| rules.mode_of(network)).collect())
    }

    #[test]
    fn a_bypass_lowers_what_is_configured_and_its_end_gives_it_back() {
        let metrics = Arc::new(Metrics::new());
        let site = site(&metrics);
        let enabled = || metrics.tracking_enabled.with_label_values(&["shop"]).get();
        let configured = (Mode::On, vec![Mode::On, Mode::Observe]);
        assert_eq!((modes(&site), enabled()), (configured.clone(), 1));
        for (bypasses, expected, is_enabled) in [
            (vec![bypass("shop", Halt::Off)], (Mode::Off, vec![Mode::Off, Mode::Off]), 0),
            (vec![bypass("shop", Halt::Observe)], (Mode::Observe, vec![Mode::Observe, Mode::Observe]), 0),
            (vec![bypass("shop/exoclick", Halt::Off)], (Mode::On, vec![Mode::Off, Mode::Observe]), 1),
            (vec![bypass("shop/exo_de", Halt::Observe)], configured.clone(), 1),
            (
                vec![bypass("shop", Halt::Observe), bypass("shop/exo_de", Halt::Off)],
                (Mode::Observe, vec![Mode::Observe, Mode::Off]),
                0,
            ),
            (vec![bypass("blog", Halt::Off), bypass("shop/other", Halt::Off)], configured.clone(), 1),
            (vec![], configured.clone(), 1),
        ] {
            site.heed(&bypasses);
            assert_eq!((modes(&site), enabled()), (expected, is_enabled), "{bypasses:?}");
        }
    }

    #[test]
    fn what_has_begun_keeps_the_rules_that_it_began_with() {
        let site = site(&Arc::new(Metrics::new()));
        let begun = site.in_force();
        site.heed(&[bypass("shop", Halt::Off)]);
        assert_eq!(begun.rules.mode, Mode::On);
        let begun = site.in_force();
        site.heed(&[]);
        assert_eq!(begun.rules.mode, Mode::Off);
        assert!(Arc::ptr_eq(&site.in_force(), &site));
    }
}
