//! What a row holds of a visitor: no more than the templates of its network use.

use std::collections::{BTreeMap, BTreeSet};

use crate::tracking::template::{Template, sha256};

/// Names that a network's templates use, so that a row holds nothing else of the visitor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    raw: BTreeSet<String>,
    hashed: BTreeSet<String>,
}

impl Wanted {
    /// Adds the names that a template uses.
    pub fn add(&mut self, template: &Template) {
        for slot in template.slots() {
            let set = if slot.is_hashed() { &mut self.hashed } else { &mut self.raw };
            set.insert(slot.name.clone());
            self.raw.extend(slot.filter_names().into_iter().map(ToOwned::to_owned));
        }
    }

    /// Adds a name whose plain value is needed.
    pub fn add_name(&mut self, name: &str) {
        self.raw.insert(name.to_owned());
    }

    /// Adds a name that matters, but whose hash is enough.
    pub fn add_hashed(&mut self, name: &str) {
        self.hashed.insert(name.to_owned());
    }

    /// Whether a name is used.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.raw.contains(name) || self.hashed.contains(name)
    }

    /// The wanted fields. One that only ever leaves as a hash is stored as that hash.
    #[must_use]
    pub fn select(
        &self,
        fields: &BTreeMap<String, String>,
        context: &dyn Fn(&str) -> Option<String>,
    ) -> BTreeMap<String, String> {
        let find = |name: &String| fields.get(name).cloned().or_else(|| context(name));
        let hashed = self.hashed.iter().filter_map(|name| Some((name.clone(), sha256(&find(name)?))));
        let raw = self.raw.iter().filter_map(|name| Some((name.clone(), find(name)?)));
        hashed.chain(raw).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_only_leaves_as_a_hash_is_stored_as_a_hash() {
        let mut wanted = Wanted::default();
        wanted.add(&Template::parse("{email|sha256}").expect("a template"));
        let fields = BTreeMap::from([("email".to_owned(), "a@b.example".to_owned())]);
        let selected = wanted.select(&fields, &|_| None);
        assert_eq!(selected.get("email"), Some(&sha256("a@b.example")));
        wanted.add(&Template::parse("{email}").expect("a template"));
        assert_eq!(wanted.select(&fields, &|_| None), fields, "asked for in the clear");
    }
}
