//! The thread that writes.
//!
//! It takes whatever is queued, writes it as one transaction and answers. When that fails, it opens
//! the file anew (an error of fsync is final for a handle), looks up what a doubtful commit really
//! left, and only then answers. While nothing can be opened, new conversions are refused at once;
//! settlements wait in memory, and so do those whose commit is still in doubt.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    End, ErrorKind, LeasedRow, NewRow, Retention, Settled, StoreObserver, clock,
    command::Command,
    database::Database,
    filesystem,
    housekeeping::Housekeeping,
    instance::{Instance, TakenOver},
    outbox,
    shared::Shared,
    transaction::{self, Applied, Placed},
    unpark::Unpark,
    withdrawal::News,
};
use crate::tracking::timestamp::Timestamp;

pub(super) struct Writer {
    receiver: mpsc::Receiver<Command>,
    fresh: mpsc::UnboundedSender<LeasedRow>,
    pub(super) observer: Arc<dyn StoreObserver>,
    pub(super) shared: Arc<Shared>,
    pub(super) instance: Instance,
    /// `None` in degraded mode.
    pub(super) database: Option<Database>,
    pub(super) retry_at: Instant,
    pub(super) next_tick: Instant,
    housekeeping: Housekeeping,
    /// The last announcement of another process that we know.
    heard: Option<i64>,
    /// Settlements, releases and ends of candidates that could not be written yet, oldest first.
    pub(super) deferred: VecDeque<Command>,
    /// Conversions whose commit failed and could not be looked up since.
    pub(super) doubtful: Vec<Command>,
}

impl Writer {
    /// Opens the store, or begins in degraded mode.
    pub(super) fn new(
        receiver: mpsc::Receiver<Command>,
        fresh: mpsc::UnboundedSender<LeasedRow>,
        retention: Retention,
        observer: Arc<dyn StoreObserver>,
        shared: Arc<Shared>,
    ) -> Self {
        let now = clock::instant();
        let mut writer = Self {
            receiver,
            fresh,
            observer,
            instance: Instance::new(&shared.folder),
            shared,
            database: None,
            retry_at: now,
            next_tick: now,
            housekeeping: Housekeeping::new(now, retention),
            heard: None,
            deferred: VecDeque::new(),
            doubtful: Vec::new(),
        };
        writer.reopen();
        if let Some(risk) = filesystem::risk(&writer.shared.folder) {
            tracing::warn!(folder = %writer.shared.folder.display(), "the state folder {risk}");
        }
        writer
    }

