//! Listening sockets: bound here, or handed over by another process.
//!
//! A socket is known by the address that the configuration gives it, so that a port that was chosen by
//! the system stays the same port. How sockets travel does not belong here.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

/// Who connects to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Visitors.
    Listener,
    /// Operators.
    Admin,
}

/// A listening socket and what the configuration says of it.
#[derive(Debug)]
pub struct Listening {
    /// Who connects to it.
    pub role: Role,
    /// Its address as it is written; the port may be 0.
    pub configured: SocketAddr,
    /// The socket.
    pub socket: TcpListener,
}

/// Sockets that another process has handed over, and that nobody has claimed yet.
///
/// What is left in the end is closed here; the other process closes its own when it stops.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Listening>);

impl Inherited {
    /// Sockets in the order of the configuration that they come from.
    #[must_use]
    pub const fn new(sockets: Vec<Listening>) -> Self {
        Self(sockets)
    }

    /// The socket of this address, if there was one.
    pub fn claim(&mut self, role: Role, configured: SocketAddr) -> Option<TcpListener> {
        let is_it = |it: &Listening| it.role == role && it.configured == configured;
        // Port 0 is another port for everybody who writes it.
        let has_its_address =
            |it: &Listening| configured.port() != 0 && it.socket.local_addr().is_ok_and(|found| found == configured);
        let found = self.0.iter().position(is_it).or_else(|| self.0.iter().position(has_its_address))?;
        Some(self.0.remove(found).socket)
    }
}

/// As nginx does it: `[::]:80` leaves IPv4 to `0.0.0.0:80`, which may stand beside it.
pub(super) fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Or the address could not be had for a minute after a restart.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connections that may wait to be accepted; the system's own limit is lower.
const BACKLOG: i32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(role: Role, configured: &str) -> Listening {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        Listening { role, configured: configured.parse().unwrap(), socket }
    }

    #[test]
    fn a_socket_is_found_by_the_address_as_it_was_written_or_as_it_is() {
        let any = "127.0.0.1:0";
        let sockets = [
            listening(Role::Listener, any),
            listening(Role::Listener, any),
            listening(Role::Admin, any),
            listening(Role::Listener, "127.0.0.2:80"),
        ];
        let ports: Vec<u16> = sockets.iter().map(|it| it.socket.local_addr().unwrap().port()).collect();
        let mut inherited = Inherited::new(sockets.into());
        let mut claim = |role, address: &str| {
            inherited.claim(role, address.parse().unwrap()).map(|socket| socket.local_addr().unwrap().port())
        };
        assert_eq!(claim(Role::Listener, "127.0.0.3:80"), None, "a new address");
        assert_eq!(claim(Role::Listener, any), Some(ports[0]), "in the order of the configuration");
        assert_eq!(claim(Role::Admin, &format!("127.0.0.1:{}", ports[1])), Some(ports[1]), "it changed its role");
        assert_eq!(claim(Role::Listener, any), None, "that of the operators is no visitors' socket");
        assert_eq!(claim(Role::Admin, any), Some(ports[2]));
        assert_eq!(claim(Role::Listener, "127.0.0.2:80"), Some(ports[3]));
    }
}
