//! Fields of a passing page: the text of elements, structured data, the data layer, marks of success.
//!
//! The page is only read. Its bytes come in as they pass, decompressed, and what was found is known at
//! its end; the result is the same however the bytes are cut into chunks. Whatever is doubtful is not
//! found: an element that never ends, a script that would have to be executed, an object that breaks off.
//!
//! What a field means and how an amount is written is decided by others.
//!
//! # Bounds
//!
//! Of a page at most [`MAX_PAGE`] bytes are read, at most 1 MiB of them from scripts. The parser's own memory ends
//! at 2 MiB, which is a tag of that length or some ten thousand open elements. A text is cut behind
//! 4 KiB, and structured values beyond 64 KiB are left out. Where a bound is met, [`PageReading::gap`]
//! says so, and what was found before still counts.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use lol_html::{Selector, errors::RewritingError};
use serde_json::Value;

mod data_layer;
mod encoding;
mod entity;
mod inline;
mod json_ld;
mod literal;
mod markup;
mod path;
mod reading;
mod scalar;
mod script;
mod sheet;
#[cfg(test)]
mod tests;
mod text;

use data_layer::DataLayer;
use encoding::Reader;
use json_ld::Documents;
use markup::Parser;
use sheet::Sheet;

pub use path::{InvalidPath, Path};
pub use reading::{Gap, PageReading};

/// What can be read of a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PageField {
    /// The first element that a selector finds.
    ///
    /// Its text with that of all in it but scripts, white space collapsed and references decoded; or
    /// one of its attributes. A script that is selected itself yields its source.
    Html {
        /// The selector.
        css: String,
        /// The attribute, where it is not the text.
        attribute: Option<String>,
    },
    /// A place in schema.org data: in an Order or Invoice if there is one, else in what stands at the top.
    JsonLd(Path),
    /// A place in the newest entry of the data layer that has anything there.
    DataLayer(Path),
}

/// What a page shows of success or failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// This text, as a visitor sees it, in these letters.
    Text(String),
    /// An element that a selector finds.
    Html(String),
}

/// What is read of the pages of a conversion or capture.
#[derive(Clone, Debug)]
pub struct PageRule {
    fields: Vec<PageField>,
    marks: Vec<Mark>,
    /// Of each field in markup, its place among the fields.
    field_selectors: Vec<(usize, Selector)>,
    mark_selectors: Vec<(usize, Selector)>,
}

/// Why a selector or mark can't be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{selector:?}: {reason}")]
pub struct InvalidSelector {
    /// As it is written.
    pub selector: String,
    /// For the operator.
    pub reason: String,
}

impl PageRule {
    /// Compiles the rule; fields and marks are read back by their place in these lists.
    pub fn new(fields: Vec<PageField>, marks: Vec<Mark>) -> Result<Self, InvalidSelector> {
        let mut field_selectors = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            match field {
                PageField::Html { css, .. } => field_selectors.push((at, selector(css)?)),
                PageField::JsonLd(_) | PageField::DataLayer(_) => {}
            }
        }
        let mut mark_selectors = Vec::new();
        for (at, mark) in marks.iter().enumerate() {
            match mark {
                Mark::Html(css) => mark_selectors.push((at, selector(css)?)),
                Mark::Text(text) if text::normalized(text).is_empty() => {
                    let reason = "every page holds an empty text: write one that only this page shows".to_owned();
                    return Err(InvalidSelector { selector: text.clone(), reason });
                }
                Mark::Text(_) => {}
            }
        }
        Ok(Self { fields, marks, field_selectors, mark_selectors })
    }

    /// Whether nothing is asked of a page.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.marks.is_empty()
    }

    /// The fields, in the order of their places.
    #[must_use]
    pub fn fields(&self) -> &[PageField] {
        &self.fields
    }

    /// The marks, in the order of their places.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    fn reads_scripts(&self) -> bool {
        self.reads_json_ld() || self.reads_data_layer()
    }

    fn reads_json_ld(&self) -> bool {
        self.fields.iter().any(|field| matches!(field, PageField::JsonLd(_)))
    }

    fn reads_data_layer(&self) -> bool {
        self.fields.iter().any(|field| matches!(field, PageField::DataLayer(_)))
    }
}

fn selector(css: &str) -> Result<Selector, InvalidSelector> {
    css.parse().map_err(|error: lol_html::errors::SelectorError| {
        let supported = "a passing page can be searched by element, #id, .class, [attribute=value], :not(), \
                         :first-child, :nth-child(), :first-of-type, :nth-of-type(), `A B` and `A > B`";
        let error = error.to_string();
        let reason = format!("{}; {supported}", error.trim_end_matches('.'));
        InvalidSelector { selector: css.to_owned(), reason }
    })
}

