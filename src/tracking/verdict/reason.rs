//! Why a postback was rejected, and why one is tried again.

/// Why a postback was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The network's answer says so (a wrong goal, an unknown account, …).
    Answer,
    /// A status that no retry will change.
    Status,
    /// A redirect: postbacks are not redirected; the address has moved.
    Redirect,
    /// The request could not be built from the row.
    Unrenderable,
    /// Building or sending it failed unexpectedly several times.
    Poison,
}

/// Why a postback will be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// A status that asks for patience, or a rule that does.
    Status,
    /// 401 or 403: credentials are wrong; the row waits for an operator.
    Unauthorized,
    /// No connection: surely not received.
    Connect,
    /// Time ran out after sending: perhaps received.
    Timeout,
    /// The connection broke: perhaps received.
    Reset,
    /// Refused in one request with others, perhaps for the sake of one of them: it will be sent alone.
    Batch,
    /// The network's name stands for private or reserved addresses alone: not connected, surely not received.
    RefusedAddress,
    /// Perhaps taken; the network drops repeats, so asking again is safe.
    Unclear,
    /// It failed, and so did everything else that was sent to this network.
    Down,
}

impl Rejection {
    /// The word for logs and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::Unrenderable => "unrenderable",
            Self::Poison => "poison",
        }
    }
}

impl RetryReason {
    /// The word for logs, metrics and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Unauthorized => "unauthorized",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Batch => "batch",
            Self::RefusedAddress => "refused_address",
            Self::Unclear => "unclear",
            Self::Down => "down",
        }
    }

    /// Whether the attempt counts as one of those that a conversion has.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        match self {
            Self::Status | Self::Connect | Self::Timeout | Self::Reset | Self::Unclear | Self::RefusedAddress => true,
            Self::Unauthorized | Self::Down | Self::Batch => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_has_no_fewer_attempts_for_what_is_not_its_own_fault() {
        for (reason, is_counted) in [
            (RetryReason::Status, true),
            (RetryReason::Connect, true),
            (RetryReason::Timeout, true),
            (RetryReason::Reset, true),
            (RetryReason::Unclear, true),
            (RetryReason::Unauthorized, false),
            (RetryReason::Down, false),
        ] {
            assert_eq!(reason.is_counted(), is_counted, "{}", reason.as_str());
        }
    }
}
