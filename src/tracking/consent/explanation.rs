//! Why a decision on consent is what it is, for operators who ask.
//!
//! What is decided is decided by [`ConsentRules::decide`]; here stands only which of its steps it was.

use super::{ConsentRules, Decision, Gpc, Reading, Requirement, Signal, is_opted_out};
use crate::tracking::value::RequestView;

/// A decision and where it comes from.
#[derive(Debug)]
pub struct ExplainedConsent<'a> {
    /// The decision.
    pub decision: Decision,
    /// Where it comes from.
    pub reason: Reason<'a>,
    /// What each place says, in the order in which they are asked.
    pub readings: Vec<(&'a Signal, Reading)>,
}

/// Where a decision comes from.
#[derive(Debug)]
pub enum Reason<'a> {
    /// Nobody asks for consent.
    NotRequired,
    /// The conditions under `unless` hold.
    Exempt,
    /// The browser says `Sec-GPC: 1`.
    OptedOut,
    /// This place says so.
    Signal(&'a Signal),
    /// No place says anything.
    Silence,
}

impl Reason<'_> {
    /// The place that decided, as the configuration calls it.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match self {
            Self::NotRequired | Self::Silence => None,
            Self::Exempt => Some("unless".to_owned()),
            Self::OptedOut => Some("gpc".to_owned()),
            Self::Signal(signal) => Some(signal.name()),
        }
    }
}

impl ConsentRules {
    /// What [`decide`](Self::decide) decides, and why.
    #[must_use]
    pub fn explain(&self, network: Option<&Requirement>, request: RequestView<'_>) -> ExplainedConsent<'_> {
        let decision = self.decide(network, request);
        let requirement = network.unwrap_or(&self.require);
        let readings: Vec<_> = self.signals.iter().map(|signal| (signal, signal.read(requirement, request))).collect();
        let decisive = |wanted| readings.iter().find(|(_, reading)| *reading == wanted).map(|(signal, _)| *signal);
        let said = match decision {
            Decision::Granted => decisive(Reading::Granted),
            Decision::Denied => decisive(Reading::Denied),
            Decision::NotRequired | Decision::Pending => None,
        };
        let reason = match decision {
            Decision::NotRequired if *requirement == Requirement::None => Reason::NotRequired,
            Decision::NotRequired => Reason::Exempt,
            Decision::Denied if self.gpc == Gpc::Deny && is_opted_out(request.headers) => Reason::OptedOut,
            Decision::Granted | Decision::Denied | Decision::Pending => said.map_or(Reason::Silence, Reason::Signal),
        };
        ExplainedConsent { decision, reason, readings }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use regex::Regex;

    use super::*;

    fn rules() -> ConsentRules {
        let cookie = |name: &str| Signal::Cookie {
            name: name.to_owned(),
            granted: Regex::new("^yes").expect("a pattern"),
            denied: None,
        };
        ConsentRules {
            require: Requirement::AdStorage,
            signals: vec![cookie("first"), cookie("second")],
            ..ConsentRules::default()
        }
    }

    #[test]
    fn the_place_that_decided_is_named() {
        for (cookies, gpc, decision, decisive) in [
            ("", false, Decision::Pending, None),
            ("second=yes", false, Decision::Granted, Some("cookie second")),
            ("first=no; second=yes", false, Decision::Denied, Some("cookie first")),
            ("first=yes; second=no", false, Decision::Granted, Some("cookie first")),
            ("first=yes", true, Decision::Denied, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", HeaderValue::from_str(cookies).expect("a value"));
            if gpc {
                headers.insert("sec-gpc", HeaderValue::from_static("1"));
            }
            let rules = rules();
            let explained = rules.explain(None, RequestView { query: "", path: &[], headers: &headers });
            assert_eq!(explained.decision, decision, "{cookies}");
            let named = if let Reason::Signal(signal) = explained.reason { Some(signal.name()) } else { None };
            assert_eq!(named.as_deref(), decisive, "{cookies}");
            assert_eq!(matches!(explained.reason, Reason::OptedOut), gpc);
            assert_eq!(explained.readings.len(), 2);
        }
    }
}
