//! Decoding of `state`: the folder that is always there, and the database that makes a fleet.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::{
    certificate::authorities,
    decode::Field,
    file::{self, Files},
    listen::say_unusable,
    problem::Problems,
    server::secret_text,
    tree::{Kind, LARGEST_FILE, Node},
};
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
    let Some(mut section) = field.section_with("path") else { return default };
    let folder = section.get("path").and_then(|field| files.path(&field)).unwrap_or(default.folder);
    let fleet = section.get("postgres").and_then(|field| fleet(&field, files));
    section.finish();
    State { folder, fleet }
}

/// The state folder of a file that may be broken anywhere: its `state` is read by itself.
#[must_use]
pub fn folder_of_a_broken_file(file: &Path) -> PathBuf {
    let beside = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let text = file::read(file, LARGEST_FILE as u64).unwrap_or_default();
    written_path(&String::from_utf8_lossy(&text)).map_or_else(|| State::beside(beside).folder, |path| beside.join(path))
}

fn written_path(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("state:"));
    let first = lines.next()?;
    let more = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '\t', '#', '}']));
    let section: Vec<&str> = std::iter::once(first).chain(more).collect();
    let root = Node::parse("state", &section.join("\n"), &Problems::default())?;
    match &root.entry("state")?.entry("path")?.kind {
        Kind::Scalar(scalar) if !scalar.is_null() => Some(scalar.text.clone()),
        Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_found_in_a_file_that_is_broken_elsewhere() {
        for (text, path) in [
            ("listen: [\nstate: { path: /var/lib/a }\nsites: }", Some("/var/lib/a")),
            ("sites: {\nstate:\n  # here\n  path: \"b c\"\n  postgres: { url: x }\nadmin: ]", Some("b c")),
            ("state: {\n  path: d\n}\nsites", Some("d")),
            ("state: { path: [a] }", None),
            ("state: { path:", None),
            ("state:", None),
            ("sites: []", None),
        ] {
            assert_eq!(written_path(text).as_deref(), path, "{text}");
        }
    }
}
