//! The thread that writes.
//!
//! It takes whatever is queued, writes it as one transaction and answers. When that fails, it opens
//! the file anew (an error of fsync is final for a handle), looks up what a doubtful commit really
//! left, and only then answers. While nothing can be opened, new conversions are refused at once;
//! settlements wait in memory, and so do those whose commit is still in doubt.

use std::{collections::VecDeque, sync::Arc, thread, time::Instant};

use tokio::sync::mpsc;

use super::{
    LeasedRow, Retention, StoreObserver,
    batch::{self, BATCH, Work},
    clock,
    command::Command,
    database::Database,
    filesystem,
    housekeeping::Housekeeping,
    instance::Instance,
    shared::Shared,
    transaction::{self, Applied, Placed, Scribe},
    unpark::Unpark,
    upkeep::{Heard, TICK},
};
mod answers;

pub(super) struct Writer {
    fresh: mpsc::UnboundedSender<LeasedRow>,
    pub(super) observer: Arc<dyn StoreObserver>,
    pub(super) shared: Arc<Shared>,
    pub(super) instance: Instance,
    /// `None` in degraded mode.
    pub(super) database: Option<Database>,
    pub(super) retry_at: Instant,
    pub(super) next_tick: Instant,
    pub(super) housekeeping: Housekeeping,
    pub(super) heard: Heard,
    /// Settlements, releases and ends of candidates that could not be written yet, oldest first.
    pub(super) deferred: VecDeque<Command>,
    /// Conversions whose commit failed and could not be looked up since.
    pub(super) doubtful: Vec<Command>,
    /// Whether records of hits are being written, slice by slice.
    pub(super) owes_hits: bool,
}

impl Writer {
    /// Opens the store, or begins in degraded mode.
    pub(super) fn new(
        fresh: mpsc::UnboundedSender<LeasedRow>,
        retention: Retention,
        observer: Arc<dyn StoreObserver>,
        shared: Arc<Shared>,
    ) -> Self {
        let now = clock::instant();
        let mut writer = Self {
            fresh,
            observer,
            instance: Instance::new(&shared.folder),
            shared,
            database: None,
            retry_at: now,
            next_tick: now,
            housekeeping: Housekeeping::new(now, retention),
            heard: Heard::default(),
            deferred: VecDeque::new(),
            doubtful: Vec::new(),
            owes_hits: false,
        };
        writer.reopen();
        if let Some(risk) = filesystem::risk(&writer.shared.folder) {
            tracing::warn!(folder = %writer.shared.folder.display(), "the state folder {risk}");
        }
        writer
    }

    /// Works until it is closed or nobody is left to ask.
    pub(super) fn run(mut self, receiver: mpsc::Receiver<Command>) {
        batch::run(receiver, &mut self, &Unpark::this_thread(), |_| thread::park_timeout(TICK));
    }
}

impl Work for Writer {
    type Command = Command;

    fn is_last(command: &Command) -> bool {
        matches!(command, Command::Close(_))
    }

    fn handle(&mut self, batch: Vec<Command>) {
        #[cfg(test)]
        let batch = self.run_tests(batch);
        if batch.is_empty() {
            return;
        }
        if self.database.is_some() { self.write(batch) } else { self.refuse(batch) }
    }

    fn catch_up(&mut self) -> bool {
        let Some(database) = &self.database else { return false };
        if !self.deferred.is_empty() {
            self.write_deferred();
            return true;
        }
        if self.owes_hits {
            let Shared { hits, withdrawn, .. } = &*self.shared;
            // Those that fail wait again, until the store is looked after next.
            self.owes_hits = hits.write(&database.connection, withdrawn).unwrap_or_default();
        }
        self.owes_hits
    }

    fn tick(&mut self) {
        self.keep_up();
    }

