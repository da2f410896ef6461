//! The commands: what an operator types, and what the process answers with its exit status.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, Environment},
    store::office::Office,
};

mod actor;
mod backup;
mod bypass;
mod check;
mod conversions;
mod cookies;
pub mod demo;
mod explain;
mod handover;
mod listing;
mod logging;
mod networks;
mod outbox;
mod preview;
pub mod run;
mod schema;
mod show;
mod visitor;

/// Carries ad clicks to their conversions, in front of a site that nobody has to touch.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, max_term_width = 100)]
pub struct Arguments {
    /// The configuration [default: throughline.yaml]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the proxy
    Run(run::Options),
    /// Lets a new process take over from the running one, without a refused connection
    Handover(handover::Options),
    /// Finds every mistake of configurations in one run
    Check(check::Options),
    /// Shows the effective configuration; variables and files by their names
    Show(show::Options),
    /// Prints the JSON Schema of configurations, for editors
    Schema(schema::Options),
    /// Starts a sample shop, ad networks and the proxy on loopback, to click through
    Demo(demo::Options),
    /// Lists the networks that come with Throughline, or shows one
    Networks(networks::Options),
    /// Shows what waits, what was delivered and what was given up; sends it again, ends it, adopts it
    Outbox(outbox::Options),
    /// Lists and exports what became of every hit, and tells why one was not reported
    Conversions(conversions::Options),
    /// Copies the store into a new file while it is in use
    Backup(backup::Options),
    /// Shows, hands out or erases what is stored of one person
    Visitor(visitor::Options),
    /// Tells what would be done about a request, step by step, and why; nothing is stored or sent
    Explain(Box<explain::Options>),
    /// Lists the cookies that sites set through Throughline, for their cookie policies
    Cookies(cookies::Options),
    /// Switches tracking of a site or network off for a while, without a restart; lists what is off
    Bypass(bypass::Options),
    /// Makes a link by which your own browser is shown what is decided about its visits
    Preview(preview::Options),
}

/// How a command ended, in the words of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Success,
    /// It failed; the reason was said.
    Failure,
    /// The configuration is wrong (`EX_CONFIG`).
    Configuration,
    /// An address is in use; it may be free later (`EX_TEMPFAIL`).
    TryAgain,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::TryAgain => 75,
            Exit::Configuration => 78,
        })
    }
}

impl Arguments {
    /// Runs the command.
    #[must_use]
    pub fn execute(self) -> Exit {
        let file = self.config.unwrap_or_else(crate::config::default_file);
        match self.command {
            Command::Run(options) => run::execute(&file, &options),
            Command::Handover(options) => handover::execute(&file, options),
            Command::Check(options) => check::execute(&file, options),
            Command::Show(options) => show::execute(&file, options),
            Command::Schema(options) => schema::execute(&options),
            Command::Demo(options) => demo::execute(&options),
            Command::Networks(options) => networks::execute(&options),
            Command::Outbox(options) => outbox::execute(&file, options),
            Command::Conversions(options) => conversions::execute(&file, &options),
            Command::Backup(options) => backup::execute(&file, &options),
            Command::Visitor(options) => visitor::execute(&file, &options),
            Command::Explain(options) => explain::execute(&file, &options),
            Command::Cookies(options) => cookies::execute(&file, &options),
            Command::Bypass(options) => bypass::execute(&file, options),
            Command::Preview(options) => preview::execute(&file, options),
        }
    }
}

/// Does something with the configuration, or says what is wrong with it or why it was not done.
fn with_config(file: &Path, environment: Environment, act: impl FnOnce(&Config) -> Result<Exit, String>) -> Exit {
    let config = match Config::load(file, environment) {
        Ok(config) => config,
        Err(error) => {
            check::print(&error.problems);
            return Exit::Configuration;
        }
    };
    act(&config).unwrap_or_else(|refusal| {
        complain(&refusal);
        Exit::Failure
    })
}

/// Does something where an operator works: on the state folder, or on the database of a fleet.
///
/// Only a fleet's address, and keys that are asked for, need what stands in the environment.
fn with_office(
    file: &Path,
    environment: Environment,
    act: impl FnOnce(&Config, &Office) -> Result<Exit, String>,
) -> Exit {
    let act = |config: &Config| {
        if config.server.fleet.is_some() {
            // Fails when a provider is installed already, which is then the same one.
            let _installed = rustls::crypto::ring::default_provider().install_default();
        }
        let office = Office::open(&config.server.state, config.server.fleet.as_ref(), actor::current());
        act(config, &office.map_err(|error| error.to_string())?)
    };
    match Config::load(file, environment) {
        Ok(config) if config.server.fleet.is_some() => with_config(file, Environment::Process, act),
        Ok(_) | Err(_) => with_config(file, environment, act),
    }
}

/// Prints for whoever reads the command's result.
pub(crate) fn say(text: &str) {
    // A reader who has seen enough closes the pipe; nothing is left to be said to them.
    let _closed = writeln!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush());
}

/// Prints for whoever must act.
pub(crate) fn complain(text: &str) {
    let _closed = writeln!(io::stderr().lock(), "{text}");
}
