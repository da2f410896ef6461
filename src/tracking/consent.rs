//! Whether a visitor agreed to be tracked, as the requests of this visitor tell.
//!
//! Consent banners keep the visitor's choice in cookies, browsers send headers; each way to say it is a
//! [`Signal`] with a reader of its own. A reader only says what stands there ([`Reading`]); what follows
//! from it is decided here, in [`ConsentRules::decide`]: whoever said nothing is pending, and whatever
//! cannot be understood is a denial. What is done for those who are pending, and what a denial removes,
//! does not belong here.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::{matcher::Condition, value::RequestView};

pub mod axeptio;
pub mod borlabs;
pub mod complianz;
pub mod cookiebot;
pub mod cookieyes;
pub mod didomi;
mod explanation;
mod google;
pub mod iubenda;
mod jar;
pub mod klaro;
pub mod onetrust;
pub mod reading;
mod shopify;
mod signal;
pub mod tarteaucitron;
pub mod tcf;
pub mod trustarc;
pub mod usprivacy;
pub mod wp;

pub use explanation::{ExplainedConsent, Reason};
pub use reading::Reading;
pub use signal::{BRIDGE_COOKIE, BRIDGE_DENIED, BRIDGE_GRANTED, Signal};
use tcf::Tcf;

/// What a site asks of its visitors.
#[derive(Clone, Debug)]
pub struct ConsentRules {
    /// What must be agreed to; a network may ask for something else.
    pub require: Requirement,
    /// Where the choice is looked for; the first place that has one decides.
    pub signals: Vec<Signal>,
    /// What the browser's Global Privacy Control means.
    pub gpc: Gpc,
    /// What becomes of a click that comes before the choice.
    pub pending: PendingClick,
    /// How long such a click is held.
    pub hold_for: Duration,
    /// Whether a script tells us the choice where no cookie does.
    pub bridge: bool,
    /// Requests for which no consent is needed: all of these must hold.
    pub unless: Vec<Condition>,
}

/// What must be agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    #[default]
    None,
    /// That advertising is measured, with what it stores on the device.
    ///
    /// Of the IAB's purposes these are 1 (store and access information on a device: our cookies) and 7
    /// (measure advertising performance: what a conversion is reported for).
    AdStorage,
    /// These purposes of the IAB, for this vendor. Banners that don't know them are asked for
    /// advertising, as with `AdStorage`.
    Purposes {
        /// Numbers from 1 to 24, all of which are needed.
        purposes: Vec<u8>,
        /// A number of the IAB's Global Vendor List.
        vendor: Option<u16>,
    },
}

/// What follows from what a visitor said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Nobody asks.
    NotRequired,
    /// Tracking is allowed.
    Granted,
    /// Tracking is forbidden.
    Denied,
    /// Nothing was said so far.
    Pending,
}

/// What `Sec-GPC: 1` means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gpc {
    /// A denial, whatever else was said.
    #[default]
    Deny,
    /// Nothing.
    Ignore,
}

/// What becomes of a click that comes before the choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PendingClick {
    /// It is taken from the `Referer` of a later request, once there is consent.
    #[default]
    Referer,
    /// It is stored, sealed, until the choice is made.
    Hold,
    /// It is lost.
    Drop,
}

impl Default for ConsentRules {
    fn default() -> Self {
        Self {
            require: Requirement::None,
            signals: Vec::new(),
            gpc: Gpc::default(),
            pending: PendingClick::default(),
            hold_for: HOLD_FOR,
            bridge: false,
            unless: Vec::new(),
        }
    }
}

impl ConsentRules {
    /// Whether this visitor may be tracked, as far as this request tells; `network` is what the
    /// network asks for, if that is not what the site asks for.
    #[must_use]
    pub fn decide(&self, network: Option<&Requirement>, request: RequestView<'_>) -> Decision {
        let requirement = network.unwrap_or(&self.require);
        if *requirement == Requirement::None || self.is_exempt(request) {
            return Decision::NotRequired;
        }
        if self.gpc == Gpc::Deny && is_opted_out(request.headers) {
            return Decision::Denied;
        }
        let mut said =
            self.signals.iter().filter_map(|signal| Some((signal, signal.read(requirement, request).choice()?)));
        match said.next() {
            // The script knows banners by the names that they have at the start, and no vendors: what is
            // listed beside it may know better, but only for a denial.
            Some((Signal::Bridge, true)) if said.any(|(_, is_granted)| !is_granted) => Decision::Denied,
            Some((_, true)) => Decision::Granted,
            Some((_, false)) => Decision::Denied,
            None => Decision::Pending,
        }
    }

    /// The visitor's TC string as it was sent, for networks that want to see it.
    ///
    /// Nothing unless it is well-formed, and all that were sent are the same.
    #[must_use]
    pub fn tcf_string(&self, headers: &HeaderMap) -> Option<String> {
        let configured = self.signals.iter().find_map(Signal::as_tcf);
        configured.map_or_else(|| Tcf::default().string(headers), |tcf| tcf.string(headers))
    }

    fn is_exempt(&self, request: RequestView<'_>) -> bool {
        !self.unless.is_empty() && self.unless.iter().all(|condition| condition.holds(request))
    }
}

impl Requirement {
    /// The purposes and the vendor that a TC string must have.
    fn in_tcf(&self) -> (&[u8], Option<u16>) {
        match self {
            Self::None => (&[], None),
            Self::AdStorage => (&MEASURED_ADS, None),
            Self::Purposes { purposes, vendor } => (purposes, *vendor),
        }
    }
}

impl Decision {
    /// All decisions.
    pub const ALL: [Self; 4] = [Self::NotRequired, Self::Granted, Self::Denied, Self::Pending];

    /// The name, as metrics show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRequired => "not_required",
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Pending => "pending",
        }
    }

    /// Whether anything may be stored, shown or sent.
    #[must_use]
    pub const fn allows(self) -> bool {
        match self {
            Self::NotRequired | Self::Granted => true,
            Self::Denied | Self::Pending => false,
        }
    }
}

/// "The Sec-GPC HTTP request header field … whose value is `1`"; any other value says nothing (W3C
/// Global Privacy Control, section 3.2).
fn is_opted_out(headers: &HeaderMap) -> bool {
    headers.get_all(&SEC_GPC).iter().any(|value| value.as_bytes().trim_ascii() == b"1")
}

static SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

/// How long a click is held by default.
pub const HOLD_FOR: Duration = Duration::from_mins(30);
const MEASURED_ADS: [u8; 2] = [1, 7];

#[cfg(test)]
mod tests;
