//! SIGHUP: the configuration is read again.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::reload::Reloader;

/// Where a signal is handed over to; those that come during a reload lead to one more.
#[derive(Clone, Debug, Default)]
pub(super) struct Hangups(Arc<Notify>);

impl Hangups {
    /// Follows signals until the runtime ends.
    pub(super) fn followed_by(reloader: Arc<Reloader>) -> Self {
        let hangups = Self::default();
        let Self(received) = hangups.clone();
        tokio::spawn(async move {
            loop {
                received.notified().await;
                // The reloader tells how it ended.
                drop(reloader.reload().await);
            }
        });
        hangups
    }

    /// Has the configuration read again.
    pub(super) fn received(&self) {
        self.0.notify_one();
    }
}
