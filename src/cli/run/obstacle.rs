//! What keeps a proxy from running.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use crate::{
    cli::{Exit, complain},
    handover::successor::NoSuccession,
    proxy::sockets::{Inherited, Role},
};

/// Why a proxy can't run: for its operator, and for the process that it was to succeed.
#[derive(Debug)]
pub(in crate::cli) struct Obstacle {
    pub(super) exit: Exit,
    pub(super) reason: String,
}

impl Obstacle {
    pub(super) const fn new(exit: Exit, reason: String) -> Self {
        Self { exit, reason }
    }

    /// An address that can't be had.
    pub(super) fn cannot_listen(address: SocketAddr, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::AddrInUse { Exit::TryAgain } else { Exit::Failure };
        Self::new(exit, format!("cannot listen on {address}: {error}"))
    }

    /// Says it to whoever must act.
    pub(in crate::cli) fn tell(self) -> Exit {
        complain(&self.reason);
        self.exit
    }
}

impl From<NoSuccession> for Obstacle {
    fn from(error: NoSuccession) -> Self {
        Self::new(Exit::TryAgain, error.to_string())
    }
}

/// The socket of the admin port, unless it was handed over.
pub(super) fn bind_admin(address: SocketAddr, inherited: &mut Inherited) -> Result<TcpListener, Obstacle> {
    let bound = inherited.claim(Role::Admin, address).map_or_else(|| TcpListener::bind(address), Ok);
    let bound = bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|error| Obstacle::cannot_listen(address, &error))
}
