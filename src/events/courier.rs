//! Batches of records to somebody else's server, until it has them.
//!
//! One request at a time: what comes meanwhile waits in the queue, whose bound is the bound of all.
//! What a request looks like and what an answer means is the business of the two sinks that use this.

use std::{io, pin::pin, sync::Arc, time::Duration};

use tokio::{
    runtime,
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

use super::{
    feed::{Held, Inbox, Order},
    trouble::Trouble,
};
use crate::delivery::{client::Client, route::Route};

/// Takes batches to one server.
pub(super) trait Courier {
    /// Sends all of these in one request, and says what became of each.
    fn deliver(&mut self, parcels: &[Parcel]) -> impl Future<Output = Report>;
}

/// One record, ready to be sent.
pub(super) struct Parcel {
    /// The same at every attempt.
    pub(super) id: Uuid,
    pub(super) json: String,
    _held: Held,
}

/// What became of a batch.
pub(super) struct Report {
    /// In the order of the batch; what is missing goes again.
    pub(super) fates: Vec<Fate>,
    /// How long the server wants to be left alone.
    pub(super) pause: Option<Duration>,
    /// What an operator is told if not all of it was delivered.
    pub(super) why: String,
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    /// It will never be taken.
    Refused,
    Again,
}

/// What a courier's thread does; `courier` is made there, inside of its runtime.
pub(super) fn work<C: Courier>(
    inbox: Inbox,
    courier: impl FnOnce() -> C + Send + 'static,
) -> io::Result<Box<dyn FnOnce() + Send>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(Box::new(move || runtime.block_on(async { run(courier(), inbox).await })))
}

/// The client of a sink: the same rules as for postbacks.
pub(super) fn client(route: &Arc<Route>) -> io::Result<Client> {
    Client::new(route).map_err(io::Error::other)
}

async fn run(mut courier: impl Courier, inbox: Inbox) {
    let mut trouble = Trouble::new(inbox.sink);
    let mut desk = Desk { inbox, next: None, closing: None };
    while let Some(batch) = desk.gather().await {
        desk.send(&mut courier, batch, &mut trouble).await;
    }
}

/// Puts batches together.
struct Desk {
    inbox: Inbox,
    /// What found no room in the last one.
    next: Option<Parcel>,
    /// Who waits for the end.
    closing: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Desk {
    /// The next batch, or nothing when this is the end.
    async fn gather(&mut self) -> Option<Vec<Parcel>> {
        let mut batch: Vec<Parcel> = self.next.take().into_iter().collect();
        let mut bytes = batch.iter().map(|parcel| parcel.json.len()).sum::<usize>();
        let mut until = (!batch.is_empty()).then(|| Instant::now() + LINGER);
        while batch.len() < MOST_RECORDS && self.closing.is_none() {
            let order = match until {
                None => self.inbox.orders.recv().await,
                Some(until) => match timeout_at(until, self.inbox.orders.recv()).await {
                    Ok(order) => order,
                    Err(_) => break,
                },
            };
            match order {
                Some(Order::Write(held)) => {
                    let parcel = Parcel::new(held);
                    bytes += parcel.json.len();
                    if !batch.is_empty() && bytes > MOST_BYTES {
                        self.next = Some(parcel);
                        break;
                    }
                    batch.push(parcel);
                    until.get_or_insert_with(|| Instant::now() + LINGER);
                }
                Some(Order::Reopen) => {}
                Some(Order::Close(done)) => self.closing = Some(done),
                None => break,
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    async fn send(&mut self, courier: &mut impl Courier, mut batch: Vec<Parcel>, trouble: &mut Trouble) {
        for failures in 0_u32.. {
            let Report { fates, pause, why } = courier.deliver(&batch).await;
            let count = |fate| fates.iter().filter(|it| **it == fate).count();
            let (delivered, refused) = (count(Fate::Delivered), count(Fate::Refused));
            self.inbox.written(delivered);
            if refused > 0 {
                self.inbox.dropped(refused);
                trouble.tell_refused(refused, &why);
            }
            let mut fates = fates.into_iter();
            batch.retain(|_| fates.next().is_none_or(|fate| fate == Fate::Again));
            if batch.is_empty() {
                if delivered > 0 {
                    trouble.is_over();
                }
                return;
            }
            self.inbox.failed();
            if self.inbox.is_closing() {
                // This was the last attempt.
                return self.inbox.dropped(batch.len());
            }
            trouble.tell(&why);
            let pause = pause.unwrap_or_default().clamp(backoff(failures), LONGEST_PAUSE);
            let mut closing = self.inbox.closing.clone();
            let is_ending = pin!(closing.wait_for(|closing| *closing));
            tokio::select! {
                () = sleep(pause) => {}
                // One that is not told any more goes on as if nothing were.
                Ok(_) = is_ending => {}
            }
        }
    }
}

impl Parcel {
    fn new(held: Held) -> Self {
        Self { id: Uuid::new_v4(), json: held.record.to_json(), _held: held }
    }
}

impl Report {
    /// All of a batch met the same.
    pub(super) fn all(fate: Fate, count: usize, why: impl Into<String>) -> Self {
        Self { fates: vec![fate; count], pause: None, why: why.into() }
    }

    /// The server was not reached, or wants to be left alone for a while.
    pub(super) fn later(pause: Option<Duration>, why: impl Into<String>) -> Self {
        Self { fates: Vec::new(), pause, why: why.into() }
    }
}

/// The records of a batch as the items of a JSON list, as long as they are known to be JSON each.
pub(super) fn joined(parcels: &[Parcel], write: impl Fn(&Parcel, &mut String)) -> String {
    let mut out = String::with_capacity(parcels.iter().map(|parcel| parcel.json.len() + 64).sum());
    for (index, parcel) in parcels.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(parcel, &mut out);
    }
    out
}

fn backoff(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(LONGEST_PAUSE)
}

/// Google recommends 500 rows a request at most (cloud.google.com/bigquery/quotas, 2026-11).
const MOST_RECORDS: usize = 500;
/// The same page allows 10 MB.
const MOST_BYTES: usize = 1_000_000;
/// How long the first record of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(1) };
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
