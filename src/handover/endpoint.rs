//! Where a running process can be found: a socket in a folder of the state folder.
//!
//! Only its own account and root get in: the folder is closed to others, and whoever connects is asked
//! for by the system.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{DirBuilderExt, MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::process::geteuid;

/// What may stand in the way of a new endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Somebody else may be there, who is left alone.
    Unless,
    /// Whoever was there has handed over.
    Instead,
}

/// Opens the endpoint of this process.
///
/// # Errors
/// When the folder can't be used; `AddrInUse` when another process is there that has not handed over.
pub fn listen(state: &Path, claim: Claim) -> io::Result<UnixListener> {
    let folder = state.join(FOLDER);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => fs::set_permissions(&folder, Permissions::from_mode(0o700))?,
    }
    let folder = Folder::open(&folder)?;
    if claim == Claim::Unless && UnixStream::connect(folder.path(SOCKET)).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    // Another name first: whoever connects finds the old one or the new one.
    let draft = format!("{SOCKET}.{}", std::process::id());
    match fs::remove_file(folder.path(&draft)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(folder.path(&draft))?;
    fs::set_permissions(folder.path(&draft), Permissions::from_mode(0o600))?;
    fs::rename(folder.path(&draft), folder.path(SOCKET))?;
    Ok(listener)
}

/// Connects to the process that runs on a state folder.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` when none is there.
pub fn connect(state: &Path) -> io::Result<UnixStream> {
    let folder = Folder::open(&state.join(FOLDER))?;
    UnixStream::connect(folder.path(SOCKET))
}

/// The process at the other end, 0 in another container; `None` when it is none of our account's or root's.
#[must_use]
pub fn trusted_peer(stream: &UnixStream) -> Option<u32> {
    let peer = getsockopt(stream, PeerCredentials).ok()?;
    let is_trusted = peer.uid() == geteuid().as_raw() || peer.uid() == 0;
    is_trusted.then(|| u32::try_from(peer.pid()).unwrap_or(0))
}

/// A folder that was opened: the address of a Unix socket has room for 107 bytes (unix(7)), which the
/// path of a state folder may exceed.
struct Folder(File);

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        let folder = File::open(path)?;
        let found = folder.metadata()?;
        if !found.is_dir() || (found.uid() != geteuid().as_raw() && !geteuid().is_root()) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder belongs to somebody else"));
        }
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()).into()
    }
}

const FOLDER: &str = "handover";
const SOCKET: &str = "socket";

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn only_its_owner_can_reach_it_however_long_its_path_is() {
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("a".repeat(100)).join("b".repeat(100));
        assert_eq!(connect(&state).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir_all(&state).unwrap();
        fs::create_dir(state.join(FOLDER)).unwrap();
        let listener = listen(&state, Claim::Unless).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&state.join(FOLDER)), 0o700, "also of a folder that was there");
        assert_eq!(mode(&state.join(FOLDER).join(SOCKET)), 0o600);
        let visitor = connect(&state).unwrap();
        assert_eq!(trusted_peer(&visitor), Some(std::process::id()));
        drop((listener, visitor));
        assert_eq!(connect(&state).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_process_that_runs_is_not_pushed_aside_but_succeeded() {
        let folder = TempDir::new().unwrap();
        let first = listen(folder.path(), Claim::Unless).unwrap();
        assert_eq!(listen(folder.path(), Claim::Unless).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let second = listen(folder.path(), Claim::Instead).unwrap();
        drop(first);
        connect(folder.path()).unwrap();
        drop(second);
        listen(folder.path(), Claim::Unless).unwrap();
    }
}
