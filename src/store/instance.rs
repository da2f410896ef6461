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

use super::{
    database::create_folder,
    held::{self, Resolved},
};
use crate::tracking::timestamp::Timestamp;

/// What processes that ended had left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TakenOver {
    rows: usize,
    candidates: Resolved,
}

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

    /// Clears the leases of all dead processes, decides about their candidates and says what came back.
    pub(super) fn take_over(&self, connection: &Connection) -> rusqlite::Result<TakenOver> {
        let others: Vec<String> = connection
            .prepare_cached("SELECT id FROM instance WHERE id <> ?1")?
            .query_map([&*self.id], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut all = TakenOver::default();
        for other in others {
            // Holding the lock while we clear keeps a third process from doing the same.
            if let Some(_lock) = self.inherit(&other) {
                all.add(forget(connection, &other)?);
                // It stays behind at worst: without its id in the table nobody looks at it.
                drop(fs::remove_file(self.path_of(&other)));
            }
        }
        Ok(all)
    }

    /// Gives everything back at an orderly end.
    pub(super) fn leave(&mut self, connection: Option<&Connection>) {
        match connection.map(|connection| forget(connection, &self.id)) {
            // Leases that are given back are nothing to speak of.
            Some(Ok(left)) => TakenOver { rows: 0, ..left }.log(),
            Some(Err(error)) => tracing::debug!(%error, "leases stay until another process takes them over"),
            None => {}
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

impl TakenOver {
    /// Says it, if there was anything.
    pub(super) fn log(&self) {
        let Self { rows, candidates: Resolved { accepted, duplicates, incomplete } } = *self;
        if rows > 0 {
            tracing::info!(rows, "took over what a process that ended had not sent");
        }
        if accepted + duplicates + incomplete > 0 {
            tracing::info!(
                accepted,
                duplicates,
                incomplete,
                "decided about conversions whose pages were not finished when their process ended; \
                 `throughline outbox list --state incomplete` shows those that wait for a person"
            );
        }
    }

    const fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.candidates.accepted += other.candidates.accepted;
        self.candidates.duplicates += other.candidates.duplicates;
        self.candidates.incomplete += other.candidates.incomplete;
    }
}

/// Clears the leases of one owner, decides about its candidates, then removes the owner, in one transaction.
///
/// There is no index on `lease` or `owner`: it would cost every conversion, and this scan happens once
/// per process.
fn forget(connection: &Connection, id: &str) -> rusqlite::Result<TakenOver> {
    let transaction = connection.unchecked_transaction()?;
    let rows = transaction.execute("UPDATE outbox SET lease = NULL WHERE lease = ?1", [id])?;
    let candidates = held::resolve(&transaction, id)?;
    transaction.execute("DELETE FROM instance WHERE id = ?1", [id])?;
    transaction.commit()?;
    Ok(TakenOver { rows, candidates })
}
