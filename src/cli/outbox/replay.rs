//! `throughline outbox replay`: sends dead letters again.

use clap::Args;

use super::{Refusal, counted, refusal};
use crate::{
    cli::{Exit, complain, say},
    config::Config,
    operator::{Selection, max_age},
    store::{
        audit::Action,
        clock,
        desk::{AgeLimit, Replayed},
        inspector::RowState,
        office::Office,
    },
};

/// Options of `outbox replay`.
#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    selection: Selection,
    /// All dead letters
    #[arg(long)]
    all: bool,
    /// Also those that are older than `max_age`
    #[arg(long)]
    even_if_old: bool,
}

pub(super) fn execute(config: &Config, office: &Office, replay: &Replay) -> Result<Exit, Refusal> {
    if replay.selection.is_empty() && !replay.all {
        return Err(
            "which ones? Name events or orders, narrow it by --network, --verdict and the like, or say --all".into()
        );
    }
    let filter = replay.selection.filter(office, &[RowState::Dead], clock::now())?;
    let rows = office.choose(&filter).map_err(refusal)?;
    if rows.is_empty() {
        say("no dead letter is meant");
        return Ok(Exit::Success);
    }
    let mut action = Action { word: "replay", arguments: replay.selection.described(&filter) };
    if replay.even_if_old {
        action.arguments.push_str(" --even-if-old");
    }
    let limit = if replay.even_if_old { AgeLimit::Waived } else { AgeLimit::Respected };
    let max_age = max_age(config.destinations());
    Ok(report(office.replay(&action, &rows, limit, &max_age).map_err(refusal)?))
}

fn report(replayed: Replayed) -> Exit {
    let Replayed { queued, too_old, parked, gone } = replayed;
    say(&format!("{} will be sent again", counted(queued, "dead letter", "dead letters")));
    if too_old > 0 {
        complain(&format!("{too_old} not: older than `max_age`; --even-if-old sends them all the same"));
    }
    if parked > 0 {
        complain(&format!(
            "{parked} not: their site, network or conversion is no longer configured; see `outbox reassign`"
        ));
    }
    if gone > 0 {
        complain(&format!("{gone} not: no dead letters any more"));
    }
    if queued == 0 { Exit::Failure } else { Exit::Success }
}
