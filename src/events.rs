//! Event records: what happened to clicks and conversions, for people who watch and for warehouses.
//!
//! A [`Bus`] takes [`Record`]s from whoever has something to tell and hands them to the configured
//! sinks, each with a bounded queue and a thread of its own, and to whoever listens live. Nobody who
//! tells waits: what finds no room is dropped and counted. Where nobody wants a record, none is built.

use std::{fmt, io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::broadcast, time::timeout};

pub mod bigquery;
pub mod file;
pub mod page;
pub mod record;
pub mod webhook;

mod courier;
mod feed;
mod lines;
mod reporter;
mod stdout;
mod trouble;
mod veil;

pub use page::PageRequest;
pub use record::{Kind, Record};
pub use reporter::Reporter;

use bigquery::BigQuerySettings;
use feed::Feed;
use file::FileSettings;
use webhook::WebhookSettings;

/// Takes records to wherever they are wanted; cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    live: broadcast::Sender<Arc<Record>>,
    wiring: ArcSwap<Wiring>,
    observer: Arc<dyn SinkObserver>,
}

/// The sinks of one configuration.
#[derive(Default)]
struct Wiring {
    personal: Personal,
    feeds: Vec<Feed>,
}

/// Where records go, and what they show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSettings {
    /// The sinks; each kind at most once.
    pub sinks: Vec<(Level, SinkSettings)>,
    /// What records show of persons.
    pub personal: Personal,
}

/// Which records a sink gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Those of preview visitors.
    Debug,
    /// All.
    Always,
}

/// Whose doing a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A visitor's.
    Visitor,
    /// That of somebody who looks how the site is tracked.
    Preview,
}

/// What records show of e-mail addresses, names and whatever else is a person's.
///
/// Secrets are never shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personal {
    /// Stars.
    #[default]
    Mask,
    /// What networks are sent.
    Keep,
}

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkSettings {
    /// JSON lines to standard output.
    Stdout,
    /// JSON lines to a file.
    File(FileSettings),
    /// Rows of a table.
    BigQuery(Box<BigQuerySettings>),
    /// JSON lists to an address.
    Webhook(Box<WebhookSettings>),
}

/// A kind of sink, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file.
    File,
    /// Google `BigQuery`.
    BigQuery,
    /// Somebody's address.
    Webhook,
}

/// Hears how sinks fare, on whatever thread that shows.
pub trait SinkObserver: Send + Sync {
    /// So many records are where they should be.
    fn written(&self, sink: Sink, records: u64);
    /// So many records are lost: there was no room, or the sink refused them.
    fn dropped(&self, sink: Sink, records: u64);
    /// Something could not be written; it will be tried again.
    fn failed(&self, sink: Sink);
}

impl Bus {
    /// Starts the sinks.
    ///
    /// # Errors
    /// When the machine has no threads for them, or no HTTP client can be made.
    pub fn start(settings: &EventSettings, observer: Arc<dyn SinkObserver>) -> io::Result<Self> {
        let (live, _) = broadcast::channel(LIVE);
        let bus = Self(Arc::new(Inner { live, wiring: ArcSwap::default(), observer }));
        bus.replace(settings)?;
        Ok(bus)
    }

    /// Puts other settings in force; a sink whose settings stay the same goes on.
    ///
    /// # Errors
    /// As [`start`](Self::start); then everything stays as it was.
    pub fn replace(&self, settings: &EventSettings) -> io::Result<()> {
        let old = self.0.wiring.load_full();
        let mut feeds = Vec::with_capacity(settings.sinks.len());
        for (level, sink) in &settings.sinks {
            let known = old.feeds.iter().find(|feed| feed.settings == *sink).map(|feed| feed.at(*level));
            feeds.push(match known {
                Some(feed) => feed,
                None => Feed::start(sink, *level, Arc::clone(&self.0.observer))?,
            });
        }
        self.0.wiring.store(Arc::new(Wiring { personal: settings.personal, feeds }));
        let ended = old.feeds.iter().filter(|feed| !settings.sinks.iter().any(|(_, sink)| *sink == feed.settings));
        // They write what they have and end by themselves.
        ended.for_each(|feed| drop(feed.close()));
        Ok(())
    }

