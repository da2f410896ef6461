//! `throughline show`: the effective configuration.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, check, say};
use crate::config::show;

/// Options of `show`.
#[derive(Debug, Args)]
pub struct Options {
    /// The file [default: the one of `--config`]
    file: Option<PathBuf>,
}

pub(super) fn execute(file: &Path, options: Options) -> Exit {
    let file = options.file.unwrap_or_else(|| file.to_owned());
    match show::show(&file) {
        Ok(text) => {
            say(text.trim_end());
            Exit::Success
        }
        Err(error) => {
            check::print(&error.problems);
            Exit::Configuration
        }
    }
}
