//! `Axeptio`: vendors in `axeptio_authorized_vendors`, and in `axeptio_cookies` whether the visitor was
//! through with them.
//!
//! Both are there before any choice, and a refusal leaves the same empty list of vendors; only
//! `$$completed` tells the two apart.

use http::HeaderMap;
use serde_json::Value;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axeptio {
    /// The cookie with `$$completed`.
    pub cookie: String,
    /// The cookie with the vendors.
    pub authorized: String,
    /// The vendors that must be agreed to, in any case.
    pub vendors: Vec<String>,
}

impl Default for Axeptio {
    fn default() -> Self {
        let [cookie, authorized] = ["axeptio_cookies", "axeptio_authorized_vendors"].map(ToOwned::to_owned);
        Self { cookie, authorized, vendors: Vec::new() }
    }
}

impl Axeptio {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        // Granted here means that the visitor is through.
        let is_through = jar::read(headers, &self.cookie, completed);
        if is_through != Reading::Granted {
            return is_through;
        }
        let authorized = jar::read(headers, &self.authorized, |text| {
            Reading::of_all(&self.vendors, |vendor| {
                Reading::of(text.split(',').any(|it| it.trim().eq_ignore_ascii_case(vendor)))
            })
        });
        // Through, but without a list: none is authorized.
        if authorized == Reading::Absent { Reading::Denied } else { authorized }
    }
}

fn completed(text: &str) -> Reading {
    match jar::object(text).as_ref().map(|saved| saved.get("$$completed")) {
        None => Reading::Denied,
        Some(Some(Value::Bool(true))) => Reading::Granted,
        Some(_) => Reading::Undecided,
    }
}
