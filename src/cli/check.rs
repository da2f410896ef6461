//! `throughline check`: every mistake of a configuration in one run.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, complain, say};
use crate::config::{Config, Environment, problem::Problem};

mod renamed;

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Options {
    /// The files [default: the one of `--config`]
    files: Vec<PathBuf>,
    /// Take every ${NAME} for set and right, and certificates and error pages for usable
    #[arg(long)]
    no_environment: bool,
    /// End with 78 for warnings, too
    #[arg(long)]
    deny_warnings: bool,
}

pub(super) fn execute(file: &Path, options: Options) -> Exit {
    let files = if options.files.is_empty() { vec![file.to_owned()] } else { options.files };
    let environment = if options.no_environment { Environment::Ignored } else { Environment::Process };
    let mut exit = Exit::Success;
    for file in files {
        match Config::load(&file, environment) {
            Ok(config) => {
                let mut warnings = config.warnings.clone();
                warnings.extend(renamed::warnings(&file, &config));
                print(&warnings);
                if options.deny_warnings && !warnings.is_empty() {
                    exit = Exit::Configuration;
                } else {
                    say(&format!("{}: the configuration is in order", file.display()));
                }
            }
            Err(error) => {
                print(&error.problems);
                exit = Exit::Configuration;
            }
        }
    }
    exit
}

/// Prints problems, one a line.
pub(super) fn print(problems: &[Problem]) {
    for problem in problems {
        complain(&problem.to_string());
    }
}
