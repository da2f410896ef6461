//! The start of a successor as a child of the running process.

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{parent, talk::Talk};

/// A successor that was started, and the conversation with it.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) talk: Talk,
}

/// Starts a binary that finds its predecessor at its standard input.
pub(super) fn start(binary: &Path, config: &Path, arguments: &[OsString]) -> io::Result<Started> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(binary);
    command.arg("run").args(arguments).args(["--upgrade", "--from-stdin"]).arg("-c").arg(config);
    // systemd means its watchdog for whoever is the main process (sd_watchdog_enabled(3)).
    command.stdin(Stdio::from(OwnedFd::from(theirs))).env_remove("WATCHDOG_PID");
    if parent::is_first() {
        // What the first process of a container is told, it passes on to this group.
        command.process_group(0);
    }
    let child = command.spawn()?;
    Ok(Started { child, talk: Talk::over(ours)? })
}

impl Started {
    /// Ends it, unless it ends by itself in a moment; yields how it ended.
    pub(super) fn end(mut self) -> String {
        drop(self.talk);
        for _ in 0..MOMENTS {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => thread::sleep(MOMENT),
                Err(error) => return error.to_string(),
            }
        }
        // Fails only when it has ended already.
        drop(self.child.kill());
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

const MOMENT: Duration = Duration::from_millis(20);
/// Two seconds, for an orderly end.
const MOMENTS: usize = 100;
