//! What two configurations differ in, by the paths of keys.
//!
//! Compared is what `throughline show` prints: defaults count as written, variables and files stand by
//! their names. Things with a `name` are told apart by it, so that a site or a conversion can move.

use std::fmt;

use super::{
    problem::shown,
    show::effective,
    texts::Texts,
    tree::{Kind, Node, push_index, push_key},
};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path of keys: `sites.shop.conversions.purchase.path`.
    pub path: String,
    /// What stood there.
    pub before: Value,
    /// What stands there now.
    pub after: Value,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Absent,
    /// A text, short enough to be shown.
    Text(String),
    /// More than a text.
    Section,
}

/// All differences, in the order of the new configuration; those that are gone come last.
#[must_use]
pub fn differences(before: &Texts, after: &Texts) -> Vec<Difference> {
    let mut found = Vec::new();
    if let (Some(before), Some(after)) = (effective(before), effective(after)) {
        compare(&before, &after, &mut String::new(), &mut found);
    }
    found
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Value::Absent, Value::Text(after)) => write!(f, "{}: {after} (new)", self.path),
            (Value::Absent, _) => write!(f, "{} (new)", self.path),
            (Value::Text(before), Value::Absent) => write!(f, "{}: {before} (removed)", self.path),
            (_, Value::Absent) => write!(f, "{} (removed)", self.path),
            (Value::Text(before), Value::Text(after)) => write!(f, "{}: {before} → {after}", self.path),
            (_, Value::Text(after)) => write!(f, "{}: … → {after}", self.path),
            (Value::Text(before), Value::Section) => write!(f, "{}: {before} → …", self.path),
            (Value::Section, Value::Section) => write!(f, "{}: … → …", self.path),
        }
    }
}

/// Trees are no deeper than the parser allows, so recursion is safe.
fn compare(before: &Node, after: &Node, path: &mut String, found: &mut Vec<Difference>) {
    let (old, new) = (members(before), members(after));
    let (Some(old), Some(new)) = (old, new) else {
        let (before, after) = (value(before), value(after));
        if before != after {
            found.push(Difference { path: path.clone(), before, after });
        }
        return;
    };
    let length = path.len();
    for (step, after) in &new {
        step.push(path);
        match old.iter().find(|(known, _)| known == step) {
            Some((_, before)) => compare(before, after, path, found),
            None => found.push(Difference { path: path.clone(), before: Value::Absent, after: value(after) }),
        }
        path.truncate(length);
    }
    for (step, before) in old.iter().filter(|(step, _)| !new.iter().any(|(known, _)| known == step)) {
        step.push(path);
        found.push(Difference { path: path.clone(), before: value(before), after: Value::Absent });
        path.truncate(length);
    }
}

/// What leads from a node to one below it.
#[derive(PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Step<'_> {
    fn push(&self, path: &mut String) {
        match self {
            Self::Key(key) => push_key(path, key),
            Self::Index(index) => push_index(path, *index),
        }
    }
}

/// The nodes below one that is more than a text or a list of texts.
fn members(node: &Node) -> Option<Vec<(Step<'_>, &Node)>> {
    match &node.kind {
        Kind::Map(entries) => Some(entries.iter().map(|entry| (Step::Key(&entry.key), &entry.value)).collect()),
        Kind::List(items) if items.iter().any(|item| !matches!(item.kind, Kind::Scalar(_))) => {
            let step = |index, item| name(item).map_or(Step::Index(index), Step::Key);
            Some(items.iter().enumerate().map(|(index, item)| (step(index, item), item)).collect())
        }
        Kind::List(_) | Kind::Scalar(_) => None,
    }
}

fn name(item: &Node) -> Option<&str> {
    match &item.entry("name")?.kind {
        Kind::Scalar(scalar) => Some(&scalar.text),
        Kind::List(_) | Kind::Map(_) => None,
    }
}

fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) => Value::Text(plain(&scalar.text)),
        Kind::List(items) => {
            let texts = items.iter().map(|item| match &item.kind {
                Kind::Scalar(scalar) => Some(scalar.text.as_str()),
                Kind::List(_) | Kind::Map(_) => None,
            });
            let texts: Option<Vec<&str>> = texts.collect();
            texts.map_or(Value::Section, |texts| Value::Text(plain(&format!("[{}]", texts.join(", ")))))
        }
        Kind::Map(_) => Value::Section,
    }
}

/// On one line, and not too long.
fn plain(text: &str) -> String {
    shown(text).trim_matches('`').to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(before: &str, after: &str) -> Vec<String> {
        let file = Path::new("a.yaml");
        differences(&Texts::of(file, before), &Texts::of(file, after)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn differences_are_told_by_names_and_without_secrets() {
        let before = "
secret: ${ONE}
sites:
  - name: shop
    upstream: http://127.0.0.1:1
    hosts: [a.example, b.example]
    conversions:
      - { name: purchase, path: /thanks }
      - { name: lead, path: /lead }
  - { name: old, upstream: http://127.0.0.1:2 }
";
        let after = "
secret: { file: key }
max_page_delay: 20ms
sites:
  - { name: new, upstream: http://127.0.0.1:2 }
  - name: shop
    upstream: { url: http://127.0.0.1:9, read_timeout: 300s }
    hosts: [a.example]
    conversions:
      - { name: lead, path: /lead }
      - { name: purchase, path: /thank-you }
";
        assert_eq!(
            told(before, after),
            [
                "max_page_delay: 50ms → 20ms",
                "sites.new (new)",
                "sites.shop.upstream.url: http://127.0.0.1:1 → http://127.0.0.1:9",
                "sites.shop.hosts: [a.example, b.example] → [a.example]",
                "sites.shop.conversions.purchase.path: /thanks → /thank-you",
                "sites.old (removed)",
                "secret: ${ONE} → …",
            ]
        );
        assert!(told(after, after).is_empty());
    }

    #[test]
    fn lists_without_names_are_told_by_positions_and_long_texts_are_cut() {
        let with = |listen: &str| format!("{listen}\nsites: [{{ upstream: 'http://127.0.0.1:1' }}]");
        let one = with("listen: [{ address: 127.0.0.1:1 }, { address: 127.0.0.1:2 }]");
        let two = with("listen: [{ address: 127.0.0.1:1 }, { address: 127.0.0.1:3 }]");
        assert_eq!(told(&one, &two), ["listen[1].address: 127.0.0.1:2 → 127.0.0.1:3"]);
        let long = with(&format!("trusted_proxies: [{}]", vec!["10.0.0.1"; 100].join(", ")));
        let [line] = &*told(&with(""), &long) else { panic!("one difference") };
        assert!(line.chars().count() < 100 && line.ends_with('…'), "{line}");
    }
}
