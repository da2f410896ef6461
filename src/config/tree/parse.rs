//! Builds the tree from the scanner's events.
//!
//! On a stack of its own and within the bounds of `size`, so that no input recurses deeply. Mistakes
//! that leave the shape of the document clear are noted and the rest is read; broken syntax ends it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::mask::Mask;
use super::size::{DEEPEST, LARGEST_FILE, Size};
use super::{Entry, Kind, Node, Origin, Scalar, comment, push_index, push_key, syntax};
use crate::config::problem::{Place, Problem, Problems, Severity, shown};

pub(super) fn parse(file: &str, text: &str, problems: &Problems) -> Option<Node> {
    let file: Arc<str> = file.into();
    let refuse = |line: usize, column: usize, message: &str, remedy: &str| {
        problems.add(Problem {
            place: Place { file: Arc::clone(&file), line, column },
            path: String::new(),
            message: message.to_owned(),
            remedy: Some(remedy.to_owned()),
            severity: Severity::Error,
        });
    };
    if text.len() > LARGEST_FILE {
        refuse(1, 1, "the file is larger than 1 MiB", "split it, or check that it is the right file");
        return None;
    }
    // One kind of line end, so that lines and columns are counted alike everywhere; editors don't show the mark.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    // The scanner takes a NUL for the end of a value here and of the document there.
    if let Some((before, _)) = text.split_once('\0') {
        let (line, column) = (before.split('\n').count(), before.chars().rev().take_while(|c| *c != '\n').count() + 1);
        refuse(line, column, "the file holds a NUL character", "save it as UTF-8 text");
        return None;
    }
    let mask = Mask::for_text(&text);
    let masked = mask.cover(&text);
    let builder = Builder {
        file: Arc::clone(&file),
        source: text.chars().collect(),
        mask,
        problems,
        frames: Vec::new(),
        anchors: HashMap::new(),
        expanded: Size::default(),
        root: None,
    };
    let root = builder.build(&masked).ok()?;
    let root = root.filter(|root| !matches!(&root.kind, Kind::Scalar(scalar) if scalar.is_null()));
    if root.is_none() {
        refuse(1, 1, "the file is empty", "a configuration needs at least `sites:` with one `upstream:`");
    }
    root
}

struct Builder<'p> {
    file: Arc<str>,
    source: Vec<char>,
    mask: Mask,
    problems: &'p Problems,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    expanded: Size,
    root: Option<Node>,
}

/// A list or map that is still open.
struct Frame {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, lines: BTreeMap<String, usize>, key: Option<Key> },
}

/// A key that waits for its value.
enum Key {
    Named(String, Place),
    Refused, // its value is read and dropped
}

struct Broken; // beyond reading on; the problem is noted

