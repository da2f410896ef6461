//! Streaming insertion before the end of the body.
//!
//! A page passes chunk by chunk and is neither parsed nor copied. Only its end is held back: from
//! the last `</body` on, for as long as nothing but the usual end of a page follows it. When the page
//! ends, the insertion goes in front of what is held. When nothing is held it goes to the very end,
//! and browsers move what stands there into the body.
//!
//! # The rule
//!
//! 1. A *body end tag* is `</body` in any letter case, followed by white space, `/` or `>`.
//! 2. Its *tail* is the rest of the tag, then white space, comments and `</html>` tags, to the end of
//!    the document. The last piece may be cut off by that end. The two tags may carry attributes, but
//!    no quotes and no `<`; the comments may hold anything but `>`.
//! 3. The insertion goes before the last body end tag if the document ends in its tail and the two
//!    together are at most [`MAX_HELD`] bytes long.
//! 4. Else, if the document breaks off within the letters `</body`, it goes before these: behind
//!    them it would be read as a part of that tag.
//! 5. Else it goes to the end of the document. A document of nothing but white space gets nothing.
//!
//! In XHTML only point 3 holds, and the tag must be in lower case: markup anywhere else would not be
//! well-formed, and nothing of the page would be shown.
//!
//! A page whose first kilobyte shows that an insertion would be garbled, inert or forbidden gets none:
//! one in a character set that is not based on ASCII, a set of frames, AMP. This is known only when the
//! head has left; such a page passes byte for byte, and [`Injector::obstacle`] says why.
//!
//! Why quotes and `>` end a tail: the text `</body>` also stands in scripts, attributes and comments,
//! and to insert there would break the page. Whatever it stands in must be closed behind it, and that
//! takes a quote, a `>` or other text. In doubt the end of the document is the right place, because
//! it is outside of all of these. A comment that is never closed makes the end a dead place, so that
//! one counts as a tail.
//!
//! Where an insertion can't live at all (an unclosed script or comment around everything, an unclosed
//! `<template>`), it does nothing and harms nothing.

mod opening;
mod scanner;
#[cfg(test)]
mod tests;

use std::mem;

use opening::OPENING;
use scanner::Scanner;

use super::page::{Page, Syntax, Untouchable};

/// The most bytes that are ever held back.
pub const MAX_HELD: usize = 8 * 1024;

/// One passing document.
#[derive(Debug, Default)]
pub struct Injector {
    scanner: Scanner,
    held: Vec<u8>,
    syntax: Syntax,
    charset_is_known: bool,
    opening: Opening,
}

/// How much is known of the beginning of a document.
#[derive(Debug)]
enum Opening {
    /// Not enough yet; a copy of what has passed.
    Passing(Vec<u8>),
    /// It was looked at.
    Seen(Option<Untouchable>),
}

impl Default for Opening {
    fn default() -> Self {
        Self::Passing(Vec::new())
    }
}

/// What may leave after a chunk came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Bytes held until now, to be sent before the chunk. Empty in the common case, without an allocation.
    pub before: Vec<u8>,
    /// How many bytes from the start of the chunk leave unchanged. The rest is kept inside.
    pub keep: usize,
}

impl Injector {
    /// Starts a document of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a document with what its head says of it.
    #[must_use]
    pub fn of(page: &Page) -> Self {
        Self { syntax: page.syntax, charset_is_known: page.charset_is_known, ..Self::default() }
    }

    /// Takes the next chunk and says what may leave now.
    #[must_use = "the bytes in it are part of the document"]
    pub fn write(&mut self, chunk: &[u8]) -> Passed {
        self.look(chunk);
        if matches!(self.opening, Opening::Seen(Some(_))) {
            return Passed { before: mem::take(&mut self.held), keep: chunk.len() };
        }
        self.scanner.scan(chunk);
        let pending = self.scanner.pending();
        let pending_in_chunk = pending.min(chunk.len());
        let released = self.held.len().saturating_sub(pending - pending_in_chunk);
        let before =
            if released == self.held.len() { mem::take(&mut self.held) } else { self.held.drain(..released).collect() };
        let (keep, kept) = split_from_end(chunk, pending_in_chunk);
        self.held.extend_from_slice(kept);
        Passed { before, keep }
    }

    /// Ends the document: the held bytes with the insertion in its place.
    #[must_use = "the bytes in it are part of the document"]
    pub fn finish(self, insertion: &[u8]) -> Vec<u8> {
        if insertion.is_empty() || self.obstacle().is_some() {
            return self.held;
        }
        // Whatever is held is the start of a body end tag, whole or cut off.
        [insertion, &self.held].concat()
    }

