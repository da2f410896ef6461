//! A new process takes over from a running one, and no connection is refused.
//!
//! The running process waits in the state folder ([`endpoint`]) for whoever speaks there in its account
//! or as root. `throughline handover` asks it to start a successor, as a child of its own, so that the new
//! process lives where the old one lives: in the same unit, sandbox and container. A successor that was
//! started by somebody else (`run --upgrade`) comes by itself. Either way the two then talk ([`talk`]):
//!
//! 1. The old process hands over all its listening sockets; both hold them from now on.
//! 2. The new one binds what is new, opens the store beside the old one, accepts connections, and says so.
//! 3. Only then the old one agrees, stops accepting, finishes what is under way and ends.
//!
//! Until the third step nothing has happened to the old process: when the new one says that it failed,
//! ends, or takes too long, the old one goes on ([`predecessor`]). When the old one ends before, the new
//! one has all it needs and serves ([`successor`]).
//!
//! Two versions must understand each other, in both directions. So the messages ([`message`]) only ever
//! grow by members that may be missing.

pub mod endpoint;
pub mod message;
pub mod parent;
pub mod predecessor;
pub mod start;
pub mod successor;
pub mod talk;

use std::time::Duration;

/// How long a new process may take until it serves.
pub const PATIENCE: Duration = Duration::from_secs(30);
