//! What a network's answer means.
//!
//! Each network lists rules; the first that matches decides. When none does, the HTTP status
//! decides by the table below, which keeps the rule that matters: an answer that may be read as
//! "not now" is tried again, one that will never change is put aside for a person.

use std::cell::OnceCell;

mod batch;
mod reason;
mod rule;

pub use batch::{BatchJudgement, EventJudgement, FailedList, Fate};
pub use reason::{Rejection, RetryReason};
pub use rule::{BodyPattern, JsonPattern, StatusPattern, VerdictRule};

/// The end of a postback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The network took it.
    Delivered,
    /// The network had it already.
    AlreadyKnown,
    /// The network does not know this click ID.
    InvalidClick,
    /// It will never be accepted as it is.
    Rejected(Rejection),
    /// A success by status that says nothing the network's rules know.
    Unclear,
    /// Too old, or tried too often.
    Expired,
    /// Consent was withdrawn before it was sent.
    Withdrawn,
    /// Removed by an operator.
    Purged,
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is over.
    Final(Verdict),
    /// Try again later.
    Retry(RetryReason),
}

impl Verdict {
    /// All verdicts as metric labels, so that counters exist from the start.
    pub const LABELS: [&'static str; 8] =
        ["delivered", "already_known", "invalid_click", "rejected", "unclear", "expired", "withdrawn", "purged"];

    /// The word that operators see and metrics carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::AlreadyKnown => "already_known",
            Self::InvalidClick => "invalid_click",
            Self::Rejected(_) => "rejected",
            Self::Unclear => "unclear",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Purged => "purged",
        }
    }

    /// Why, where the word alone does not say.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Rejected(rejection) => Some(rejection.as_str()),
            Self::Delivered
            | Self::AlreadyKnown
            | Self::InvalidClick
            | Self::Unclear
            | Self::Expired
            | Self::Withdrawn
            | Self::Purged => None,
        }
    }

    /// Whether the row stays as a dead letter for a person to look at.
    #[must_use]
    pub const fn is_dead_letter(self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Unclear | Self::Expired)
    }
}

/// One network's answer, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body, or `None` when it was endless, too slow or broke off.
    pub body: Option<&'a [u8]>,
}

/// A network's verdict rules, in order.
#[derive(Clone, Debug, Default)]
pub struct VerdictRules {
    rules: Vec<VerdictRule>,
    read_the_body: bool,
    repeats: Repeats,
}

/// What a network does with an event id that it has seen before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeats {
    /// It counts another conversion, or nobody knows.
    #[default]
    Counted,
    /// It drops them: what is unclear may be asked again.
    Dropped,
}

impl VerdictRules {
    /// Takes the rules in their order.
    #[must_use]
    pub fn new(rules: Vec<VerdictRule>) -> Self {
        let read_the_body = rules.iter().any(|rule| !rule.body.is_empty());
        Self { rules, read_the_body, repeats: Repeats::default() }
    }

    /// The same rules for a network that does this with repeats.
    #[must_use]
    pub fn with_repeats(self, repeats: Repeats) -> Self {
        Self { repeats, ..self }
    }

    /// Says what the answer means: the first matching rule, else the table by status.
    #[must_use]
    pub fn judge(&self, answer: Answer<'_>) -> Judgement {
        let json = OnceCell::new();
        let judgement = self
            .rules
            .iter()
            .find(|rule| rule.matches(answer, &json))
            .map_or_else(|| self.judge_by_status(answer.status), |rule| rule.judgement);
        self.asked_again(judgement)
    }

    /// The same judgement, but what is unclear is asked again where that cannot count twice.
    const fn asked_again(&self, judgement: Judgement) -> Judgement {
        match (judgement, self.repeats) {
            (Judgement::Final(Verdict::Unclear), Repeats::Dropped) => Judgement::Retry(RetryReason::Unclear),
            (judgement, Repeats::Counted | Repeats::Dropped) => judgement,
        }
    }

