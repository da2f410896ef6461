//! `throughline outbox reassign`: adopts what waits under an old name.

use clap::Args;

use super::{Refusal, counted, refusal};
use crate::{
    cli::{Exit, complain, say},
    config::Config,
    delivery::Destinations,
    store::{
        audit::Action,
        desk::{Reassigned, Rename},
        inspector::{Filter, Names, RowState},
        office::Office,
    },
};

/// Options of `outbox reassign`.
#[derive(Debug, Args)]
pub(super) struct Reassign {
    #[command(flatten)]
    kind: Kind,
    /// Only rows of this site
    #[arg(long, value_name = "SITE", conflicts_with = "site")]
    of: Option<String>,
}

/// What was renamed, from what to what.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Kind {
    /// A site was renamed
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    site: Option<Vec<String>>,
    /// A network was renamed: its key under `networks`
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    network: Option<Vec<String>>,
    /// A conversion was renamed
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    conversion: Option<Vec<String>>,
}

/// Which name it is about.
#[derive(Clone, Copy, Debug)]
enum Name {
    Site,
    Network,
    Conversion,
}

pub(super) fn execute(config: &Config, office: &Office, reassign: &Reassign) -> Result<Exit, Refusal> {
    let (name, old, new) = reassign.kind.change()?;
    let destinations = config.destinations();
    let mut renames = Vec::new();
    for from in office.names().map_err(refusal)? {
        let is_of = reassign.of.as_ref().is_none_or(|site| from.site == *site);
        if !is_of || name.of(&from) != old {
            continue;
        }
        let to = name.changed(&from, new);
        if is_configured(&destinations, &from) {
            complain(&format!("left alone: {} is still configured", written(&from)));
        } else if is_configured(&destinations, &to) {
            let filter = Filter {
                site: Some(from.site.clone()),
                network: Some(from.network.clone()),
                conversion: Some(from.conversion.clone()),
                states: vec![RowState::Pending, RowState::Dead, RowState::Incomplete],
                ..Filter::default()
            };
            renames.push(Rename { from, to, rows: office.choose(&filter).map_err(refusal)? });
        } else {
            complain(&format!("left alone: {} is not configured", written(&to)));
        }
    }
    if renames.is_empty() {
        return Err(format!("nothing waits under the {} `{old}` that `{new}` could adopt", name.as_str()));
    }
    let of = reassign.of.as_ref().map(|site| format!(" --of {site}")).unwrap_or_default();
    let action = Action { word: "reassign", arguments: format!("--{} {old} {new}{of}", name.as_str()) };
    Ok(report(office.reassign(&action, &renames).map_err(refusal)?, new))
}

fn report(reassigned: Reassigned, new: &str) -> Exit {
    let Reassigned { adopted, with_key, duplicates, leased, gone } = reassigned;
    say(&format!("{} now of `{new}`", counted(adopted, "row is", "rows are")));
    let keyless = adopted.saturating_sub(with_key);
    if keyless > 0 {
        say(&format!(
            "for {keyless} of them no dedup key could be moved: a reload of their thank-you pages may count again"
        ));
    }
    if duplicates > 0 {
        complain(&format!("{duplicates} not: `{new}` has accepted the same orders; `outbox purge` ends the old ones"));
    }
    if leased > 0 {
        complain(&format!("{leased} not: the proxy has them in its hands; try again, or stop it first"));
    }
    if gone > 0 {
        complain(&format!("{gone} not: over meanwhile"));
    }
    if adopted == 0 { Exit::Failure } else { Exit::Success }
}

impl Kind {
    fn change(&self) -> Result<(Name, &str, &str), Refusal> {
        let kinds = [(Name::Site, &self.site), (Name::Network, &self.network), (Name::Conversion, &self.conversion)];
        let given = kinds.into_iter().find_map(|(name, names)| Some((name, names.as_deref()?)));
        match given {
            Some((_, [old, new])) if old == new => Err("the old and the new name are the same".into()),
            Some((name, [old, new])) => Ok((name, old, new)),
            Some((_, [..])) | None => Err("write the old name and the new one".into()),
        }
    }
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Network => "network",
            Self::Conversion => "conversion",
        }
    }

    fn of(self, names: &Names) -> &str {
        match self {
            Self::Site => &names.site,
            Self::Network => &names.network,
            Self::Conversion => &names.conversion,
        }
    }

    fn changed(self, names: &Names, new: &str) -> Names {
        let (mut changed, new) = (names.clone(), new.to_owned());
        match self {
            Self::Site => changed.site = new,
            Self::Network => changed.network = new,
            Self::Conversion => changed.conversion = new,
        }
        changed
    }
}

fn is_configured(destinations: &Destinations, names: &Names) -> bool {
    let destination = destinations.find(&names.site, &names.network);
    destination.is_some_and(|destination| destination.routes.contains_key(names.conversion.as_str()))
}

fn written(names: &Names) -> String {
    format!("conversion `{}` of site `{}` to network `{}`", names.conversion, names.site, names.network)
}