/// One passing page.
pub struct Extractor {
    rule: Arc<PageRule>,
    bytes: Reader,
    /// None when all is known that is asked for, or nothing more can be; never contended.
    parser: Mutex<Option<Parser>>,
    sheet: Arc<Mutex<Sheet>>,
    read: usize,
    gap: Option<Gap>,
}

impl Extractor {
    /// Starts a page; the label is the `charset` of its Content-Type.
    ///
    /// Without one, or with one that nobody knows, the page's own word counts.
    #[must_use]
    pub fn new(rule: &Arc<PageRule>, charset: Option<&str>) -> Self {
        let sheet = Arc::new(Mutex::new(Sheet::new(rule)));
        let parser = (!rule.is_empty()).then(|| markup::parser(rule, &sheet));
        let parser = Mutex::new(parser);
        Self { rule: Arc::clone(rule), bytes: Reader::new(charset), parser, sheet, read: 0, gap: None }
    }

    /// Reads the next bytes of the page, decompressed.
    pub fn write(&mut self, chunk: &[u8]) {
        let left = MAX_PAGE - self.read;
        let taken = chunk.get(..left).unwrap_or(chunk);
        self.read += taken.len();
        self.parse(taken, false);
        if taken.len() < chunk.len() && self.parser().is_some() {
            self.stop(Gap::Length);
        }
    }

    /// Ends the page, be it whole or cut off: what was found counts.
    #[must_use]
    pub fn finish(mut self) -> PageReading {
        self.parse(b"", true);
        if let Some(parser) = self.parser().take()
            && let Err(error) = parser.end()
        {
            self.stop(gap_of(&error));
        }
        let mut sheet = self.sheet.lock().unwrap_or_else(PoisonError::into_inner);
        sheet.finish();
        let scripts = &sheet.scripts;
        let documents = Documents::read(&scripts.json_ld());
        let data_layer = DataLayer::read(&scripts.data_layer());
        let is_cut = scripts.is_cut || documents.is_cut() || data_layer.is_cut();
        // When all is known, nothing is missing.
        let mut gap = self.gap.or(is_cut.then_some(Gap::Scripts)).filter(|_| !sheet.is_settled());
        let value = |(at, field): (usize, &PageField)| {
            let value = match field {
                PageField::Html { .. } => return sheet.field(at).map(Value::from),
                PageField::JsonLd(path) => documents.find(path),
                PageField::DataLayer(path) => data_layer.find(path),
            }?;
            if weight(value) > MAX_VALUE {
                gap = gap.or(Some(Gap::Value));
                return None;
            }
            Some(value.clone())
        };
        let values = self.rule.fields.iter().enumerate().map(value).collect();
        PageReading { values, marks: sheet.marks.clone(), gap }
    }

    fn parser(&mut self) -> &mut Option<Parser> {
        self.parser.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn parse(&mut self, chunk: &[u8], is_end: bool) {
        if self.parser().is_none() {
            return;
        }
        let text = self.bytes.read(chunk, is_end);
        // In small pieces, so that the bounds are met at the same places however the page comes.
        for piece in text.as_bytes().chunks(PIECE) {
            let Some(parser) = self.parser() else { return };
            if let Err(error) = parser.write(piece) {
                self.stop(gap_of(&error));
            } else if self.sheet.lock().unwrap_or_else(PoisonError::into_inner).is_settled() {
                *self.parser() = None;
            }
        }
    }

    fn stop(&mut self, gap: Gap) {
        self.gap = self.gap.or(Some(gap));
        *self.parser() = None;
    }
}

impl fmt::Debug for Extractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was read may be personal.
        f.debug_struct("Extractor").field("read", &self.read).field("gap", &self.gap).finish_non_exhaustive()
    }
}

fn gap_of(error: &RewritingError) -> Gap {
    if matches!(error, RewritingError::MemoryLimitExceeded(_)) { Gap::Memory } else { Gap::Markup }
}

/// Roughly how many bytes a value takes as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 2 + text.len(),
        Value::Array(elements) => elements.iter().map(weight).sum::<usize>() + 2,
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>() + 2,
    }
}

/// The most bytes of a page that are read.
pub const MAX_PAGE: usize = 8 << 20;
/// How much is parsed between two looks at whether more is needed.
const PIECE: usize = 16 * 1024;
/// The largest structured value that is handed on.
const MAX_VALUE: usize = 64 * 1024;
