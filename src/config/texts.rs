//! The texts that a configuration was read from, as they were written: variables and files by their
//! names, so that there is no secret in them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The texts of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// The file that was named.
    pub file: PathBuf,
    /// All files that were read, by their paths.
    pub files: BTreeMap<PathBuf, String>,
    /// Those that were included, in the order in which they were read.
    pub included: Vec<PathBuf>,
}

impl Texts {
    /// The text of a file that stands for itself.
    #[must_use]
    pub fn of(file: &Path, text: &str) -> Self {
        let files = BTreeMap::from([(file.to_owned(), text.to_owned())]);
        Self { file: file.to_owned(), files, included: Vec::new() }
    }

    /// Adds an included file.
    pub fn include(&mut self, file: &Path, text: String) {
        self.files.insert(file.to_owned(), text);
        self.included.push(file.to_owned());
    }

    /// The text of the file that was named.
    #[must_use]
    pub fn main(&self) -> &str {
        self.files.get(&self.file).map(String::as_str).unwrap_or_default()
    }
}
