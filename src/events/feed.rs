//! The bounded queue in front of a sink, and the thread behind it.
//!
//! The bound is in bytes: a record holds its place from the moment it is taken until its sink has
//! written it, so a sink that is away holds no more than that, wherever its records stand.

use std::{io, sync::Arc, thread};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::{Level, Record, Sink, SinkObserver, SinkSettings, bigquery, file, stdout, webhook};

/// The way into one sink.
pub(super) struct Feed {
    pub(super) settings: SinkSettings,
    pub(super) level: Level,
    room: Arc<Semaphore>,
    orders: mpsc::UnboundedSender<Order>,
    closing: Arc<watch::Sender<bool>>,
}

/// What a sink is told.
pub(super) enum Order {
    Write(Held),
    Reopen,
    /// It ends when it has written what came before; dropping the sender tells so.
    Close(oneshot::Sender<()>),
}

/// A record and the room it takes.
pub(super) struct Held {
    pub(super) record: Arc<Record>,
    _room: OwnedSemaphorePermit,
}

/// The sink's end of the queue.
pub(super) struct Inbox {
    pub(super) sink: Sink,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    /// True once the sink is to end: no more patience with what fails.
    pub(super) closing: watch::Receiver<bool>,
    pub(super) observer: Arc<dyn SinkObserver>,
}

impl Feed {
    /// Starts a sink on a thread of its own.
    pub(super) fn start(settings: &SinkSettings, level: Level, observer: Arc<dyn SinkObserver>) -> io::Result<Self> {
        let sink = settings.sink();
        // So that the counters exist from the start.
        observer.written(sink, 0);
        observer.dropped(sink, 0);
        let (orders, inbox) = mpsc::unbounded_channel();
        let (closing, closes) = watch::channel(false);
        let inbox = Inbox { sink, orders: inbox, closing: closes, observer };
        let work: Box<dyn FnOnce() + Send> = match settings {
            SinkSettings::Stdout => Box::new(|| stdout::run(inbox)),
            SinkSettings::File(settings) => {
                let settings = settings.clone();
                Box::new(move || file::run(settings, inbox))
            }
            SinkSettings::BigQuery(settings) => bigquery::prepare(settings, inbox)?,
            SinkSettings::Webhook(settings) => webhook::prepare(settings, inbox)?,
        };
        thread::Builder::new().name(format!("events-{}", sink.as_str())).spawn(work)?;
        let room = Arc::new(Semaphore::new(ROOM));
        Ok(Self { settings: settings.clone(), level, room, orders, closing: Arc::new(closing) })
    }

    /// The same sink with another level.
    pub(super) fn at(&self, level: Level) -> Self {
        Self {
            settings: self.settings.clone(),
            level,
            room: Arc::clone(&self.room),
            orders: self.orders.clone(),
            closing: Arc::clone(&self.closing),
        }
    }

    /// Gives it a record, if there is room.
    pub(super) fn push(&self, record: &Arc<Record>) -> bool {
        let size = u32::try_from(record.size()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) else { return false };
        self.orders.send(Order::Write(Held { record: Arc::clone(record), _room: room })).is_ok()
    }

    pub(super) fn reopen(&self) {
        // A sink that has ended has nothing open.
        drop(self.orders.send(Order::Reopen));
    }

    /// Ends the sink; the answer comes with an error when it has ended.
    pub(super) fn close(&self) -> oneshot::Receiver<()> {
        let (done, ended) = oneshot::channel();
        self.closing.send_replace(true);
        drop(self.orders.send(Order::Close(done)));
        ended
    }
}

impl Inbox {
    /// Whether the sink is to end.
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub(super) fn written(&self, records: usize) {
        self.observer.written(self.sink, records as u64);
    }

    pub(super) fn dropped(&self, records: usize) {
        self.observer.dropped(self.sink, records as u64);
    }

    pub(super) fn failed(&self) {
        self.observer.failed(self.sink);
    }
}

/// Bytes that one sink may hold.
pub(super) const ROOM: usize = if cfg!(test) { 64 << 10 } else { 16 << 20 };
