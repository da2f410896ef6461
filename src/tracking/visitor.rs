//! The visitor id: recognises a visitor's repeated thank-you page when nothing else does.
//!
//! It lives in the sealed cookie `_tl` and is set only where a conversion has neither an order id nor
//! a click ID to be told apart by. Nobody can read or forge it without the secret.

use cookie::{Cookie, CookieJar, Key};
use http::HeaderMap;
use uuid::Uuid;

use super::cookie as cookies;

/// The name of our cookie.
pub const VISITOR_COOKIE: &str = "_tl";

/// Seals and opens visitor ids.
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
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("keys", &self.keys.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
    fn a_short_secret_is_refused() {
        assert!(Seal::new(["hunter2"]).is_err());
    }
}
