//! What signals mean to a running proxy.

use std::sync::Arc;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use crate::{reload::Reloader, supervisor};

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Hangup {
    /// The configuration is to be read again.
    Reloads,
    /// The end: the terminal that this process belongs to was closed.
    Ends,
}

/// The signals of this process.
pub(super) struct Signals {
    hung_up: Hangup,
    /// Signals that come during a reload lead to one more.
    reload: Arc<Notify>,
    /// Files that somebody may have moved away.
    files: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl Signals {
    /// Reloads from now on until the runtime ends, as often as [`stop`](Self::stop) hears of it; before
    /// that, `files` are opened anew.
    pub(super) fn new(hung_up: Hangup, reloader: Arc<Reloader>, files: Vec<Box<dyn Fn() + Send + Sync>>) -> Self {
        let reload = Arc::new(Notify::new());
        let wanted = Arc::clone(&reload);
        tokio::spawn(async move {
            loop {
                wanted.notified().await;
                supervisor::reloading();
                // The reloader tells how it ended.
                drop(reloader.reload().await);
                supervisor::ready();
            }
        });
        Self { hung_up, reload, files }
    }

    /// Waits for SIGTERM or SIGINT. SIGHUP, unless said otherwise, reads the configuration again, and
    /// SIGQUIT must not end a proxy that is in the way of a site.
    pub(super) async fn stop(&self) {
        let signals = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::hangup()),
            signal(SignalKind::quit()),
        );
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup), Ok(mut quit)) = signals else {
            tracing::error!("signals cannot be received; only SIGKILL ends this process");
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hangup.recv() => match self.hung_up {
                    Hangup::Ends => return,
                    Hangup::Reloads => {
                        self.files.iter().for_each(|reopen| reopen());
                        self.reload.notify_one();
                    }
                },
                _ = quit.recv() => {
                    tracing::warn!("SIGQUIT ignored: no successor is waiting; `throughline handover` starts one");
                }
            }
        }
    }
}
