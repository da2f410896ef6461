//! `OneTrust` and `CookiePro`: `OptanonConsent`, form-encoded, with the groups of cookies in it.
//!
//! The cookie is written as soon as the script runs, with the defaults of the region. Only once the
//! banner is gone there is `OptanonAlertBoxClosed`, with the time; and `AwaitingReconsent=true` says
//! that the visitor is asked again (my.onetrust.com, "`OneTrust` Cookies").

use http::HeaderMap;

use super::{Reading, jar};
use crate::tracking::cookie;

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTrust {
    /// The cookie's name.
    pub cookie: String,
    /// The group that must be agreed to.
    pub group: String,
}

impl Default for OneTrust {
    fn default() -> Self {
        Self { cookie: "OptanonConsent".to_owned(), group: "C0004".to_owned() }
    }
}

impl OneTrust {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        // The time begins with the year.
        let is_closed = cookie::find_all(headers, CLOSED).any(|time| time.first().is_some_and(u8::is_ascii_digit));
        jar::read_raw(headers, &self.cookie, |text| self.group_in(text)).once(is_closed)
    }

    /// Split before it is decoded: the address of the landing page stands in it, too, and might bring
    /// groups of its own.
    fn group_in(&self, text: &str) -> Reading {
        let mut reading = Reading::Absent;
        let mut is_form = false;
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            is_form = true;
            let Some(value) = jar::decoded(value.as_bytes()) else { return Reading::Denied };
            reading = reading.max(match name {
                "AwaitingReconsent" if value.eq_ignore_ascii_case("true") => return Reading::Undecided,
                "groups" => self.state_in(&value),
                _ => Reading::Absent,
            });
        }
        match (is_form, reading) {
            (false, _) => Reading::Denied,
            (true, Reading::Absent) => Reading::Undecided,
            (true, Reading::Granted | Reading::Undecided | Reading::Denied) => reading,
        }
    }

    fn state_in(&self, groups: &str) -> Reading {
        let states = groups.split(',').filter_map(|group| group.trim().rsplit_once(':'));
        let ours = states.filter(|(id, _)| *id == self.group);
        ours.map(|(_, state)| Reading::of_word(state, "1")).max().into()
    }
}

const CLOSED: &str = "OptanonAlertBoxClosed";
