//! `throughline outbox set`: adds what an incomplete conversion lacks, and has it sent.

use clap::Args;

use super::Refusal;
use crate::{
    cli::{Exit, complain, say},
    config::Config,
    operator,
    store::{desk::Corrected, office::Office},
};

/// Options of `outbox set`.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// The event id, or the beginning of it
    id: String,
    /// What it lacks, as `order_id=1001 value=49.90`; `proof=yes` when it is known to be a conversion, `journey=yes` when it has all that is known of the visitor
    #[arg(required = true, value_name = "NAME=VALUE")]
    values: Vec<String>,
}

pub(super) fn execute(config: &Config, office: &Office, set: &Set) -> Result<Exit, Refusal> {
    Ok(match operator::complete(config, office, &set.id, &set.values)? {
        Corrected::Queued => {
            say("complete: it will be sent");
            Exit::Success
        }
        Corrected::Incomplete(missing) => {
            say(&format!("still missing: {}", missing.join(", ")));
            Exit::Success
        }
        Corrected::Duplicate => {
            complain("another conversion has this order id; nothing was changed");
            Exit::Failure
        }
        Corrected::Unknown => {
            complain("it is not incomplete any more; nothing was changed");
            Exit::Failure
        }
    })
}
