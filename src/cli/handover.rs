//! `throughline handover`: has the running process start its successor.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::Args;

use super::{Exit, check, complain, say};
use crate::{
    config::{Config, Environment},
    handover::{PATIENCE, endpoint, message::Message, talk::Talk},
};

/// Options of `handover`.
#[derive(Debug, Args)]
pub struct Options {
    /// The binary of the new process [default: this one]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// The state folder of the running process, if the configuration names another one by now
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

pub(super) fn execute(file: &Path, options: Options) -> Exit {
    let state = match options.state {
        Some(state) => state,
        // What only the running process knows, its successor will look at.
        None => match Config::load(file, Environment::Ignored) {
            Ok(config) => config.server.state,
            Err(error) => {
                check::print(&error.problems);
                return Exit::Configuration;
            }
        },
    };
    match ask(file, options.binary, &state) {
        Ok(Message::Done { pid, version, predecessor }) => {
            say(&format!(
                "process {pid} (version {version}) serves; process {predecessor} finishes what it has begun, then ends"
            ));
            Exit::Success
        }
        Ok(Message::Refused { reason }) | Err(reason) => fail(&reason),
        Ok(_) => fail("the running process speaks another language"),
    }
}

fn ask(file: &Path, binary: Option<PathBuf>, state: &Path) -> Result<Message, String> {
    let binary = binary.map_or_else(std::env::current_exe, std::path::absolute);
    let binary = binary.map_err(|error| format!("the new binary can't be found: {error}"))?;
    let config = std::path::absolute(file).map_err(|error| error.to_string())?;
    let stream = connect(state).map_err(|error| {
        if is_absent(&error) {
            return format!("no process that could hand over runs on {}", state.display());
        }
        format!("the process that runs on {} can't be spoken to: {error}", state.display())
    })?;
    let mut talk = Talk::over(stream).map_err(|error| error.to_string())?;
    talk.say(&Message::Start { binary, config }).map_err(|error| error.to_string())?;
    talk.hear(LAST_WORD).map_err(|silence| format!("the running process gave no answer: {silence}"))
}

/// A process that has just begun to serve may not have its socket yet.
fn connect(state: &Path) -> io::Result<UnixStream> {
    for _ in 0..TRIES {
        match endpoint::connect(state) {
            Err(error) if is_absent(&error) => thread::sleep(BETWEEN_TRIES),
            result => return result,
        }
    }
    endpoint::connect(state)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn fail(reason: &str) -> Exit {
    complain(&format!("nothing was handed over: {reason}"));
    Exit::Failure
}

/// The running process waits for two words of the new one, and for its end if it fails.
const LAST_WORD: Duration = PATIENCE.saturating_mul(2).saturating_add(Duration::from_secs(10));
const TRIES: u32 = 40;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
