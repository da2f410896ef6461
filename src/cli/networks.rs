//! `throughline networks`: what comes with the binary.

use clap::Args;

use super::{Exit, complain, say};
use crate::config::{catalogue, described, problem::nearest};

/// Options of `networks`.
#[derive(Debug, Args)]
pub struct Options {
    /// Show this network's file
    name: Option<String>,
}

pub(super) fn execute(options: &Options) -> Exit {
    let names = || catalogue::NETWORKS.iter().map(|(name, _)| *name);
    let Some(name) = &options.name else {
        for key in names() {
            let (name, description) = described(key);
            say(&format!("{key:<18}{name}: {description}"));
        }
        return Exit::Success;
    };
    if let Some(text) = catalogue::text(name) {
        say(text.trim_end());
        return Exit::Success;
    }
    let hint = nearest(name, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    complain(&format!("there is no network `{name}`{hint}"));
    Exit::Failure
}
