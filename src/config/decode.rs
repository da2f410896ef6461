//! From nodes to values, noting every mistake on the way.
//!
//! A [`Field`] is a node that knows the keys leading to it; its accessors give a value, or note a
//! problem and give `None`, and the caller goes on with the next key. Which keys there are and what
//! they mean is the business of the sections that use this, as is reading the environment.

use super::problem::{Place, Problem, Problems, Severity, shown};
use super::tree::{Kind, Node, Origin, Scalar, push_index, push_key};

mod secret;
mod section;
mod value;

pub use section::Section;

/// A node of the configuration and the path of keys that leads to it.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// The node itself.
    pub node: &'a Node,
    /// The keys that lead to it: `sites[0].networks`; empty at the root.
    pub path: String,
    key_place: Option<&'a Place>,
    problems: &'a Problems,
}

impl<'a> Field<'a> {
    /// The root of a document.
    pub fn root(node: &'a Node, problems: &'a Problems) -> Field<'a> {
        Field::at(node, "", problems)
    }

    /// A node that is read as if it stood under `path`, such as the result of an overlay.
    pub fn at(node: &'a Node, path: impl Into<String>, problems: &'a Problems) -> Field<'a> {
        Field { node, path: path.into(), key_place: None, problems }
    }

    /// The same path over another node, such as this one's overlay.
    #[must_use]
    pub fn with_node(&self, node: &'a Node) -> Field<'a> {
        Field { node, ..self.clone() }
    }

    /// Notes an error at this node.
    pub fn error(&self, message: impl Into<String>, remedy: impl Into<Option<String>>) {
        self.note(&self.node.place, message.into(), remedy.into(), Severity::Error);
    }

    /// Notes a warning at this node.
    pub fn warn(&self, message: impl Into<String>, remedy: impl Into<Option<String>>) {
        self.note(&self.node.place, message.into(), remedy.into(), Severity::Warning);
    }

    /// Notes an error at the key that this node stands under, or at the node if it has none.
    pub fn key_error(&self, message: impl Into<String>, remedy: impl Into<Option<String>>) {
        self.note(self.key_place.unwrap_or(&self.node.place), message.into(), remedy.into(), Severity::Error);
    }

    /// Notes a warning at the key that this node stands under, or at the node if it has none.
    pub fn key_warn(&self, message: impl Into<String>, remedy: impl Into<Option<String>>) {
        self.note(self.key_place.unwrap_or(&self.node.place), message.into(), remedy.into(), Severity::Warning);
    }

    /// What stands under a key of a map, without making the key known.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Field<'a>> {
        let Kind::Map(entries) = &self.node.kind else { return None };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        (!entry.value.is_null()).then(|| self.child(entry))
    }

    /// Where all problems go.
    #[must_use]
    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// The scalar, whatever its text; anything else is a problem.
    #[must_use]
    pub fn scalar(&self) -> Option<&'a Scalar> {
        match &self.node.kind {
            Kind::Scalar(scalar) => return Some(scalar),
            Kind::List(_) => self.error("expected text, found a list", None),
            Kind::Map(_) => match unquoted(self.node) {
                Some(text) => self.error(
                    "`{` begins a map where text belongs",
                    format!("quote this: '{}'", text.replace('\'', "''")),
                ),
                None => self.error("expected text, found a map", None),
            },
        }
        None
    }

    /// The elements of a list; anything else is a problem.
    #[must_use]
    pub fn list(&self) -> Option<Vec<Field<'a>>> {
        match &self.node.kind {
            Kind::List(items) => Some(self.elements(items)),
            Kind::Scalar(_) | Kind::Map(_) => {
                self.error(format!("expected a list, found {}", noun(self.node)), "write it as `[ … ]`".to_owned());
                None
            }
        }
    }

    /// The elements of a list, or the node itself if it is none.
    #[must_use]
    pub fn one_or_many(&self) -> Vec<Field<'a>> {
        match &self.node.kind {
            Kind::List(items) => self.elements(items),
            Kind::Scalar(_) | Kind::Map(_) => vec![self.clone()],
        }
    }

    /// A map with known keys; nothing counts as an empty one, anything else is a problem.
    #[must_use]
    pub fn section(&self) -> Option<Section<'a>> {
        self.map(None).map(|entries| Section::new(self.clone(), entries))
    }

    /// The same; whoever writes a text in its place is told of the key that was most likely meant.
    #[must_use]
    pub fn section_with(&self, usual: &str) -> Option<Section<'a>> {
        self.map(Some(usual)).map(|entries| Section::new(self.clone(), entries))
    }

    /// A map with free keys, such as networks or headers; nothing counts as an empty one.
    ///
    /// Values that are null are included: `exoclick:` alone may well be an account.
    #[must_use]
    pub fn entries(&self) -> Option<Vec<(&'a str, Field<'a>)>> {
        let entries = self.map(None)?;
        Some(entries.iter().map(|entry| (entry.key.as_str(), self.child(entry))).collect())
    }

    fn map(&self, usual: Option<&str>) -> Option<&'a [super::tree::Entry]> {
        match &self.node.kind {
            Kind::Map(entries) => Some(entries),
            Kind::Scalar(_) if self.node.is_null() => Some(&[]),
            Kind::Scalar(scalar) if told(scalar) => None,
            Kind::Scalar(_) | Kind::List(_) => {
                let whole = if self.path.is_empty() { "the file must be" } else { "expected" };
                let key = self.path.rsplit('.').next().unwrap_or_default();
                let remedy = match (usual, &self.node.kind) {
                    (Some(usual), Kind::Scalar(_)) => format!("write `{key}: {{ {usual}: … }}`"),
                    _ => "write a space after the `:` of a key".to_owned(),
                };
                self.error(format!("{whole} a map of `key: value` lines, found {}", noun(self.node)), remedy);
                None
            }
        }
    }

    fn elements(&self, items: &'a [Node]) -> Vec<Field<'a>> {
        let element = |(index, node)| {
            let mut path = self.path.clone();
            push_index(&mut path, index);
            Field { node, path, key_place: None, problems: self.problems }
        };
        items.iter().enumerate().map(element).collect()
    }

    fn child(&self, entry: &'a super::tree::Entry) -> Field<'a> {
        let mut path = self.path.clone();
        push_key(&mut path, &entry.key);
        Field { node: &entry.value, path, key_place: Some(&entry.key_place), problems: self.problems }
    }

    fn note(&self, place: &Place, message: String, remedy: Option<String>, severity: Severity) {
        self.problems.add(Problem { place: place.clone(), path: self.path.clone(), message, remedy, severity });
    }
}

/// What a node is, with its article.
fn noun(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(_) if node.is_null() => "nothing".to_owned(),
        Kind::Scalar(scalar) => named(scalar),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a map".to_owned(),
    }
}

