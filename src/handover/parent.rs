//! The first process of a container, which ends with it: after a hand-over it stays, as a parent.
//!
//! It passes signals on to the process that serves, buries what has ended, and ends last.

use std::process;

use rustix::process::{Pid, Signal, WaitOptions, getpgid, kill_process_group, wait};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

/// Whether the container ends with this process.
#[must_use]
pub fn is_first() -> bool {
    process::id() == 1
}

/// Passes signals on to the process that serves, and to those after it, if only this one gets them.
///
/// For as long as the runtime lives that this is called in.
pub fn stand_in_for(successor: u32) {
    if !is_first() {
        return;
    }
    let successor = i32::try_from(successor).ok().and_then(Pid::from_raw);
    let Ok(group) = getpgid(successor) else { return };
    let kinds = [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::hangup(), Signal::HUP),
        (SignalKind::quit(), Signal::QUIT),
    ];
    for (kind, passed) in kinds {
        let Ok(mut received) = signal(kind) else { continue };
        tokio::spawn(async move {
            while received.recv().await.is_some() {
                // Fails when nobody is left, and then this process ends as well.
                kill_process_group(group, passed).ok();
            }
        });
    }
}

/// Stays until all that is left has ended; whether the last of it ended well.
#[must_use]
pub fn outlive(successor: u32) -> bool {
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return false };
    runtime.block_on(async {
        stand_in_for(successor);
        let Ok(mut ended) = signal(SignalKind::child()) else { return false };
        let mut is_well = false;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((_, status))) => is_well = status.exit_status() == Some(0),
                Ok(None) => {
                    ended.recv().await;
                }
                // Nobody is left.
                Err(_) => return is_well,
            }
        }
    })
}
