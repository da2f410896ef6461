//! Who holds a lease, and whether they still live.
//!
//! Each process locks a file of its own in `instances/` for as long as it lives, then enters its id
//! in the table `instance`, and leases rows only after that. So an id in the table whose file is
//! missing or can be locked belongs to a dead process, however it died.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;
use uuid::Uuid;

use super::database::create_folder;
use crate::tracking::timestamp::Timestamp;

/// This process as the owner of leases.
#[derive(Debug)]
pub(super) struct Instance {
    id: Arc<str>,
    folder: PathBuf,
    lock: Option<File>,
}

impl Instance {
    /// Chooses an id; the file is made by [`lock`](Self::lock).
    pub(super) fn new(folder: &Path) -> Self {
        // Half of a UUID is enough among the few processes of one folder, and stands in every row.
        let mut id = Uuid::new_v4().simple().to_string();
        id.truncate(16);
        Self { id: id.into(), folder: folder.join("instances"), lock: None }
    }

    pub(super) fn id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// Locks our file, unless it is locked already and still in its place.
    pub(super) fn lock(&mut self) -> io::Result<()> {
        let path = self.path_of(&self.id);
        if self.lock.is_some() && path.exists() {
            return Ok(());
        }
        create_folder(&self.folder)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.try_lock()?;
        self.lock = Some(file);
        Ok(())
    }

    /// Enters our id, which also shows whether the database can be written.
    pub(super) fn register(&self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        connection
            .execute("INSERT OR REPLACE INTO instance (id, started_ms) VALUES (?1, ?2)", (&*self.id, now.as_millis()))
            .map(drop)
    }

    /// Clears the leases of all dead processes and says how many rows came back.
    pub(super) fn take_over(&self, connection: &Connection) -> rusqlite::Result<usize> {
        let others: Vec<String> = connection
            .prepare_cached("SELECT id FROM instance WHERE id <> ?1")?
            .query_map([&*self.id], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut rows = 0;
        for other in others {
            // Holding the lock while we clear keeps a third process from doing the same.
            if let Some(_lock) = self.inherit(&other) {
                rows += forget(connection, &other)?;
                // It stays behind at worst: without its id in the table nobody looks at it.
                drop(fs::remove_file(self.path_of(&other)));
            }
        }
        Ok(rows)
    }

    /// Gives everything back at an orderly end.
    pub(super) fn leave(&mut self, connection: Option<&Connection>) {
        if let Some(connection) = connection
            && let Err(error) = forget(connection, &self.id)
        {
            tracing::debug!(%error, "leases stay until another process takes them over");
        }
        if self.lock.take().is_some() {
            drop(fs::remove_file(self.path_of(&self.id)));
        }
    }

    /// The lock of a dead process, `Some(None)` when its file is gone, `None` when it lives.
    #[expect(clippy::option_option, reason = "alive, dead without a file, dead with a file that we now hold")]
    fn inherit(&self, other: &str) -> Option<Option<File>> {
        match OpenOptions::new().write(true).open(self.path_of(other)) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Some(Some(file)),
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(None),
            // Not knowing counts as alive: a row sent late is better than one sent twice.
            Err(_) => None,
        }
    }

    fn path_of(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.lock"))
    }
}

/// Clears the leases of one owner, then the owner, in one transaction.
///
/// There is no index on `lease`: it would cost every conversion, and this scan happens once per process.
fn forget(connection: &Connection, id: &str) -> rusqlite::Result<usize> {
    let transaction = connection.unchecked_transaction()?;
    let rows = transaction.execute("UPDATE outbox SET lease = NULL WHERE lease = ?1", [id])?;
    transaction.execute("DELETE FROM instance WHERE id = ?1", [id])?;
    transaction.commit()?;
    Ok(rows)
}
