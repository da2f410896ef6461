//! The id of a request: what its lines in our log, in the site's and in a proxy's before us have in common.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::HeaderValue;
use uuid::Uuid;

/// The id of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// One of ours: 32 hexadecimal digits, like nginx's `$request_id`.
    Made {
        /// What all of this process have in common.
        process: u64,
        /// What no other of this process has.
        number: u64,
    },
    /// The one that a proxy before us gave it.
    Given(Arc<str>),
}

/// Where a request's id is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToldTo {
    /// Nowhere but in our own lines.
    #[default]
    Nobody,
    /// The site, in `X-Request-Id`.
    Site,
    /// The site, and the visitor with the answer.
    SiteAndVisitor,
}

/// Makes ids; one per process.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    key: u64,
    next: AtomicU64,
}

impl RequestId {
    /// The id that a trusted proxy says, if it can stand in a line of a log.
    #[must_use]
    pub fn given(value: &[u8]) -> Option<Self> {
        let fits = (1..=MAX_LENGTH).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(value).ok().filter(|_| fits)?;
        Some(Self::Given(text.into()))
    }

    /// The id as the value of a header.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let value = match self {
            Self::Made { process, number } => HeaderValue::from_bytes(&hexadecimal(*process, *number)),
            Self::Given(text) => HeaderValue::from_str(text),
        };
        // Never: it was looked at when it came, or is made of digits.
        value.unwrap_or(HeaderValue::from_static("-"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made { process, number } => write!(f, "{process:016x}{number:016x}"),
            Self::Given(text) => f.write_str(text),
        }
    }
}

impl RequestIds {
    /// Ids of a process that has taken this random number.
    #[must_use]
    pub fn new(random: Uuid) -> Self {
        let (process, key) = random.as_u64_pair();
        Self { process, key, next: AtomicU64::new(0) }
    }

    /// An id that no request has had.
    #[must_use]
    pub fn make(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        RequestId::Made { process: self.process, number: mixed(number ^ self.key) }
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014): no two numbers become the same one, and nobody
/// sees from an id how many requests there were.
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn hexadecimal(process: u64, number: u64) -> [u8; 32] {
    let mut whole = (u128::from(process) << 64) | u128::from(number);
    let mut digits = [b'0'; 32];
    for digit in digits.iter_mut().rev() {
        let [low, ..] = (whole & 0xf).to_le_bytes();
        *digit = if low < 10 { b'0' + low } else { b'a' + (low - 10) };
        whole >>= 4;
    }
    digits
}

const MAX_LENGTH: usize = 128;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_32_digits_and_all_different() {
        let ids = RequestIds::new(Uuid::new_v4());
        let made: HashSet<String> = (0..1000).map(|_| ids.make().to_string()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        let id = ids.make();
        assert_eq!(id.header().to_str().unwrap(), id.to_string());
    }

    #[test]
    fn what_a_proxy_says_is_taken_only_if_it_fits_a_line() {
        for (value, taken) in [
            ("4bf92f35-77b3", true),
            ("Root=1-67891233-abcdef012345678912345678", true),
            (&"x".repeat(128), true),
            (&"x".repeat(129), false),
            ("", false),
            ("two words", false),
            ("a\tb", false),
            ("\u{e4}", false),
        ] {
            let given = RequestId::given(value.as_bytes());
            assert_eq!(given.is_some(), taken, "{value:?}");
            if let Some(given) = given {
                assert_eq!((given.to_string().as_str(), given.header().as_bytes()), (value, value.as_bytes()));
            }
        }
    }
}
