//! Where another version of HTTP, or Pingora, can't say the same: each with its reason and what happens instead.
//!
//! A difference that stands here must be of exactly this kind; one that never occurs must be taken out.

use super::{cases::Case, comparison::Difference};
use crate::support::twin::{Ended, Seen, Transport};

/// A difference that is not ours to remove.
pub(super) struct Known {
    /// What differs, as [`Difference::aspect`] names it; `*` is the whole answer.
    pub(super) aspect: &'static str,
    /// Why.
    pub(super) reason: &'static str,
    /// On which roads and in which cases.
    pub(super) applies: fn(&Occasion<'_>) -> bool,
    /// What happens instead.
    pub(super) instead: fn(&Seen) -> bool,
}

/// Where a difference was found.
pub(super) struct Occasion<'a> {
    pub(super) case: &'a Case,
    pub(super) visitor: Transport,
    pub(super) origin: Transport,
}

impl Known {
    /// The entry that explains this difference.
    pub(super) fn find(difference: &Difference, occasion: &Occasion<'_>, got: &Seen) -> Option<usize> {
        let is_of = |known: &Known| known.aspect == difference.aspect || known.aspect == "*";
        KNOWN_DIFFERENCES.iter().position(|known| is_of(known) && (known.applies)(occasion) && (known.instead)(got))
    }
}

pub(super) const KNOWN_DIFFERENCES: &[Known] = &[
    Known {
        aspect: "header date",
        reason: "Pingora writes its own Date over the site's, as nginx does, and adds a missing one (RFC 9110 section 6.6.1)",
        applies: |_| true,
        instead: |got| matches!(got.all("date").as_slice(), [date] if date.ends_with(" GMT") && date.len() == 29),
    },
    Known {
        aspect: "trailers",
        reason: "Pingora passes trailers on only from HTTP/2 to HTTP/2",
        applies: |occasion| !(occasion.origin.is_http2() && occasion.visitor.is_http2()),
        instead: |got| got.trailers.is_empty() && got.ended == Ended::Complete,
    },
    Known {
        aspect: "reason",
        reason: "Pingora's HTTP/1 parser drops a reason phrase that is not ASCII",
        applies: |occasion| occasion.case.name.ends_with("an odd reason phrase"),
        instead: |got| got.reason.as_deref() == Some(""),
    },
    Known {
        aspect: "informational",
        reason: "Pingora neither sends nor takes 1xx answers over HTTP/2",
        applies: |occasion| occasion.visitor.is_http2() || occasion.origin.is_http2(),
        instead: |got| got.informational.is_empty(),
    },
    Known {
        aspect: "*",
        reason: "Pingora refuses a target that is not UTF-8; browsers percent-encode it",
        applies: |occasion| occasion.case.name == "raw Latin-1 in a path",
        instead: |got| got.status == 400,
    },
    Known {
        aspect: "*",
        reason: "Pingora refuses raw `\"`, `<` and `>` in a query; browsers percent-encode them",
        applies: |occasion| {
            ["a raw quote in a query", "raw angle brackets in a query"].contains(&occasion.case.name.as_str())
        },
        instead: |got| got.status == 400,
    },
];

/// What [`Difference::aspect`] says when the visitor got nothing at all.
pub(super) const NO_ANSWER: &str = "an answer";
