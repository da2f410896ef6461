//! How often an ad network fails, and how: a seeded share of every fault.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Attempt;

/// How a request may be treated instead of a plain 200.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// 500, 502, 503 or 504; nothing was taken in.
    ServerError,
    /// Reset instead of an answer; nothing was taken in.
    ResetBefore,
    /// Taken in, but the answer is reset within its head.
    CutHead,
    /// Taken in, but the answer is reset within its body.
    CutBody,
    /// Taken in; the answer's body comes a byte at a time, for longer than anyone waits.
    Drip,
    /// Taken in; the answer's body never ends.
    Endless,
    /// Taken in; the answer comes when the client has given up.
    Late,
    /// Nothing ever comes, and nothing was taken in.
    Hang,
}

/// How often each fault happens.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    seed: u64,
    /// Of a hundred thousand attempts, so many.
    shares: Vec<(Fault, u64)>,
    most: usize,
}

impl Mix {
    /// No fault at all, until some are added.
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self { seed, shares: Vec::new(), most: usize::MAX }
    }

    /// Three of ten attempts fail, most of them fast: those that are waited for would outlast a test.
    pub(crate) fn bad_week(seed: u64) -> Self {
        let fast = [(Fault::ServerError, 11_000), (Fault::ResetBefore, 9_500), (Fault::CutHead, 6_000)];
        let slow = [(Fault::Drip, 60), (Fault::Endless, 60), (Fault::Late, 60), (Fault::Hang, 60)];
        let mix = fast.into_iter().chain([(Fault::CutBody, 3_260)]).chain(slow);
        mix.fold(Self::seeded(seed), |mix, (fault, share)| mix.with(fault, share))
    }

    /// Adds a fault that meets so many of a hundred thousand attempts.
    pub(crate) fn with(mut self, fault: Fault, share: u64) -> Self {
        self.shares.push((fault, share));
        self
    }

    /// Lets no event fail more often than this, because the waits between attempts grow.
    pub(crate) const fn at_most(mut self, faults: usize) -> Self {
        self.most = faults;
        self
    }

    /// What the next attempt about an event meets, after these.
    pub(super) fn choose(&self, id: &str, before: &[Attempt]) -> Option<Fault> {
        if before.iter().filter(|attempt| attempt.fault.is_some()).count() >= self.most {
            return None;
        }
        let mut drawn = number((self.seed, id, before.len())) % SHARES;
        self.shares.iter().find_map(|(fault, share)| {
            let is_drawn = drawn < *share;
            drawn = drawn.saturating_sub(*share);
            is_drawn.then_some(*fault)
        })
    }
}

/// The same number in every run.
pub(super) fn number(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// All attempts.
pub(super) const SHARES: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_as_bad_as_its_mix_and_the_same_again_for_the_same_seed() {
        let faults = |seed| {
            let mix = Mix::bad_week(seed);
            (0..20_000).map(|id| mix.choose(&id.to_string(), &[])).collect::<Vec<_>>()
        };
        let week = faults(7);
        let bad = week.iter().flatten().count();
        assert!((5_600..6_400).contains(&bad), "{bad} of 20,000 are not three of ten");
        assert!(week == faults(7) && week != faults(8));
    }
}
