//! The side of a process that takes over.

use std::{
    fs::File,
    io,
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    time::Duration,
};

use super::{
    PATIENCE, endpoint,
    message::Message,
    talk::{Silence, Talk},
};
use crate::proxy::sockets::{Inherited, Listening};

/// A process that is about to take over from another one.
#[derive(Debug)]
pub struct Succession(Talk);

/// Why there is nothing to take over.
#[derive(Debug, thiserror::Error)]
pub enum NoSuccession {
    /// The other process said no.
    #[error("the running process hands nothing over: {0}")]
    Refused(String),
    /// The conversation broke off.
    #[error("the running process can't hand over: {0}")]
    Silence(#[from] Silence),
    /// The system is in the way.
    #[error("the running process can't be spoken to: {0}")]
    System(#[from] io::Error),
}

impl Succession {
    /// From the process that started this one, which waits at the standard input.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn from_stdin() -> Result<Self, NoSuccession> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // The other end must see when this process ends, and nobody shall read from here.
        rustix::stdio::dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
        Ok(Self::over(stream)?)
    }

    /// From the process that runs on a state folder; `None` when none does.
    ///
    /// # Errors
    /// When it can't be spoken to.
    pub fn find(state: &Path) -> Result<Option<Self>, NoSuccession> {
        match endpoint::connect(state) {
            Ok(stream) => Ok(Some(Self::over(stream)?)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn over(stream: UnixStream) -> io::Result<Self> {
        let talk = Talk::over(stream)?;
        // Whoever is there may be gone again; that shows when sockets are waited for.
        drop(talk.say(&Message::Succeed { version: env!("CARGO_PKG_VERSION").to_owned() }));
        Ok(Self(talk))
    }

    /// Gets the sockets; the other process goes on accepting on them.
    ///
    /// # Errors
    /// When it refuses, or is gone.
    pub fn sockets(&mut self) -> Result<Inherited, NoSuccession> {
        let mut sockets = Vec::new();
        loop {
            match self.0.hear(PATIENCE)? {
                Message::Socket { role, configured } => {
                    let socket = TcpListener::from(self.0.descriptor().ok_or(Silence::Strange)?);
                    // Or it is no socket of the internet.
                    socket.local_addr()?;
                    sockets.push(Listening { role, configured, socket });
                }
                Message::AllSockets => return Ok(Inherited::new(sockets)),
                Message::Refused { reason } => return Err(NoSuccession::Refused(reason)),
                Message::Start { .. }
                | Message::Succeed { .. }
                | Message::Ready
                | Message::Failed { .. }
                | Message::Yours
                | Message::Done { .. } => return Err(Silence::Strange.into()),
            }
        }
    }

    /// Says that connections are accepted; the other process stops doing so.
    ///
    /// Waits for its word. When it ends instead, there is nobody else left: this process serves.
    ///
    /// # Errors
    /// When it goes on, so that this process must end.
    pub fn take_over(mut self) -> Result<(), NoSuccession> {
        // Whether it could be said shows in the answer.
        drop(self.0.say(&Message::Ready));
        match self.0.hear(LAST_WORD) {
            Ok(Message::Yours) => Ok(()),
            Err(Silence::Gone) => {
                tracing::warn!("the process before this one ended while it handed over");
                Ok(())
            }
            Ok(Message::Refused { reason }) => Err(NoSuccession::Refused(reason)),
            Ok(
                Message::Start { .. }
                | Message::Succeed { .. }
                | Message::Socket { .. }
                | Message::AllSockets
                | Message::Ready
                | Message::Failed { .. }
                | Message::Done { .. },
            ) => Err(Silence::Strange.into()),
            Err(silence) => Err(silence.into()),
        }
    }

    /// Says that it does not come about.
    pub fn fail(self, reason: &str) {
        // If it is gone, nobody needs to know.
        drop(self.0.say(&Message::failed(reason)));
    }
}

/// Longer than the other process waits for this one.
const LAST_WORD: Duration = PATIENCE.saturating_add(Duration::from_secs(10));
