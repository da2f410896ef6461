//! Keys of journeys: what identifies a visitor, made unreadable.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use uuid::Uuid;

use crate::tracking::visitor::ShortSecret;

/// Under which a journey is kept: 16 bytes of HMAC-SHA-256, from which nobody reads an identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JourneyKey([u8; 16]);

/// Makes the keys of journeys.
#[derive(Clone)]
pub struct JourneyKeys {
    /// One of each secret, ready to hash; the first writes, all find.
    secrets: Vec<Hmac<Sha256>>,
}

/// What identifies a visitor.
#[derive(Clone, Copy)]
pub enum Identifier<'a> {
    /// Our own visitor id.
    Visitor(Uuid),
    /// A cookie or another value that the site itself recognises visitors by.
    Session {
        /// The source as it is written, such as `cookie.PHPSESSID`.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// An order, or whatever else a capture has as its key.
    Order(&'a str),
}

impl JourneyKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(hex, 16).ok().map(|number| Self(number.to_be_bytes()))).flatten()
    }
}

impl JourneyKeys {
    /// Derives a key from each secret; the first writes, all find.
    ///
    /// # Errors
    /// When there is no secret, or one is too short.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, ShortSecret> {
        let derive = |secret: &str| if secret.len() < 32 { Err(ShortSecret) } else { Ok(derive(secret)) };
        let secrets = secrets.into_iter().map(derive).collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() { Err(ShortSecret) } else { Ok(Self { secrets }) }
    }

    /// The key of a visitor who carries our cookie.
    #[must_use]
    pub fn visitor(&self, site: &str, visitor: Uuid) -> Option<JourneyKey> {
        self.first(site, Identifier::Visitor(visitor))
    }

    /// The key of a visitor whom the site recognises, by the source's name and its value.
    #[must_use]
    pub fn session(&self, site: &str, name: &str, value: &str) -> Option<JourneyKey> {
        self.first(site, Identifier::Session { name, value })
    }

    /// The key of an order.
    #[must_use]
    pub fn order(&self, site: &str, value: &str) -> Option<JourneyKey> {
        self.first(site, Identifier::Order(value))
    }

    /// The key to write under; `None` when the identifier tells nobody apart.
    #[must_use]
    pub fn first(&self, site: &str, identifier: Identifier<'_>) -> Option<JourneyKey> {
        self.each(site, identifier).next()
    }

    /// The keys to look under: those of older secrets too.
    #[must_use]
    pub fn all(&self, site: &str, identifier: Identifier<'_>) -> Vec<JourneyKey> {
        self.each(site, identifier).collect()
    }

    fn each(&self, site: &str, identifier: Identifier<'_>) -> impl Iterator<Item = JourneyKey> {
        let visitor;
        let parts = match identifier {
            Identifier::Visitor(id) => {
                visitor = id.to_string();
                ["visitor", site, &visitor, ""]
            }
            Identifier::Session { name, value } => ["session", site, name, value],
            Identifier::Order(value) => ["order", site, value, ""],
        };
        let message: Vec<u8> = parts.iter().flat_map(|part| prefixed(part)).collect();
        let counts = identifier.tells_apart();
        self.secrets.iter().filter(move |_| counts).map(move |secret| {
            let mut hash = secret.clone();
            hash.update(&message);
            first_half(&hash.finalize().into_bytes())
        })
    }
}

impl Identifier<'_> {
    /// Whether no two visitors share it. What they share would hand one's data to the other.
    ///
    /// PHP deletes a cookie by the value `deleted`, and scripts write what they don't have; no session
    /// id is shorter than this.
    fn tells_apart(self) -> bool {
        match self {
            Self::Visitor(id) => !id.is_nil(),
            Self::Session { value, .. } => value.len() >= MIN_SESSION && value != "undefined",
            Self::Order(value) => !value.is_empty(),
        }
    }
}

impl fmt::Display for JourneyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for JourneyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for JourneyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JourneyKeys").field("secrets", &self.secrets.len()).finish()
    }
}

impl Serialize for JourneyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JourneyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        Self::parse(&hex).ok_or_else(|| de::Error::custom("a journey's key has 32 hexadecimal digits"))
    }
}

/// A key that serves nothing else, as HKDF (RFC 5869) extracts one: the purpose is the salt.
fn derive(secret: &str) -> Hmac<Sha256> {
    let mut extract = Hmac::<Sha256>::new(&block(PURPOSE));
    extract.update(secret.as_bytes());
    Hmac::new(&block(&extract.finalize().into_bytes()))
}

/// A key as HMAC takes it: filled up with zeros to a block of the hash (RFC 2104).
fn block(key: &[u8]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    block
}

/// Lengths go first, so that no two lists of parts read alike.
fn prefixed(part: &str) -> impl Iterator<Item = u8> {
    let length = u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes();
    length.into_iter().chain(part.bytes())
}

fn first_half(hash: &[u8]) -> JourneyKey {
    let mut key = [0; 16];
    key.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    JourneyKey(key)
}

const PURPOSE: &[u8] = b"throughline journeys";

/// The shortest value by which a site recognises anybody.
const MIN_SESSION: usize = 8;
