//! One site's rules, compiled.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    conversion::ConversionRule,
    cookie::SetCookie,
    network::{Mode, NetworkRules},
    visitor::Seal,
};

/// Everything that is decided about one site's requests.
#[derive(Clone, Debug)]
pub struct SiteRules {
    /// The site's name: label and dedup scope.
    pub name: Arc<str>,
    /// Whether tracking acts at all.
    pub mode: Mode,
    /// The cookie that recognises a visitor.
    pub visitor_cookie: SetCookie,
    /// The networks in configuration order.
    pub networks: Vec<NetworkRules>,
    /// The conversions in configuration order.
    pub conversions: Vec<ConversionRule>,
    /// Whether the site is spared click parameters.
    pub strip_click_params: bool,
    /// Seals visitor ids; without it, conversions that nothing tells apart are all counted.
    pub seal: Option<Arc<Seal>>,
}

impl SiteRules {
    /// Whether a network acts on this site.
    #[must_use]
    pub const fn mode_of(&self, network: &NetworkRules) -> Mode {
        self.mode.and(network.mode)
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
/// All our cookies of a site together stay under this many bytes, because common origins refuse
/// requests with more than 8 KiB of headers.
pub const MAX_COOKIES: usize = 4096;
