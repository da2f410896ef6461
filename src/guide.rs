//! What outcomes and verdicts mean and what to do about them, in the words of the troubleshooting guide.
//!
//! The guide is the one place where these words stand; its tables are looked up as they are. What became of
//! a conversion does not belong here.

/// What a word means.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Meaning {
    /// In a few words.
    pub means: String,
    /// What to do, if anything.
    pub remedy: String,
}

/// What an outcome means, by its word.
#[must_use]
pub fn outcome(word: &str) -> Option<Meaning> {
    find("\n| outcome |", word)
}

/// What a verdict means, by its word.
#[must_use]
pub fn verdict(word: &str) -> Option<Meaning> {
    find("\n| verdict |", word)
}

fn find(head: &str, word: &str) -> Option<Meaning> {
    let (_, table) = GUIDE.split_once(head)?;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut rows = rows.map(|row| row.trim_matches('|').split('|').map(str::trim));
    rows.find_map(|mut cells| {
        let is_it = cells.next()?.trim_matches('`') == word;
        let (means, remedy) = (cells.next()?, cells.next()?);
        is_it.then(|| Meaning { means: without_links(means), remedy: without_links(remedy) })
    })
}

/// `[text](address)` as its text.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((name, after)) = link.split_once("](") else { break };
        let Some((_, after)) = after.split_once(')') else { break };
        plain.push_str(before);
        plain.push_str(name);
        rest = after;
    }
    plain.push_str(rest);
    plain
}

const GUIDE: &str = include_str!("../conf/guides/troubleshooting.md");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracking::{conversion::Outcome, verdict::Verdict};

    #[test]
    fn every_outcome_and_verdict_is_explained() {
        let outcomes = Outcome::ALL.map(|it| (it.as_str(), outcome(it.as_str())));
        let verdicts = Verdict::LABELS.map(|word| (word, verdict(word)));
        for (word, found) in outcomes.into_iter().chain(verdicts) {
            let found = found.unwrap_or_else(|| panic!("{word} is not in the guide"));
            assert!(!found.means.is_empty() && !found.remedy.is_empty(), "{word}");
            assert!(!found.means.contains('|') && !found.remedy.contains("]("), "{word}: {found:?}");
        }
        assert_eq!(outcome("nothing"), None);
    }

    #[test]
    fn links_are_told_by_their_text() {
        assert_eq!(without_links("see [a.md](a.md), [b](c) and [d"), "see a.md, b and [d");
    }
}
