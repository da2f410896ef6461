//! A whole configuration as one tree: the main file, those that it includes, and what all sites share.
//!
//! Decides what stands where in the result, and what the included files may hold. Every node keeps the
//! place where it was written, so that problems and relative paths are right. What the keys mean is
//! decided by whoever decodes the tree.

use std::{collections::BTreeSet, path::Path};

use super::{
    decode::Field,
    file,
    problem::{Place, Problem, Problems, Severity, shown},
    texts::Texts,
    tree::{Entry, Kind, Node},
};

mod include;

use include::Inclusion;

/// A configuration that was read.
#[derive(Debug)]
pub struct Document {
    /// The tree: all sites and accounts are under `sites` and `networks`, the defaults laid under each site.
    pub root: Node,
    /// What was read.
    pub texts: Texts,
}

/// Looks up what stands for `${NAME}`.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Document {
    /// Reads a text as if it stood in this file; without `lookup`, variables stay as they are written.
    ///
    /// `None` when the main file is not even a tree, and `problems` say why.
    pub fn read(file: &Path, text: &str, lookup: Option<Lookup<'_>>, problems: &Problems) -> Option<Self> {
        Self::assemble(Inclusion::new(file, text, lookup, problems), lookup, problems)
    }

    /// Reads texts that were kept, whatever stands in their files by now.
    pub fn kept(texts: &Texts, lookup: Option<Lookup<'_>>, problems: &Problems) -> Option<Self> {
        Self::assemble(Inclusion::of_kept(texts, lookup, problems), lookup, problems)
    }

    fn assemble(mut inclusion: Inclusion<'_>, lookup: Option<Lookup<'_>>, problems: &Problems) -> Option<Self> {
        let (file, text) = (inclusion.main().to_owned(), inclusion.main_text().to_owned());
        let mut root = tree(&file.display().to_string(), &text, lookup, problems)?;
        inclusion.follow(&root, file::folder(&file));
        let (sites, accounts, texts) = inclusion.into_parts();
        append_sites(&mut root, sites);
        append_accounts(&mut root, accounts, problems);
        lay_defaults(&mut root, problems);
        Some(Self { root, texts })
    }

    /// Gives the problems of what all sites share the keys that lead to where it is written, not to a site.
    pub fn correct_paths(&self, problems: &mut [Problem]) {
        let places = |key: &str| {
            let mut places = BTreeSet::new();
            self.root.entry(key).into_iter().for_each(|node| collect_places(node, &mut places));
            places
        };
        let (defaults, accounts) = (places("defaults"), places("networks"));
        for problem in problems {
            let Some((_, below)) = problem.path.strip_prefix("sites[").and_then(|rest| rest.split_once(']')) else {
                continue;
            };
            if defaults.contains(&problem.place) {
                problem.path = format!("defaults{below}");
            } else if accounts.contains(&problem.place) {
                problem.path = below.trim_start_matches('.').to_owned();
            }
        }
    }
}

/// A file as a tree.
fn tree(name: &str, text: &str, lookup: Option<Lookup<'_>>, problems: &Problems) -> Option<Node> {
    let mut root = Node::parse(name, text, problems)?;
    if let Some(lookup) = lookup {
        root.expand_environment(lookup, problems);
    }
    Some(root)
}

fn collect_places<'a>(node: &'a Node, places: &mut BTreeSet<&'a Place>) {
    places.insert(&node.place);
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::List(items) => items.iter().for_each(|item| collect_places(item, places)),
        Kind::Map(entries) => {
            for entry in entries {
                places.insert(&entry.key_place);
                collect_places(&entry.value, places);
            }
        }
    }
}

/// The value of a key of the root, which is made when it is absent and there is something to be put there.
fn made<'a>(root: &'a mut Node, key: &str, place: &Place, empty: Kind) -> Option<&'a mut Kind> {
    let Kind::Map(entries) = &mut root.kind else { return None };
    let is_there = |entry: &Entry| entry.key == key && !entry.value.is_null();
    if !entries.iter().any(is_there) {
        entries.retain(|entry| entry.key != key);
        let value = Node { place: place.clone(), kind: empty };
        entries.push(Entry { key: key.to_owned(), key_place: place.clone(), value });
    }
    entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value.kind)
}

