//! The file: found or made, checked, and opened with the settings that make a commit durable.
//!
//! A damaged file is moved aside and a new one begun; nothing is ever deleted.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{ErrorKind, schema};
use crate::tracking::timestamp::Timestamp;

/// The file's name in the state folder.
pub(super) const FILE: &str = "throughline.sqlite";

/// An open, checked, up-to-date database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    path: PathBuf,
    /// Device and inode, to notice when the file is replaced under us.
    identity: Option<(u64, u64)>,
    /// Where a damaged predecessor went.
    pub(super) set_aside: Option<PathBuf>,
}

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{path} can't be used as the state folder: {source}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the store was written by a newer version (schema {found}); run that version, or another state folder")]
    Newer { found: i32 },
    #[error("the file {FILE} belongs to another program; choose another state folder")]
    Foreign,
    #[error("SQLite {0} is older than 3.51.3 and may damage the store")]
    OldSqlite(&'static str),
    #[error("this file system can't hold a write-ahead log (journal mode {0})")]
    Journal(String),
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

impl OpenError {
    /// The metric label.
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Sqlite(error) => ErrorKind::of(error),
            Self::Damaged(_) => ErrorKind::Corrupt,
            Self::Folder { .. } | Self::Newer { .. } | Self::Foreign | Self::OldSqlite(_) | Self::Journal(_) => {
                ErrorKind::Open
            }
        }
    }
}

impl Database {
    /// Opens the store, setting a damaged file aside.
    pub(super) fn open(folder: &Path, now: Timestamp) -> Result<Self, OpenError> {
        // 3.51.3 fixed the damage that a reset of the log could do under concurrent readers.
        if rusqlite::version_number() < 3_051_003 {
            return Err(OpenError::OldSqlite(rusqlite::version()));
        }
        create_folder(folder).map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
        let path = folder.join(FILE);
        match Self::open_file(&path) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let aside = set_aside(&path, now)
                    .map_err(|source| OpenError::Damaged(format!("and can't be moved aside: {source}")))?;
                Ok(Self { set_aside: Some(aside), ..Self::open_file(&path)? })
            }
            result => result,
        }
    }

    /// A second connection to a store that exists, for the commands of an operator.
    pub(super) fn attach(folder: &Path) -> Result<Connection, OpenError> {
        let path = folder.join(FILE);
        // SQLite would only say that it can't open it.
        fs::metadata(&path).map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
        let mut connection = Self::connect(&path)?;
        schema::migrate(&mut connection)?;
        Ok(connection)
    }

    /// Whether the path still leads to the file that is open.
    pub(super) fn is_in_place(&self) -> bool {
        identity(&self.path) == self.identity
    }

    /// Moves the log into the file, as far as readers allow.
    pub(super) fn checkpoint(&self) {
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::debug!(%error, "the log was not checkpointed");
        }
    }

    /// How many bytes it takes on disk, with its log.
    pub(super) fn size(&self) -> u64 {
        length(&self.path) + length(&self.log())
    }

    /// Empties a log that has grown long, which a reader that took its time makes it do.
    ///
    /// The log is only ever begun anew in a moment without readers; while there are some, it waits for
    /// the next call rather than for them.
    pub(super) fn shorten_log(&self) -> rusqlite::Result<()> {
        if length(&self.log()) <= LONG_LOG {
            return Ok(());
        }
        self.connection.busy_timeout(MOMENT)?;
        let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.busy_timeout(PATIENCE)?;
        match emptied {
            Err(error) if ErrorKind::of(&error) == ErrorKind::Busy => Ok(()),
            emptied => emptied,
        }
    }

    fn log(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push("-wal");
        PathBuf::from(name)
    }

    fn open_file(path: &Path) -> Result<Self, OpenError> {
        let folder_error = |source| OpenError::Folder { path: path.to_owned(), source };
        create_file(path).map_err(folder_error)?;
        let size = fs::metadata(path).map_err(folder_error)?.len();
        let mut connection = Self::connect(path)?;
        if size <= QUICK_CHECK_LIMIT {
            let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                return Err(OpenError::Damaged(found));
            }
        }
        schema::migrate(&mut connection)?;
        if let Some(folder) = path.parent() {
            // SQLite made the log and its index; their names must survive a power cut, too.
            sync_folder(folder).map_err(folder_error)?;
        }
        Ok(Self { connection, path: path.to_owned(), identity: identity(path), set_aside: None })
    }

    /// Opens the file with the settings that make a commit durable.
    fn connect(path: &Path) -> Result<Connection, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(64);
        // Before the first table, or it has no effect.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        let journal: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if journal != "wal" {
            return Err(OpenError::Journal(journal));
        }
        connection.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
        )?;
        // These two answer with a row.
        connection.query_row("PRAGMA wal_autocheckpoint = 1000", [], |_| Ok(()))?;
        connection.query_row("PRAGMA journal_size_limit = 67108864", [], |_| Ok(()))?;
        Ok(connection)
    }
}

/// Makes a folder that only we can read, unless it is there.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_folder)
}

/// Makes an empty file that only we can read, unless it is there; `SQLite`'s other files copy its mode.
fn create_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Moves a damaged file and its companions aside; the first error ends it.
fn set_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let named = |companion: &str, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(companion);
        name.push(suffix);
        PathBuf::from(name)
    };
    // Colons are awkward in file names.
    let suffix = format!(".corrupt-{}", now.rfc3339().replace(':', ""));
    // The companions first: a new file must never meet an old log.
    for companion in ["-wal", "-shm", ""] {
        match fs::rename(named(companion, ""), named(companion, &suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !companion.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(named("", &suffix))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A file's length; one that is not there has none.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// How long a write waits for that of another process.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the writer may wait for readers.
const MOMENT: Duration = Duration::from_millis(20);
/// From this length on, the log is emptied: eight times what is written back at once.
const LONG_LOG: u64 = 32 * 1024 * 1024;
/// Larger files are not checked at start: it would take longer than an operator waits.
const QUICK_CHECK_LIMIT: u64 = 256 * 1024 * 1024;
