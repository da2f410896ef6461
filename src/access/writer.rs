//! The thread that writes the access log.
//!
//! It takes all that waits, makes lines of it and writes them at once: whole lines, to the end of the
//! file, so that two processes can share one. A file that cannot be opened or written costs lines, which
//! are counted, and is tried again.

use std::{
    fs::{File, OpenOptions},
    io, mem,
    os::unix::fs::OpenOptionsExt,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{AccessRules, Change, Message, Orders, QUIET, Shared, line};
use crate::{
    sheet::{Sheet, Unwritten},
    store::clock,
    throttle::Throttle,
};

/// Writes the lines of one process.
pub(super) struct Writer {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Message>,
    rules: Option<AccessRules>,
    file: Option<Sheet<File>>,
    retry_at: Instant,
    lines: Vec<u8>,
    /// Whether the operator believes that lines get lost.
    fails: bool,
    complaints: Throttle,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, messages: mpsc::Receiver<Message>) -> Self {
        Self {
            shared,
            messages,
            rules: None,
            file: None,
            retry_at: clock::instant(),
            lines: Vec::new(),
            fails: false,
            complaints: Throttle::new(1, QUIET),
        }
    }

    /// Writes until it is told to close.
    pub(super) fn run(mut self) {
        while let Ok(message) = self.messages.recv() {
            self.take(message);
            // A busy proxy need not wake us for each request.
            thread::sleep(GATHERING);
            self.write_waiting();
            let orders = mem::take(&mut *self.shared.orders.lock());
            if let Some(closed) = self.obey(orders) {
                self.write_waiting();
                // Nobody waits any more if that took too long.
                let _waiting = closed.send(());
                return;
            }
        }
    }

    fn obey(&mut self, orders: Orders) -> Option<mpsc::Sender<()>> {
        let Orders { change, reopens, closes } = orders;
        if let Some(change) = change {
            let rules = match change {
                Change::On(rules) => Some(rules),
                Change::Off => None,
            };
            let is_same_file = rules.as_ref().map(|it| &it.file) == self.rules.as_ref().map(|it| &it.file);
            if !is_same_file {
                self.file = None;
            }
            self.rules = rules;
            self.open();
        } else if reopens {
            self.open();
        }
        closes
    }

    fn write_waiting(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
            if self.lines.len() >= MUCH {
                self.write();
            }
        }
        self.write();
        // What a burst has taken.
        self.lines.shrink_to(2 * MUCH);
    }

    fn take(&mut self, message: Message) {
        let Message::Line(record) = message else { return };
        self.shared.weight.fetch_sub(record.weight(), Ordering::Relaxed);
        if self.rules.is_none() {
            // The first requests may have overtaken the first rules.
            let change = self.shared.orders.lock().change.take();
            let _no_end = self.obey(Orders { change, ..Orders::default() });
        }
        match &self.rules {
            Some(rules) => line::append(&record, rules, &mut self.lines),
            None => self.shared.dropped.inc(),
        }
    }

    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if self.file.is_none() && clock::instant() >= self.retry_at {
            self.open();
        }
        let lines = mem::take(&mut self.lines);
        let written = match &mut self.file {
            Some(sheet) => sheet.write(&lines).map_err(|Unwritten { whole, error }| (whole, Some(error))),
            None => Err((0, None)),
        };
        match written {
            Ok(()) => {
                if mem::take(&mut self.fails) {
                    tracing::info!("the access log is written again");
                }
            }
            Err((whole, error)) => {
                let lost = lines.get(whole..).unwrap_or_default();
                self.shared.dropped.inc_by(memchr::memchr_iter(b'\n', lost).count() as u64);
                if let Some(error) = error {
                    self.complain(&error);
                }
            }
        }
        self.lines = lines;
        self.lines.clear();
    }

    /// Opens the file. What was open before stays in use when that fails.
    fn open(&mut self) {
        let Some(rules) = &self.rules else { return };
        // For its owner, and for those who read logs.
        match OpenOptions::new().append(true).create(true).mode(0o640).open(&rules.file) {
            Ok(file) => {
                self.file = Some(Sheet { writer: file, is_torn: false });
            }
            Err(error) => {
                self.retry_at = clock::instant() + RETRY;
                self.complain(&error);
            }
        }
    }

    fn complain(&mut self, error: &io::Error) {
        self.fails = true;
        let Some(rules) = &self.rules else { return };
        if self.complaints.pass(clock::instant()).is_some() {
            tracing::warn!(
                file = %rules.file.display(),
                %error,
                "the access log cannot be written; pages go on, its lines are dropped and counted in \
                 throughline_events_dropped_total"
            );
        }
    }
}

/// How long requests are gathered for one write.
const GATHERING: Duration = Duration::from_millis(10);
/// Bytes that are worth a write.
const MUCH: usize = 64 << 10;
/// Between two attempts to open the file.
const RETRY: Duration = Duration::from_secs(1);
