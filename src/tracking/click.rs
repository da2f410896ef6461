//! Click IDs: how they are found in a query, checked, and combined with those already known.
//!
//! A click ID is opaque, so nothing is repaired: what is not plainly an identifier is refused with a
//! reason that is counted, and the page goes on.

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use regex::Regex;

use super::{cookie, value::QueryPairs};

/// A click ID that passed all checks: 1 to 1,024 bytes of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClickId(String);

/// Where a network's click IDs come from and where they are kept.
#[derive(Clone, Debug)]
pub struct ClickRule {
    /// The query parameter of the landing page, exactly as written.
    pub param: String,
    /// The cookie.
    pub cookie: String,
    /// Which of several clicks counts.
    pub keep: Keep,
    /// What the network's click IDs look like.
    pub pattern: Option<Regex>,
}

/// Which click IDs are kept when another one arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The newest one.
    #[default]
    Last,
    /// The one that came first.
    First,
    /// All, without repeats, oldest first.
    All,
}

/// Why a value is no click ID; also what became of one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidClickId {
    /// The parameter stands in the query more than once.
    Duplicated,
    /// No value at all.
    Empty,
    /// More than 1,024 bytes.
    TooLong,
    /// Something other than visible ASCII, or quotes and angle brackets.
    Bytes,
    /// Not what the network's click IDs look like.
    Pattern,
    /// A placeholder that the network did not replace.
    Macro,
}

/// What became of a click parameter, as counted in `clicks_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClickResult {
    /// A cookie was set.
    Accepted,
    /// The cookie already says the same.
    Kept,
    /// The value was refused.
    Invalid(InvalidClickId),
    /// The answer was a 304, which may refresh an answer in a shared cache.
    NotModified,
    /// Our cookies would have grown over 4 KiB.
    Oversized,
    /// A prefetch or a request for something other than a page.
    NotVisited,
    /// A program followed the link.
    Bot,
    /// The connection changed its protocol: nothing that follows is a page.
    Unset,
    /// The visitor has not agreed.
    Refused,
    /// The visitor has not chosen yet; a later request may still bring it.
    Pending,
    /// The visitor has not chosen yet; a sealed cookie holds it.
    Held,
    /// The visitor has not chosen yet, and it is lost.
    Dropped,
}

impl ClickResult {
    /// Whether it says that the visitor has agreed, where that is asked for.
    #[must_use]
    pub const fn is_consented(self) -> bool {
        matches!(self, Self::Accepted | Self::Kept | Self::Oversized)
    }

    /// All results, so that counters exist from the start.
    pub const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Kept,
        Self::Invalid(InvalidClickId::Duplicated),
        Self::Invalid(InvalidClickId::Empty),
        Self::Invalid(InvalidClickId::TooLong),
        Self::Invalid(InvalidClickId::Bytes),
        Self::Invalid(InvalidClickId::Pattern),
        Self::Invalid(InvalidClickId::Macro),
        Self::NotModified,
        Self::Oversized,
        Self::NotVisited,
        Self::Bot,
        Self::Unset,
        Self::Refused,
        Self::Pending,
        Self::Held,
        Self::Dropped,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Kept => "kept",
            Self::Invalid(InvalidClickId::Duplicated) => "duplicated",
            Self::Invalid(InvalidClickId::Empty) => "empty",
            Self::Invalid(InvalidClickId::TooLong) => "too_long",
            Self::Invalid(InvalidClickId::Bytes) => "bytes",
            Self::Invalid(InvalidClickId::Pattern) => "pattern",
            Self::Invalid(InvalidClickId::Macro) => "macro",
            Self::NotModified => "not_modified",
            Self::Oversized => "oversized",
            Self::NotVisited => "not_visited",
            Self::Bot => "bot",
            Self::Unset => "unset",
            Self::Refused => "no_consent",
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Dropped => "dropped",
        }
    }
}

