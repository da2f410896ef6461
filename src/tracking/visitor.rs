//! The visitor id: recognises a visitor's repeated thank-you page when nothing else does.
//!
//! It lives in the sealed cookie `_tl` and is set only where a conversion has neither an order id nor
//! a click ID to be told apart by. Nobody can read or forge it without the secret. The same seal closes
//! other small texts that we hand to browsers; what they say does not belong here.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use cookie::{Cookie, CookieJar, Key};
use http::HeaderMap;
use uuid::Uuid;

use super::cookie as cookies;

/// The name of our cookie.
pub const VISITOR_COOKIE: &str = "_tl";

/// Seals and opens visitor ids and other small texts.
#[derive(Clone)]
pub struct Seal {
    keys: Vec<Key>,
}

/// A secret too short to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret needs at least 32 characters")]
pub struct ShortSecret;

impl Seal {
    /// Derives a key from each secret; the first seals, all open.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, ShortSecret> {
        let keys = secrets
            .into_iter()
            .map(|secret| if secret.len() < 32 { Err(ShortSecret) } else { Ok(Key::derive_from(secret.as_bytes())) })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(ShortSecret) } else { Ok(Self { keys }) }
    }

    /// The visitor id that this request carries; a forged or damaged one counts as none.
    #[must_use]
    pub fn open(&self, headers: &HeaderMap) -> Option<Uuid> {
        let mut jar = CookieJar::new();
        let sealed =
            percent_encoding::percent_decode_str(cookies::find(headers, VISITOR_COOKIE)?).decode_utf8().ok()?;
        jar.add_original(Cookie::new(VISITOR_COOKIE, sealed.into_owned()));
        self.keys
            .iter()
            .find_map(|key| jar.private(key).get(VISITOR_COOKIE))
            .and_then(|cookie| Uuid::try_parse(cookie.value()).ok())
    }

    /// The cookie's value for this visitor, ready to be sent.
    #[must_use]
    pub fn seal(&self, visitor: Uuid) -> String {
        let mut jar = CookieJar::new();
        if let Some(key) = self.keys.first() {
            jar.private_mut(key).add(Cookie::new(VISITOR_COOKIE, visitor.to_string()));
        }
        let mut value = String::new();
        if let Some(sealed) = jar.get(VISITOR_COOKIE) {
            cookies::encode_value(sealed.value(), &mut value);
        }
        value
    }

    /// Seals a text so that it opens for the same purpose alone.
    ///
    /// The result stands in a path or in a cookie as it is: letters, digits, `-` and `_`.
    #[must_use]
    pub fn seal_text(&self, purpose: &str, text: &str) -> String {
        let mut jar = CookieJar::new();
        if let Some(key) = self.keys.first() {
            // The name is authenticated with the value.
            jar.private_mut(key).add(Cookie::new(purpose.to_owned(), text.to_owned()));
        }
        let sealed = jar.get(purpose).and_then(|sealed| STANDARD.decode(sealed.value()).ok());
        URL_SAFE_NO_PAD.encode(sealed.unwrap_or_default())
    }

    /// The text under a seal; `None` when it is forged, damaged, or was sealed for another purpose.
    #[must_use]
    pub fn open_text(&self, purpose: &str, sealed: &str) -> Option<String> {
        if sealed.len() > MAX_SEALED {
            return None;
        }
        let sealed = STANDARD.encode(URL_SAFE_NO_PAD.decode(sealed).ok()?);
        let sealed = Cookie::new(purpose.to_owned(), sealed);
        let jar = CookieJar::new();
        self.keys
            .iter()
            .find_map(|key| jar.private(key).decrypt(sealed.clone()))
            .map(|cookie| cookie.value().to_owned())
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("keys", &self.keys.len()).finish()
    }
}

/// More than a browser keeps in one cookie.
const MAX_SEALED: usize = 4096;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "an old secret of more than thirty-two characters";
    const NEW: &str = "a new secret of more than thirty-two characters";

    fn carrying(value: &str) -> HeaderMap {
        let line = HeaderValue::try_from(format!("{VISITOR_COOKIE}={value}")).expect("a header");
        HeaderMap::from_iter([(http::header::COOKIE, line)])
    }

    #[test]
    fn a_sealed_id_opens_with_every_secret_of_the_list() {
        let visitor = Uuid::from_u128(7);
        let sealed = Seal::new([OLD]).expect("long enough").seal(visitor);
        assert!(!sealed.contains(&visitor.to_string()));
        assert_eq!(Seal::new([NEW, OLD]).expect("long enough").open(&carrying(&sealed)), Some(visitor));
        assert_eq!(Seal::new([NEW]).expect("long enough").open(&carrying(&sealed)), None);
    }

    #[test]
    fn a_forged_id_counts_as_none() {
        let seal = Seal::new([OLD]).expect("long enough");
        assert_eq!(seal.open(&carrying("00000000-0000-0000-0000-000000000007")), None);
        assert_eq!(seal.open(&carrying("%ff")), None);
    }

    #[test]
    fn a_sealed_text_opens_for_its_purpose_with_every_secret() {
        let sealed = Seal::new([OLD]).expect("long enough").seal_text("frame shop", "two words; ü");
        assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{sealed}");
        let seal = Seal::new([NEW, OLD]).expect("long enough");
        assert_eq!(seal.open_text("frame shop", &sealed).as_deref(), Some("two words; ü"));
        assert_eq!(seal.open_text("frame tickets", &sealed), None);
        assert_eq!(Seal::new([NEW]).expect("long enough").open_text("frame shop", &sealed), None);
    }

    #[test]
    fn a_text_that_is_not_as_it_was_sealed_does_not_open() {
        let seal = Seal::new([OLD]).expect("long enough");
        let sealed = seal.seal_text("a", "text");
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            assert_eq!(seal.open_text("a", &forged), None, "{forged}");
        }
        let short = sealed.get(..20).expect("longer");
        for other in ["", "=", "a", "%41", "ü", short, &"A".repeat(1 << 20)] {
            assert_eq!(seal.open_text("a", other), None, "{other:.20}");
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Seal::new(["hunter2"]).is_err());
    }
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_was_sealed_opens_and_nothing_else_does(text in ".{0,200}", purpose in "[ -~]{1,30}", other in ".{0,200}") {
            let seal = Seal::new([OLD]).expect("long enough");
            let sealed = seal.seal_text(&purpose, &text);
            prop_assert_eq!(seal.open_text(&purpose, &sealed), Some(text));
            prop_assert_eq!(seal.open_text(&purpose, &other), None);
        }
    }
}
