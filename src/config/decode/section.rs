//! A map with known keys, which finds the unknown ones.
//!
//! Asking for a key makes it known; [`Section::finish`] notes every key that nobody asked for. So the
//! code that reads a section is the only list of its keys.

use std::collections::BTreeSet;

use super::Field;
use crate::config::problem::{nearest, shown};
use crate::config::tree::Entry;

/// A map whose keys are asked for one by one.
#[must_use = "a section ends with `finish`, which notes unknown keys"]
#[derive(Debug)]
pub struct Section<'a> {
    field: Field<'a>,
    entries: &'a [Entry],
    asked: Vec<&'a str>,
    taken: BTreeSet<&'a str>,
}

impl<'a> Section<'a> {
    pub(super) fn new(field: Field<'a>, entries: &'a [Entry]) -> Section<'a> {
        Section { field, entries, asked: Vec::new(), taken: BTreeSet::new() }
    }

    /// The value of a key; `None` when absent or null. The key is known from now on.
    pub fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.know(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!entry.value.is_null()).then(|| self.field.child(entry))
    }

    /// Makes a key known that is read elsewhere.
    pub fn know(&mut self, key: &'a str) {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
    }

    /// The value of a key that must be there; absent or null is a problem with this remedy.
    pub fn require(&mut self, key: &'static str, remedy: &str) -> Option<Field<'a>> {
        let found = self.get(key);
        if found.is_none() {
            let message = format!("{} is missing", shown(key));
            let remedy = (!remedy.is_empty()).then(|| remedy.to_owned());
            match self.entries.iter().find(|entry| entry.key == key) {
                Some(empty) => self.field.child(empty).key_error(format!("{} is empty", shown(key)), remedy),
                None => self.field.error(message, remedy),
            }
        }
        found
    }

    /// Whether the key is there with a value. Does not make it known.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && !entry.value.is_null())
    }

    /// All entries with a value that were not asked for so far, for maps that take further keys.
    ///
    /// They are known from now on.
    pub fn take_rest(&mut self) -> Vec<(&'a str, Field<'a>)> {
        let rest: Vec<&'a Entry> = self.unknown().collect();
        self.taken.extend(rest.iter().map(|entry| entry.key.as_str()));
        let with_value = rest.into_iter().filter(|entry| !entry.value.is_null());
        with_value.map(|entry| (entry.key.as_str(), self.field.child(entry))).collect()
    }

    /// The map itself, for problems that concern all of it.
    #[must_use]
    pub fn field(&self) -> &Field<'a> {
        &self.field
    }

    /// Notes every key that was not asked for, with the key that was probably meant.
    pub fn finish(self) {
        for entry in self.unknown() {
            let remedy = match nearest(&entry.key, self.asked.iter().copied()) {
                Some(key) => Some(format!("did you mean {}?", shown(key))),
                None if self.asked.is_empty() => None,
                None => Some(format!("possible keys: {}", self.asked.join(", "))),
            };
            self.field.child(entry).key_error(format!("unknown key {}", shown(&entry.key)), remedy);
        }
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Entry> {
        let known = |key: &str| self.asked.contains(&key) || self.taken.contains(key);
        self.entries.iter().filter(move |entry| !known(&entry.key))
    }
}
