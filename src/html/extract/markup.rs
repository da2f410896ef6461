//! The parser of a page and what it tells the sheet.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use lol_html::{
    MemorySettings, OutputSink, Selector,
    html_content::{TextChunk, TextType},
    send::{DocumentContentHandlers, Element, ElementContentHandlers, HtmlRewriter, Settings},
};

use super::{
    Mark, PageField, PageRule,
    inline::Language,
    sheet::{Piece, Sheet},
};

/// A parser whose handlers fill the sheet.
pub(super) type Parser = HtmlRewriter<'static, Nowhere>;

/// Where the page goes that the parser would write anew.
pub(super) struct Nowhere;

impl OutputSink for Nowhere {
    fn handle_chunk(&mut self, _: &[u8]) {}
}

type Shared = Arc<Mutex<Sheet>>;
type Handlers = ElementContentHandlers<'static>;

/// Starts a page.
pub(super) fn parser(rule: &PageRule, sheet: &Shared) -> Parser {
    let memory = MemorySettings::new().with_max_allowed_memory_usage(MAX_MEMORY);
    let mut settings = Settings::new_send().with_strict(false).with_memory_settings(memory);
    let is_text = |field: &PageField| matches!(field, PageField::Html { attribute: None, .. });
    let has_text_marks = rule.marks.iter().any(|mark| matches!(mark, Mark::Text(_)));
    if has_text_marks || rule.fields.iter().any(is_text) {
        // First, so that a block begins before the field that it is.
        settings = settings.append_element_content_handler((Cow::Borrowed(&*EVERYTHING), blocks(sheet)));
    }
    if rule.reads_scripts() {
        let handlers = scripts(sheet, rule.reads_json_ld(), rule.reads_data_layer());
        settings = settings.append_element_content_handler((Cow::Borrowed(&*SCRIPTS), handlers));
    }
    for (at, selector) in &rule.field_selectors {
        let attribute = rule.fields.get(*at).and_then(|field| match field {
            PageField::Html { attribute, .. } => attribute.clone(),
            PageField::JsonLd(_) | PageField::DataLayer(_) => None,
        });
        let handlers = match attribute {
            Some(attribute) => attribute_field(sheet, *at, attribute),
            None => text_field(sheet, *at),
        };
        settings = settings.append_element_content_handler((Cow::Borrowed(selector), handlers));
    }
    for (at, selector) in &rule.mark_selectors {
        settings = settings.append_element_content_handler((Cow::Borrowed(selector), mark(sheet, *at)));
    }
    if has_text_marks {
        let sheet = Arc::clone(sheet);
        let handlers = DocumentContentHandlers::default().text(move |chunk: &mut TextChunk<'_>| {
            lock(&sheet).read_text(piece(chunk));
            Ok(())
        });
        settings = settings.append_document_content_handler(handlers);
    }
    HtmlRewriter::new(settings, Nowhere)
}

fn blocks(sheet: &Shared) -> Handlers {
    let sheet = Arc::clone(sheet);
    Handlers::default().element(move |element: &mut Element<'_, '_>| {
        let name = element.tag_name();
        if !is_block(&name) {
            return Ok(());
        }
        lock(&sheet).open_block(&name);
        if let Some(handlers) = element.end_tag_handlers() {
            let sheet = Arc::clone(&sheet);
            handlers.push(Box::new(move |_| {
                lock(&sheet).close_block(&name);
                Ok(())
            }));
        }
        Ok(())
    })
}

fn text_field(sheet: &Shared, at: usize) -> Handlers {
    let (starts, reads) = (Arc::clone(sheet), Arc::clone(sheet));
    Handlers::default()
        .element(move |element: &mut Element<'_, '_>| {
            if !lock(&starts).is_waiting(at) {
                return Ok(());
            }
            lock(&starts).open(at, element.tag_name());
            match element.end_tag_handlers() {
                Some(handlers) => {
                    let ends = Arc::clone(&starts);
                    handlers.push(Box::new(move |_| {
                        lock(&ends).close(at);
                        Ok(())
                    }));
                }
                None => lock(&starts).close(at),
            }
            Ok(())
        })
        .text(move |chunk: &mut TextChunk<'_>| {
            lock(&reads).read_field(at, piece(chunk));
            Ok(())
        })
}

