//! Conversions that the store knows by names which are no longer configured.
//!
//! Names of site and conversion are part of what tells a repeat: under new ones, orders of yesterday
//! count again when their thank-you page is reloaded.

use std::{collections::BTreeSet, path::Path};

use crate::{
    config::{
        Config,
        problem::{Place, Problem, Severity, shown},
    },
    store::Inspector,
};

/// What is to be said about the names in a configuration's store, if it has one that can be read.
pub(super) fn warnings(file: &Path, config: &Config) -> Vec<Problem> {
    let Ok(stored) = Inspector::open(&config.server.state).and_then(|inspector| inspector.conversions()) else {
        return Vec::new();
    };
    let warning = |(site, conversion): (String, String)| {
        let known = config.sites.iter().find(|known| *known.rules.name == *site);
        let (place, name) = match known {
            Some(known) if known.rules.conversions.iter().any(|rule| *rule.name == *conversion) => return None,
            Some(known) => (known.place.clone(), format!("the conversion {} of this site", shown(&conversion))),
            None => {
                let place = Place { file: file.display().to_string().into(), line: 1, column: 1 };
                (place, format!("the site {}", shown(&site)))
            }
        };
        Some(Problem {
            place,
            path: String::new(),
            message: format!("the store knows {name}, which is not configured any more"),
            remedy: Some(
                "if it was renamed, orders that were counted under the old name count again; write the old name, \
                 or adopt what waits with `throughline outbox reassign`"
                    .to_owned(),
            ),
            severity: Severity::Warning,
        })
    };
    let found: BTreeSet<Problem> = stored.into_iter().filter_map(warning).collect();
    found.into_iter().collect()
}
