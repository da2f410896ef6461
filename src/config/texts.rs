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
}

impl Texts {
    /// The text of a file that stands for itself.
    #[must_use]
    pub fn of(file: &Path, text: &str) -> Self {
        Self { file: file.to_owned(), files: BTreeMap::from([(file.to_owned(), text.to_owned())]) }
    }

    /// The text of the file that was named.
    #[must_use]
    pub fn main(&self) -> &str {
        self.files.get(&self.file).map(String::as_str).unwrap_or_default()
    }
}
