//! What the visitor of one request has agreed to.

use super::Request;
use crate::tracking::{
    consent::{Decision, PendingClick, Requirement},
    network::NetworkRules,
    site::SiteRules,
};

/// The decisions of one request.
#[derive(Debug)]
pub struct Consents {
    /// For the site as a whole: journeys and captures.
    pub(super) site: Decision,
    /// Whether the site or a network asks for anything, if not for every request.
    is_asked: bool,
    /// By network; empty when all are as the site's.
    networks: Vec<Decision>,
    reads_referers: bool,
}

impl Consents {
    /// Reads the signals of a request, where any are asked for.
    #[must_use]
    pub fn read(site: &SiteRules, request: &Request<'_>) -> Self {
        let view = request.view(&[]);
        let decision = site.consent.decide(None, view);
        let has_own = site.networks.iter().any(|network| network.consent.is_some());
        let own = |network: &NetworkRules| match &network.consent {
            Some(requirement) => site.consent.decide(Some(requirement), view),
            None => decision,
        };
        let networks: Vec<Decision> = if has_own { site.networks.iter().map(own).collect() } else { Vec::new() };
        let is_granted = decision == Decision::Granted || networks.contains(&Decision::Granted);
        Self {
            site: decision,
            is_asked: has_own || site.consent.require != Requirement::None,
            networks,
            reads_referers: is_granted && site.consent.pending == PendingClick::Referer,
        }
    }

    /// What is counted of it; nothing where nobody is ever asked.
    pub(super) fn counted(&self) -> Option<Decision> {
        self.is_asked.then_some(self.site)
    }

    /// Whether nobody is asked for anything.
    pub(super) fn is_free(&self) -> bool {
        self.site == Decision::NotRequired && self.networks.is_empty()
    }

    /// Whether anybody still waits for the choice.
    pub(super) fn is_pending(&self) -> bool {
        self.site == Decision::Pending || self.networks.contains(&Decision::Pending)
    }

    /// For one network.
    pub(super) fn of(&self, network: usize) -> Decision {
        self.networks.get(network).copied().unwrap_or(self.site)
    }

    /// Whether a network may act.
    #[must_use]
    pub fn allows(&self, network: usize) -> bool {
        is_yes(self.of(network))
    }

    /// Whether a journey may be remembered.
    pub(super) fn allows_journey(&self) -> bool {
        is_yes(self.site)
    }

    /// All of it, for the journey: the site's decision, and what differs from it by network.
    pub(super) fn in_words(&self, site: &SiteRules) -> String {
        let own = site.networks.iter().zip(&self.networks).filter(|(_, decision)| **decision != self.site);
        let own = own.map(|(network, decision)| format!(" {}={}", network.key, decision.as_str()));
        std::iter::once(self.site.as_str().to_owned()).chain(own).collect()
    }

    /// Whether pages are searched for clicks that waited for the choice.
    pub(super) const fn reads_referers(&self) -> bool {
        self.reads_referers
    }
}

/// Whether a journey's words say that a network may be told.
pub(super) fn has_agreed(words: &str, network: &str) -> bool {
    let mut words = words.split(' ');
    let site = words.next();
    let own = words.filter_map(|word| word.split_once('=')).find(|(key, _)| *key == network);
    // "not_required" is what the visitor was not asked; here something is required.
    own.map(|(_, decision)| decision).or(site) == Some(Decision::Granted.as_str())
}

/// Whether a decision lets something be stored or sent.
pub(super) const fn is_yes(decision: Decision) -> bool {
    matches!(decision, Decision::NotRequired | Decision::Granted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_networks_own_decision_counts_for_it_alone() {
        for (words, network, expected) in [
            ("granted", "exo", true),
            ("granted rokt=denied", "exo", true),
            ("granted rokt=denied", "rokt", false),
            ("denied rokt=granted", "rokt", true),
            ("not_required rokt=granted", "rokt", true),
            ("not_required rokt=pending", "rokt", false),
            ("not_required", "exo", false),
            ("denied", "exo", false),
            ("", "exo", false),
        ] {
            assert_eq!(has_agreed(words, network), expected, "{words} for {network}");
        }
    }
}
