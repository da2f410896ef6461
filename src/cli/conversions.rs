//! `throughline conversions`: what became of every hit, for people and for the bills of networks.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{Exit, with_office};
use crate::config::Environment;

mod list;
mod selection;
mod sheet;
mod show;
mod tell;

/// Options of `conversions`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists hits and what became of each, newest first
    List(list::List),
    /// Tells the whole story of an order, a click or an event, and why it was not reported
    Show(show::Show),
    /// Writes all hits that match, newest first, for a spreadsheet or a program
    Export(list::Export),
}

/// Why a command is not carried out, for people.
type Refusal = String;

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    // Whoever reads what became of conversions need not have the secrets.
    with_office(file, Environment::Ignored, |config, office| match &options.command {
        Command::List(list) => list::list(office, list),
        Command::Show(show) => show::execute(file, config, office, show),
        Command::Export(export) => list::export(office, export),
    })
}
