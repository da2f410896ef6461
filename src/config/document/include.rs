//! The files that a configuration includes: finding them, and taking out what they may hold.
//!
//! A pattern is a glob relative to the file it stands in. It looks into those folders alone that it
//! names, so that looking for matches is bounded. A file is read once, however many patterns match it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use glob::{MatchOptions, Pattern, PatternError, glob_with};

use super::{Lookup, tree};
use crate::config::{
    decode::Field,
    file,
    problem::{Problems, nearest, shown},
    texts::Texts,
    tree::{Entry, Kind, LARGEST_FILE, Node, Origin},
};

/// What was found in included files so far.
pub(super) struct Inclusion<'a> {
    lookup: Option<Lookup<'a>>,
    problems: &'a Problems,
    /// The main file and those that were read.
    texts: Texts,
    /// Where files are read instead of from the disk.
    kept: Option<&'a Texts>,
    /// The same, however they are reached.
    known: BTreeSet<PathBuf>,
    /// The files that include each other, down to the one that is read now.
    chain: Vec<PathBuf>,
    sites: Vec<Node>,
    accounts: Vec<Entry>,
    is_full: bool,
}

impl<'a> Inclusion<'a> {
    pub(super) fn new(main: &Path, text: &str, lookup: Option<Lookup<'a>>, problems: &'a Problems) -> Self {
        let itself = real(main);
        Self {
            lookup,
            problems,
            texts: Texts::of(main, text),
            kept: None,
            known: BTreeSet::from([itself.clone()]),
            chain: vec![itself],
            sites: Vec::new(),
            accounts: Vec::new(),
            is_full: false,
        }
    }

    /// The same of texts that were kept.
    pub(super) fn of_kept(texts: &'a Texts, lookup: Option<Lookup<'a>>, problems: &'a Problems) -> Self {
        Self { kept: Some(texts), ..Self::new(&texts.file, texts.main(), lookup, problems) }
    }

    pub(super) fn main(&self) -> &Path {
        &self.texts.file
    }

    pub(super) fn main_text(&self) -> &str {
        self.texts.main()
    }

    /// Reads what a file in this folder includes.
    pub(super) fn follow(&mut self, root: &Node, folder: &Path) {
        let Some(include) = Field::root(root, self.problems).find("include") else { return };
        for pattern in include.one_or_many() {
            for found in matches(&pattern, folder, self.kept) {
                self.include(&found, &pattern);
            }
        }
    }

    /// Sites, accounts and what was read.
    pub(super) fn into_parts(self) -> (Vec<Node>, Vec<Entry>, Texts) {
        (self.sites, self.accounts, self.texts)
    }

    fn include(&mut self, found: &Path, pattern: &Field<'_>) {
        let itself = real(found);
        let name = shown(&found.to_string_lossy());
        if self.chain.contains(&itself) {
            let remedy = "write a pattern that doesn't match the file it stands in, nor one that includes it";
            pattern.error(format!("{name} includes itself"), remedy.to_owned());
            return;
        }
        if self.is_full || self.known.contains(&itself) {
            return;
        }
        if self.texts.files.len() > MOST_FILES {
            self.is_full = true;
            pattern.error(format!("more than {MOST_FILES} files are included"), "write fewer, larger ones".to_owned());
            return;
        }
        if self.chain.len() > DEEPEST {
            let remedy = "include it from a file further up".to_owned();
            pattern.error(format!("{name} is included more than {DEEPEST} levels deep"), remedy);
            return;
        }
        self.known.insert(itself.clone());
        let text = match read(found, self.kept) {
            Ok(text) => text,
            Err(error) => {
                pattern.error(format!("{name} cannot be read: {error}"), None);
                return;
            }
        };
        let root = tree(&found.to_string_lossy(), &text, self.lookup, self.problems);
        self.texts.include(found, text);
        let Some(root) = root else { return };
        self.take(&root);
        self.chain.push(itself);
        self.follow(&root, file::folder(found));
        self.chain.pop();
    }

