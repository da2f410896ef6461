//! What makes a conversion, or a capture, look at a request: path, method, caller, conditions.

use std::net::IpAddr;

use http::Method;
use ipnet::IpNet;

use super::{
    matcher::{Condition, PathPattern},
    value::View,
    verdict::StatusPattern,
};

/// Which requests are looked at, and which answers to them count.
#[derive(Clone, Debug)]
pub struct TriggerRule {
    /// Any of these paths.
    pub paths: Vec<PathPattern>,
    /// Methods of the request.
    pub methods: Vec<Method>,
    /// Statuses of the answer.
    pub status: Vec<StatusPattern>,
    /// Conditions; all must hold.
    pub when: Vec<Condition>,
    /// Who sends such requests.
    pub caller: Caller,
}

/// Who sends a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// A visitor's browser.
    #[default]
    Visitor,
    /// Another server, such as a payment provider's; of these addresses, if there are any.
    Server(Vec<IpNet>),
}

impl TriggerRule {
    /// Matches path and method; yields the named segments. HEAD counts as GET here, so that it gets
    /// an outcome instead of vanishing.
    #[must_use]
    pub fn matches(&self, method: &Method, raw_path: &str) -> Option<Vec<(String, String)>> {
        let named = self.paths.iter().find_map(|path| path.matches(raw_path))?;
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        self.methods.contains(asked).then_some(named)
    }

    /// Whether an answer with this status counts. A part of a page (206) does so only where the rule
    /// names it: players and download managers ask for parts of anything.
    #[must_use]
    pub fn succeeds(&self, status: u16) -> bool {
        let named = StatusPattern::Exactly(status);
        self.status.iter().any(|pattern| *pattern == named || (status != 206 && pattern.matches(status)))
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn holds(&self, view: View<'_>) -> bool {
        self.when.iter().all(|condition| condition.holds(view))
    }
}

impl Caller {
    /// Whether it is another server.
    #[must_use]
    pub const fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// Whether a request from this address may be taken for its.
    #[must_use]
    pub fn may_be_at(&self, address: IpAddr) -> bool {
        match self {
            Self::Visitor => true,
            Self::Server(networks) => {
                networks.is_empty() || networks.iter().any(|network| network.contains(&address.to_canonical()))
            }
        }
    }
}
