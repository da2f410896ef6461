//! What the writer does when the disk does not do its part.
//!
//! A failed transaction closes the database: an error of fsync is final for a handle. If the commit
//! itself failed, only a look through a new handle tells what is on disk, so its rows are answered
//! after that look and not before. A damaged file is set aside; a full one is read but not written.

use std::{mem, sync::atomic::Ordering, time::Duration};

use super::{
    CandidateEnd, End, ErrorKind, NewRow, clock,
    command::Command,
    database::{Database, OpenError},
    dedup, departure, held, outbox,
    shared::Role,
    transaction::{Applied, Failure, Placed},
    writer::{Leased, Writer},
};

impl Writer {
    /// Answers a batch that failed, with certainty or not yet.
    pub(super) fn recover_from(&mut self, batch: Vec<Command>, failure: &Failure) {
        self.fail(&failure.error);
        let (rows, others): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|command| matches!(command, Command::Accept { .. } | Command::End { .. }));
        self.refuse(others);
        if failure.is_doubtful {
            self.doubtful.extend(rows);
            self.look_up();
        } else {
            self.refuse(rows);
        }
    }

    /// Closes a database that can't be used any more and enters degraded mode.
    pub(super) fn fail(&mut self, error: &rusqlite::Error) {
        let kind = ErrorKind::of(error);
        self.observer.failed(kind);
        self.database = None;
        self.shared.degrade(&format!("{error}; {}", remedy(kind)), clock::now());
        tracing::error!(%error, "a write to the store failed; pages are served, conversions are NOT stored: {}", remedy(kind));
        // A lock that was held too long passes; anything else needs time.
        let pause = if kind == ErrorKind::Busy { Duration::ZERO } else { RETRY };
        self.retry_at = clock::instant() + pause;
        self.next_tick = self.next_tick.min(self.retry_at);
    }

    /// Opens the store; what was in doubt is looked up before anything else is written.
    pub(super) fn reopen(&mut self) {
        match self.open() {
            Ok(database) => {
                self.database = Some(database);
                self.shared.openings.fetch_add(1, Ordering::Release);
                self.look_up();
                if self.shared.recover() {
                    tracing::info!("the store is written again");
                }
            }
            Err(error) => {
                let kind = error.kind();
                self.observer.failed(kind);
                let reason = format!("{error}; {}", remedy(kind));
                let is_new = self.shared.is_ready();
                self.shared.degrade(&reason, clock::now());
                if is_new {
                    tracing::error!(
                        "the store can't be opened; pages are served, conversions are NOT stored: {reason}"
                    );
                }
                self.retry_at = clock::instant() + RETRY;
            }
        }
    }

    fn open(&mut self) -> Result<Database, OpenError> {
        let database = self.open_file()?;
        self.instance
            .lock()
            .map_err(|source| OpenError::Folder { path: self.shared.folder.join("instances"), source })?;
        // A write, so that a full disk is found here and not by the next conversion.
        self.instance.register(&database.connection, clock::now())?;
        if self.shared.role() == Role::Node {
            departure::prepare(&database.connection, clock::now())?;
        }
        Ok(database)
    }

    fn open_file(&self) -> Result<Database, OpenError> {
        let database = Database::open(&self.shared.folder, clock::now())?;
        if let Some(file) = &database.set_aside {
            self.observer.failed(ErrorKind::Corrupt);
            tracing::error!(
                file = %file.display(),
                "the store was damaged and set aside; a new one was begun. \
                 Conversions that were not sent yet are in that file: try `sqlite3 FILE .recover`"
            );
        }
        Ok(database)
    }

    /// Finds out what a failed commit left on disk, and answers those who wait for it.
    pub(super) fn look_up(&mut self) {
        if self.doubtful.is_empty() {
            return;
        }
        // A handle of its own in degraded mode: reading works on a full disk.
        let opened = match &self.database {
            Some(_) => None,
            None => self.open_file().ok(),
        };
        let Some(database) = self.database.as_ref().or(opened.as_ref()) else { return };
        let mut still = Vec::new();
        let (mut found, mut undone) = (Vec::new(), Vec::new());
        for command in mem::take(&mut self.doubtful) {
            let left = if let Command::Accept { rows, .. } = &command {
                rows.iter().map(|row| left_of(&database.connection, row)).collect::<Result<_, _>>().map(Some)
            } else if let Command::End { ends, .. } = &command {
                left_of_ends(&database.connection, ends)
            } else {
                continue;
            };
            match left {
                Ok(Some(placed)) => found.push((command, placed)),
                Ok(None) => undone.push(command),
                Err(_) => still.push(command),
            }
        }
        self.doubtful = still;
        self.deferred.extend(undone);
        for (command, placed) in found {
            self.answer(command, Applied::Rows(placed), Leased::ByUs);
        }
    }
}

/// What a doubtful commit left of a row: afterwards `Unstored` is certain.
fn left_of(connection: &rusqlite::Connection, row: &NewRow) -> rusqlite::Result<Placed> {
    if let Some(id) = outbox::find(connection, row.event.id)? {
        return Ok(Placed::At(id));
    }
    if held::is_known(connection, row.event.id)? {
        return Ok(Placed::Held);
    }
    let key = row.key.map(|dedup| dedup.key);
    let is_duplicate =
        key.map_or(Ok(false), |key| dedup::is_elsewhere(connection, row.event.id, key, row.event.time))?;
    Ok(if is_duplicate { Placed::Duplicate } else { Placed::Refused })
}

/// The same for the ends of candidates; `None` when they still are candidates, so that nothing was done.
fn left_of_ends(connection: &rusqlite::Connection, ends: &[CandidateEnd]) -> rusqlite::Result<Option<Vec<Placed>>> {
    for end in ends {
        if held::is_candidate(connection, end.event_id)? {
            return Ok(None);
        }
    }
    let placed = ends.iter().map(|end| match &end.end {
        End::Accept(row) => left_of(connection, row),
        End::Unproven | End::Dropped => Ok(Placed::Dropped),
    });
    placed.collect::<Result<_, _>>().map(Some)
}

/// What an operator can do.
const fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Full => "free space on the disk of the state folder",
        ErrorKind::Readonly => "make the state folder writable",
        ErrorKind::Io => "the disk fails; look into the kernel's log",
        ErrorKind::Busy => "another program holds the store's lock; end it",
        ErrorKind::Corrupt => "the damaged file can't be set aside; move it yourself",
        ErrorKind::Open => "check `state.path`, its owner and its permissions",
        // Nothing to do: it never ends a transaction.
        ErrorKind::Queue | ErrorKind::Bypass | ErrorKind::Other => "see the error",
    }
}

/// Between two tries to open the store in degraded mode.
const RETRY: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(10) };
