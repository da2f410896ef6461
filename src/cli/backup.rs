//! `throughline backup`: a copy of the store while it is in use.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, say, with_config};
use crate::{
    config::{Environment, units::written_size},
    store::Inspector,
};

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct Options {
    /// A file that is not there yet
    file: PathBuf,
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    with_config(file, Environment::Ignored, |config| {
        let store = Inspector::open(&config.server.state).map_err(|error| error.to_string())?;
        let backup = store.back_up(&options.file).map_err(|error| error.to_string())?;
        let (size, unsent) = (written_size(backup.bytes), backup.unsent);
        say(&format!("{}: {size}, in order; {unsent} conversions in it were still to be sent", options.file.display()));
        Ok(Exit::Success)
    })
}
