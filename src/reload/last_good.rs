//! The last configuration that was accepted, kept in the state folder for a start with a broken file.
//!
//! Kept are the texts as they were written. Variables and files of secrets stand in them by their
//! names, and are read anew.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    config::{folder_of_a_broken_file, texts::Texts},
    store::draft,
};

/// Keeps the texts of a configuration that was accepted.
pub fn keep(folder: &Path, texts: &Texts) {
    if read(folder).is_ok_and(|kept| kept == *texts) {
        return;
    }
    let written = serde_json::to_vec_pretty(texts).map_err(Into::into);
    if let Err(error) = written.and_then(|text| draft::replace(folder, FILE, &text)) {
        tracing::warn!(%error, folder = %folder.display(), "the accepted configuration cannot be kept for `--last-good`");
    }
}

/// The texts that were last accepted of a file, which may be broken or gone by now.
///
/// # Errors
/// When there are none, or they can't be read.
pub fn find(file: &Path) -> io::Result<Texts> {
    let folder = folder_of_a_broken_file(file);
    let place = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.join(FILE).display());
    let texts = read(&folder).map_err(|error| io::Error::new(error.kind(), place(&error)))?;
    if absolute(&texts.file) != absolute(file) {
        return Err(io::Error::new(io::ErrorKind::NotFound, place(&"it is of another file")));
    }
    Ok(texts)
}

fn read(folder: &Path) -> io::Result<Texts> {
    let mut text = Vec::new();
    let file = File::open(folder.join(FILE))?;
    // A pipe or a device has no length, and is not what we left here.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"));
    }
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

const FILE: &str = "last-good.json";
/// Many times what any configuration takes.
const LARGEST: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn what_was_accepted_is_found_by_its_file_and_by_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("throughline-data");
        fs::create_dir(&state).unwrap();
        let file = folder.path().join("a.yaml");
        assert_eq!(find(&file).unwrap_err().kind(), io::ErrorKind::NotFound);
        for text in ["sites: []", "secret: ${NAME}"] {
            keep(&state, &Texts::of(&file, text));
            assert_eq!(find(&file).unwrap().main(), text);
        }
        assert!(find(&folder.path().join("b.yaml")).is_err());
        let left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [state.join(FILE)]);
        assert_eq!(left[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_damaged_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("throughline-data");
        fs::create_dir(&state).unwrap();
        for damage in ["", "{", "[]", "{\"file\": 1}", "\u{0}"] {
            #[expect(clippy::disallowed_methods, reason = "a test writes into a folder of its own")]
            fs::write(state.join(FILE), damage).unwrap();
            assert!(find(&folder.path().join("a.yaml")).is_err(), "{damage}");
        }
    }
}
