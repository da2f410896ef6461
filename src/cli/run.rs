//! `throughline run`: from a configuration to a running proxy, and back to a stopped one.

use std::{ffi::OsString, path::Path, sync::Arc, time::Duration};

use clap::Args;
use tokio::runtime;

use super::{Exit, check, complain, logging};
use crate::{
    config::{Config, Environment, problem::Problem},
    reload::{Source, last_good},
    trace,
};

mod closing;
mod descriptors;
mod lineage;
mod obstacle;
mod prepared;
pub(super) mod secret;
mod serving;
mod signals;

pub(super) use lineage::Lineage;
use obstacle::Obstacle;
pub(super) use prepared::Prepared;
use serving::Serving;
pub(super) use signals::Hangup;
use signals::Signals;

/// Options of `run`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
pub struct Options {
    /// Exit instead of serving pages without tracking when the state folder cannot be used
    #[arg(long)]
    strict: bool,
    /// With a configuration that has mistakes, run on the last one that was accepted
    #[arg(long)]
    last_good: bool,
    /// Take over from the process that runs on the same state folder, if there is one
    #[arg(long)]
    upgrade: bool,
    /// That process is at the other end of the standard input
    #[arg(long, hide = true, requires = "upgrade")]
    from_stdin: bool,
}

impl Options {
    /// Those that a successor gets as well.
    fn passed_on(&self) -> Vec<OsString> {
        let passed_on = [(self.strict, "--strict"), (self.last_good, "--last-good")];
        passed_on.into_iter().filter(|(is_given, _)| *is_given).map(|(_, option)| option.into()).collect()
    }
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    let mut lineage = match Lineage::begin(options) {
        Ok(lineage) => lineage,
        Err(error) => return Obstacle::from(error).tell(),
    };
    let (config, source) = match load(file, options) {
        Ok(loaded) => loaded,
        Err(problems) => {
            lineage.fail_by(&problems);
            return Exit::Configuration;
        }
    };
    logging::start(&config.server.log);
    if let Source::LastGood(problems) = &source {
        let mistakes = problems.len();
        tracing::error!(file = %file.display(), mistakes, "the configuration cannot be used; the last one that was accepted is in force");
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let (version, sites) = (env!("CARGO_PKG_VERSION"), config.sites.len());
    tracing::info!(version, sites, state = %config.server.state.display(), "throughline starts");
    trace::start();
    descriptors::raise(&config.server.limits);
    let mut inherited = match lineage.inherit(options, &config.server) {
        Ok(inherited) => inherited,
        Err(error) => return Obstacle::from(error).tell(),
    };
    match Prepared::new(file, config, source, options.strict, &mut inherited) {
        Ok(prepared) => {
            // What nobody has claimed is no address of this configuration any more.
            drop(inherited);
            serve(prepared, Hangup::Reloads, lineage)
        }
        Err(obstacle) => {
            lineage.fail(&obstacle.reason);
            obstacle.tell()
        }
    }
}

/// Serves until a signal says stop or another process takes over.
pub(super) fn serve(prepared: Prepared, hung_up: Hangup, lineage: Lineage) -> Exit {
    let sockets = match prepared.share() {
        Ok(sockets) => sockets,
        Err(error) => {
            lineage.fail(&error.to_string());
            return Obstacle::new(Exit::Failure, format!("the sockets can't be shared: {error}")).tell();
        }
    };
    let threads = prepared.config.server.threads;
    let runtime = match runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("no threads can be started: {error}"));
            return Exit::Failure;
        }
    };
    let logbook = Arc::clone(&prepared.logbook);
    let serving = {
        let _entered = runtime.enter();
        Serving::begin(prepared, hung_up)
    };
    let ending = runtime.block_on(serving.live(lineage, sockets));
    logbook.access.close();
    trace::stop();
    runtime.shutdown_timeout(Duration::from_secs(1));
    ending.exit()
}

/// Reads the configuration, or the last one that was accepted if that is what the operator wants.
///
/// What is in the way has been told, and is yielded for whoever wanted this process.
fn load(file: &Path, options: &Options) -> Result<(Config, Source), Vec<Problem>> {
    let error = match Config::load(file, Environment::Process) {
        Ok(config) => return Ok((config, Source::File)),
        Err(error) => error,
    };
    check::print(&error.problems);
    if !options.last_good {
        return Err(error.problems.clone());
    }
    let texts = last_good::find(file).map_err(|reason| {
        complain(&format!("there is no configuration that was accepted before: {reason}"));
        error.problems.clone()
    })?;
    let config = Config::read(&texts, Environment::Process).map_err(|worse| {
        complain("the configuration that was accepted before cannot be used any more, either:");
        check::print(&worse.problems);
        error.problems.clone()
    })?;
    Ok((config, Source::LastGood(error.problems)))
}
