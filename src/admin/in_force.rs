//! The configuration in force, as the console shows it and as its actions are weighed by it.

use std::{io, sync::Arc};

use crate::{
    config::{Config, Environment, secrets::secrets_in, show},
    explain::{self, Account, Asked, Mask},
    operator::{PreviewLink, PreviewWish, Refusal},
    proxy::runtime::SiteTable,
    reload::{Reloader, Standing},
    store::story::Story,
};

/// The configuration that was in force when somebody asked.
pub(super) struct InForce {
    /// What was read.
    pub(super) config: Arc<Config>,
    /// How it stands to its file.
    pub(super) standing: Standing,
    reloader: Arc<Reloader>,
}

impl InForce {
    /// Takes the one of this moment.
    pub(super) fn now(reloader: &Arc<Reloader>) -> Self {
        let config = Arc::clone(&reloader.in_force().config);
        Self { config, standing: reloader.standing(), reloader: Arc::clone(reloader) }
    }

    /// It as people read it, secrets by their names.
    pub(super) fn shown(&self) -> String {
        show::rendered(&self.config)
    }

    /// Tells what would be done about a request.
    ///
    /// # Errors
    /// When the question makes no sense, or the site's own server does not answer.
    pub(super) fn explain(&self, asked: &Asked) -> io::Result<Account> {
        let table = SiteTable::new(&self.config).map_err(io::Error::other)?;
        let names = (self.reloader.running().names)(&self.config.server);
        explain::explained(&self.config, &table, names.as_ref(), &self.mask(), asked)
    }

    /// The requests about conversions as this configuration makes them, without secrets.
    pub(super) fn requests(&self, stories: &[Story]) -> Vec<Option<String>> {
        let mask = self.mask();
        let request = |story: &Story| explain::request(&self.config, story.event.as_ref()?, &mask);
        stories.iter().map(request).collect()
    }

    /// A link that begins a preview.
    ///
    /// # Errors
    /// When it is not clear what is meant, or the secret is not known.
    pub(super) fn preview(&self, wish: PreviewWish<'_>) -> Result<PreviewLink, Refusal> {
        let names = (self.reloader.running().names)(&self.config.server).ok_or("The site's secret is not known.")?;
        PreviewLink::new(&self.config, &names.seal, wish)
    }

    fn mask(&self) -> Mask {
        let texts = self.config.texts.files.iter();
        Mask::new(texts.flat_map(|(file, text)| secrets_in(file, text, Environment::Process)).collect())
    }
}