impl ClickId {
    /// Checks a decoded value.
    pub fn parse(text: &str) -> Result<Self, InvalidClickId> {
        if text.is_empty() {
            return Err(InvalidClickId::Empty);
        }
        if text.len() > MAX_CLICK_ID {
            return Err(InvalidClickId::TooLong);
        }
        let all = text.bytes().fold(0, |all, byte| all | trait_of(byte));
        if all & FOREIGN != 0 {
            Err(InvalidClickId::Bytes)
        } else if all & OPENS_MACRO != 0 && is_unresolved_macro(text) {
            Err(InvalidClickId::Macro)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClickRule {
    /// Finds this network's click IDs in a query; `None` when the parameter is not there.
    #[must_use]
    pub fn find(&self, query: &str) -> Option<Result<Vec<ClickId>, InvalidClickId>> {
        let mut values = QueryPairs::new(query).named(&self.param);
        let raw = values.next()?;
        if values.next().is_some() {
            return Some(Err(InvalidClickId::Duplicated));
        }
        Some(self.check(raw))
    }

    fn check(&self, raw: &str) -> Result<Vec<ClickId>, InvalidClickId> {
        // Three encoded bytes for one decoded byte: what is longer is too long either way.
        if raw.len() > 3 * MAX_CLICK_ID * MAX_CLICKS {
            return Err(InvalidClickId::TooLong);
        }
        // Only percent signs are undone: `+` is a character that click IDs use.
        let text = percent_decode_str(raw).decode_utf8().map_err(|_| InvalidClickId::Bytes)?;
        match self.keep {
            // Ingenious hands over lists (its manual: `?iclid=List_of_CLICK_IDs`).
            Keep::All => text.split(',').map(|id| self.check_one(id)).collect(),
            Keep::Last | Keep::First => Ok(vec![self.check_one(&text)?]),
        }
    }

    fn check_one(&self, text: &str) -> Result<ClickId, InvalidClickId> {
        let id = ClickId::parse(text)?;
        match &self.pattern {
            Some(pattern) if !pattern.is_match(id.as_str()) => Err(InvalidClickId::Pattern),
            _ => Ok(id),
        }
    }

    /// The click IDs of this network that a request carries in its cookie, oldest first.
    #[must_use]
    pub fn carried(&self, headers: &HeaderMap) -> Vec<ClickId> {
        cookie::find(headers, &self.cookie).map(|raw| self.read_cookie(raw)).unwrap_or_default()
    }

    /// Reads the cookie's raw value; what is damaged is skipped.
    fn read_cookie(&self, raw: &str) -> Vec<ClickId> {
        raw.split(',')
            .take(MAX_CLICKS)
            .filter_map(|part| percent_decode_str(part).decode_utf8().ok().and_then(|text| self.check_one(&text).ok()))
            .collect()
    }

    /// What the cookie holds after these click IDs arrived.
    #[must_use]
    pub fn combine(&self, known: Vec<ClickId>, arrived: Vec<ClickId>) -> Vec<ClickId> {
        match self.keep {
            Keep::Last => arrived,
            Keep::First if known.is_empty() => arrived,
            Keep::First => known,
            Keep::All => {
                let mut all = known;
                for id in arrived {
                    if !all.contains(&id) {
                        all.push(id);
                    }
                }
                let mut oldest = 0;
                while all.len() - oldest > MAX_CLICKS
                    || encoded_length(all.get(oldest..).unwrap_or_default()) > MAX_COOKIE_VALUE
                {
                    oldest += 1;
                }
                all.split_off(oldest)
            }
        }
    }
}

/// The cookie's value for these click IDs.
#[must_use]
pub fn cookie_value(ids: &[ClickId]) -> String {
    let mut value = String::new();
    for id in ids {
        if !value.is_empty() {
            value.push(',');
        }
        cookie::encode_value(id.as_str(), &mut value);
    }
    value
}

fn encoded_length(ids: &[ClickId]) -> usize {
    cookie_value(ids).len()
}

/// What one byte says about a value, so that a single pass without branches finds everything odd.
///
/// Foreign is all but visible ASCII, and quotes and angle brackets, which no network uses and every
/// attack does.
const fn trait_of(byte: u8) -> u8 {
    let foreign = !byte.is_ascii_graphic() || matches!(byte, b'"' | b'\'' | b'<' | b'>');
    let opens_macro = matches!(byte, b'{' | b'[' | b'#');
    (foreign as u8) * FOREIGN + (opens_macro as u8) * OPENS_MACRO
}

const FOREIGN: u8 = 1;
const OPENS_MACRO: u8 = 2;

/// Whether this is a placeholder that the network left standing.
///
/// The literal `${SUBID}` in place of a click ID is the commonest fault in the field; one stored
/// placeholder would otherwise be credited with every sale.
fn is_unresolved_macro(text: &str) -> bool {
    let encloses = |open: &str, close: &str| {
        text.split_once(open)
            .is_some_and(|(_, inside)| inside.split_once(close).is_some_and(|(name, _)| !name.is_empty()))
    };
    encloses("{", "}") || encloses("[", "]") || encloses("##", "##")
}

/// Longest click ID in bytes.
const MAX_CLICK_ID: usize = 1024;
/// Most click IDs in one cookie.
const MAX_CLICKS: usize = 10;
/// Longest list of click IDs in bytes, as it stands in the cookie.
const MAX_COOKIE_VALUE: usize = 3000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(keep: Keep) -> ClickRule {
        ClickRule { param: "exotracker".into(), cookie: "_exoclick_cid".into(), keep, pattern: None }
    }

    fn found(query: &str) -> Option<Result<Vec<String>, InvalidClickId>> {
        let found = rule(Keep::Last).find(query)?;
        Some(found.map(|ids| ids.iter().map(|id| id.as_str().to_owned()).collect()))
    }

    #[test]
    fn a_click_id_is_decoded_but_its_plus_signs_stay() {
        assert_eq!(found("a=1&exotracker=x%2Fy+z%3D&b"), Some(Ok(vec!["x/y+z=".into()])));
        assert_eq!(found("exotracker2=x"), None);
        assert_eq!(found("exo%74racker=x"), Some(Ok(vec!["x".into()])));
    }

    #[test]
    fn hostile_values_are_refused_with_a_reason() {
        for (query, reason) in [
            ("exotracker=", InvalidClickId::Empty),
            ("exotracker", InvalidClickId::Empty),
            ("exotracker=a&exotracker=b", InvalidClickId::Duplicated),
            ("exotracker=a%0d%0aSet-Cookie:x", InvalidClickId::Bytes),
            ("exotracker=a%00b", InvalidClickId::Bytes),
            ("exotracker=a%20b", InvalidClickId::Bytes),
            ("exotracker=%ff%fe", InvalidClickId::Bytes),
            ("exotracker=a%22b", InvalidClickId::Bytes),
            ("exotracker=a'b", InvalidClickId::Bytes),
            ("exotracker=</script>", InvalidClickId::Bytes),
            ("exotracker=%c3%a4", InvalidClickId::Bytes),
            ("exotracker={conversions_tracking}", InvalidClickId::Macro),
            ("exotracker=$%7BSUBID%7D", InvalidClickId::Macro),
            ("exotracker=%23%23SUB_ID%23%23", InvalidClickId::Macro),
            ("exotracker=[s2sidentifier]", InvalidClickId::Macro),
        ] {
            assert_eq!(found(query), Some(Err(reason)), "{query}");
        }
        let long = format!("exotracker={}", "x".repeat(1025));
        assert_eq!(found(&long), Some(Err(InvalidClickId::TooLong)));
        let longest = "x".repeat(1024);
        assert_eq!(found(&format!("exotracker={longest}")), Some(Ok(vec![longest])));
    }

    fn ids(texts: &[&str]) -> Vec<ClickId> {
        texts.iter().map(|text| ClickId::parse(text).expect("a click id")).collect()
    }

    #[test]
    fn the_rule_says_which_click_counts() {
        assert_eq!(rule(Keep::Last).combine(ids(&["a"]), ids(&["b"])), ids(&["b"]));
        assert_eq!(rule(Keep::First).combine(ids(&["a"]), ids(&["b"])), ids(&["a"]));
        assert_eq!(rule(Keep::First).combine(ids(&[]), ids(&["b"])), ids(&["b"]));
        assert_eq!(rule(Keep::All).combine(ids(&["a", "b"]), ids(&["b", "c"])), ids(&["a", "b", "c"]));
    }

    #[test]
    fn the_oldest_click_makes_room_for_the_newest() {
        let ten: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
        let kept = rule(Keep::All).combine(ids(&ten), ids(&["new"]));
        assert_eq!(kept.len(), 10);
        assert_eq!(kept.first().map(ClickId::as_str), Some("1"));
        let big = ["a", "b", "c"].map(|letter| letter.repeat(1024));
        let kept = rule(Keep::All).combine(ids(&[&big[0], &big[1]]), ids(&[&big[2]]));
        assert_eq!(kept, ids(&[&big[1], &big[2]]), "3,000 bytes hold two of these");
    }

    #[test]
    fn a_list_arrives_whole_where_all_are_kept() {
        let found = rule(Keep::All).find("exotracker=a%2Cb,c").expect("the parameter").expect("click ids");
        assert_eq!(found, ids(&["a", "b", "c"]));
    }

    proptest! {
        #[test]
        fn a_cookie_reads_back_as_it_was_written(texts in prop::collection::vec("[!-~]{1,40}", 1..6)) {
            let ids: Vec<ClickId> = texts.iter().filter_map(|text| ClickId::parse(text).ok()).collect();
            let value = cookie_value(&ids);
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\";\\".contains(&byte)));
            if !ids.is_empty() {
                prop_assert_eq!(rule(Keep::All).read_cookie(&value), ids);
            }
        }

        #[test]
        fn no_query_makes_it_panic(query in ".*") {
            for keep in [Keep::Last, Keep::First, Keep::All] {
                if let Some(Ok(ids)) = rule(keep).find(&query) {
                    prop_assert!(ids.iter().all(|id| (1..=1024).contains(&id.as_str().len())));
                }
            }
        }
    }
}
