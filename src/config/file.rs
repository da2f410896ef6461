//! The files that a configuration names: where they are, and reading them.
//!
//! A file is read as a whole and only up to a limit: `/dev/zero` must not fill the memory. What it
//! should hold is known to whoever reads it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{Environment, decode::Field, problem::Place};

/// Where the files of a configuration are, and whether they are there at all.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The folder of the main file; paths that are written begin where they stand, see [`folder_of`].
    pub folder: &'a Path,
    environment: Environment,
}

impl<'a> Files<'a> {
    /// The files beside a configuration that is read in this environment.
    #[must_use]
    pub const fn new(folder: &'a Path, environment: Environment) -> Self {
        Self { folder, environment }
    }

    /// Whether they can be looked into; if not, they are taken for right, as variables are.
    #[must_use]
    pub fn are_there(self) -> bool {
        match self.environment {
            Environment::Process => true,
            Environment::Ignored => false,
        }
    }

    /// A variable that stands for what is not written.
    #[must_use]
    pub fn variable(self, name: &str) -> Option<String> {
        self.environment.lookup(name)
    }

    /// The path that stands in a field, relative to the file that the field stands in.
    #[must_use]
    #[expect(clippy::unused_self, reason = "whoever may read files asks them, wherever their folder is written")]
    pub fn path(self, field: &Field<'_>) -> Option<PathBuf> {
        field.text().map(|text| beside(field, text))
    }
}

/// A path that a field names, relative to the file that the field stands in.
pub fn beside(field: &Field<'_>, path: &str) -> PathBuf {
    field.problems().add_path(&field.node.place);
    folder_of(&field.node.place).join(path)
}

/// The folder of the file that something stands in: relative paths begin there.
#[must_use]
pub fn folder_of(place: &Place) -> &Path {
    folder(Path::new(&*place.file))
}

/// The folder of a file; `.` for a mere name.
#[must_use]
pub fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a regular file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Before it is opened, because opening a pipe waits for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut content = Vec::new();
    // One more than allowed, to see that there is more.
    let length = File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if length as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {}", super::units::written_size(limit))));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.html");
        #[expect(clippy::disallowed_methods, reason = "a test writes into a folder of its own")]
        std::fs::write(&file, "four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"four");
        assert_eq!(read(&file, 3).unwrap_err().to_string(), "it is larger than 3B");
    }

    #[test]
    fn what_never_ends_is_no_file() {
        assert_eq!(read(Path::new("/dev/zero"), 4).unwrap_err().to_string(), "it is not a file");
        assert_eq!(read(Path::new("/"), 4).unwrap_err().to_string(), "it is not a file");
    }
}
