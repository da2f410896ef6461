//! `tarteaucitron`: one cookie, `!gtag=wait!facebookpixel=true`.
//!
//! A service that starts by itself, and every service for visitors from outside the EU if the site says
//! so, has `true` unasked. The cookie does not tell these from a choice: name services that wait.

use http::HeaderMap;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tarteaucitron {
    /// The cookie's name.
    pub cookie: String,
    /// The services that must be agreed to.
    pub services: Vec<String>,
}

impl Default for Tarteaucitron {
    fn default() -> Self {
        Self { cookie: "tarteaucitron".to_owned(), services: Vec::new() }
    }
}

impl Tarteaucitron {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        jar::read(headers, &self.cookie, |text| {
            if !text.starts_with('!') {
                return Reading::Denied;
            }
            Reading::of_all(&self.services, |service| state(text, service))
        })
    }
}

fn state(text: &str, service: &str) -> Reading {
    let states = text.split('!').filter_map(|part| part.split_once('='));
    let ours = states.filter(|(name, _)| *name == service);
    let states = ours.map(|(_, state)| match state {
        "wait" => Reading::Undecided,
        _ => Reading::of_word(state, "true"),
    });
    states.max().unwrap_or(Reading::Undecided)
}
