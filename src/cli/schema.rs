//! `throughline schema`: what a configuration may look like, for editors.

use clap::Args;

use super::{Exit, say};
use crate::config::schema;

/// Options of `schema`.
#[derive(Debug, Args)]
pub struct Options {}

pub(super) fn execute(_: &Options) -> Exit {
    say(schema::text().trim_end());
    Exit::Success
}
