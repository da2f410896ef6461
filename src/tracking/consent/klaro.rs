//! `Klaro`: one cookie in JSON, `{"googleAds":true,"matomo":false}`, written when the visitor saves.

use http::HeaderMap;
use serde_json::Value;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Klaro {
    /// The cookie's name.
    pub cookie: String,
    /// The services that must be agreed to.
    pub services: Vec<String>,
}

impl Default for Klaro {
    fn default() -> Self {
        Self { cookie: "klaro".to_owned(), services: Vec::new() }
    }
}

impl Klaro {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        jar::read(headers, &self.cookie, |text| {
            let Some(saved) = jar::object(text) else { return Reading::Denied };
            Reading::of_all(&self.services, |service| match saved.get(service) {
                None => Reading::Undecided,
                Some(choice) => Reading::of(choice == &Value::Bool(true)),
            })
        })
    }
}
