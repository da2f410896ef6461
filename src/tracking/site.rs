//! One site's rules, compiled.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    capture::CaptureRule,
    channel::{ChannelRule, Credit},
    consent::ConsentRules,
    conversion::ConversionRule,
    cookie::SetCookie,
    journey::JourneyKeys,
    network::{Mode, NetworkRules},
    value::{Source, Value},
    visitor::Seal,
};

/// Everything that is decided about one site's requests.
#[derive(Clone, Debug)]
pub struct SiteRules {
    /// The site's name: label and dedup scope.
    pub name: Arc<str>,
    /// Whether tracking acts at all.
    pub mode: Mode,
    /// What visitors must agree to, and where they say so.
    pub consent: Arc<ConsentRules>,
    /// The cookie that recognises a visitor.
    pub visitor_cookie: SetCookie,
    /// The cookie that holds clicks until the visitor has chosen.
    pub hold_cookie: SetCookie,
    /// The cookie in which the script in the pages leaves the visitor's choice.
    pub consent_cookie: SetCookie,
    /// The cookie that names postbacks whose verdict is still open.
    pub late_cookie: SetCookie,
    /// The path below which we answer ourselves, without a slash at its end.
    pub endpoint: Arc<str>,
    /// The networks in configuration order.
    pub networks: Vec<NetworkRules>,
    /// The conversions in configuration order.
    pub conversions: Vec<ConversionRule>,
    /// The captures in configuration order.
    pub captures: Vec<CaptureRule>,
    /// What finds a journey when our own cookie is gone: the site's session cookie, kept only as an HMAC.
    pub recognise_by: Vec<Source>,
    /// Visits that somebody else paid for.
    pub channels: Vec<ChannelRule>,
    /// How much of a visitor's address is stored.
    pub client_ip: StoredAddress,
    /// How long a journey is remembered.
    pub journey_ttl: Duration,
    /// Names journeys, if any of the rules needs them.
    pub journeys: Option<Arc<JourneyKeys>>,
    /// Whether the site is spared click parameters.
    pub strip_click_params: bool,
    /// Seals visitor ids; without it, conversions that nothing tells apart are all counted.
    pub seal: Option<Arc<Seal>>,
}

/// How much of a visitor's address is stored, and so can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredAddress {
    /// Its network.
    #[default]
    Truncated,
    /// All of it.
    Full,
}

impl SiteRules {
    /// Whether a network acts on this site.
    #[must_use]
    pub const fn mode_of(&self, network: &NetworkRules) -> Mode {
        self.mode.and(network.mode)
    }

    /// Whether any rule needs to know what came before: then journeys must be named.
    #[must_use]
    pub fn needs_journeys(&self) -> bool {
        let recalls = |value: &Value| value.sources().iter().any(|source| matches!(source, Source::Journey(_)));
        !self.captures.is_empty()
            || !self.recognise_by.is_empty()
            || self.conversions.iter().any(|rule| {
                rule.after.is_some()
                    || rule.credit == Credit::LastPaidClick
                    || rule.triggers.iter().any(|trigger| trigger.caller.is_server())
                    || rule.values().any(recalls)
            })
    }

    /// Whether anything is remembered of visitors beyond their cookies.
    #[must_use]
    pub fn keeps_journeys(&self) -> bool {
        self.journeys.is_some()
    }

    /// The key of the first network that shares this one's click cookie: clicks are remembered as its.
    #[must_use]
    pub fn click_owner(&self, network: usize) -> &str {
        let cookie = self.networks.get(network).map(|network| &network.click.cookie);
        let owner = self.networks.iter().find(|other| Some(&other.click.cookie) == cookie);
        owner.map_or("", |network| &network.key)
    }
}

/// A host in lower case, without port and trailing dot.
#[must_use]
pub fn normal_host(host: &str) -> Cow<'_, str> {
    let name = match host.find(']') {
        Some(end) if host.starts_with('[') => host.get(..=end).unwrap_or(host),
        _ => host.split(':').next().unwrap_or_default().trim_end_matches('.'),
    };
    // Browsers send it in lower case, which needs no copy.
    let has_upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
    if has_upper { name.to_ascii_lowercase().into() } else { name.into() }
}

/// How long a conversion without an order id counts as a repeat; a later purchase must count again.
pub const SHORT_WINDOW: Duration = Duration::from_hours(24);
/// How long the visitor cookie lives.
pub const VISITOR_TTL: Duration = Duration::from_hours(30 * 24);
/// How long a choice that the script has told us is known; banners ask again after a year at the latest.
pub const CONSENT_TTL: Duration = Duration::from_hours(365 * 24);
/// All our cookies of a site together stay under this many bytes, because common origins refuse
/// requests with more than 8 KiB of headers.
pub const MAX_COOKIES: usize = 4096;