    /// Works until it is closed or nobody is left to ask.
    pub(super) fn run(mut self) {
        let waker = Unpark::this_thread();
        let mut context = Context::from_waker(&waker);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.tick();
            // By hand, because the blocking receive knows no timeout and a timer would cost more.
            let polled = {
                let receive = std::pin::pin!(self.receiver.recv_many(&mut batch, BATCH));
                receive.poll(&mut context)
            };
            match polled {
                Poll::Pending if self.database.is_some() && !self.deferred.is_empty() => self.write_deferred(),
                Poll::Pending => thread::park_timeout(TICK),
                Poll::Ready(0) => return self.end(),
                Poll::Ready(_) => {
                    let closing = take_closing(&mut batch);
                    self.handle(mem::take(&mut batch));
                    if !closing.is_empty() {
                        self.drain();
                        self.end();
                        return closing.into_iter().for_each(Command::refuse);
                    }
                    batch.reserve(BATCH);
                }
            }
        }
    }

    fn handle(&mut self, batch: Vec<Command>) {
        #[cfg(test)]
        let batch = self.run_tests(batch);
        if batch.is_empty() {
            return;
        }
        if self.database.is_some() { self.write(batch) } else { self.refuse(batch) }
    }

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
        match transaction::run(&database.connection, &mut batch, &owner, lease) {
            Ok(applied) => {
                let took = clock::instant().saturating_duration_since(started);
                let is_row = |placed: &&Placed| matches!(placed, Placed::At(_));
                let rows = applied.iter().map(|applied| match applied {
                    Applied::Rows(placed) => placed.iter().filter(is_row).count(),
                    Applied::Leased(_) | Applied::Withdrawn(_) | Applied::Forgotten(_) | Applied::Nothing => 0,
                });
                self.observer.committed(took, rows.sum());
                for (command, applied) in batch.into_iter().zip(applied) {
                    self.answer(command, applied, leased);
                }
            }
            Err(failure) => self.recover_from(batch, &failure),
        }
    }

    /// Tells a command what the commit made true.
    pub(super) fn answer(&mut self, command: Command, applied: Applied, leased: Leased) {
        match (command, applied) {
            (Command::Accept { rows, answer }, Applied::Rows(placed)) => {
                let accepted = placed.iter().map(|placed| placed.accepted()).collect();
                for (row, placed) in rows.into_iter().zip(placed) {
                    self.distribute(row, placed, leased);
                }
                // Nobody waiting for it is fine: the row is stored.
                drop(answer.send(accepted));
            }
            (Command::End { ends, answer }, Applied::Rows(placed)) => {
                let accepted = placed.iter().map(|placed| placed.accepted()).collect();
                for (end, placed) in ends.into_iter().zip(placed) {
                    if let End::Accept(row) = end.end {
                        self.distribute(row, placed, leased);
                    }
                }
                drop(answer.send(accepted));
            }
            (Command::Lease { site, network, answer, .. }, Applied::Leased(rows)) => {
                let next = self.database.as_ref().map(|it| outbox::next_due(&it.connection, &site, &network));
                if let Some(Ok(next)) = next {
                    self.shared.due.set(&site, &network, next);
                }
                if let Err(unwanted) = answer.send(rows) {
                    self.deferred.extend(unwanted.into_iter().map(|row| Command::Release { row, at: None }));
                }
            }
            (Command::Settle(settlement), _) => {
                if let Settled::Retry { at, .. } = settlement.outcome {
                    let event = &settlement.row.event;
                    self.shared.due.at(&event.site, &event.network, at.as_millis());
                }
            }
            // The exact time is not known here; too early costs one query.
            (Command::Release { row, at }, _) => {
                let at = at.map_or(0, Timestamp::as_millis);
                self.shared.due.at(&row.event.site, &row.event.network, at);
            }
            (Command::Withdraw { done, .. }, Applied::Withdrawn(ended)) => {
                ended.iter().for_each(|ended| self.observer.withdrawn(&ended.site, &ended.network));
                drop(done);
            }
            (Command::Forget { keys, done }, Applied::Forgotten(all)) => {
                self.shared.journeys.drop_erased(&all);
                self.shared.journeys.written(&keys);
                drop(done.send(all.into_iter().collect()));
            }
            (Command::Remember { keys, .. }, _) => self.shared.journeys.written(&keys),
            (command, _) => command.refuse(),
        }
    }

    /// Tells the worker of a row that has come into the outbox.
    fn distribute(&mut self, row: NewRow, placed: Placed, leased: Leased) {
        let event = row.event;
        if placed == Placed::Withdrawn {
            self.observer.withdrawn(&event.site, &event.network);
        }
        let Placed::At(id) = placed else { return };
        match leased {
            Leased::ByUs => self.hand_over(LeasedRow { event, attempts: 0, id }),
            Leased::ByNobody => self.shared.due.at(&event.site, &event.network, event.time.as_millis()),
        }
    }

    fn hand_over(&mut self, row: LeasedRow) {
        if let Err(mpsc::error::SendError(row)) = self.fresh.send(row) {
            self.deferred.push_back(Command::Release { row, at: None });
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
    fn write_deferred(&mut self) {
        let batch: Vec<_> = self.deferred.drain(..self.deferred.len().min(BATCH)).collect();
        if !batch.is_empty() {
            self.write(batch);
        }
    }

    /// What happens about once a second, with or without work.
    fn tick(&mut self) {
        let instant = clock::instant();
        if instant < self.next_tick {
            return;
        }
        self.next_tick = instant + TICK;
        for _ in 0..self.shared.lost.swap(0, Ordering::Relaxed) {
            self.observer.failed(ErrorKind::Queue);
        }
        if self.database.as_ref().is_some_and(|database| !database.is_in_place()) {
            tracing::error!("the file of the store was moved or deleted; opening it anew");
            self.observer.failed(ErrorKind::Open);
            self.database = None;
        }
        if self.database.is_none() && instant >= self.retry_at {
            self.reopen();
        }
        if self.database.is_some() {
            self.write_deferred();
        }
        let Some(database) = &self.database else { return };
        let kept = self
            .instance
            .take_over(&database.connection)
            .inspect(TakenOver::log)
            .and_then(|_| News::since(&database.connection, self.heard))
            .map(|news| self.heard = Some(hear(&self.shared, &*self.observer, news)))
            .and_then(|()| self.housekeeping.tick(&database.connection, instant, clock::now()))
            .and_then(|()| outbox::all_due(&database.connection));
        match kept {
            Ok(due) => self.shared.due.replace(due),
            Err(error) => {
                if ErrorKind::of(&error) == ErrorKind::Busy {
                    // Another process writes a lot; it can wait.
                    self.observer.failed(ErrorKind::Busy);
                } else {
                    self.fail(&error);
                }
            }
        }
    }

    /// Writes what is still queued at the end.
    fn drain(&mut self) {
        self.receiver.close();
        let mut rest = Vec::new();
        while let Ok(command) = self.receiver.try_recv() {
            rest.push(command);
            if rest.len() == BATCH {
                self.handle(mem::take(&mut rest));
            }
        }
        self.handle(rest);
        while self.database.is_some() && !self.deferred.is_empty() {
            self.write_deferred();
        }
    }

    fn end(&mut self) {
        self.instance.leave(self.database.as_ref().map(|database| &database.connection));
        if let Some(database) = self.database.take() {
            database.checkpoint();
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

/// Follows what others erased; returns how far they were heard.
fn hear(shared: &Shared, observer: &dyn StoreObserver, news: News) -> i64 {
    shared.withdrawn.insert(news.events);
    shared.journeys.drop_erased(&news.journeys);
    news.uncounted.iter().for_each(|ended| observer.withdrawn(&ended.site, &ended.network));
    news.last
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

fn take_closing(batch: &mut Vec<Command>) -> Vec<Command> {
    batch.extract_if(.., |command| matches!(command, Command::Close(_))).collect()
}

/// Commands in one transaction, at most.
const BATCH: usize = 512;
const TICK: Duration = Duration::from_secs(1);
/// Settlements kept while nothing can be written.
const DEFERRED: usize = 100_000;
