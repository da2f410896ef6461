//! Decoding of `state`: the folder that is always there, and the database that makes a fleet.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::{certificate::authorities, decode::Field, file::Files, listen::say_unusable, server::secret_text};
use crate::store::fleet::{Encryption, FleetSettings};

/// Where conversions are kept.
#[derive(Debug)]
pub struct State {
    /// The folder of this process' own store.
    pub folder: PathBuf,
    /// The database that several instances share; none: this one is alone.
    pub fleet: Option<FleetSettings>,
}

impl State {
    /// What holds when nothing is written.
    pub fn beside(folder: &Path) -> Self {
        Self { folder: folder.join("throughline-data"), fleet: None }
    }
}

/// Reads `state`.
pub fn state(field: &Field<'_>, files: Files<'_>) -> State {
    let default = State::beside(files.folder);
    let Some(mut section) = field.section() else { return default };
    let folder = section.get("path").and_then(|field| files.path(&field)).unwrap_or(default.folder);
    let fleet = section.get("postgres").and_then(|field| fleet(&field, files));
    section.finish();
    State { folder, fleet }
}

fn fleet(field: &Field<'_>, files: Files<'_>) -> Option<FleetSettings> {
    let mut section = field.section()?;
    let url = section.require("url", "write `url: ${DATABASE_URL}` and set that variable");
    let ca = section.get("ca");
    section.finish();
    let authorities = ca.map(|field| trusted(&field, files)).unwrap_or_default();
    let url = url?;
    let text = secret_text(&url, "url", "DATABASE_URL")?;
    let settings = FleetSettings { url: text, authorities };
    match settings.encryption() {
        Ok(Encryption::Off | Encryption::Opportunistic) if !settings.is_local() => url.warn(
            "conversions go to the database without protection, or to whoever answers in its place",
            Some("add `sslmode=verify-full` to the address, and `ca` if the authority is your own".to_owned()),
        ),
        Ok(Encryption::Unproven) => url.warn(
            "with `sslmode=require` the database does not prove who it is",
            Some("write `sslmode=verify-full`, and `ca` if the authority is your own".to_owned()),
        ),
        Ok(Encryption::Off | Encryption::Opportunistic | Encryption::Vouched | Encryption::Full) => {}
        Err(error) => url.error(error.to_string(), None),
    }
    Some(settings)
}

/// The authorities of a file, if files are there at all.
fn trusted(field: &Field<'_>, files: Files<'_>) -> Vec<CertificateDer<'static>> {
    let Some(path) = files.path(field) else { return Vec::new() };
    if !files.are_there() {
        return Vec::new();
    }
    authorities(&path).inspect_err(|unusable| say_unusable(field, unusable)).unwrap_or_default()
}