    fn end(&mut self) {
        let Shared { hits, withdrawn, .. } = &*self.shared;
        while let Some(written) = self.database.as_ref().map(|database| hits.write(&database.connection, withdrawn)) {
            match written {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(%error, "the last hits were not written down");
                    break;
                }
            }
        }
        self.instance.leave(self.database.as_ref().map(|database| &database.connection));
        if let Some(database) = self.database.take() {
            database.checkpoint();
        }
    }

    fn ended(command: Command) {
        command.refuse();
    }
}

impl Writer {
    /// Writes a batch and answers it.
    fn write(&mut self, mut batch: Vec<Command>) {
        let Some(database) = &self.database else { return self.refuse(batch) };
        let started = clock::instant();
        let owner = self.instance.id();
        let leased = if self.fresh.is_closed() { Leased::ByNobody } else { Leased::ByUs };
        let lease = match leased {
            Leased::ByUs => Some(&*owner),
            Leased::ByNobody => None,
        };
        match transaction::run(
            &database.connection,
            &mut batch,
            Scribe { owner: &owner, lease, role: self.shared.role() },
        ) {
            Ok(applied) => {
                let took = clock::instant().saturating_duration_since(started);
                let is_row = |placed: &&Placed| matches!(placed, Placed::At(_));
                let rows = applied.iter().map(|applied| match applied {
                    Applied::Rows(placed) => placed.iter().filter(is_row).count(),
                    Applied::Leased(_)
                    | Applied::Woken(_)
                    | Applied::Withdrawn(..)
                    | Applied::Departed(_)
                    | Applied::Forgotten(_)
                    | Applied::Nothing => 0,
                });
                self.observer.committed(took, rows.sum());
                let is_news = batch.iter().any(leaves_something);
                for (command, applied) in batch.into_iter().zip(applied) {
                    self.answer(command, applied, leased);
                }
                if is_news {
                    self.shared.arrived.notify_one();
                }
            }
            Err(failure) => self.recover_from(batch, &failure),
        }
    }

    /// Answers without writing; what the worker says is kept for later.
    pub(super) fn refuse(&mut self, batch: Vec<Command>) {
        for command in batch {
            if let Command::Remember { keys, .. } = &command {
                // It stays in memory, as far as there is room.
                self.shared.journeys.written(keys);
            }
            if !is_deferred(&command) {
                command.refuse();
            } else if self.deferred.len() < DEFERRED {
                self.deferred.push_back(command);
            }
            // Beyond that the row stays leased by us, or a candidate: the next process decides about it.
        }
    }

    /// Writes some of what had to wait; a failure makes it wait again.
    pub(super) fn write_deferred(&mut self) {
        let batch: Vec<_> = self.deferred.drain(..self.deferred.len().min(BATCH)).collect();
        if !batch.is_empty() {
            self.write(batch);
        }
    }

    #[cfg(test)]
    fn run_tests(&self, batch: Vec<Command>) -> Vec<Command> {
        let mut rest = Vec::new();
        for command in batch {
            match (command, &self.database) {
                (Command::Test(action), Some(database)) => action(&database.connection),
                (command, _) => rest.push(command),
            }
        }
        rest
    }
}

/// To whom the rows of a batch were leased.
#[derive(Clone, Copy)]
pub(super) enum Leased {
    ByUs,
    ByNobody,
}

/// Whether a command waits until it can be written: it concerns what is on disk already.
const fn is_deferred(command: &Command) -> bool {
    matches!(
        command,
        Command::Settle(_)
            | Command::Release { .. }
            | Command::End { .. }
            | Command::Forget { .. }
            | Command::Withdraw { .. }
    )
}

/// Whether a node may have something for its fleet afterwards.
const fn leaves_something(command: &Command) -> bool {
    matches!(
        command,
        Command::Accept { .. }
            | Command::End { .. }
            | Command::Claim { .. }
            | Command::GiveBack(_)
            | Command::Remember { .. }
            | Command::Forget { .. }
            | Command::Withdraw { .. }
    )
}

/// Settlements kept while nothing can be written.
const DEFERRED: usize = 100_000;