    /// Why nothing would be inserted if the document ended here.
    #[must_use]
    pub fn obstacle(&self) -> Option<Untouchable> {
        let by_opening = match &self.opening {
            Opening::Seen(obstacle) => *obstacle,
            Opening::Passing(opening) => opening::obstacle(opening, self.syntax, self.charset_is_known),
        };
        if by_opening.is_some() {
            return by_opening;
        }
        if !self.scanner.has_content() {
            return Some(Untouchable::Empty);
        }
        let is_missing = self.syntax == Syntax::Xhtml && !is_xhtml_body_end(&self.held);
        is_missing.then_some(Untouchable::NoBodyEnd)
    }

    /// Looks at the first bytes, once there are enough of them.
    fn look(&mut self, chunk: &[u8]) {
        let Opening::Passing(passed) = &mut self.opening else { return };
        let seen = if passed.is_empty() && chunk.len() >= OPENING {
            opening::obstacle(chunk, self.syntax, self.charset_is_known)
        } else {
            let missing = OPENING.saturating_sub(passed.len());
            passed.extend_from_slice(chunk.get(..missing).unwrap_or(chunk));
            if passed.len() < OPENING {
                return;
            }
            opening::obstacle(passed, self.syntax, self.charset_is_known)
        };
        self.opening = Opening::Seen(seen);
    }

    /// The bytes taken in that have not left, for sending them on as they are after a fault.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }
}

/// The rule above on a whole document at once: the specification of [`Injector`].
///
/// For HTML of which the head says nothing more; for tests and benchmarks, written to be read, not to
/// be fast.
#[must_use]
pub fn inject_whole(document: &[u8], insertion: &[u8]) -> Vec<u8> {
    if document.trim_ascii().is_empty() || opening::obstacle(document, Syntax::Html, false).is_some() {
        return document.to_vec();
    }
    let held = last_body_end_tag(document)
        .filter(|from| from.len() <= MAX_HELD && is_end_of_page(from))
        .or_else(|| cut_off_body_end_tag(document))
        .map_or(0, <[u8]>::len);
    let (at, _) = split_from_end(document, held);
    let (before, after) = document.split_at(at);
    [before, insertion, after].concat()
}

fn last_body_end_tag(document: &[u8]) -> Option<&[u8]> {
    (0..document.len())
        .rev()
        .filter_map(|at| document.get(at..))
        .find(|rest| strip_end_tag_name(rest, b"</body").is_some_and(|after| !after.is_empty()))
}

fn cut_off_body_end_tag(document: &[u8]) -> Option<&[u8]> {
    (1..=b"</body".len())
        .rev()
        .filter_map(|length| document.split_at_checked(document.len().checked_sub(length)?))
        .map(|(_, end)| end)
        .find(|end| b"</body".get(..end.len()).is_some_and(|start| start.eq_ignore_ascii_case(end)))
}

/// Whether the held bytes begin with a whole end tag as XML wants it.
fn is_xhtml_body_end(held: &[u8]) -> bool {
    held.strip_prefix(b"</body").is_some_and(|rest| rest.trim_ascii_start().starts_with(b">"))
}

/// Whether this is `</body …>` and then only white space, comments and `</html>`, cut off or not.
fn is_end_of_page(from: &[u8]) -> bool {
    let Some(mut rest) = strip_end_tag_name(from, b"</body").map(strip_end_tag_rest) else { return false };
    while let Some(after) = rest {
        let piece = after.trim_ascii_start();
        rest = if is_cut_off(piece, b"</html") || is_cut_off(piece, b"<!--") {
            return true;
        } else if let Some(after_name) = strip_end_tag_name(piece, b"</html") {
            strip_end_tag_rest(after_name)
        } else if piece.starts_with(b"<!--") {
            let Some(end) = piece.iter().position(|byte| *byte == b'>') else { return true };
            let (comment, after_comment) = piece.split_at(end);
            if !comment.ends_with(b"--") {
                return false;
            }
            after_comment.get(1..)
        } else {
            return false;
        };
    }
    false
}

/// What follows the `>` that ends a tag; nothing if something stands in it that makes us doubt.
fn strip_end_tag_rest(rest: &[u8]) -> Option<&[u8]> {
    match rest.iter().position(|byte| matches!(byte, b'>' | b'"' | b'\'' | b'<')) {
        None => Some(b""),
        Some(at) => rest.get(at..)?.strip_prefix(b">"),
    }
}

fn strip_end_tag_name<'a>(rest: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, after) = rest.split_at_checked(name.len())?;
    let ends_here = after.first().is_none_or(|byte| matches!(byte, b'/' | b'>') || byte.is_ascii_whitespace());
    (start.eq_ignore_ascii_case(name) && ends_here).then_some(after)
}

fn is_cut_off(piece: &[u8], whole: &[u8]) -> bool {
    piece.len() < whole.len() && whole.get(..piece.len()).is_some_and(|start| start.eq_ignore_ascii_case(piece))
}

/// Where the last `length` bytes begin, and those bytes.
fn split_from_end(bytes: &[u8], length: usize) -> (usize, &[u8]) {
    let at = bytes.len().saturating_sub(length);
    (at, bytes.get(at..).unwrap_or_default())
}
