//! Takes secrets out of what is kept for people: requests to networks, and what they answer.
//!
//! Networks repeat what they were sent: an echo of the address in an error message, a whole request in
//! a debug answer. Anything that the configuration takes from the environment or from a file may be a
//! secret, so all of it is masked, as it is and as addresses and JSON write it.

use std::{collections::BTreeSet, fmt, sync::Arc};

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use http::HeaderMap;

use super::template::encode_component;

/// The texts that are masked; cheap to clone.
#[derive(Clone, Default)]
pub struct Mask(Arc<Inner>);

#[derive(Default)]
struct Inner {
    texts: BTreeSet<String>,
    finder: Option<AhoCorasick>,
}

impl Mask {
    /// Masks these texts. Short ones are left out: they would mask half of every answer.
    #[must_use]
    pub fn new<T: AsRef<str>>(secrets: impl IntoIterator<Item = T>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.as_ref().len() >= SHORTEST);
        let texts: BTreeSet<String> = secrets.flat_map(|secret| spellings(secret.as_ref())).collect();
        let finder = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .ascii_case_insensitive(true)
            .build(&texts)
            .ok()
            .filter(|_| !texts.is_empty());
        Self(Arc::new(Inner { texts, finder }))
    }

    /// Whether the other one masks the same texts.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.0.texts == other.0.texts
    }

    /// The same, and what stands in headers that hold credentials.
    #[must_use]
    pub fn and_credentials(&self, headers: &HeaderMap) -> Self {
        let credentials: Vec<&str> = headers
            .values()
            .filter(|value| value.is_sensitive())
            .filter_map(|value| value.to_str().ok())
            // `Bearer TOKEN`: the scheme is no secret, and a network may repeat the token alone.
            .flat_map(|text| text.split(' '))
            .filter(|word| !SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)))
            .filter(|word| word.len() >= SHORTEST && !self.0.texts.contains(*word))
            .collect();
        if credentials.is_empty() {
            return self.clone();
        }
        Self::new(self.0.texts.iter().map(String::as_str).chain(credentials))
    }

    /// The body without the secrets in it.
    #[must_use]
    pub fn masked(&self, body: &[u8]) -> Vec<u8> {
        match &self.0.finder {
            Some(finder) => finder.replace_all_bytes(body, &vec![STARS; self.0.texts.len()]),
            None => body.to_vec(),
        }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} texts)", self.0.texts.len())
    }
}

/// A text as it is, as it stands in an address or a form, and as it stands in JSON.
fn spellings(secret: &str) -> [String; 3] {
    let mut encoded = String::new();
    encode_component(secret, &mut encoded);
    let json = serde_json::Value::from(secret).to_string();
    [secret.to_owned(), encoded, json.trim_matches('"').to_owned()]
}

const STARS: &str = "***";
const SHORTEST: usize = 4;
const SCHEMES: [&str; 2] = ["bearer", "basic"];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn masked(mask: &Mask, body: &str) -> String {
        String::from_utf8(mask.masked(body.as_bytes())).unwrap()
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
