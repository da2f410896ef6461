//! One ad network as one site uses it.

use std::{sync::Arc, time::Duration};

use super::{
    click::ClickRule,
    consent::Requirement,
    cookie::SetCookie,
    postback::{UrlRule, render_pairs},
    template::{Scope, Template},
};

/// Whether tracking acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything is done.
    #[default]
    On,
    /// Everything is evaluated, nothing is changed or sent.
    Observe,
    /// Nothing is done.
    Off,
}

impl Mode {
    /// What holds where both speak: whichever does less.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Off, _) | (_, Self::Off) => Self::Off,
            (Self::Observe, _) | (_, Self::Observe) => Self::Observe,
            (Self::On, Self::On) => Self::On,
        }
    }
}

/// A network's rules with one site's settings.
#[derive(Clone, Debug)]
pub struct NetworkRules {
    /// Its key under `networks:` of the site.
    pub key: Arc<str>,
    /// Whether it acts.
    pub mode: Mode,
    /// What it needs the visitor's consent for, if not what the site needs it for.
    pub consent: Option<Requirement>,
    /// Where its click IDs come from.
    pub click: ClickRule,
    /// The cookie that keeps them.
    pub cookie: SetCookie,
    /// How long a click counts.
    pub click_ttl: Duration,
    /// The pixels by which browsers may report in our place.
    pub sync: Option<SyncRule>,
    /// Whether every click ID is taken for a good one, so that nobody waits to learn that it is not.
    pub optimistic: bool,
}

/// A network's sync pixels.
#[derive(Clone, Debug)]
pub struct SyncRule {
    /// On which pages they may appear.
    pub pages: SyncPages,
    /// One address each.
    pub pixels: Vec<UrlRule>,
    /// The query they share.
    pub query: Vec<(String, Template)>,
}

/// On which pages sync pixels may appear.
#[derive(Clone, Debug)]
pub enum SyncPages {
    /// Where a conversion has nothing to report by. The network counts these pixels, so they take
    /// the dedup key.
    Conversion,
    /// On any page, once per visitor and this long: a pure match of cookies.
    All {
        /// Remembers, for as long as it lives, that a visitor had them.
        marker: SetCookie,
    },
}

impl NetworkRules {
    /// The pixels that the network counts as a conversion, if it has any.
    #[must_use]
    pub fn counted_pixels(&self) -> Option<&SyncRule> {
        self.sync.as_ref().filter(|sync| matches!(sync.pages, SyncPages::Conversion))
    }
}

impl SyncRule {
    /// The addresses of all pixels; one that cannot be built is left out.
    #[must_use]
    pub fn urls(&self, names: &dyn Scope) -> Vec<String> {
        let pairs = render_pairs(&self.query, names);
        self.pixels.iter().filter_map(|pixel| pixel.render(names, &pairs).ok()).collect()
    }
}