    fn judge_by_status(&self, status: u16) -> Judgement {
        match status {
            200..=299 if self.read_the_body => Judgement::Final(Verdict::Unclear),
            200..=299 => Judgement::Final(Verdict::Delivered),
            300..=399 => Judgement::Final(Verdict::Rejected(Rejection::Redirect)),
            401 | 403 => Judgement::Retry(RetryReason::Unauthorized),
            501 | 505 => Judgement::Final(Verdict::Rejected(Rejection::Status)),
            _ if asks_for_patience(status) => Judgement::Retry(RetryReason::Status),
            _ => Judgement::Final(Verdict::Rejected(Rejection::Status)),
        }
    }
}

/// Statuses that mean "later": a rule must name them to apply to them.
const fn asks_for_patience(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_status(status: u16) -> Judgement {
        VerdictRules::default().judge(Answer { status, body: Some(b"") })
    }

    #[test]
    fn without_rules_the_status_decides() {
        let rejected = |rejection| Judgement::Final(Verdict::Rejected(rejection));
        let expected: [(&[u16], Judgement); 5] = [
            (&[200, 201, 202, 204, 299], Judgement::Final(Verdict::Delivered)),
            (&[300, 301, 302, 303, 304, 307, 308], rejected(Rejection::Redirect)),
            (&[400, 402, 404, 405, 406, 409, 410, 413, 414, 415, 422, 501, 505], rejected(Rejection::Status)),
            (&[401, 403], Judgement::Retry(RetryReason::Unauthorized)),
            (&[408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529, 599], Judgement::Retry(RetryReason::Status)),
        ];
        for (statuses, judgement) in expected {
            for status in statuses {
                assert_eq!(by_status(*status), judgement, "{status}");
            }
        }
    }

    fn ok_rule() -> VerdictRule {
        VerdictRule {
            status: vec![],
            body: vec![BodyPattern::Starts("OK".into())],
            judgement: Judgement::Final(Verdict::Delivered),
        }
    }

    #[test]
    fn a_success_that_no_body_rule_knows_is_unclear() {
        let rules = VerdictRules::new(vec![ok_rule()]);
        let unclear = Judgement::Final(Verdict::Unclear);
        assert_eq!(rules.judge(Answer { status: 200, body: Some(b"welcome") }), unclear);
        assert_eq!(rules.judge(Answer { status: 200, body: None }), unclear, "unreadable");
    }

    #[test]
    fn what_is_unclear_is_asked_again_only_where_repeats_are_dropped() {
        let mut rules = vec![ok_rule()];
        rules.push(VerdictRule { body: vec![BodyPattern::Is("?".into())], ..ok_rule() });
        rules[1].judgement = Judgement::Final(Verdict::Unclear);
        let rules = VerdictRules::new(rules).with_repeats(Repeats::Dropped);
        for body in [Some(&b"welcome"[..]), Some(b"?"), None] {
            assert_eq!(rules.judge(Answer { status: 200, body }), Judgement::Retry(RetryReason::Unclear), "{body:?}");
        }
        assert_eq!(rules.judge(Answer { status: 200, body: Some(b"OK") }), Judgement::Final(Verdict::Delivered));
    }

    #[test]
    fn a_rule_without_status_never_applies_to_an_overloaded_network() {
        let rules = VerdictRules::new(vec![ok_rule()]);
        assert_eq!(rules.judge(Answer { status: 503, body: Some(b"OK") }), Judgement::Retry(RetryReason::Status));
        assert_eq!(rules.judge(Answer { status: 202, body: Some(b"OK") }), Judgement::Final(Verdict::Delivered));
    }

    #[test]
    fn json_that_is_none_matches_no_pointer() {
        let empty = VerdictRule {
            status: vec![],
            body: vec![BodyPattern::Json("/data/unprocessedRecords".into(), JsonPattern::Empty)],
            judgement: Judgement::Final(Verdict::Delivered),
        };
        let rules = VerdictRules::new(vec![empty]);
        let judge = |body| rules.judge(Answer { status: 200, body: Some(body) });
        assert_eq!(judge(b"<html>"), Judgement::Final(Verdict::Unclear));
        assert_eq!(judge(br#"{"data":{"unprocessedRecords":[]}}"#), Judgement::Final(Verdict::Delivered));
        assert_eq!(judge(br#"{"data":{"unprocessedRecords":[1]}}"#), Judgement::Final(Verdict::Unclear));
    }
}
