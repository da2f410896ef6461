//! Records as JSON lines in a file that is renamed when it has grown large.
//!
//! `events.jsonl` becomes `events.jsonl.1`, that becomes `.2`, and so on; the oldest goes. Somebody
//! else may move it instead and ask for it to be opened anew. Readable by the owner alone.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::PathBuf,
};

use super::{
    feed::Inbox,
    lines::{self, Target},
};
use crate::sheet::{Sheet, Unwritten};

/// Where the file is, and how much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The file.
    pub path: PathBuf,
    /// The bytes that it may hold, unless one line alone is longer.
    pub max_size: u64,
    /// How many older ones stay.
    pub keep: u32,
}

/// Writes until it is told to end.
pub(super) fn run(settings: FileSettings, inbox: Inbox) {
    lines::run(Rotating { settings, open: None }, inbox);
}

struct Rotating {
    settings: FileSettings,
    open: Option<Sheet<File>>,
}

impl Target for Rotating {
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let failed = |error| Unwritten { whole: 0, error };
        let mut sheet = match self.open.take() {
            Some(sheet) => sheet,
            None => self.open().map_err(failed)?,
        };
        let length = sheet.writer.metadata().map_err(failed)?.len();
        if length > 0 && length.saturating_add(lines.len() as u64) > self.settings.max_size {
            self.make_room(&sheet.writer).map_err(failed)?;
            sheet = self.open().map_err(failed)?;
        }
        // After an error it is opened anew: its folder may be another one by then.
        sheet.write(lines)?;
        self.open = Some(sheet);
        Ok(())
    }

    fn reopen(&mut self) {
        self.open = None;
    }
}

impl Rotating {
    fn open(&self) -> io::Result<Sheet<File>> {
        // Readable, too, to see how it ends.
        let file = OpenOptions::new().append(true).read(true).create(true).mode(0o600).open(&self.settings.path)?;
        let metadata = file.metadata()?;
        let mut last = [b'\n'];
        if metadata.is_file() && metadata.len() > 0 {
            file.read_exact_at(&mut last, metadata.len() - 1)?;
        }
        Ok(Sheet { writer: file, is_torn: last != [b'\n'] })
    }

    /// Renames the file and its elders, if it is still the one that we write to.
    fn make_room(&self, ours: &File) -> io::Result<()> {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let there = existing(fs::metadata(&self.settings.path))?.map(identity);
        // Somebody has moved it: that was its rotation. Or it is a device, which has no size to speak of.
        if there != Some(identity(ours.metadata()?)) || !ours.metadata()?.is_file() {
            return Ok(());
        }
        if self.settings.keep == 0 {
            return existing(fs::remove_file(&self.settings.path)).map(drop);
        }
        for number in (1..self.settings.keep).rev() {
            existing(fs::rename(self.elder(number), self.elder(number + 1)))?;
        }
        existing(fs::rename(&self.settings.path, self.elder(1))).map(drop)
    }

    /// `events.jsonl.1` and so on.
    fn elder(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.settings.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

/// What was done, or nothing as the file is not there.
fn existing<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests read and write the files of a folder of their own")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn lines(from: u32, to: u32) -> Vec<u8> {
        (from..to).flat_map(|number| format!("{{\"n\":{number:03}}}\n").into_bytes()).collect()
    }

    fn rotating(folder: &tempfile::TempDir, max_size: u64, keep: u32) -> Rotating {
        Rotating { settings: FileSettings { path: folder.path().join("e.jsonl"), max_size, keep }, open: None }
    }

    #[test]
    fn the_newest_stand_in_the_file_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut target = rotating(&folder, 50, 2);
        for start in (0..40).step_by(5) {
            assert!(target.write(&lines(start, start + 5)).is_ok());
        }
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap_or_default();
        assert_eq!(read("e.jsonl"), lines(35, 40));
        assert_eq!(read("e.jsonl.1"), lines(30, 35));
        assert_eq!(read("e.jsonl.2"), lines(25, 30));
        assert!(!folder.path().join("e.jsonl.3").exists());
        let mode = fs::metadata(folder.path().join("e.jsonl")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_somebody_moved_is_written_to_until_it_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut target = rotating(&folder, 1 << 20, 2);
        assert!(target.write(&lines(0, 1)).is_ok());
        fs::rename(folder.path().join("e.jsonl"), folder.path().join("old")).unwrap();
        assert!(target.write(&lines(1, 2)).is_ok());
        target.reopen();
        assert!(target.write(&lines(2, 3)).is_ok());
        assert_eq!(fs::read(folder.path().join("old")).unwrap(), lines(0, 2));
        assert_eq!(fs::read(folder.path().join("e.jsonl")).unwrap(), lines(2, 3));
    }

    #[test]
    fn another_ones_file_is_not_renamed() {
        let folder = tempfile::tempdir().unwrap();
        let mut target = rotating(&folder, 50, 2);
        assert!(target.write(&lines(0, 5)).is_ok());
        fs::rename(folder.path().join("e.jsonl"), folder.path().join("old")).unwrap();
        fs::write(folder.path().join("e.jsonl"), lines(90, 91)).unwrap();
        assert!(target.write(&lines(5, 10)).is_ok());
        assert_eq!(fs::read(folder.path().join("e.jsonl")).unwrap(), [lines(90, 91), lines(5, 10)].concat());
        assert!(!folder.path().join("e.jsonl.1").exists());
    }

    #[test]
    fn what_a_killed_process_left_of_a_line_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("e.jsonl"), "{\"n\":0").unwrap();
        assert!(rotating(&folder, 1 << 20, 2).write(&lines(1, 2)).is_ok());
        assert_eq!(fs::read(folder.path().join("e.jsonl")).unwrap(), [b"{\"n\":0\n".to_vec(), lines(1, 2)].concat());
    }

    #[test]
    fn a_folder_that_comes_later_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/e.jsonl");
        let settings = FileSettings { path: path.clone(), max_size: 1 << 20, keep: 1 };
        let mut target = Rotating { settings, open: None };
        assert!(target.write(&lines(0, 1)).is_err());
        fs::create_dir(folder.path().join("later")).unwrap();
        assert!(target.write(&lines(0, 1)).is_ok());
        assert_eq!(fs::read(path).unwrap(), lines(0, 1));
    }
}
