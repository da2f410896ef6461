//! What is wrong with a configuration, where, and what to write instead.
//!
//! Decoding never stops at the first mistake: it adds to [`Problems`] and goes on. This file only
//! gathers, sorts and words; which inputs are problems is decided by whoever reads them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A position in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Place {
    /// This place as it is named at another one: its line, or all of it in another file.
    #[must_use]
    pub fn seen_from(&self, other: &Place) -> String {
        if self.file == other.file { format!("in line {}", self.line) } else { format!("at {self}") }
    }
}

/// One mistake in a configuration.
///
/// Reads as one line: `FILE:LINE:COLUMN: KEY PATH: message; remedy`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The path of keys that leads there: `sites[0].networks.exoclick.click`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: Option<String>,
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.place)?;
        if self.severity == Severity::Warning {
            out.write_str("warning: ")?;
        }
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(out, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Whether a problem stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, but probably not as its author believes.
    Warning,
}

/// All problems of a configuration, gathered through shared references; and on the way, where paths
/// of files are written.
#[derive(Debug, Default)]
pub struct Problems {
    found: RefCell<Vec<Problem>>,
    paths: RefCell<BTreeSet<Place>>,
}

impl Problems {
    /// Adds a problem.
    pub fn add(&self, problem: Problem) {
        self.found.borrow_mut().push(problem);
    }

    /// Remembers that the path of a file stands here.
    pub fn add_path(&self, place: &Place) {
        self.paths.borrow_mut().insert(place.clone());
    }

    /// Where paths of files stand.
    pub fn paths(&self) -> BTreeSet<Place> {
        self.paths.borrow().clone()
    }

    /// Whether anything stands in the way of using the configuration.
    pub fn has_errors(&self) -> bool {
        self.found.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The problems by file, line and column, each once: what several readers of the same value said
    /// of it stays under the first path.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.found.into_inner();
        problems.sort();
        let mut told = BTreeSet::new();
        problems.retain(|problem| told.insert((problem.place.clone(), problem.message.clone())));
        problems
    }
}

/// The candidate that was probably meant by a misspelt word.
///
/// At most two edits away, or a third of the word's length if that is more, and never so far that
/// nothing of the word is left. Case does not count as an edit.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = (length / 3).max(2).min(length.saturating_sub(1));
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        // A word of a megabyte must not be compared letter by letter.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Text of the operator's as it may stand in a message: in backticks, on one line, not too long.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::from("`");
    for (position, character) in text.chars().enumerate() {
        if position == LONGEST_SHOWN {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.push('`');
    shown
}

/// The characters of the operator's text that a message repeats.
const LONGEST_SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize, column: usize, severity: Severity) -> Problem {
        Problem {
            place: Place { file: "throughline.yaml".into(), line, column },
            path: "sites[0].conversions[0].pth".to_owned(),
            message: "unknown key `pth`".to_owned(),
            remedy: Some("did you mean `path`?".to_owned()),
            severity,
        }
    }

    #[test]
    fn a_problem_reads_as_one_line() {
        assert_eq!(
            problem(12, 7, Severity::Error).to_string(),
            "throughline.yaml:12:7: sites[0].conversions[0].pth: unknown key `pth`; did you mean `path`?"
        );
    }

    #[test]
    fn a_warning_says_so_after_its_place() {
        assert!(
            problem(12, 7, Severity::Warning).to_string().starts_with("throughline.yaml:12:7: warning: sites[0].con")
        );
    }

    #[test]
    fn problems_come_sorted_and_once() {
        let problems = Problems::default();
        for (line, column) in [(10, 1), (2, 9), (2, 3), (10, 1)] {
            problems.add(problem(line, column, Severity::Error));
        }
        let places: Vec<_> =
            problems.into_sorted().into_iter().map(|problem| (problem.place.line, problem.place.column)).collect();
        assert_eq!(places, [(2, 3), (2, 9), (10, 1)]);
    }

    #[test]
    fn warnings_alone_are_no_errors() {
        let problems = Problems::default();
        problems.add(problem(1, 1, Severity::Warning));
        assert!(!problems.has_errors());
        problems.add(problem(1, 1, Severity::Error));
        assert!(problems.has_errors());
    }

    #[test]
    fn the_nearest_word_is_found_and_a_stranger_is_not() {
        let keys = ["path", "method", "dedup_window", "on"];
        assert_eq!(nearest("pth", keys), Some("path"));
        assert_eq!(nearest("PATH", keys), Some("path"));
        assert_eq!(nearest("dedupwindows", keys), Some("dedup_window"));
        assert_eq!(nearest("tracking", keys), None);
        assert_eq!(nearest("xy", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), keys), None);
    }

    #[test]
    fn shown_text_stays_short_and_on_one_line() {
        assert_eq!(shown("a\nb"), "`a\\nb`");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 63);
    }
}