fn append_sites(root: &mut Node, sites: Vec<Node>) {
    let Some(first) = sites.first().map(|site| site.place.clone()) else { return };
    // What is written there and is no list is told of by whoever decodes it.
    if let Some(Kind::List(all)) = made(root, "sites", &first, Kind::List(Vec::new())) {
        all.extend(sites);
    }
}

fn append_accounts(root: &mut Node, accounts: Vec<Entry>, problems: &Problems) {
    let Some(first) = accounts.first().map(|account| account.key_place.clone()) else { return };
    let Some(Kind::Map(all)) = made(root, "networks", &first, Kind::Map(Vec::new())) else { return };
    for account in accounts {
        match all.iter().find(|known| known.key == account.key) {
            None => all.push(account),
            Some(known) => {
                let first = known.key_place.seen_from(&account.key_place);
                problems.add(Problem {
                    message: format!("the account {first} is called {}, too", shown(&account.key)),
                    path: format!("networks.{}", account.key),
                    place: account.key_place,
                    remedy: Some("give one of them another name".to_owned()),
                    severity: Severity::Error,
                });
            }
        }
    }
}

/// Lays `defaults` under each site.
fn lay_defaults(root: &mut Node, problems: &Problems) {
    let field = Field::root(root, problems);
    let Some(defaults) = field.find("defaults") else { return };
    if defaults.entries().is_none() {
        return;
    }
    for key in OF_ONE_SITE {
        if let Some(field) = defaults.find(key) {
            field.key_error(format!("`{key}` is each site's own"), "write it into the sites".to_owned());
        }
    }
    let sites = match root.entry("sites").map(|sites| &sites.kind) {
        Some(Kind::List(sites)) => sites.len(),
        Some(Kind::Map(_) | Kind::Scalar(_)) | None => 0,
    };
    if defaults.node.count().saturating_mul(sites) > MOST_NODES {
        let message = "laid under every site, this makes more than 1,000,000 values";
        defaults.error(message, "write less into it, or fewer sites".to_owned());
        return;
    }
    let defaults = defaults.node.clone();
    if let Kind::Map(entries) = &mut root.kind
        && let Some(Kind::List(sites)) =
            entries.iter_mut().find(|entry| entry.key == "sites").map(|entry| &mut entry.value.kind)
    {
        for site in sites.iter_mut().filter(|site| matches!(site.kind, Kind::Map(_))) {
            *site = laid_under(&defaults, site);
        }
    }
}

/// A site over the defaults. Inside a network, nulls stay: there they remove from the network's file, too.
fn laid_under(defaults: &Node, site: &Node) -> Node {
    let mut laid = Node::overlay(defaults, site);
    let (Some(below), Some(above)) = (defaults.entry("networks"), site.entry("networks")) else { return laid };
    let (Kind::Map(below), Kind::Map(above)) = (&below.kind, &above.kind) else { return laid };
    let find = |entries: &[Entry], key: &str| entries.iter().find(|entry| entry.key == key).cloned();
    let over = |entry: &Entry| match find(above, &entry.key) {
        None => Some(entry.clone()),
        Some(own) if own.value.is_null() => None,
        Some(own) => Some(Entry { value: Node::overlay_keeping_nulls(&entry.value, &own.value), ..own }),
    };
    let own = above.iter().filter(|entry| find(below, &entry.key).is_none()).cloned();
    let networks = below.iter().filter_map(over).chain(own).collect();
    if let Kind::Map(entries) = &mut laid.kind {
        let old = entries.iter_mut().find(|entry| entry.key == "networks");
        if let Some(entry) = old {
            entry.value.kind = Kind::Map(networks);
        }
    }
    laid
}

/// Keys that tell sites apart.
const OF_ONE_SITE: [&str; 2] = ["name", "hosts"];

/// What `defaults` may add to the sites in all: each value takes some hundred bytes.
const MOST_NODES: usize = 1_000_000;

#[cfg(test)]
mod tests;
