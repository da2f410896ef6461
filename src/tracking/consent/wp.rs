//! The WP Consent API: a cookie for each category, which the banner of a `WordPress` site fills in.

use http::HeaderMap;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WpConsent {
    /// What the names of the cookies begin with; plugins may change it.
    pub prefix: String,
    /// The category that must be agreed to.
    pub category: String,
}

impl Default for WpConsent {
    fn default() -> Self {
        Self { prefix: "wp_consent".to_owned(), category: "marketing".to_owned() }
    }
}

impl WpConsent {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        let name = format!("{}_{}", self.prefix, self.category);
        jar::read(headers, &name, |text| Reading::of_word(text, "allow"))
    }
}
