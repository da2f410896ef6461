//! What the scripts of a page push into the data layer of its tag manager.
//!
//! Read are `dataLayer.push(…)` however the data layer is reached, `dataLayer = […]`, Google's
//! `gtag('event', NAME, …)`, and objects that a variable holds when it is pushed. A push counts wherever
//! it stands, in functions and branches too, but not in comments or strings. Nothing is executed, so
//! that whatever is computed is unknown.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use serde_json::Value;

use super::{literal::Budget, path::Path};

mod scan;
#[cfg(test)]
mod tests;

use scan::Scan;

/// The entries of one page's data layer, as far as they can be known.
#[derive(Debug, Default)]
pub(super) struct DataLayer {
    entries: VecDeque<Entry>,
    is_cut: bool,
}

/// One object in it.
#[derive(Debug)]
struct Entry {
    /// The name that stands beside the object in `gtag('event', NAME, OBJECT)`.
    event: Option<Value>,
    object: Rc<Value>,
}

impl DataLayer {
    /// Reads the scripts of a page, in their order.
    pub(super) fn read(scripts: &[&str]) -> Self {
        let mentions = |script: &&str| {
            let has = |name: &str| memchr::memmem::find(script.as_bytes(), name.as_bytes()).is_some();
            has(NAME) || has(GTAG)
        };
        // Those before may hold variables, those behind are of no use.
        let Some(last) = scripts.iter().rposition(mentions) else { return Self::default() };
        let mut data_layer = Self::default();
        let mut budget = Budget::new(scripts.iter().map(|script| script.len()).sum());
        let mut variables = BTreeMap::new();
        for script in scripts.iter().take(last + 1) {
            Scan::new(script, &mut data_layer, &mut budget, &mut variables).run();
        }
        data_layer.is_cut |= budget.is_spent();
        data_layer
    }

    /// Whether there was more than can be read.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// What stands at a path in the newest entry that has anything there.
    pub(super) fn find(&self, path: &Path) -> Option<&Value> {
        let in_entry = |entry: &'_ Entry| -> bool { entry.find(path).is_some_and(|value| !value.is_null()) };
        let at = self.entries.iter().rposition(in_entry)?;
        self.entries.get(at)?.find(path)
    }

    fn push(&mut self, event: Option<Value>, object: Rc<Value>) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { event, object });
    }
}

impl Entry {
    fn find(&self, path: &Path) -> Option<&Value> {
        // As if it were written `{event: NAME, ...OBJECT}`.
        path.find(&self.object).or_else(|| self.event.as_ref().filter(|_| path.is_member("event")))
    }
}

const NAME: &str = "dataLayer";
const GTAG: &str = "gtag";
/// The newest so many entries count.
const MAX_ENTRIES: usize = 256;
