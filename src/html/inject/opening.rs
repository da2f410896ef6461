//! What the beginning of a page gives away: that nothing may or can be inserted into it.
//!
//! Looks at the first [`OPENING`] bytes, as browsers do for the character set (HTML, section 13.2.3.2),
//! and only when there is something to insert at the end. It reads tags, not a document: what it takes
//! for a tag may stand in a script, so that a frameset or AMP only counts outside of scripts and the
//! like, and where in doubt the page is one that can be edited.

use std::iter;

use crate::html::{
    charset::Charset,
    page::{Syntax, Untouchable},
};

/// Why a page that begins like this is not one to be edited.
pub(super) fn obstacle(opening: &[u8], syntax: Syntax, charset_is_known: bool) -> Option<Untouchable> {
    let opening = opening.get(..OPENING).unwrap_or(opening);
    let charset = Charset::marked(opening).or_else(|| match syntax {
        _ if charset_is_known => None,
        Syntax::Xhtml => Charset::in_xml_declaration(opening),
        Syntax::Html => charset_in_tags(opening).or_else(|| Charset::in_xml_declaration(opening)),
    });
    let is_marked = Charset::marked(opening).is_some();
    match charset {
        Some(Charset::Other) => Some(Untouchable::Charset),
        // That the page is in UTF-16 is no use to anybody if it stands there in ASCII.
        Some(Charset::Utf16) if is_marked => Some(Untouchable::Charset),
        Some(Charset::Utf16 | Charset::Ascii) | None => kind(opening).filter(|_| syntax == Syntax::Html),
    }
}

/// The character set that the first `meta` with one declares, be it in a script: browsers look for it
/// without a thought about scripts.
fn charset_in_tags(opening: &[u8]) -> Option<Charset> {
    let mut rest = opening;
    iter::from_fn(|| Tag::next(&mut rest)).filter(|tag| !tag.is_end && tag.is(b"meta")).find_map(|tag| tag.charset())
}

/// What kind of page is none for images.
fn kind(opening: &[u8]) -> Option<Untouchable> {
    let mut rest = opening;
    while let Some(tag) = Tag::next(&mut rest) {
        if tag.is_end {
            continue;
        }
        if tag.is(b"body") {
            // Behind it no frameset is one.
            return None;
        }
        if tag.is(b"frameset") {
            return Some(Untouchable::Frameset);
        }
        if tag.is(b"html") && tag.attributes().any(|(name, _)| is_amp(name)) {
            return Some(Untouchable::Amp);
        }
        if TEXT.iter().any(|name| tag.is(name)) {
            rest = behind_text(rest, tag.name)?;
        }
    }
    None
}

/// What follows the text of an element, from its end tag on.
fn behind_text<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut candidates = memchr::memchr_iter(b'<', text).filter_map(|at| text.get(at..));
    candidates.find(|from| {
        let end = from.strip_prefix(b"</").and_then(|from| from.split_at_checked(name.len()));
        end.is_some_and(|(start, after)| {
            start.eq_ignore_ascii_case(name) && after.first().is_none_or(|byte| ends_name(*byte))
        })
    })
}

/// `amp`, `amp4ads`, `amp4email` and the same with the lightning sign (AMP HTML specification).
fn is_amp(attribute: &[u8]) -> bool {
    let kind = attribute.strip_prefix("\u{26a1}".as_bytes()).or_else(|| {
        let (name, kind) = attribute.split_at_checked(3)?;
        name.eq_ignore_ascii_case(b"amp").then_some(kind)
    });
    kind.is_some_and(|kind| ["", "4ads", "4email"].iter().any(|known| kind.eq_ignore_ascii_case(known.as_bytes())))
        || kind == Some("\u{fe0f}".as_bytes())
}

/// A start or end tag.
struct Tag<'a> {
    is_end: bool,
    name: &'a [u8],
    /// From behind the name to before the `>`, or to the end when that is cut off.
    attributes: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Cuts off everything up to the end of the next tag.
    fn next(rest: &mut &'a [u8]) -> Option<Self> {
        loop {
            let at = memchr::memchr(b'<', rest)?;
            let from = rest.get(at + 1..)?;
            if let Some(comment) = from.strip_prefix(b"!--") {
                // `<!-->` is a whole comment: the dashes that open it may close it.
                let end = memchr::memmem::find(from.get(1..)?, b"-->").filter(|_| !comment.is_empty())?;
                *rest = from.get(end + 1 + b"-->".len()..)?;
                continue;
            }
            let (is_end, named) = from.strip_prefix(b"/").map_or((false, from), |after| (true, after));
            if !named.first().is_some_and(u8::is_ascii_alphabetic) {
                *rest = from;
                continue;
            }
            let length = named.iter().position(|byte| ends_name(*byte)).unwrap_or(named.len());
            let (name, after) = named.split_at_checked(length)?;
            let end = end_of_tag(after);
            let (attributes, behind) = after.split_at_checked(end)?;
            *rest = behind;
            return Some(Self { is_end, name, attributes });
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        // XML's prefixes don't matter: what has one is not what browsers take for HTML.
        self.name.eq_ignore_ascii_case(name)
    }

    fn attributes(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.attributes;
        iter::from_fn(move || attribute(&mut rest))
    }

    /// The character set that a `meta` declares.
    fn charset(&self) -> Option<Charset> {
        let value = |wanted: &[u8]| self.attributes().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if let Some((_, label)) = value(b"charset") {
            return Some(Charset::of(label));
        }
        value(b"http-equiv").filter(|(_, kind)| kind.eq_ignore_ascii_case(b"content-type"))?;
        Charset::in_content_type(value(b"content")?.1)
    }
}

