//! What only the network can know: which events it took in, and which of its answers it sent to the last byte.

use std::collections::{BTreeMap, BTreeSet};

use super::Fault;

/// What happened, by event id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(pub(super) BTreeMap<String, Vec<Attempt>>);

/// One request about one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// What it met; `None` is a plain 200.
    pub(crate) fault: Option<Fault>,
    /// Whether an answer of 200 was sent to its last byte.
    pub(crate) whole: bool,
}

impl Ledger {
    /// Which of these events were never taken in.
    pub(crate) fn missing(&self, events: &BTreeSet<String>) -> Vec<String> {
        let is_taken =
            |id: &String| self.0.get(id).is_some_and(|attempts| attempts.iter().any(|attempt| attempt.is_taken()));
        events.iter().filter(|id| !is_taken(id)).cloned().collect()
    }

    /// How many requests came about events whose 200 had been sent to its last byte.
    pub(crate) fn repeats(&self) -> usize {
        let after_whole = |attempts: &[Attempt]| {
            attempts.iter().position(|attempt| attempt.whole).map_or(0, |first| attempts.len() - first - 1)
        };
        self.0.values().map(|attempts| after_whole(attempts)).sum()
    }

    /// How many requests there were.
    pub(crate) fn attempts(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// How many events there were.
    pub(crate) fn events(&self) -> usize {
        self.0.len()
    }

    /// How many requests met each fault.
    pub(crate) fn faults(&self) -> BTreeMap<Fault, usize> {
        let mut faults = BTreeMap::new();
        for fault in self.0.values().flatten().filter_map(|attempt| attempt.fault) {
            *faults.entry(fault).or_default() += 1;
        }
        faults
    }
}

impl Attempt {
    /// Whether the network has the event now.
    pub(crate) const fn is_taken(self) -> bool {
        !matches!(self.fault, Some(Fault::ServerError | Fault::ResetBefore | Fault::Hang))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_knows_what_is_missing_and_what_came_again() {
        let attempt = |fault, whole| Attempt { fault, whole };
        let (taken, lost) = (attempt(None, true), attempt(Some(Fault::CutHead), false));
        let refused = attempt(Some(Fault::ServerError), false);
        let events = [
            ("once", vec![taken]),
            ("again because the answer was lost", vec![lost, taken]),
            ("again for no reason", vec![refused, taken, taken, taken]),
            ("refused", vec![refused]),
        ];
        let ledger = Ledger(events.into_iter().map(|(id, attempts)| (id.to_owned(), attempts)).collect());
        let expected = ["once", "refused", "never came"].map(str::to_owned).into();
        assert_eq!(ledger.missing(&expected), ["never came", "refused"]);
        assert_eq!((ledger.repeats(), ledger.attempts(), ledger.events()), (2, 8, 4));
    }
}
