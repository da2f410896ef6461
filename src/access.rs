//! The access log: a line for each request, written beside the requests.
//!
//! A request leaves a [`Record`] in a queue and goes its way. A thread of its own makes lines of records
//! (`line`) and writes them (`writer`). When it cannot keep up, or the disk is full, lines are dropped and
//! counted; no page waits for one. Where nothing is configured, a request asks [`AccessLog::is_on`] and no more.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use prometheus::IntCounter;

use crate::{store::clock, throttle::Throttle, tracking::site::StoredAddress};

mod line;
mod record;
mod request_id;
mod writer;

pub use record::{Asked, Ending, QueryRule, Record, Text};
pub use request_id::{RequestId, RequestIds, ToldTo};
use writer::Writer;

/// Where the lines go, and what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRules {
    /// The file, to whose end they are added.
    pub file: PathBuf,
    /// How they look.
    pub format: AccessFormat,
    /// Whether they hold queries.
    pub query: QueryRule,
    /// How much of a visitor's address they hold.
    pub client_ip: StoredAddress,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// The combined format of Apache and nginx.
    #[default]
    Combined,
    /// A JSON object in each line.
    Json,
}

/// The access log of this process; clones are the same.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Shared>);

/// What requests and the writer have in common.
#[derive(Debug)]
struct Shared {
    is_on: AtomicBool,
    keeps_query: AtomicBool,
    /// To the writer, once there is one.
    queue: OnceLock<mpsc::SyncSender<Message>>,
    /// Bytes of texts that wait in the queue.
    weight: AtomicUsize,
    orders: Mutex<Orders>,
    dropped: IntCounter,
    overrun: Throttle,
}

/// What goes through the queue.
enum Message {
    /// A request is over.
    Line(Record),
    /// There are orders.
    Look,
}

/// What the writer is to do next.
#[derive(Debug, Default)]
struct Orders {
    change: Option<Change>,
    reopens: bool,
    closes: Option<mpsc::Sender<()>>,
}

/// What holds from now on.
#[derive(Debug)]
enum Change {
    On(AccessRules),
    Off,
}

impl AccessLog {
    /// A log that is off; lines that get lost are counted in `dropped`.
    #[must_use]
    pub fn new(dropped: IntCounter) -> Self {
        Self(Arc::new(Shared {
            is_on: AtomicBool::new(false),
            keeps_query: AtomicBool::new(false),
            queue: OnceLock::new(),
            weight: AtomicUsize::new(0),
            orders: Mutex::default(),
            dropped,
            overrun: Throttle::new(1, QUIET),
        }))
    }

    /// Puts rules in force, or turns it off. A file that cannot be written is told in the log, and tried again.
    pub fn set(&self, rules: Option<&AccessRules>) {
        let Shared { is_on, keeps_query, queue, orders, .. } = &*self.0;
        if queue.get().is_none()
            && rules.is_some()
            && let Some(started) = self.start_writer()
        {
            // A second writer, if two came here at once, ends with its queue.
            let _first = queue.set(started);
        }
        let is_written = queue.get().is_some();
        orders.lock().change = Some(rules.cloned().map_or(Change::Off, Change::On));
        keeps_query.store(rules.is_some_and(|rules| rules.query == QueryRule::Keep), Ordering::Relaxed);
        is_on.store(rules.is_some() && is_written, Ordering::Release);
        self.order();
    }

    /// Opens the file anew, because it was moved away; every line goes into the one or the other.
    pub fn reopen(&self) {
        self.0.orders.lock().reopens = true;
        self.order();
    }

    /// Writes what waits and ends; what comes later is dropped.
    pub fn close(&self) {
        if !self.0.is_on.swap(false, Ordering::AcqRel) {
            return;
        }
        let (done, closed) = mpsc::channel();
        self.0.orders.lock().closes = Some(done);
        self.order();
        if closed.recv_timeout(PATIENCE).is_err() {
            tracing::warn!("the last lines of the access log could not be written in time");
        }
    }

    /// Whether records are wanted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Acquire)
    }

    /// What becomes of queries in records.
    #[must_use]
    pub fn query(&self) -> QueryRule {
        if self.0.keeps_query.load(Ordering::Relaxed) { QueryRule::Keep } else { QueryRule::Drop }
    }

    /// Notes a request that is over; never waits.
    pub fn note(&self, record: Record) {
        let shared = &*self.0;
        let weight = record.weight();
        let has_room = shared.weight.fetch_add(weight, Ordering::Relaxed) + weight <= MAX_WEIGHT;
        if !has_room || !shared.send(Message::Line(record)) {
            shared.weight.fetch_sub(weight, Ordering::Relaxed);
            shared.dropped.inc();
            if let Some(pass) = shared.overrun.pass(clock::instant()) {
                tracing::warn!(
                    held_back = pass.held_back,
                    "the access log is written too slowly; lines are dropped, and counted in throughline_events_dropped_total"
                );
            }
        }
    }

    /// Has the writer look at its orders. A full queue keeps it awake anyway.
    fn order(&self) {
        let _full_or_off = self.0.send(Message::Look);
    }

    fn start_writer(&self) -> Option<mpsc::SyncSender<Message>> {
        let (queue, messages) = mpsc::sync_channel(QUEUE);
        let writer = Writer::new(Arc::clone(&self.0), messages);
        match thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run()) {
            Ok(_) => Some(queue),
            Err(error) => {
                tracing::error!(%error, "the access log has no thread; nothing is written to it");
                None
            }
        }
    }
}

impl Shared {
    fn send(&self, message: Message) -> bool {
        self.queue.get().is_some_and(|queue| queue.try_send(message).is_ok())
    }
}

/// Requests that may wait for the writer.
const QUEUE: usize = 4096;
/// Bytes of their texts.
const MAX_WEIGHT: usize = 8 << 20;
/// How long the end of the process waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two warnings.
const QUIET: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
