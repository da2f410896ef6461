//! What a word of ours means and what to do about it: the tables of the guide to troubleshooting.

/// What a word means, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it means.
    pub means: &'static str,
    /// What to do about it; `nothing` often.
    pub remedy: &'static str,
}

/// About the outcome of a hit.
#[must_use]
pub fn on_outcome(word: &str) -> Option<Advice> {
    find("outcome", word)
}

/// About the verdict on a postback.
#[must_use]
pub fn on_verdict(word: &str) -> Option<Advice> {
    find("verdict", word)
}

/// The row of this word in the table whose first column has this name.
fn find(table: &str, word: &str) -> Option<Advice> {
    let head = format!("| {table} | means | what to do |");
    let (_, rows) = GUIDE.split_once(&head)?;
    let rows = rows.trim_start_matches('\n').lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|')).find_map(|row| {
        let mut cells = row.split(" | ").map(str::trim);
        let name = cells.next()?.trim_matches('`');
        (name == word).then_some(Advice { means: cells.next()?, remedy: cells.next()? })
    })
}

const GUIDE: &str = include_str!("../../conf/guides/troubleshooting.md");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracking::{conversion::Outcome, verdict::Verdict};

    #[test]
    fn every_outcome_and_verdict_has_its_advice() {
        for outcome in Outcome::ALL {
            assert!(on_outcome(outcome.as_str()).is_some(), "{}", outcome.as_str());
        }
        for verdict in Verdict::LABELS {
            assert!(on_verdict(verdict).is_some(), "{verdict}");
        }
        let advice = on_outcome("off").unwrap();
        assert_eq!((advice.means, advice.remedy), ("tracking is `off` or `observe`", "set `tracking: on`"));
        assert!(on_outcome("delivered").is_none() && on_verdict("means").is_none() && on_outcome("").is_none());
    }
}
