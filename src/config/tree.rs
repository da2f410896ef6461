//! A YAML document with the place of every node.
//!
//! A scalar's source text is its value: `00012`, `NO` and `123e4` stay what the operator typed. Only
//! a plain `null`, `~` or nothing has a meaning of its own: absent. What the text stands for is
//! decided by whoever decodes it, not here.
//!
//! Trees are at most [`DEEPEST`] levels deep, so recursion over them is safe.

use std::path::PathBuf;

use super::problem::{Place, Problem, Problems, Severity};

mod comment;
mod mask;
mod parse;
mod size;
mod syntax;

pub use size::{DEEPEST, LARGEST_FILE, MOST_NODES};

/// A scalar, list or map, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where the node begins.
    pub place: Place,
    /// What the node is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, or nothing.
    Scalar(Scalar),
    /// Nodes in order.
    List(Vec<Node>),
    /// Nodes by key, in the order of the file, each key once.
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key begins.
    pub key_place: Place,
    /// What stands under the key.
    pub value: Node,
}

/// The text of a scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The text as written; the content, if quoted or a block.
    pub text: String,
    /// Whether it was quoted or a block, and so is text whatever it says.
    pub quoted: bool,
    /// Where the text came from.
    pub origin: Origin,
}

/// Where a scalar's text came from.
///
/// Text that is not [`Origin::Written`] may be a secret and never stands in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the configuration itself.
    Written,
    /// From the environment variable of this name.
    Environment(String),
    /// From this file.
    File(PathBuf),
}

impl Node {
    /// Reads a document; `None` when it is not even a tree, and `problems` say why.
    ///
    /// The root is not necessarily a map: [`super::decode::Field::section`] says so where one is needed.
    pub fn parse(file: &str, text: &str, problems: &Problems) -> Option<Node> {
        parse::parse(file, text, problems)
    }

    /// What stands under a key of a map.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Kind::Scalar(_) | Kind::List(_) => None,
        }
    }

    /// Lays `over` over `base`.
    ///
    /// Maps merge key by key, scalars and lists replace, and a null removes the key it stands under.
    /// Every node keeps the place of the side that supplied it; a map that both supplied has the
    /// place of `over`, which is where its operator adds what is missing. Several layers are laid
    /// from the bottom up, for a null only removes from the layer right below it.
    #[must_use]
    pub fn overlay(base: &Node, over: &Node) -> Node {
        Self::laid(base, over, Nulls::Remove)
    }

    /// Lays `over` over `base` like [`Node::overlay`], except that every null stays.
    ///
    /// For a result that is laid over a further layer itself: there the null removes, too.
    #[must_use]
    pub fn overlay_keeping_nulls(base: &Node, over: &Node) -> Node {
        Self::laid(base, over, Nulls::Stay)
    }

    fn laid(base: &Node, over: &Node, nulls: Nulls) -> Node {
        let (Kind::Map(below), Kind::Map(above)) = (&base.kind, &over.kind) else {
            return over.clone();
        };
        let replacing = |key: &str| above.iter().find(|entry| entry.key == key);
        let goes = |node: &Node| nulls == Nulls::Remove && node.is_null();
        let mut merged = Vec::with_capacity(below.len().max(above.len()));
        for entry in below {
            match replacing(&entry.key) {
                None => merged.push(entry.clone()),
                Some(new) if goes(&new.value) => {}
                Some(new) => merged.push(Entry {
                    key: new.key.clone(),
                    key_place: new.key_place.clone(),
                    value: Self::laid(&entry.value, &new.value, nulls),
                }),
            }
        }
        let is_below = |key: &str| below.iter().any(|old| old.key == key);
        merged.extend(above.iter().filter(|entry| !goes(&entry.value) && !is_below(&entry.key)).cloned());
        Node { place: over.place.clone(), kind: Kind::Map(merged) }
    }

    /// How many nodes there are, this one included.
    #[must_use]
    pub fn count(&self) -> usize {
        size::Size::of(self).nodes
    }

    /// Whether this is a plain `null`, `~`, or nothing at all.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.is_null(),
            Kind::List(_) | Kind::Map(_) => false,
        }
    }

    /// Replaces every scalar that is `${NAME}`, and nothing else, by what `lookup` knows of NAME.
    ///
    /// A variable that is unset or empty is a problem; its scalar is then empty, and decoding it says
    /// nothing more. What a variable holds is not expanded again.
    pub fn expand_environment(&mut self, lookup: &dyn Fn(&str) -> Option<String>, problems: &Problems) {
        self.expand(&mut String::new(), lookup, problems);
    }

    fn expand(&mut self, path: &mut String, lookup: &dyn Fn(&str) -> Option<String>, problems: &Problems) {
        let length = path.len();
        match &mut self.kind {
            Kind::Scalar(scalar) => {
                let Some(name) = scalar.variable() else { return };
                let value = lookup(name).unwrap_or_default();
                if value.is_empty() {
                    problems.add(Problem {
                        place: self.place.clone(),
                        path: path.clone(),
                        message: format!("environment variable {name} is not set (or empty)"),
                        remedy: None,
                        severity: Severity::Error,
                    });
                }
                scalar.origin = Origin::Environment(name.to_owned());
                scalar.text = value;
            }
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    push_index(path, index);
                    item.expand(path, lookup, problems);
                    path.truncate(length);
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    push_key(path, &entry.key);
                    entry.value.expand(path, lookup, problems);
                    path.truncate(length);
                }
            }
        }
    }
}

/// What becomes of a null that is laid over something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// It goes, with what is below it.
    Remove,
    /// It stays.
    Stay,
}

impl Scalar {
    /// Whether this is a plain `null`, `~`, or nothing at all.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.origin == Origin::Written && !self.quoted && matches!(self.text.as_str(), "" | "~" | "null")
    }

    /// The NAME of a scalar that is `${NAME}` and nothing else.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        let name = self.text.strip_prefix("${")?.strip_suffix('}')?;
        (self.origin == Origin::Written && is_variable_name(name)).then_some(name)
    }
}

/// Whether `name` can name an environment variable: letters, digits, `_`, and no digit first.
fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Appends a key to a path of keys: `.key`, or `["odd key"]`.
pub(super) fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty() && !key.chars().any(|character| character.is_whitespace() || character.is_control());
    if !plain {
        path.extend(["[", &format!("{key:?}"), "]"]);
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// Appends a position in a list to a path of keys: `[3]`.
pub(super) fn push_index(path: &mut String, index: usize) {
    path.extend(["[", &index.to_string(), "]"]);
}

#[cfg(test)]
mod tests;
