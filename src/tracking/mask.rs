//! Takes secrets out of what is kept for people: requests to networks, and what they answer.
//!
//! Networks repeat what they were sent: an echo of the address in an error message, a whole request in
//! a debug answer. Anything that the configuration takes from the environment or from a file may be a
//! secret, so all of it is masked, as it is and as addresses and JSON write it.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use http::HeaderMap;
use memchr::memmem;

use super::template::encode_component;

/// What stands in the place of what is hidden.
pub const HIDDEN: &str = "***";

/// The texts that are masked; cheap to clone.
#[derive(Clone, Default)]
pub struct Mask {
    configured: Arc<BTreeSet<String>>,
    /// Those of one request.
    credentials: Vec<String>,
}

impl Mask {
    /// Masks these texts. Short ones are left out: they would mask half of every answer.
    #[must_use]
    pub fn new<T: AsRef<str>>(secrets: impl IntoIterator<Item = T>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.as_ref().len() >= SHORTEST);
        let configured = secrets.flat_map(|secret| spellings(secret.as_ref())).collect();
        Self { configured: Arc::new(configured), credentials: Vec::new() }
    }

    /// Whether the other one masks the same texts.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.configured == other.configured
    }

    /// The same, and what stands in headers that hold credentials.
    #[must_use]
    pub fn and_credentials(&self, headers: &HeaderMap) -> Self {
        let credentials = headers
            .values()
            .filter(|value| value.is_sensitive())
            .filter_map(|value| value.to_str().ok())
            // `Bearer TOKEN`: the scheme is no secret, and a network may repeat the token alone.
            .flat_map(|text| text.split(' '))
            .filter(|word| !SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)))
            .filter(|word| word.len() >= SHORTEST && !self.configured.contains(*word))
            .flat_map(spellings)
            .collect();
        Self { configured: Arc::clone(&self.configured), credentials }
    }

    /// The body without the secrets in it.
    #[must_use]
    pub fn masked<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        hide(body, self.configured.iter().chain(&self.credentials))
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} texts)", self.configured.len() + self.credentials.len())
    }
}

/// A text with stars in place of these values, in whatever letters it writes them: networks change those.
///
/// Most answers are short and repeat nothing, so nothing is prepared before a value is found.
pub fn hide<T: AsRef<str>>(text: &[u8], values: impl IntoIterator<Item = T>) -> Cow<'_, [u8]> {
    let lower = text.to_ascii_lowercase();
    let found: Vec<String> = values
        .into_iter()
        .filter(|value| (1..=lower.len()).contains(&value.as_ref().len()))
        .map(|value| value.as_ref().to_ascii_lowercase())
        .filter(|value| memmem::find(&lower, value.as_bytes()).is_some())
        .collect();
    if found.is_empty() {
        return text.into();
    }
    let mut finder = AhoCorasick::builder();
    match finder.ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest).build(&found) {
        Ok(finder) => finder.replace_all_bytes(text, &vec![HIDDEN; found.len()]).into(),
        Err(_) => HIDDEN.as_bytes().into(),
    }
}

/// The text with the escapes that JSON needs.
#[must_use]
pub fn as_in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// A text as it is, as it stands in an address or a form, and as it stands in JSON.
fn spellings(secret: &str) -> [String; 3] {
    let mut encoded = String::new();
    encode_component(secret, &mut encoded);
    [secret.to_owned(), encoded, as_in_json(secret)]
}

const SHORTEST: usize = 4;
const SCHEMES: [&str; 2] = ["bearer", "basic"];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn masked(mask: &Mask, body: &str) -> String {
        String::from_utf8(mask.masked(body.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn a_secret_is_masked_however_it_is_written() {
        let mask = Mask::new(["a/b\"c d", "EUR", ""]);
        let body = r#"raw a/b"c d, url a%2Fb%22c%20d and a%2fb%22c%20d, json {"x":"a/b\"c d"}, EUR"#;
        assert_eq!(masked(&mask, body), r#"raw ***, url *** and ***, json {"x":"***"}, EUR"#);
        assert_eq!(masked(&Mask::default(), body), body);
        assert_eq!(masked(&Mask::new(["secret", "secret-longer"]), "secret-longer"), "***");
        assert!(!format!("{:?}", Mask::new(["hunter2"])).contains("hunter2"));
    }

    #[test]
    fn credentials_of_a_request_are_masked_too() {
        let mut headers = HeaderMap::new();
        let mut value = HeaderValue::from_static("Bearer t0ken-1");
        value.set_sensitive(true);
        headers.insert("authorization", value);
        headers.insert("x-other", HeaderValue::from_static("shown"));
        let mask = Mask::new(["secret"]).and_credentials(&headers);
        assert_eq!(masked(&mask, "Bearer t0ken-1 is shown, no secret"), "Bearer *** is shown, no ***");
    }
}