/// A scalar as a message may name it: what is not in the configuration may be a secret.
fn named(scalar: &Scalar) -> String {
    match &scalar.origin {
        Origin::Written => shown(&scalar.text),
        Origin::Environment(name) => format!("the value of environment variable {name}"),
        Origin::File(path) => format!("the content of {}", shown(&path.to_string_lossy())),
    }
}

/// Whether the scalar's emptiness was noted when its variable was looked up.
fn told(scalar: &Scalar) -> bool {
    scalar.text.is_empty() && matches!(scalar.origin, Origin::Environment(_))
}

/// The text that an unquoted `{order_id}` was meant to be.
fn unquoted(node: &Node) -> Option<String> {
    let Kind::Map(entries) = &node.kind else { return None };
    // A map in braces begins at its brace, a map of lines at its first key.
    let in_braces = entries.first().is_some_and(|first| first.key_place != node.place);
    if !in_braces || !entries.iter().all(|entry| entry.value.is_null()) {
        return None;
    }
    let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let text = format!("{{{}}}", keys.join(", "));
    (text.len() <= LONGEST_ADVICE && !text.contains(char::is_control)).then_some(text)
}

/// Bytes of a text that a remedy repeats in full, to be copied.
const LONGEST_ADVICE: usize = 200;

#[cfg(test)]
mod tests;