    /// Whether anybody wants records of this kind of visitor now.
    #[must_use]
    pub fn wants(&self, whose: Whose) -> bool {
        self.0.wiring.load().feeds.iter().any(|feed| feed.level.takes(whose)) || self.is_watched()
    }

    /// Hands out what `build` makes of it, if anybody wants it. Never waits.
    pub fn publish(&self, whose: Whose, build: impl Fn(Personal) -> Record) {
        let wiring = self.0.wiring.load();
        let is_written = wiring.feeds.iter().any(|feed| feed.level.takes(whose));
        let written = is_written.then(|| Arc::new(build(wiring.personal)));
        if self.is_watched() {
            // What operators see live is masked, whatever a warehouse gets.
            let shown = written.clone().filter(|_| wiring.personal == Personal::Mask);
            // Whoever listened may have left meanwhile.
            drop(self.0.live.send(shown.unwrap_or_else(|| Arc::new(build(Personal::Mask)))));
        }
        if let Some(record) = written {
            for feed in wiring.feeds.iter().filter(|feed| feed.level.takes(whose)) {
                if !feed.push(&record) {
                    self.0.observer.dropped(feed.settings.sink(), 1);
                }
            }
        }
    }

    /// Everything from now on, masked; who is too slow misses records and is told how many.
    #[must_use]
    pub fn live(&self) -> broadcast::Receiver<Arc<Record>> {
        self.0.live.subscribe()
    }

    /// Opens files anew, after somebody has moved them.
    pub fn reopen(&self) {
        self.0.wiring.load().feeds.iter().for_each(Feed::reopen);
    }

    /// Ends the sinks when they have written what they hold, or when this time is over.
    pub async fn drain(&self, within: Duration) {
        let wiring = self.0.wiring.swap(Arc::default());
        let closed: Vec<_> = wiring.feeds.iter().map(Feed::close).collect();
        let all = async {
            for end in closed {
                // Its end is the answer.
                drop(end.await);
            }
        };
        if timeout(within, all).await.is_err() {
            tracing::warn!("event records were left behind: a sink did not take them in time");
        }
    }

    fn is_watched(&self) -> bool {
        self.0.live.receiver_count() > 0
    }
}

/// One without sinks: only who listens live gets records.
impl Default for Bus {
    fn default() -> Self {
        let (live, _) = broadcast::channel(LIVE);
        Self(Arc::new(Inner { live, wiring: ArcSwap::default(), observer: Arc::new(Nobody) }))
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sinks: Vec<Sink> = self.0.wiring.load().feeds.iter().map(|feed| feed.settings.sink()).collect();
        f.debug_struct("Bus").field("sinks", &sinks).finish_non_exhaustive()
    }
}

impl Level {
    const fn takes(self, whose: Whose) -> bool {
        matches!((self, whose), (Self::Always, _) | (Self::Debug, Whose::Preview))
    }
}

impl SinkSettings {
    /// Its kind.
    #[must_use]
    pub const fn sink(&self) -> Sink {
        match self {
            Self::Stdout => Sink::Stdout,
            Self::File(_) => Sink::File,
            Self::BigQuery(_) => Sink::BigQuery,
            Self::Webhook(_) => Sink::Webhook,
        }
    }
}

impl Sink {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::File => "file",
            Self::BigQuery => "bigquery",
            Self::Webhook => "webhook",
        }
    }
}

/// Hears nothing, as there is nothing.
struct Nobody;

impl SinkObserver for Nobody {
    fn written(&self, _sink: Sink, _records: u64) {}
    fn dropped(&self, _sink: Sink, _records: u64) {}
    fn failed(&self, _sink: Sink) {}
}

/// Records that a live listener may be behind.
const LIVE: usize = 256;

#[cfg(test)]
mod tests;
