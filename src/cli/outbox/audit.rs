//! `throughline outbox audit`: who changed what.

use clap::Args;
use serde_json::json;

use super::{Refusal, refusal};
use crate::{
    cli::{Exit, say},
    store::{audit::AuditEntry, office::Office},
};

/// Options of `outbox audit`.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(office: &Office, audit: &Audit) -> Result<Exit, Refusal> {
    let entries = office.audit(audit.limit).map_err(refusal)?;
    if entries.is_empty() && !audit.json {
        say("nothing was changed");
    }
    for AuditEntry { at, who, action, arguments, count } in entries {
        let at = at.rfc3339();
        if audit.json {
            let entry = json!({ "at": at, "who": who, "action": action, "arguments": arguments, "count": count });
            say(&entry.to_string());
        } else {
            say(&format!("{at}  {who}: {action} {arguments}: {count}"));
        }
    }
    Ok(Exit::Success)
}