/// Where the `>` of a tag stands, past any in quotes.
fn end_of_tag(after_name: &[u8]) -> usize {
    end_of_usual_tag(after_name).unwrap_or_else(|| end_of_any_tag(after_name))
}

/// The same by a search for quotes, where each of them begins a value as in `name="value"`.
fn end_of_usual_tag(after_name: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = after_name.get(at..)?;
        let stop = memchr::memchr3(b'>', b'"', b'\'', rest)?;
        let (before, quoted) = rest.split_at_checked(stop)?;
        let (quote, value) = quoted.split_first()?;
        if *quote == b'>' {
            return Some(at + stop);
        }
        // Behind an earlier `=` the quote may be a part of a value without quotes, and without a name
        // before it of a name.
        let named = before.strip_suffix(b"=").filter(|named| !named.contains(&b'='))?;
        if !named.last().is_some_and(u8::is_ascii_alphabetic) || !before.first().is_some_and(u8::is_ascii_whitespace) {
            return None;
        }
        at += stop + 1 + memchr::memchr(*quote, value)? + 1;
    }
}

fn end_of_any_tag(after_name: &[u8]) -> usize {
    let mut rest = after_name;
    let unread = loop {
        match attribute(&mut rest) {
            Some(_) => {}
            None => break rest.len(),
        }
    };
    after_name.len() - unread
}

/// Cuts off the next attribute; leaves the `>` that ends the tag.
fn attribute<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let skip = |bytes: &'a [u8], is_skipped: fn(u8) -> bool| {
        let at = bytes.iter().position(|byte| !is_skipped(*byte)).unwrap_or(bytes.len());
        bytes.split_at(at)
    };
    let blank = |byte: u8| byte.is_ascii_whitespace();
    (_, *rest) = skip(rest, |byte| byte.is_ascii_whitespace() || byte == b'/');
    if rest.first().is_none_or(|byte| *byte == b'>') {
        return None;
    }
    let (name, after) = skip(rest, |byte| !(ends_name(byte) || byte == b'='));
    // A `=` where a name should begin belongs to the name.
    let (name, after) = if name.is_empty() { rest.split_at(1) } else { (name, after) };
    *rest = after;
    let (_, after_blanks) = skip(after, blank);
    let Some(value) = after_blanks.strip_prefix(b"=") else { return Some((name, b"")) };
    let (_, value) = skip(value, blank);
    let (value, after) = match value.split_first() {
        Some((quote @ (b'"' | b'\''), quoted)) => {
            let end = memchr::memchr(*quote, quoted).unwrap_or(quoted.len());
            (quoted.get(..end).unwrap_or_default(), quoted.get(end + 1..).unwrap_or_default())
        }
        _ => skip(value, |byte| !(byte.is_ascii_whitespace() || byte == b'>')),
    };
    *rest = after;
    Some((name, value))
}

const fn ends_name(byte: u8) -> bool {
    matches!(byte, b'/' | b'>') || byte.is_ascii_whitespace()
}

/// How much of a page is looked at.
pub(super) const OPENING: usize = 1024;
/// Elements in which `<` opens nothing but their end tag.
const TEXT: [&[u8]; 8] = [b"script", b"style", b"title", b"textarea", b"noscript", b"template", b"iframe", b"xmp"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_usual_tag_ends_where_any_tag_does(after_name in "([ =/>a\"'-]|[ ]?[a-c]{0,2}=\"[a>' ]{0,3}\"){0,12}") {
            let bytes = after_name.as_bytes();
            if let Some(end) = end_of_usual_tag(bytes) {
                prop_assert_eq!(end, end_of_any_tag(bytes), "{}", after_name);
            }
        }
    }

    #[test]
    fn most_tags_are_usual_ones() {
        for tag in [" charset=\"utf-8\">", ">", " defer src='a>b' id=x>", " name=\"a\" content=\"=b\"/>"] {
            assert!(end_of_usual_tag(tag.as_bytes()).is_some(), "{tag}");
        }
    }
}