fn attribute_field(sheet: &Shared, at: usize, attribute: String) -> Handlers {
    let sheet = Arc::clone(sheet);
    Handlers::default().element(move |element: &mut Element<'_, '_>| {
        let mut sheet = lock(&sheet);
        if sheet.is_waiting(at) {
            sheet.take_attribute(at, element.get_attribute(&attribute).as_deref());
        }
        Ok(())
    })
}

fn mark(sheet: &Shared, at: usize) -> Handlers {
    let sheet = Arc::clone(sheet);
    Handlers::default().element(move |_: &mut Element<'_, '_>| {
        if let Some(mark) = lock(&sheet).marks.get_mut(at) {
            *mark = true;
        }
        Ok(())
    })
}

fn scripts(sheet: &Shared, json_ld: bool, data_layer: bool) -> Handlers {
    let (starts, reads) = (Arc::clone(sheet), Arc::clone(sheet));
    Handlers::default()
        .element(move |element: &mut Element<'_, '_>| {
            let language = language(element).filter(|language| match language {
                Language::JsonLd => json_ld,
                Language::JavaScript => data_layer,
            });
            lock(&starts).scripts.open(language);
            Ok(())
        })
        .text(move |chunk: &mut TextChunk<'_>| {
            lock(&reads).scripts.push(chunk.as_str());
            Ok(())
        })
}

/// What a script is written in, if it is of interest.
fn language(element: &Element<'_, '_>) -> Option<Language> {
    if element.has_attribute("src") {
        // Browsers leave what stands inside alone.
        return None;
    }
    let Some(kind) = element.get_attribute("type") else { return Some(Language::JavaScript) };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/ld+json" => Some(Language::JsonLd),
        // As consent managers hold scripts back that run once the visitor agrees.
        "" | "module" | "text/plain" => Some(Language::JavaScript),
        // `text/javascript` and its kin, also with what speeds a page up before it: `litespeed/javascript`.
        kind if ["javascript", "ecmascript", "lazyloadscript"].iter().any(|name| kind.ends_with(name)) => {
            Some(Language::JavaScript)
        }
        _ => None,
    }
}

fn piece<'a>(chunk: &'a TextChunk<'_>) -> Piece<'a> {
    let kind = chunk.text_type();
    Piece {
        text: chunk.as_str(),
        has_references: kind.allows_html_entities(),
        is_visible: !matches!(kind, TextType::ScriptData | TextType::RawText),
        is_last: chunk.last_in_text_node(),
    }
}

fn lock(sheet: &Mutex<Sheet>) -> MutexGuard<'_, Sheet> {
    sheet.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an element begins a line of its own, or a cell.
///
/// No selector: the parser would compare each element with each name of the list.
fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "br"
            | "button"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hr"
            | "legend"
            | "li"
            | "main"
            | "nav"
            | "ol"
            | "option"
            | "p"
            | "pre"
            | "section"
            | "select"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "textarea"
            | "tfoot"
            | "th"
            | "thead"
            | "title"
            | "tr"
            | "ul"
    )
}

static EVERYTHING: LazyLock<Selector> = LazyLock::new(|| constant("*"));
static SCRIPTS: LazyLock<Selector> = LazyLock::new(|| constant("script"));

#[expect(clippy::expect_used, reason = "constants, which tests compile")]
fn constant(selector: &str) -> Selector {
    selector.parse().expect("a selector")
}

/// What the parser may hold: a long tag, the open elements.
const MAX_MEMORY: usize = 2 << 20;
