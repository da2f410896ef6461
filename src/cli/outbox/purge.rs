//! `throughline outbox purge`: ends what shall not be sent.

use clap::Args;

use super::{Refusal, counted, refusal};
use crate::{
    cli::{Exit, complain, say},
    operator::Selection,
    store::{audit::Action, clock, desk::Purged, inspector::RowState, office::Office},
};

/// Options of `outbox purge`.
#[derive(Debug, Args)]
pub(super) struct Purge {
    #[command(flatten)]
    selection: Selection,
    /// Everything that is not over
    #[arg(long)]
    all: bool,
    /// Do it; without this, and without ids, it only says how many are meant
    #[arg(long)]
    yes: bool,
}

pub(super) fn execute(office: &Office, purge: &Purge) -> Result<Exit, Refusal> {
    if purge.selection.is_empty() && !purge.all {
        return Err(
            "which ones? Name events or orders, narrow it by --network, --state and the like, or say --all".into()
        );
    }
    let states = [RowState::Pending, RowState::Dead, RowState::Incomplete];
    let filter = purge.selection.filter(office, &states, clock::now())?;
    let rows = office.choose(&filter).map_err(refusal)?;
    if rows.is_empty() {
        say("nothing is meant");
        return Ok(Exit::Success);
    }
    if !purge.yes && !purge.selection.names_rows() {
        let count = counted(rows.len(), "postback", "postbacks");
        return Err(format!("{count} would never be sent; nothing was done: add --yes to do it"));
    }
    let action = Action { word: "purge", arguments: purge.selection.described(&filter) };
    Ok(report(office.purge(&action, &rows).map_err(refusal)?))
}

fn report(purged: Purged) -> Exit {
    let Purged { pending, dead, leased, gone } = purged;
    say(&format!(
        "ended: {}, {}; their values are gone, their orders are not counted again",
        counted(pending, "postback that waited", "postbacks that waited"),
        counted(dead, "dead letter or incomplete one", "dead letters and incomplete ones"),
    ));
    if leased > 0 {
        complain(&format!("{leased} not: the proxy has them in its hands; try again, or stop it first"));
    }
    if gone > 0 {
        complain(&format!("{gone} not: over meanwhile"));
    }
    if pending + dead == 0 { Exit::Failure } else { Exit::Success }
}
