//! What comes before a running proxy and what comes after it: other processes, and the service manager.

use std::{ffi::OsString, path::PathBuf};

use tokio::sync::oneshot;

use super::{Exit, Options, Signals, complain};
use crate::{
    config::{Server, problem::Problem},
    handover::{
        endpoint::Claim,
        parent,
        predecessor::{Estate, Predecessor},
        successor::{NoSuccession, Succession},
    },
    proxy::sockets::{Inherited, Listening},
    supervisor,
};

/// The place of a process among others.
#[derive(Debug, Default)]
pub(in crate::cli) struct Lineage {
    before: Option<Succession>,
    after: Option<Will>,
}

/// What is left to a successor, besides the sockets.
#[derive(Debug)]
struct Will {
    state: PathBuf,
    arguments: Vec<OsString>,
}

/// How a proxy comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was told to stop.
    Stopped,
    /// This process serves in its place.
    HandedOver(u32),
    /// It was to take over and could not.
    Failed,
}

impl Ending {
    /// What the process says of it with its own end.
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::HandedOver(pid) if parent::is_first() && !parent::outlive(pid) => Exit::Failure,
            Self::HandedOver(_) | Self::Stopped => Exit::Success,
            Self::Failed => Exit::Failure,
        }
    }
}

impl Lineage {
    /// Meets the process that has started this one, before anything can fail.
    pub(super) fn begin(options: &Options) -> Result<Self, NoSuccession> {
        let before = if options.from_stdin { Some(Succession::from_stdin()?) } else { None };
        Ok(Self { before, after: None })
    }

    /// Gets the sockets of the process before this one, if there is one.
    pub(super) fn inherit(&mut self, options: &Options, server: &Server) -> Result<Inherited, NoSuccession> {
        self.after = Some(Will { state: server.state.clone(), arguments: options.passed_on() });
        if options.upgrade && self.before.is_none() {
            self.before = Succession::find(&server.state)?;
            if self.before.is_none() {
                tracing::info!("no process runs on this state folder; this one takes over from nobody");
            }
        }
        self.before.as_mut().map_or_else(|| Ok(Inherited::default()), Succession::sockets)
    }

    /// Tells the process before this one that it has to go on.
    pub(super) fn fail(self, reason: &str) {
        if let Some(before) = self.before {
            before.fail(reason);
        }
    }

    /// The same, because of mistakes in the configuration.
    pub(super) fn fail_by(self, problems: &[Problem]) {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        self.fail(&lines.join("\n"));
    }

    /// Takes over once connections are accepted, then lives until a signal or a successor comes.
    ///
    /// `announce` tells whoever waits that everything works, hand-overs as well.
    pub(super) async fn live(
        self,
        begun: oneshot::Receiver<()>,
        sockets: Vec<Listening>,
        signals: &Signals,
        announce: impl FnOnce(),
    ) -> Ending {
        let has_begun = tokio::select! {
            begun = begun => begun.is_ok(),
            () = signals.stop() => return Ending::Stopped,
        };
        let claim = if self.before.is_some() { Claim::Instead } else { Claim::Unless };
        if let Some(before) = self.before {
            if !has_begun {
                before.fail("a listener could not be used; the log of the new process says why");
                return Ending::Failed;
            }
            let taken = tokio::task::spawn_blocking(|| before.take_over());
            let taken = tokio::select! {
                taken = taken => taken,
                () = signals.stop() => return Ending::Stopped,
            };
            match taken {
                Ok(Ok(())) => tracing::info!("took over from the process before this one"),
                Ok(Err(error)) => {
                    complain(&error.to_string());
                    return Ending::Failed;
                }
                Err(_) => return Ending::Failed,
            }
        }
        supervisor::ready();
        tokio::spawn(supervisor::keep_alive());
        let Some(Will { state, arguments }) = self.after else {
            announce();
            signals.stop().await;
            return Ending::Stopped;
        };
        let mut predecessor = Predecessor::start(Estate { state, sockets, arguments }, claim);
        predecessor.can_be_asked().await;
        announce();
        tokio::select! {
            pid = predecessor.succeeded() => Ending::HandedOver(pid),
            () = signals.stop() => predecessor.stop().await.map_or(Ending::Stopped, Ending::HandedOver),
        }
    }
}
