//! The `throughline` command.

use std::process::ExitCode;

use clap::Parser;
use throughline::cli::Arguments;

/// Every request makes some hundred small allocations; this allocator saves a sixth of all
/// instructions of a proxied request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Arguments::parse().execute().into()
}
