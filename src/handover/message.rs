//! What the processes of a hand-over say to each other: one JSON object a line.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::proxy::sockets::Role;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Message {
    /// An operator's command: start a successor.
    Start {
        /// What it runs.
        binary: PathBuf,
        /// What it reads.
        config: PathBuf,
    },
    /// A successor has come.
    Succeed {
        /// Its version.
        version: String,
    },
    /// A listening socket; its descriptor comes with the line.
    Socket {
        /// Who connects to it.
        role: Role,
        /// Its address as it is written.
        configured: SocketAddr,
    },
    /// That were all sockets.
    AllSockets,
    /// The successor accepts connections.
    Ready,
    /// The successor does not come about.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// The successor serves alone from now on.
    Yours,
    /// An operator's answer: the successor serves.
    Done {
        /// The process that serves.
        pid: u32,
        /// Its version.
        version: String,
        /// The process that ends.
        predecessor: u32,
    },
    /// It is not to be; whoever asked goes on as before, or ends if it has not begun.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

impl Message {
    /// A failure with a reason of bounded length.
    #[must_use]
    pub fn failed(reason: &str) -> Self {
        Self::Failed { reason: bounded(reason) }
    }

    /// A refusal with a reason of bounded length.
    #[must_use]
    pub fn refused(reason: &str) -> Self {
        Self::Refused { reason: bounded(reason) }
    }
}

fn bounded(reason: &str) -> String {
    reason.chars().take(MAX_REASON).collect()
}

/// A configuration may have many mistakes; nobody reads more of them at once.
const MAX_REASON: usize = 8192;
