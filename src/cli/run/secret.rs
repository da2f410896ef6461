//! The secret that seals our cookies: the configured one, or one made once in the state folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, OnceLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{
    config::Server,
    proxy::runtime::Names,
    tracking::{journey::JourneyKeys, visitor::Seal},
};

/// What the secret of this process makes.
pub(super) fn names(server: &Server) -> Option<Names> {
    let secrets = if server.secrets.is_empty() { vec![kept_secret(&server.state)] } else { server.secrets.clone() };
    let seal = Seal::new(secrets.iter().map(String::as_str)).ok()?;
    let journeys = JourneyKeys::new(secrets.iter().map(String::as_str)).ok()?;
    Some(Names { seal: Arc::new(seal), journeys: Arc::new(journeys) })
}

/// The secrets in use; unlike [`names`], it makes none.
pub(in crate::cli) fn known(server: &Server) -> io::Result<Vec<String>> {
    if server.secrets.is_empty() { read(&server.state).map(|secret| vec![secret]) } else { Ok(server.secrets.clone()) }
}

fn kept_secret(folder: &Path) -> String {
    // A secret that could not be kept is that of the process, also when the configuration is read again.
    static UNKEPT: OnceLock<String> = OnceLock::new();
    if let Some(secret) = UNKEPT.get() {
        return secret.clone();
    }
    let kept = create(folder).or_else(|_| read(folder));
    kept.unwrap_or_else(|error| {
        tracing::warn!(%error, "no secret can be kept in the state folder; after a restart, visitors are strangers");
        UNKEPT.get_or_init(fresh).clone()
    })
}

/// Writes a new secret under another name first, so that no other process reads half of it.
fn create(folder: &Path) -> io::Result<String> {
    let path = folder.join(FILE);
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let secret = fresh();
    let draft = folder.join(format!("{FILE}.{}", Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    // A hard link fails when the name is taken: the first process wins.
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    linked.map(|()| secret)
}

fn read(folder: &Path) -> io::Result<String> {
    let mut secret = String::new();
    OpenOptions::new().read(true).open(folder.join(FILE))?.take(MAX_SECRET).read_to_string(&mut secret)?;
    if secret.len() < MIN_SECRET {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file `secret` is damaged"));
    }
    Ok(secret)
}

/// 244 random bits from the operating system.
fn fresh() -> String {
    STANDARD.encode([*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat())
}

const FILE: &str = "secret";
const MIN_SECRET: usize = 32;
const MAX_SECRET: u64 = 4096;
