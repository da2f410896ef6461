//! Where an operator works: on the store of a folder, or on that of a whole fleet.
//!
//! Commands ask and change the same things in both. What a node of a fleet has on its own disk and has
//! not forwarded yet is not looked at here: it is with the fleet as soon as the database is there.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

use super::{
    Attempt, Fleet,
    audit::{Action, Actor, AuditEntry},
    desk::{
        AgeLimit, Corrected, Correction, Desk, DeskError, Purged, Reassigned, Receipt, Rename, Replayed, renamed_keys,
    },
    fleet::{
        FleetError, FleetSettings,
        desk::{self as fleet_desk, Deed},
    },
    inspector::{Filter, InspectError, Inspector, Known, Names, Person, RowDetail, RowId, RowSummary},
    story::{HitFilter, HitRecord, Show, Stories, collected},
};
use crate::tracking::event::EventId;

/// Where an operator works.
#[derive(Debug)]
pub struct Office {
    place: Place,
    actor: Actor,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Fleet(Fleet, Runtime),
}

/// How old a conversion of a site, conversion and network may become; nothing about what is not configured.
pub type MaxAge<'a> = &'a (dyn Fn(&str, &str, &str) -> Option<Duration> + Sync);

/// Why something can't be asked or done.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// The store of the folder can't be read.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The store of the folder can't be changed.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The fleet's database can't be asked.
    #[error("the fleet's database: {0}")]
    Fleet(#[from] FleetError),
    /// The machine has no room for another runtime.
    #[error("nothing can be asked: {0}")]
    Runtime(#[from] io::Error),
}

impl Office {
    /// Opens it; with settings of a fleet, on the fleet, for which a rustls crypto provider must be installed.
    ///
    /// # Errors
    /// When the fleet's database can't be used. A folder without a store is found out later.
    pub fn open(folder: &Path, fleet: Option<&FleetSettings>, actor: Actor) -> Result<Self, OfficeError> {
        let place = match fleet {
            None => Place::Folder(folder.to_owned()),
            Some(settings) => {
                let fleet = Fleet::new(settings, "operator".into())?;
                let runtime = Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(fleet.prepare())?;
                Place::Fleet(fleet, runtime)
            }
        };
        Ok(Self { place, actor })
    }

    /// Rows that match, newest first.
    ///
    /// # Errors
    /// See [`OfficeError`]; so for all that follow.
    pub fn list(&self, filter: &Filter) -> Result<Vec<RowSummary>, OfficeError> {
        Ok(match &self.place {
            Place::Folder(folder) => Inspector::open(folder)?.list(filter)?,
            Place::Fleet(fleet, runtime) => {
                runtime.block_on(fleet.list(filter))?.into_iter().map(|row| row.summary).collect()
            }
        })
    }

    /// Rows by event id, by the beginning of one, or by order id, with their attempts.
    pub fn show(&self, text: &str) -> Result<Vec<RowDetail>, OfficeError> {
        let (fleet, runtime) = match &self.place {
            Place::Folder(folder) => return Ok(Inspector::open(folder)?.show(text)?),
            Place::Fleet(fleet, runtime) => (fleet, runtime),
        };
        runtime.block_on(async {
            let mut rows = Vec::new();
            for row in fleet.show(text).await? {
                let earlier = match row.summary.event_id {
                    Some(id) => fleet.attempts(id).await?,
                    None => Vec::new(),
                };
                let earlier = earlier.into_iter().map(|(number, answer)| Attempt { number, answer });
                rows.push(row.with_earlier(earlier.collect()));
            }
            Ok(rows)
        })
    }

    /// Chooses the rows that match, newest first, for something to be done with them.
    pub fn choose(&self, filter: &Filter) -> Result<Vec<RowId>, OfficeError> {
        Ok(match &self.place {
            Place::Folder(folder) => Inspector::open(folder)?.choose(filter)?,
            Place::Fleet(fleet, runtime) => {
                let chosen = runtime.block_on(fleet.choose(filter))?;
                chosen.into_iter().map(|id| RowId((*id.as_bytes()).into())).collect()
            }
        })
    }

    /// The names of all rows that are not over.
    pub fn names(&self) -> Result<BTreeSet<Names>, OfficeError> {
        Ok(match &self.place {
            Place::Folder(folder) => Inspector::open(folder)?.names()?.into_iter().collect(),
            Place::Fleet(fleet, runtime) => {
                let names = runtime.block_on(fleet.names())?.into_iter();
                names.map(|(site, conversion, network)| Names { site, conversion, network }).collect()
            }
        })
    }

    /// What operators did, the newest first.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, OfficeError> {
        Ok(match &self.place {
            Place::Folder(folder) => Inspector::open(folder)?.audit(limit)?,
            Place::Fleet(fleet, runtime) => runtime.block_on(fleet.audit(limit))?,
        })
    }

    /// What became of hits that match, newest first.
    pub fn hits(&self, filter: &HitFilter) -> Result<Vec<HitRecord>, OfficeError> {
        collected(|show| self.each_hit(filter, show))
    }

    /// Shows hits that match, newest first, one by one, until the other side has seen enough: for exports,
    /// which may be longer than the memory.
    pub fn each_hit(&self, filter: &HitFilter, show: Show<'_>) -> Result<(), OfficeError> {
        match &self.place {
            Place::Folder(folder) => Inspector::open(folder)?.each_hit(filter, show)?,
            Place::Fleet(fleet, runtime) => runtime.block_on(fleet.each_hit(filter, show))?,
        }
        Ok(())
    }

    /// The stories of hits by order id, click ID, event id, or the beginning of an event id, the oldest first.
    pub fn story(&self, text: &str) -> Result<Stories, OfficeError> {
        Ok(match &self.place {
            Place::Folder(folder) => Inspector::open(folder)?.story(text)?,
            Place::Fleet(fleet, runtime) => runtime.block_on(fleet.story(text))?,
        })
    }

    /// Sends dead letters again.
    pub fn replay(
        &self,
        action: &Action,
        rows: &[RowId],
        limit: AgeLimit,
        max_age: MaxAge<'_>,
    ) -> Result<Replayed, OfficeError> {
        let (fleet, runtime) = match &self.place {
            Place::Folder(folder) => {
                return Ok(Desk::open(folder, self.actor.clone())?.replay(action, rows, limit, &max_age)?);
            }
            Place::Fleet(fleet, runtime) => (fleet, runtime),
        };
        let even_if_old = limit == AgeLimit::Waived;
        let tally = runtime.block_on(fleet.replay(&self.deed(action), &events(rows), even_if_old, max_age))?;
        Ok(Replayed { queued: tally.done, too_old: tally.too_old, parked: tally.parked, gone: tally.gone })
    }

    /// Ends rows without sending them.
    pub fn purge(&self, action: &Action, rows: &[RowId]) -> Result<Purged, OfficeError> {
        let (fleet, runtime) = match &self.place {
            Place::Folder(folder) => return Ok(Desk::open(folder, self.actor.clone())?.purge(action, rows)?),
            Place::Fleet(fleet, runtime) => (fleet, runtime),
        };
        let tally = runtime.block_on(fleet.purge(&self.deed(action), &events(rows)))?;
        let dead = tally.done.saturating_sub(tally.pending);
        Ok(Purged { pending: tally.pending, dead, leased: tally.leased, gone: tally.gone })
    }

    /// Gives rows other names.
    pub fn reassign(&self, action: &Action, renames: &[Rename]) -> Result<Reassigned, OfficeError> {
        let (fleet, runtime) = match &self.place {
            Place::Folder(folder) => return Ok(Desk::open(folder, self.actor.clone())?.reassign(action, renames)?),
            Place::Fleet(fleet, runtime) => (fleet, runtime),
        };
        let mut all = Reassigned::default();
        for rename in renames {
            let names = |it: &'_ Names| (it.site.clone(), it.conversion.clone(), it.network.clone());
            let (from, to) = (names(&rename.from), names(&rename.to));
            let keys = |payload: &_| renamed_keys(rename, payload);
            let fleets =
                fleet_desk::Rename { from: (&from.0, &from.1, &from.2), to: (&to.0, &to.1, &to.2), keys: &keys };
            let tally = runtime.block_on(fleet.reassign(&self.deed(action), &fleets, &events(&rename.rows)))?;
            all.adopted += tally.done;
            all.with_key += tally.with_key;
            all.duplicates += tally.duplicates;
            all.leased += tally.leased;
            all.gone += tally.gone;
        }
        Ok(all)
    }

    /// Completes an incomplete conversion; when nothing is missing any more, it will be sent.
    pub fn correct(&self, id: EventId, correction: &Correction) -> Result<Corrected, OfficeError> {
        Ok(match &self.place {
            Place::Folder(folder) => Desk::open(folder, self.actor.clone())?.correct(id, correction)?,
            Place::Fleet(fleet, runtime) => {
                let action = Action { word: "set", arguments: format!("{id} {}", correction.provided.join(" ")) };
                runtime.block_on(fleet.correct(&self.deed(&action), id, correction))?
            }
        })
    }

    /// Enters in the audit what changes no row.
    pub fn enter(&self, action: &Action) -> Result<(), OfficeError> {
        match &self.place {
            Place::Folder(folder) => Desk::open(folder, self.actor.clone())?.enter(action)?,
            Place::Fleet(fleet, runtime) => runtime.block_on(fleet.enter(&self.deed(action)))?,
        }
        Ok(())
    }

    /// Looks for a person in everything that is stored.
    pub fn find(&self, person: &Person) -> Result<Known, OfficeError> {
        Ok(match &self.place {
            Place::Folder(folder) => Inspector::open(folder)?.find(person)?,
            Place::Fleet(fleet, runtime) => runtime.block_on(fleet.find(person))?,
        })
    }

    /// Erases what was found of a person; `by` says how they were found, not who it is.
    pub fn erase(&self, known: &Known, by: &str) -> Result<Receipt, OfficeError> {
        Ok(match &self.place {
            Place::Folder(folder) => Desk::open(folder, self.actor.clone())?.erase(known, by)?,
            Place::Fleet(fleet, runtime) => {
                let action = Action { word: "erase", arguments: by.to_owned() };
                runtime.block_on(fleet.erase(&self.deed(&action), known))?
            }
        })
    }

    fn deed<'a>(&'a self, action: &'a Action) -> Deed<'a> {
        Deed { who: self.actor.as_str(), word: action.word, arguments: &action.arguments }
    }
}

/// Rows of a fleet always have their ids.
fn events(rows: &[RowId]) -> Vec<EventId> {
    rows.iter().filter_map(|row| EventId::from_slice(&row.0)).collect()
}
