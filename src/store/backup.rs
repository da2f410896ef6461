//! A copy of the store, made while it is written: one consistent moment, checked before it has its name.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{Inspector, database, inspector::InspectError};

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The size of the copy, in bytes.
    pub bytes: u64,
    /// Conversions in it that are still to be sent.
    pub unsent: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store can't be read.
    #[error("{0}")]
    Store(#[from] InspectError),
    /// The file is there already.
    #[error("{0} is there already; a backup never overwrites anything")]
    Exists(PathBuf),
    /// The file can't be written.
    #[error("{file} can't be written: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// `SQLite` could not copy.
    #[error("the store could not be copied: {0}")]
    Copy(#[from] rusqlite::Error),
    /// The copy is not in order, and so perhaps neither is the store.
    #[error("the copy is damaged ({0}), and so may the store be; the next start checks it")]
    Damaged(String),
}

impl Inspector {
    /// Copies the store as it is at this moment into a new file that only its owner can read.
    ///
    /// Conversions are accepted and sent meanwhile. The file has its name only once it is complete, on
    /// disk and found in order.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn back_up(&self, file: &Path) -> Result<Backup, BackupError> {
        let connection = self.connect()?;
        if fs::symlink_metadata(file).is_ok() {
            return Err(BackupError::Exists(file.to_owned()));
        }
        let mut partial = file.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        create(&partial)?;
        let made = fill(&connection, &partial).and_then(|made| name(&partial, file).map(|()| made));
        if made.is_err() {
            // What stays behind is in the way of the next backup, which says so.
            drop(fs::remove_file(&partial));
        }
        made
    }
}

/// Makes the file before `SQLite` would, which would let others read it.
fn create(file: &Path) -> Result<(), BackupError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::Exists(file.to_owned())),
        Err(source) => Err(BackupError::File { file: file.to_owned(), source }),
    }
}

fn fill(connection: &Connection, file: &Path) -> Result<Backup, BackupError> {
    let failed = |source| BackupError::File { file: file.to_owned(), source };
    let name = file.to_str().ok_or_else(|| failed(io::Error::other("its name is no UTF-8")))?;
    connection.execute("VACUUM INTO ?1", [name])?;
    let copy = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let found: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(BackupError::Damaged(found));
    }
    let unsent: i64 = copy.query_row("SELECT count(*) FROM outbox WHERE verdict IS NULL", [], |row| row.get(0))?;
    drop(copy);
    let written = OpenOptions::new().write(true).open(file).and_then(|file| {
        file.sync_all()?;
        file.metadata()
    });
    Ok(Backup { bytes: written.map_err(failed)?.len(), unsent: u64::try_from(unsent).unwrap_or(0) })
}

/// Gives the finished copy its name, unless something has it by now.
fn name(partial: &Path, file: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::File { file: file.to_owned(), source };
    match fs::hard_link(partial, file) {
        Ok(()) => fs::remove_file(partial).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists(file.to_owned()));
        }
        // Not every file system has links.
        Err(_) => fs::rename(partial, file).map_err(failed)?,
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    database::sync_folder(folder).map_err(failed)
}
