//! Who gives a command, for the audit: the account, and who became it by sudo.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
};

use crate::store::audit::Actor;

/// Whoever runs this process.
pub(super) fn current() -> Actor {
    // proc(5): the folder of a process belongs to its effective user.
    let Ok(uid) = fs::metadata("/proc/self").map(|folder| folder.uid()) else { return Actor::new("unknown") };
    let name = name_of(uid).unwrap_or_else(|| "unknown".to_owned());
    match sudo_user().filter(|user| *user != name) {
        Some(user) => Actor::new(&format!("{user} as {name} (uid {uid})")),
        None => Actor::new(&format!("{name} (uid {uid})")),
    }
}

/// The name of an account on this machine.
fn name_of(uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let lines = BufReader::new(File::open("/etc/passwd").ok()?).lines();
    lines.map_while(Result::ok).find_map(|line| {
        // passwd(5): NAME:PASSWORD:UID:…
        let mut cells = line.split(':');
        let name = cells.next()?;
        (cells.nth(1)? == uid).then(|| name.to_owned())
    })
}

/// Who called sudo (sudo(8), "Environment").
#[expect(clippy::disallowed_methods, reason = "who acts is no part of a configuration")]
fn sudo_user() -> Option<String> {
    std::env::var("SUDO_USER").ok().filter(|user| !user.is_empty())
}
