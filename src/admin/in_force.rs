//! The configuration in force, as the console shows it and as its actions are weighed by it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{Config, Environment, secrets, show},
    explain::{self, Account, Asked, Mask},
    metrics::Metrics,
    proxy::runtime::{Names, SiteTable},
    store::clock,
    tracking::{event::Event, timestamp::Timestamp},
};

/// A configuration since it came into force.
pub struct InForce {
    /// Its file.
    pub file: PathBuf,
    /// What was read there.
    pub config: Arc<Config>,
    /// The same as people read it, secrets by their names.
    pub shown: String,
    /// Since when.
    pub since: Timestamp,
    names: Option<Names>,
    mask: Mask,
}

impl InForce {
    /// Takes a configuration that has just been read from this file.
    #[must_use]
    pub fn new(file: &Path, config: Arc<Config>, names: Option<Names>) -> Self {
        let shown = show::show(file).unwrap_or_else(|error| format!("{error}"));
        let mask = Mask::new(secrets::secrets(file, Environment::Process));
        Self { file: file.to_owned(), config, shown, since: clock::now(), names, mask }
    }

    /// Tells what would be done about a request.
    ///
    /// # Errors
    /// When the question makes no sense, or the site's own server does not answer.
    pub(super) fn explain(&self, asked: &Asked) -> io::Result<Account> {
        let table = SiteTable::new(&self.config, &Metrics::new()).map_err(io::Error::other)?;
        explain::explained(&self.config, &table, self.names.as_ref(), &self.mask, asked)
    }

    /// The request about a conversion as this configuration makes it, without secrets.
    pub(super) fn request(&self, event: &Event) -> Option<String> {
        explain::request(&self.config, event, &self.mask)
    }
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InForce").field("file", &self.file).field("since", &self.since).finish_non_exhaustive()
    }
}
