//! `Borlabs Cookie`, versions 2 and 3: `borlabs-cookie`, JSON with the accepted services of each group.

use http::HeaderMap;
use serde_json::Value;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borlabs {
    /// The cookie's name.
    pub cookie: String,
    /// The group of services.
    pub group: String,
    /// The services of the group that must be agreed to; none: any of them will do.
    pub services: Vec<String>,
}

impl Default for Borlabs {
    fn default() -> Self {
        Self { cookie: "borlabs-cookie".to_owned(), group: "marketing".to_owned(), services: Vec::new() }
    }
}

impl Borlabs {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        jar::read(headers, &self.cookie, |text| Reading::of(self.is_granted_in(text).unwrap_or(false)))
    }

    /// The cookie is written when the visitor saves, and a group without a service is left out.
    fn is_granted_in(&self, text: &str) -> Option<bool> {
        let saved = jar::object(text)?;
        let accepted = saved.get("consents")?.get(&self.group)?.as_array()?;
        let is_accepted = |service: &String| accepted.iter().any(|it| it.as_str() == Some(service));
        let is_any = || accepted.iter().any(Value::is_string);
        Some(if self.services.is_empty() { is_any() } else { self.services.iter().all(is_accepted) })
    }
}
