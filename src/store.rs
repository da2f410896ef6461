//! The durable store: what was accepted, what is still to be sent, what became of it.
//!
//! A [`Store`] is a cheap handle. Behind it one thread owns the only read-write connection of this
//! process and writes whatever is queued as one transaction with one fsync. Whatever happens to the
//! disk, a caller gets an answer and never an error: an unusable folder is a degraded mode that
//! ends by itself. What rows mean to a network and when they are tried again does not belong here.

use std::{
    path::Path,
    sync::{
        Arc, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use tokio::sync::{mpsc, oneshot};

use crate::tracking::{
    event::{DedupKey, EventId},
    timestamp::Timestamp,
};

pub mod audit;
pub mod backup;
pub mod bypass;
pub mod clock;
pub mod desk;
pub mod draft;
pub mod fleet;
pub mod inspector;
pub mod mask;
pub mod observer;
pub mod office;
pub mod row;
pub mod story;
pub mod uptime;

mod acceptance;
mod attempts;
mod batch;
mod command;
mod database;
mod dedup;
mod departure;
mod due;
mod elsewhere;
mod errand;
mod fate;
mod filesystem;
mod forwarder;
mod heirloom;
mod held;
mod hits;
mod housekeeping;
mod instance;
mod journeys;
mod lookup;
mod notice;
mod outbox;
mod reader;
mod recovery;
mod retention;
mod schema;
mod shared;
mod switches;
mod transaction;
mod unpark;
mod unwritten;
mod upkeep;
mod visitor;
mod withdrawal;
mod writer;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use crate::tracking::visit::Hold;
pub use acceptance::{Accepted, CandidateEnd, Claim, End, NewRow};
pub use attempts::Attempt;
pub use fate::Fate;
pub use fleet::Fleet;
pub use forwarder::{ForwardObserver, Forwarder};
pub use hits::Hit;
pub use inspector::{InspectError, Inspector};
pub use observer::{ErrorKind, StoreObserver};
pub use retention::Retention;
pub use row::{AnswerRecord, LeasedRow, Settled, Settlement};
pub use shared::Health;
pub use switches::{Switched, Switches};
pub use withdrawal::Ended;

use command::Command;
use reader::{Question, Reader};
use shared::Shared;
use writer::Writer;

/// A handle to the store of this process.
#[derive(Clone, Debug)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    questions: SyncSender<Question>,
    shared: Arc<Shared>,
    switches: Arc<Switches>,
}

impl Store {
    /// Opens the store in `folder`; a folder that can't be used is degraded mode, not an error.
    ///
    /// Blocks until the file has been checked. The receiver gets each accepted row right after its
    /// commit, already leased by this process; whoever reads it settles or releases them. When the
    /// receiver is dropped, rows are stored without a lease.
    #[must_use]
    pub fn start(
        folder: &Path,
        retention: Retention,
        observer: Arc<dyn StoreObserver>,
    ) -> (Self, mpsc::UnboundedReceiver<LeasedRow>) {
        let (fresh, receiver) = mpsc::unbounded_channel();
        (Self::open(folder, retention, observer, None, fresh), receiver)
    }

    /// Opens the store in `folder` as that of one node of a fleet: what it accepts is the fleet's.
    ///
    /// Like [`start`](Self::start), but nothing is leased here, and the receiver gets nothing: a
    /// [`Forwarder`] takes all that comes.
    #[must_use]
    pub fn join(
        folder: &Path,
        retention: Retention,
        observer: Arc<dyn StoreObserver>,
        fleet: Fleet,
    ) -> (Self, mpsc::UnboundedReceiver<LeasedRow>) {
        // Rows are stored without a lease when nobody would be told of them.
        let (fresh, _) = mpsc::unbounded_channel();
        let (_, nothing) = mpsc::unbounded_channel();
        (Self::open(folder, retention, observer, Some(fleet), fresh), nothing)
    }

    /// The fleet that this store belongs to.
    #[must_use]
    pub fn fleet(&self) -> Option<&Fleet> {
        self.shared.fleet.as_ref()
    }

    fn open(
        folder: &Path,
        retention: Retention,
        observer: Arc<dyn StoreObserver>,
        fleet: Option<Fleet>,
        fresh: mpsc::UnboundedSender<LeasedRow>,
    ) -> Self {
        let (commands, receiver) = mpsc::channel(QUEUE);
        let switches = Arc::new(Switches::of(folder, &*observer));
        Switches::watch(&switches, Arc::clone(&observer));
        let shared = Arc::new(Shared::new(folder, retention, fleet));
        let writer = Writer::new(fresh, retention, observer, Arc::clone(&shared));
        // Without a thread the receiver is dropped, and every call is answered `Unstored` at once.
        if let Err(error) = thread::Builder::new().name("store".into()).spawn(move || writer.run(receiver)) {
            tracing::error!(%error, "the store has no thread; conversions are NOT stored until a restart");
            shared.degrade(&format!("the store has no thread: {error}"), clock::now());
        }
        let (questions, receiver) = sync_channel(reader::QUEUE);
        let reader = Reader::new(receiver, Arc::clone(&shared));
        if let Err(error) = thread::Builder::new().name("store reader".into()).spawn(move || reader.run()) {
            tracing::error!(%error, "the store has no thread for lookups; they find nothing until a restart");
        }
        Self { commands, questions, shared, switches }
    }

    /// Accepts conversions; the answer, in their order, comes once they are on disk.
    ///
    /// Waits while the queue is full. Dropping the answer does not take the rows back.
    pub async fn accept(&self, rows: Vec<NewRow>) -> oneshot::Receiver<Vec<Accepted>> {
        let (answer, receiver) = oneshot::channel();
        self.send(Command::Accept { rows, answer }).await;
        receiver
    }

    /// Ends candidates; the answer, in their order, comes once that is on disk.
    ///
    /// Those that are no conversions are answered with `Unstored`, which is then what they are. While
    /// nothing can be written, the ends wait in memory and their answer with them.
    pub async fn settle_candidates(&self, ends: Vec<CandidateEnd>) -> oneshot::Receiver<Vec<Accepted>> {
        let (answer, receiver) = oneshot::channel();
        self.send(Command::End { ends, answer }).await;
        receiver
    }

    /// Takes dedup keys; the answer, in their order, comes before they are on disk.
    ///
    /// Whoever drops the answer before it arrives has taken nothing. On a fleet that can be reached, it
    /// comes when no other node has the keys.
    pub async fn claim(&self, claims: Vec<Claim>) -> oneshot::Receiver<Vec<Accepted>> {
        let (answer, receiver) = oneshot::channel();
        let confirmed = self.shared.fleet.is_some().then(|| claims.clone());
        self.send(Command::Claim { claims, answer: Some(answer) }).await;
        match confirmed {
            Some(claims) => self.confirm(claims, receiver),
            None => receiver,
        }
    }

    /// Gives claimed keys back; those that another event has taken meanwhile stay taken.
    pub async fn give_back(&self, claims: Vec<(EventId, DedupKey)>) {
        self.send(Command::GiveBack(claims)).await;
    }

    /// Whether the store writes.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether [`lease`](Self::lease) may find something: a hint without any input or output.
    #[must_use]
    pub fn may_be_due(&self, site: &str, network: &str, now: Timestamp) -> bool {
        self.shared.due.is_due(site, network, now)
    }

    /// Leases up to `room` rows of one destination whose time has come.
    pub async fn lease(&self, site: &str, network: &str, room: usize, now: Timestamp) -> Vec<LeasedRow> {
        let (answer, receiver) = oneshot::channel();
        self.send(Command::Lease { site: site.into(), network: network.into(), room, now, answer }).await;
        receiver.await.unwrap_or_default()
    }

    /// Records the end of an attempt and gives the lease back.
    pub async fn settle(&self, settlement: Settlement) {
        self.send(Command::Settle(settlement)).await;
    }

    /// Gives a lease back unsent.
    pub async fn release(&self, row: LeasedRow) {
        self.send(Command::Release { row, at: None }).await;
    }

    /// Gives a lease back unsent, and keeps the row from being leased before `at`.
    pub async fn park(&self, row: LeasedRow, at: Timestamp) {
        self.send(Command::Release { row, at: Some(at) }).await;
    }

    /// Makes all rows of one destination due that wait for a later time.
    pub async fn wake(&self, site: &str, network: &str) {
        loop {
            let (answer, woken) = oneshot::channel();
            self.send(Command::Wake { site: site.into(), network: network.into(), now: clock::now(), answer }).await;
            if woken.await.unwrap_or_default() == 0 {
                return;
            }
        }
    }

    /// Keeps what is over for so long from now on.
    pub fn retain(&self, retention: Retention) {
        self.shared.retain(retention);
    }

    /// What an operator has switched in the folder, past the configuration.
    #[must_use]
    pub const fn switches(&self) -> &Arc<Switches> {
        &self.switches
    }

    /// Reads the store beside the writer.
    #[must_use]
    pub fn inspect(&self) -> Inspector {
        Inspector::at(&self.shared.folder)
    }

    /// Writes what is queued, gives all leases back and ends the thread.
    ///
    /// The delivery worker must have been drained before, or what it sends is sent again.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.send(Command::Close(done)).await;
        // An error means that the thread had ended before.
        drop(closed.await);
    }

    /// A command that can't be sent is dropped, and its answer with it: see [`Command`].
    async fn send(&self, command: Command) {
        if let Err(mpsc::error::SendError(command)) = self.commands.send(command).await {
            command.refuse();
        }
    }

    #[cfg(test)]
    async fn on_connection(&self, action: impl FnOnce(&rusqlite::Connection) + Send + 'static) {
        self.send(Command::Test(Box::new(action))).await;
    }
}

/// Commands that may wait. Full means that the disk is slower than the shop sells; callers then wait
/// as long as they like, and a page never longer than its deadline.
const QUEUE: usize = 8192;