impl Builder<'_> {
    fn build(mut self, masked: &str) -> Result<Option<Node>, Broken> {
        for event in Parser::new_from_str(masked) {
            let (event, span) = event.map_err(|error| self.explain(error.info(), *error.marker()))?;
            let place = self.place(span.start);
            match event {
                Event::DocumentStart(_) if self.root.is_some() => {
                    let remedy = "remove the `---`, or split the file";
                    self.error(place, "a file holds one document, and a second begins here", remedy);
                    break;
                }
                Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span)?,
                Event::SequenceStart(anchor, tag) => {
                    self.open(place, anchor, tag.as_deref(), Content::List(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    let content = Content::Map { entries: Vec::new(), lines: BTreeMap::new(), key: None };
                    self.open(place, anchor, tag.as_deref(), content)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
                Event::Alias(anchor) => self.alias(anchor, place)?,
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
            }
        }
        Ok(self.root)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Broken> {
        let text = self.mask.uncover(text).into_owned();
        let span = match self.frames.last() {
            Some(Frame { content: Content::List(_), .. }) if text.is_empty() && style == ScalarStyle::Plain => {
                comment::dash_before(&self.source, span.start).map_or(span, Span::empty)
            }
            _ => span,
        };
        let place = self.place(span.start);
        // `!` and `!!str` say what a scalar is anyway: text.
        let text_tag = tag.is_some_and(|tag| {
            matches!((tag.handle.as_str(), tag.suffix.as_str()), ("tag:yaml.org,2002:", "str") | ("", "!"))
        });
        if let Some(tag) = tag.filter(|_| !text_tag) {
            self.refuse_tag(place.clone(), tag);
        }
        if style == ScalarStyle::Plain && tag.is_none() && anchor == 0 {
            self.look_for_comment(&text, span);
        }
        let quoted = style != ScalarStyle::Plain || text_tag;
        let node = Node { place, kind: Kind::Scalar(Scalar { text, quoted, origin: Origin::Written }) };
        self.complete(node, anchor)
    }

    /// Says so when a `#` cut this plain scalar, or left nothing of it.
    fn look_for_comment(&self, text: &str, span: Span) {
        let Some(rest) = comment::after(&self.source, span, text.is_empty()) else { return };
        if let Some(severity) = comment::cut(text, &rest) {
            self.problems.add(Problem {
                place: self.place(span.end),
                path: self.path(),
                message: format!("everything after ` #` is a comment, so this value is {}", shown(text)),
                remedy: Some("quote the value, or put a space after the `#` of a comment".to_owned()),
                severity,
            });
        }
    }

    fn open(&mut self, place: Place, anchor: usize, tag: Option<&Tag>, content: Content) -> Result<(), Broken> {
        if let Some(tag) = tag {
            self.refuse_tag(place.clone(), tag);
        }
        if self.frames.len() >= DEEPEST {
            return Err(self.error(place, "nested deeper than 32 levels", ""));
        }
        self.frames.push(Frame { place, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Broken> {
        let Some(Frame { place, anchor, content }) = self.frames.pop() else { return Ok(()) };
        let kind = match content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        self.complete(Node { place, kind }, anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Broken> {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(self.error(place, "an alias cannot stand inside the value it names", ""));
        };
        let size = Size::of(target);
        if self.frames.len() + size.levels > DEEPEST {
            return Err(self.error(place, "nested deeper than 32 levels, once this alias is expanded", ""));
        }
        // Whole subtrees are counted before they are copied, so a bomb is refused while it is small. The
        // topmost node is counted when it is completed.
        self.expanded.nodes += size.nodes - 1;
        self.expanded.text += size.text;
        let copy = if self.expanded.is_excessive() { Node { place, kind: NOTHING } } else { target.clone() };
        self.complete(copy, 0)
    }

    /// Puts a finished node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Broken> {
        self.expanded.nodes += 1;
        if self.expanded.is_excessive() {
            let message = "more than 10,000 values, or 4 MiB of text, once all aliases are expanded";
            return Err(self.error(node.place, message, "use fewer aliases, or split the file"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key, .. } => match key.take() {
                Some(Key::Named(key, key_place)) => entries.push(Entry { key, key_place, value: node }),
                Some(Key::Refused) => {}
                None => {
                    let accepted = self.accept_key(node);
                    if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.frames.last_mut() {
                        *key = Some(accepted);
                    }
                }
            },
        }
        Ok(())
    }

    fn accept_key(&mut self, node: Node) -> Key {
        let Node { place, kind: Kind::Scalar(scalar) } = node else {
            self.error(node.place, "a key must be text", "quote a value that begins with `{` or `[`");
            return Key::Refused;
        };
        if scalar.text == "<<" && !scalar.quoted {
            let remedy = "write the keys out, or use an anchor for the whole value";
            self.error(place, "merge keys are not supported", remedy);
            return Key::Refused;
        }
        if scalar.text.is_empty() {
            self.error(place, "the key is missing", "write `key: value`; quote a value that begins with `:`");
            return Key::Refused;
        }
        let Some(Frame { content: Content::Map { lines, .. }, .. }) = self.frames.last_mut() else {
            return Key::Refused;
        };
        if let Some(first) = lines.get(&scalar.text) {
            let message = format!("duplicate key {}, first written on line {first}", shown(&scalar.text));
            self.error(place, &message, "remove one of them");
            return Key::Refused;
        }
        lines.insert(scalar.text.clone(), place.line);
        Key::Named(scalar.text, place)
    }

    fn refuse_tag(&self, place: Place, tag: &Tag) {
        let message = format!("tags such as {} are not supported", shown(&format!("!{}", tag.suffix)));
        self.error(place, &message, "quote a value that begins with `!`");
    }

    fn explain(&self, info: &str, at: Marker) -> Broken {
        let before = at.index().saturating_sub(at.col())..at.index();
        let before: String = self.source.get(before).unwrap_or_default().iter().collect();
        let (message, remedy) = syntax::explain(&self.mask.uncover(info), &before);
        self.error(self.place(at), &message, remedy.as_deref().unwrap_or_default())
    }

    fn error(&self, place: Place, message: &str, remedy: &str) -> Broken {
        self.problems.add(Problem {
            place,
            path: self.path(),
            message: message.to_owned(),
            remedy: (!remedy.is_empty()).then(|| remedy.to_owned()),
            severity: Severity::Error,
        });
        Broken
    }

    /// The keys that lead to where the reading stands.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.content {
                Content::List(items) => push_index(&mut path, items.len()),
                Content::Map { key: Some(Key::Named(key, _)), .. } => push_key(&mut path, key),
                Content::Map { .. } => {}
            }
        }
        path
    }

    fn place(&self, marker: Marker) -> Place {
        Place { file: Arc::clone(&self.file), line: marker.line().max(1), column: marker.col() + 1 }
    }
}

const NOTHING: Kind = Kind::Scalar(Scalar { text: String::new(), quoted: false, origin: Origin::Written });
