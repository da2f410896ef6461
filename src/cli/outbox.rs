//! `throughline outbox`: what waits, what was delivered, what was given up, and what to do about it.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{Exit, with_office};
use crate::{
    config::Environment,
    operator::{Refusal, counted, refusal},
};

mod audit;
mod list;
mod purge;
mod reassign;
mod replay;
mod set;
mod show;

/// Options of `outbox`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists postbacks, newest first
    List(list::List),
    /// Shows everything known of one postback, personal values masked
    Show(show::Show),
    /// Adds what an incomplete conversion lacks; once nothing is missing, it is sent
    Set(set::Set),
    /// Sends dead letters again: the same event ids and times, and as many attempts as the first time
    Replay(replay::Replay),
    /// Ends postbacks that shall not be sent, and forgets their values
    Purge(purge::Purge),
    /// Adopts what waits under the old name of a site, a network or a conversion
    Reassign(reassign::Reassign),
    /// Lists who changed what, newest first
    Audit(audit::Audit),
}

pub(super) fn execute(file: &Path, options: Options) -> Exit {
    // Only names, ages and the folder are wanted: who looks after the outbox need not have the secrets.
    with_office(file, Environment::Ignored, |config, office| match options.command {
        Command::List(list) => list::execute(office, &list),
        Command::Show(show) => show::execute(office, &show),
        Command::Set(set) => set::execute(config, office, &set),
        Command::Replay(replay) => replay::execute(config, office, &replay),
        Command::Purge(purge) => purge::execute(office, &purge),
        Command::Reassign(reassign) => reassign::execute(config, office, &reassign),
        Command::Audit(audit) => audit::execute(office, &audit),
    })
}
