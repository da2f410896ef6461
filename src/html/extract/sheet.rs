//! What is known of a page while it passes.

use super::{
    Mark, PageField, PageRule,
    inline::Scripts,
    text::{self, Search, VisibleText},
};

/// The answers to a rule's questions, so far.
#[derive(Debug)]
pub(super) struct Sheet {
    fields: Vec<Field>,
    /// Which marks were found.
    pub(super) marks: Vec<bool>,
    search: Search,
    /// The scripts that data is read from.
    pub(super) scripts: Scripts,
    reads_scripts: bool,
}

/// A field in markup.
#[derive(Debug)]
enum Field {
    Waiting,
    Open(Open),
    Done(Option<String>),
}

/// The element of a field, not yet ended.
#[derive(Debug)]
struct Open {
    element: String,
    text: VisibleText,
    /// How many lists and tables are open in it.
    inner: usize,
}

impl Sheet {
    /// Starts a page.
    pub(super) fn new(rule: &PageRule) -> Self {
        let field = |field: &PageField| match field {
            PageField::Html { .. } => Field::Waiting,
            PageField::JsonLd(_) | PageField::DataLayer(_) => Field::Done(None),
        };
        let wanted = rule.marks.iter().enumerate().filter_map(|(at, mark)| match mark {
            Mark::Text(text) => Some((at, text::normalized(text))),
            Mark::Html(_) => None,
        });
        Self {
            fields: rule.fields.iter().map(field).collect(),
            marks: vec![false; rule.marks.len()],
            search: Search::new(wanted),
            scripts: Scripts::default(),
            reads_scripts: rule.reads_scripts(),
        }
    }

    /// Whether the rest of the page can't change anything.
    pub(super) fn is_settled(&self) -> bool {
        !self.reads_scripts
            && self.fields.iter().all(|field| matches!(field, Field::Done(_)))
            && self.marks.iter().all(|is_found| *is_found)
    }

    /// The text of a field.
    pub(super) fn field(&self, at: usize) -> Option<&str> {
        match self.fields.get(at)? {
            Field::Done(text) => text.as_deref(),
            Field::Waiting | Field::Open(_) => None,
        }
    }

    /// Whether a field's element is still to come.
    pub(super) fn is_waiting(&self, at: usize) -> bool {
        matches!(self.fields.get(at), Some(Field::Waiting))
    }

    /// The element of a field begins.
    pub(super) fn open(&mut self, at: usize, element: String) {
        let text = VisibleText::default();
        self.set(at, Field::Open(Open { element, text, inner: 0 }));
    }

    /// An attribute of the element is what the field asks for.
    pub(super) fn take_attribute(&mut self, at: usize, value: Option<&str>) {
        let value = value.map(super::entity::decode_attribute);
        self.set(at, Field::Done(value.and_then(|value| bounded(&value))));
    }

    /// The element of a field ends.
    pub(super) fn close(&mut self, at: usize) {
        if let Some(Field::Open(open)) = self.fields.get_mut(at) {
            open.text.end_node();
            let text = bounded(open.text.as_str());
            self.set(at, Field::Done(text));
        }
    }

    /// Text within the element of a field.
    pub(super) fn read_field(&mut self, at: usize, piece: Piece<'_>) {
        let Some(Field::Open(open)) = self.fields.get_mut(at) else { return };
        if piece.is_visible || is_raw(&open.element) {
            piece.push_to(&mut open.text);
        }
        if open.text.len() > MAX_TEXT {
            self.close(at);
        }
    }

    /// Text anywhere.
    pub(super) fn read_text(&mut self, piece: Piece<'_>) {
        if self.search.is_over() {
            return;
        }
        if piece.is_visible {
            piece.push_to(self.search.text());
        }
        self.look(false);
    }

    /// A block of text begins: what stands before it is not of the same word.
    pub(super) fn open_block(&mut self, element: &str) {
        let ended = |(at, field): (usize, &Field)| match field {
            Field::Open(open) => open.is_ended_by(element).then_some(at),
            Field::Waiting | Field::Done(_) => None,
        };
        let ended: Vec<usize> = self.fields.iter().enumerate().filter_map(ended).collect();
        for at in ended {
            self.close(at);
        }
        self.break_line();
        if is_container(element) {
            self.each_open(|open| open.inner += 1);
        }
    }

    /// A block of text ends.
    pub(super) fn close_block(&mut self, element: &str) {
        self.break_line();
        if is_container(element) {
            self.each_open(|open| open.inner = open.inner.saturating_sub(1));
        }
    }

    /// The page ends. What is still open may be half of what it should be.
    pub(super) fn finish(&mut self) {
        self.look(true);
    }

    fn look(&mut self, is_end: bool) {
        let marks = &mut self.marks;
        self.search.look(is_end, |at| {
            if let Some(mark) = marks.get_mut(at) {
                *mark = true;
            }
        });
    }

    fn break_line(&mut self) {
        self.search.text().break_line();
        self.each_open(|open| open.text.break_line());
    }

    fn each_open(&mut self, mut change: impl FnMut(&mut Open)) {
        for field in &mut self.fields {
            match field {
                Field::Open(open) => change(open),
                Field::Waiting | Field::Done(_) => {}
            }
        }
    }

    fn set(&mut self, at: usize, state: Field) {
        if let Some(field) = self.fields.get_mut(at) {
            *field = state;
        }
    }
}

impl Open {
    /// Whether a start tag ends the element although its end tag is left out (HTML, section 13.1.2.4).
    fn is_ended_by(&self, tag: &str) -> bool {
        let ends: &[&str] = match self.element.as_str() {
            "p" => return !INLINE_OR_INNER.contains(&tag),
            "li" => &["li"],
            "dt" | "dd" => &["dt", "dd"],
            "td" | "th" => &["td", "th", "tr", "tbody", "tfoot"],
            "tr" => &["tr", "tbody", "tfoot"],
            "option" => &["option"],
            _ => &[],
        };
        self.inner == 0 && ends.contains(&tag)
    }
}

/// A piece of a text node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// The text as it stands in the page.
    pub(super) text: &'a str,
    /// Whether references in it are decoded.
    pub(super) has_references: bool,
    /// Whether visitors see it.
    pub(super) is_visible: bool,
    /// Whether the text node ends with it.
    pub(super) is_last: bool,
}

impl Piece<'_> {
    fn push_to(self, text: &mut VisibleText) {
        if self.has_references {
            text.push(self.text);
        } else {
            text.push_raw(self.text);
        }
        if self.is_last {
            text.end_node();
        }
    }
}

/// A text within its bound, if it is one at all.
fn bounded(text: &str) -> Option<String> {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Elements that a list or table opens within which others may stand again.
fn is_container(element: &str) -> bool {
    matches!(element, "ul" | "ol" | "dl" | "table" | "select")
}

/// Elements whose text is not for visitors, unless it is asked for.
fn is_raw(element: &str) -> bool {
    matches!(element, "script" | "style" | "noscript" | "xmp" | "iframe" | "noembed" | "noframes")
}

/// Breaks of lines that may stand within a paragraph.
const INLINE_OR_INNER: [&str; 5] = ["br", "button", "option", "select", "textarea"];
/// The longest text of a field.
const MAX_TEXT: usize = 4 * 1024;
