//! `Complianz` since version 6: a cookie for each category, and one that says the banner is gone
//! (complianz.io).

use http::HeaderMap;

use super::{Reading, jar};
use crate::tracking::cookie;

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complianz {
    /// What all its cookies begin with; `cmplz_rt_` on sites of a network that share them.
    pub prefix: String,
    /// The category that must be agreed to.
    pub category: String,
}

impl Default for Complianz {
    fn default() -> Self {
        Self { prefix: "cmplz_".to_owned(), category: "marketing".to_owned() }
    }
}

impl Complianz {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        let banner = format!("{}banner-status", self.prefix);
        let mut shown = cookie::find_all(headers, &banner).peekable();
        let is_gone = shown.peek().is_some() && shown.all(|state| state == b"dismissed");
        let name = format!("{}{}", self.prefix, self.category);
        jar::read(headers, &name, |text| Reading::of_word(text, "allow")).once(is_gone)
    }
}