    /// Takes what an included file may hold.
    fn take(&mut self, root: &Node) {
        for (key, field) in Field::root(root, self.problems).entries().unwrap_or_default() {
            match key {
                "include" => {}
                "sites" | "networks" if field.node.is_null() => {}
                "sites" => {
                    let sites = field.list().unwrap_or_default();
                    self.sites.extend(sites.into_iter().map(|site| site.node.clone()));
                }
                "networks" => {
                    if let (Some(_), Kind::Map(accounts)) = (field.entries(), &field.node.kind) {
                        self.accounts.extend(accounts.iter().cloned());
                    }
                }
                _ => {
                    let remedy = nearest(key, ALLOWED).map_or_else(
                        || "included files hold `sites`, `networks` and `include`; move it to the main file".to_owned(),
                        |near| format!("did you mean {}?", shown(near)),
                    );
                    field.key_error(format!("{} cannot stand in an included file", shown(key)), remedy);
                }
            }
        }
    }
}

fn read(path: &Path, kept: Option<&Texts>) -> Result<String, String> {
    if let Some(texts) = kept {
        return texts.files.get(path).cloned().ok_or_else(|| "it was not kept".to_owned());
    }
    let bytes = file::read(path, LARGEST_FILE as u64).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// The files that a pattern matches, sorted.
fn matches(pattern: &Field<'_>, folder: &Path, kept: Option<&Texts>) -> Vec<PathBuf> {
    let Some((text, scalar)) = pattern.text().zip(pattern.scalar()) else { return Vec::new() };
    let wrong = |message: String, remedy: &str| {
        pattern.error(message, remedy.to_owned());
        Vec::new()
    };
    if scalar.origin != Origin::Written || scalar.variable().is_some() {
        return wrong("which files are read does not depend on the environment".to_owned(), "write the pattern itself");
    }
    if text.contains("**") {
        let remedy = "name the folders: `[sites/*.yaml, sites/*/*.yaml]`";
        return wrong(format!("{} looks through whole trees of folders", shown(text)), remedy);
    }
    let base = match folder.to_str() {
        Some(".") => String::new(),
        Some(_) if Path::new(text).is_absolute() => String::new(),
        Some(folder) => format!("{}/", Pattern::escape(folder)),
        None => return wrong("the name of this folder is not UTF-8".to_owned(), "give it another one"),
    };
    let mut found = match listed(&format!("{base}{text}"), kept, pattern) {
        Ok(found) => found,
        Err(error) => {
            return wrong(format!("{} is not a pattern: {}", shown(text), error.msg), "write `sites/*.yaml`");
        }
    };
    if found.is_empty() {
        let message = format!("no file matches {}", shown(text));
        let remedy = "it is relative to the folder of the file that it stands in".to_owned();
        if text.contains(['*', '?', '[']) {
            pattern.warn(message, remedy);
        } else {
            pattern.error(message, remedy);
        }
    }
    found.sort();
    found
}

/// The files that a pattern matches, on the disk or among those that were kept.
fn listed(text: &str, kept: Option<&Texts>, pattern: &Field<'_>) -> Result<Vec<PathBuf>, PatternError> {
    if let Some(texts) = kept {
        let pattern = Pattern::new(text)?;
        return Ok(texts.included.iter().filter(|file| pattern.matches_path_with(file, OPTIONS)).cloned().collect());
    }
    let mut found = Vec::new();
    for path in glob_with(text, OPTIONS)?.take(MOST_FILES + 1) {
        match path {
            Ok(path) => found.push(path),
            Err(error) => {
                let name = shown(&error.path().to_string_lossy());
                pattern.error(format!("{name} cannot be read: {}", error.error()), None);
            }
        }
    }
    Ok(found)
}

/// A file as itself, however it is reached.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Editors leave hidden files beside those they work on.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// What an included file may hold.
const ALLOWED: [&str; 3] = ["sites", "networks", "include"];

/// Included files in all.
const MOST_FILES: usize = 1_000;

/// Levels of files that include others, below the main one.
const DEEPEST: usize = 3;
