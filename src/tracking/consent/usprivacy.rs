//! The IAB's US privacy string, `1YNN`: version, notice given, opted out of sale, LSPA.
//!
//! An opt-out is a denial; without one there is no consent in it. Also seen as JSON. Deprecated since
//! January 2024.

use http::HeaderMap;

use super::{Reading, jar};

/// How a site uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsPrivacy {
    /// The cookie's name.
    pub cookie: String,
}

impl Default for UsPrivacy {
    fn default() -> Self {
        Self { cookie: "usprivacy".to_owned() }
    }
}

impl UsPrivacy {
    pub(super) fn read(&self, headers: &HeaderMap) -> Reading {
        jar::read(headers, &self.cookie, |text| {
            let wrapped = text.starts_with('{').then(|| jar::object(text)).flatten();
            let wrapped = wrapped.as_ref().and_then(|json| json.get("uspString")).and_then(|text| text.as_str());
            sale_in(wrapped.unwrap_or(text))
        })
    }
}

fn sale_in(text: &str) -> Reading {
    let is_answer = |letter: &u8| matches!(letter.to_ascii_uppercase(), b'Y' | b'N' | b'-');
    match text.as_bytes() {
        [b'1', notice, sale, lspa] if [notice, sale, lspa].into_iter().all(is_answer) => {
            if sale.eq_ignore_ascii_case(&b'Y') { Reading::Denied } else { Reading::Undecided }
        }
        _ => Reading::Denied,
    }
}
