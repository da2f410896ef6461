//! What an operator changes in the store, from a process of their own.
//!
//! Changes are made beside the running proxy, which notices within a second: in slices, each of them a
//! transaction, with a pause between two in which conversions go first. Every change is entered in the
//! audit by the transaction that makes it. Reading is the [`Inspector`](super::Inspector)'s.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{
    audit::{Action, Actor, Entry},
    clock,
    database::{Database, OpenError},
    inspector::RowId,
    instance::Instance,
    notice::{Deed, Notice},
};

pub(super) mod correction;
mod erase;
mod purge;
mod reassign;
mod replay;

pub use correction::{Corrected, Correction};
pub use erase::Receipt;
pub use purge::Purged;
pub(super) use reassign::renamed_keys;
pub use reassign::{Reassigned, Rename};
pub use replay::{AgeLimit, Replayed};

/// Changes the store of a folder.
#[derive(Debug)]
pub struct Desk {
    connection: Connection,
    folder: PathBuf,
    actor: Actor,
}

/// Why the store can't be changed.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It can't be opened.
    #[error("the store in {folder} can't be opened: {reason}")]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It could not be written.
    #[error("the store could not be changed: {0}")]
    Unwritten(#[from] rusqlite::Error),
}

impl Desk {
    /// Opens the store of a folder for whoever acts.
    ///
    /// # Errors
    /// When there is none, or it can't be written.
    pub fn open(folder: &Path, actor: Actor) -> Result<Self, DeskError> {
        let connection = Database::attach(folder)
            .map_err(|error: OpenError| DeskError::Unusable { folder: folder.to_owned(), reason: error.to_string() })?;
        Ok(Self { connection, folder: folder.to_owned(), actor })
    }

    /// Enters in the audit what was done to something else than rows.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn enter(&self, action: &Action) -> Result<(), DeskError> {
        Ok(Entry::new(&self.actor, action).add(&self.connection, 1, clock::now())?)
    }

    /// Changes rows, slice by slice.
    fn in_slices(
        &mut self,
        action: &Action,
        rows: &[RowId],
        mut change: impl FnMut(&mut Slice<'_>, &RowId) -> rusqlite::Result<()>,
    ) -> Result<(), DeskError> {
        // What a process that ended has leased is nobody's.
        Instance::new(&self.folder).take_over(&self.connection)?.log();
        let mut entry = Entry::new(&self.actor, action);
        for (index, rows) in rows.chunks(SLICE).enumerate() {
            if index > 0 {
                thread::sleep(BETWEEN_SLICES);
            }
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut slice = Slice { transaction: &transaction, changed: 0, notices: Vec::new() };
            let mut touched = Vec::new();
            for row in rows {
                let before = slice.changed;
                change(&mut slice, row)?;
                if slice.changed > before {
                    touched.push(row);
                }
            }
            let (now, changed) = (clock::now(), slice.changed);
            slice.notices.iter().try_for_each(|notice| notice.write(&transaction, now))?;
            entry.add(&transaction, changed, now)?;
            entry.touch(&transaction, &touched, now)?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// Has freed pages overwritten, or the values would stay readable in the file.
    fn delete_securely(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))
    }

    /// Empties the log, which still has the old pages; while somebody reads, it keeps them a little longer.
    fn empty_log(&self) {
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::debug!(%error, "the log was not checkpointed");
        }
    }
}

/// Some of the rows, and what was done to them.
struct Slice<'a> {
    transaction: &'a Transaction<'a>,
    changed: usize,
    notices: Vec<Notice>,
}

impl Slice<'_> {
    /// Has the processes of this folder count a row.
    fn tell(&mut self, deed: Deed, site: &str, network: &str) {
        let same = |notice: &&mut Notice| notice.deed == deed && notice.site == site && notice.network == network;
        match self.notices.iter_mut().find(same) {
            Some(notice) => notice.count += 1,
            None => self.notices.push(Notice { deed, site: site.to_owned(), network: network.to_owned(), count: 1 }),
        }
    }
}

/// Rows in one transaction: a few milliseconds.
const SLICE: usize = 500;
/// Whoever waits for the lock looks again after at most so long; see `busy_timeout` of `SQLite`.
const BETWEEN_SLICES: Duration = Duration::from_millis(100);
