//! The bounds of a document, and what counts towards them.
//!
//! A few lines of aliases can stand for gigabytes. Whole subtrees are therefore measured before they
//! are copied; who measures, and what is said when a bound is passed, is the parser's business.

use super::{Kind, Node};

/// Levels of lists and maps in a document.
pub const DEEPEST: usize = 32;

/// Nodes of a document after its aliases are expanded.
pub const MOST_NODES: usize = 10_000;

/// Bytes of a file.
pub const LARGEST_FILE: usize = 1 << 20;

/// Bytes of text in a document after its aliases are expanded.
const MOST_TEXT: usize = 4 * LARGEST_FILE;

/// How much a tree holds.
#[derive(Default)]
pub(super) struct Size {
    pub(super) nodes: usize,
    /// Lists and maps inside one another.
    pub(super) levels: usize,
    /// Bytes of keys and scalars.
    pub(super) text: usize,
}

impl Size {
    pub(super) fn of(node: &Node) -> Size {
        let mut size = Size { nodes: 1, ..Size::default() };
        let mut add = |inner: Size| {
            size.nodes += inner.nodes;
            size.text += inner.text;
            size.levels = size.levels.max(inner.levels + 1);
        };
        match &node.kind {
            Kind::Scalar(scalar) => size.text = scalar.text.len(),
            Kind::List(items) => items.iter().for_each(|item| add(Size::of(item))),
            Kind::Map(entries) => {
                for entry in entries {
                    let mut inner = Size::of(&entry.value);
                    inner.text += entry.key.len();
                    add(inner);
                }
            }
        }
        size
    }

    pub(super) fn is_excessive(&self) -> bool {
        self.nodes > MOST_NODES || self.text > MOST_TEXT
    }
}
