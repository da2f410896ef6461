//! What a service manager is told, if one asks: systemd's notification protocol (`sd_notify(3)`).
//!
//! Without `NOTIFY_SOCKET` in the environment, everything here does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Pages are served.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is being read again; [`ready`] says that it has been.
pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // systemd tells by it which of several reloads is over.
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// The end has begun and may take so long.
pub fn stopping(within: Duration) {
    let most = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing what is under way"),
        NotifyState::ExtendTimeoutUsec(most),
    ]);
}

/// Another process is the service from now on; 0 stands for one that can't be seen from here.
pub fn main_process(pid: u32) {
    if pid == 0 {
        return;
    }
    tell(&[NotifyState::MainPid(pid)]);
}

/// Says again and again that this process is alive, if that is wanted; the runtime's threads say it, so
/// it ends when they are stuck.
pub async fn keep_alive() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut interval = tokio::time::interval((limit / 3).max(Duration::from_millis(100)));
    loop {
        interval.tick().await;
        // The socket may be full, and no visitor shall wait for that.
        if tokio::task::spawn_blocking(|| tell(&[NotifyState::Watchdog])).await.is_err() {
            return;
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
