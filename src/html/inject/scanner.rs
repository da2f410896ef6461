//! Finds the end of a page in passing bytes.
//!
//! A state machine over single bytes, so that the borders of chunks can't matter, with a shortcut: in
//! its idle state it jumps to the next `</b` by a vectorised search. It decides how many of the last
//! bytes must not leave yet; it stores none of them.

use memchr::memmem;

use super::MAX_HELD;

/// How far the end of the page has been seen.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// How many letters of `</body` the bytes so far end with.
    seen: usize,
    /// The tail of the last body end tag, as long as it can be one.
    tail: Option<Tail>,
    /// How many bytes ago that tag began.
    since: usize,
    has_content: bool,
}

/// Where in the tail of a body end tag we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// In `</body …` or `</html …`, behind the name.
    Tag,
    /// Between tags and comments.
    Between,
    /// Behind `<`.
    Open,
    /// Behind `</` and so many letters of `html`.
    EndTag(usize),
    /// Behind `<!`.
    Declaration,
    /// Behind `<!-`.
    DeclarationDash,
    /// In a comment that so far ends with so many dashes, at most two of them counted.
    Comment(u8),
}

impl Scanner {
    pub(super) fn scan(&mut self, chunk: &[u8]) {
        self.has_content = self.has_content || !chunk.trim_ascii_start().is_empty();
        let mut candidates = None;
        let mut at = 0;
        while at < chunk.len() {
            if self.is_idle() {
                at = candidates.get_or_insert_with(|| Candidates::of(chunk)).next_from(at);
            }
            let Some(byte) = chunk.get(at) else { return };
            self.step(*byte);
            at += 1;
        }
    }

    /// How many of the last bytes must be held back.
    pub(super) const fn pending(&self) -> usize {
        if self.tail.is_some() { self.since } else { self.seen }
    }

    pub(super) const fn has_content(&self) -> bool {
        self.has_content
    }

    const fn is_idle(&self) -> bool {
        self.seen == 0 && self.tail.is_none()
    }

    fn step(&mut self, byte: u8) {
        self.since += 1;
        self.tail = self.tail.and_then(|tail| tail.step(byte)).filter(|_| self.since <= MAX_HELD);
        if self.seen == BODY.len() && ends_name(byte) {
            // A later tag takes the place of an earlier one.
            self.since = BODY.len() + 1;
            self.tail = Tail::Tag.step(byte);
        }
        self.seen = match BODY.get(self.seen) {
            Some(expected) if byte.eq_ignore_ascii_case(expected) => self.seen + 1,
            // `<` opens the tag and stands nowhere else in it.
            _ => usize::from(byte == b'<'),
        };
    }
}

impl Tail {
    fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Tag, b'"' | b'\'' | b'<') => None,
            (Self::Tag | Self::Comment(2), b'>') => Some(Self::Between),
            (Self::Tag, _) => Some(Self::Tag),
            (Self::Between, b'<') => Some(Self::Open),
            (Self::Between, _) => byte.is_ascii_whitespace().then_some(Self::Between),
            (Self::Open, b'/') => Some(Self::EndTag(0)),
            (Self::Open, b'!') => Some(Self::Declaration),
            (Self::EndTag(letters), _) => match HTML.get(letters) {
                Some(letter) => byte.eq_ignore_ascii_case(letter).then_some(Self::EndTag(letters + 1)),
                None => ends_name(byte).then_some(Self::Tag).and_then(|tag| tag.step(byte)),
            },
            (Self::Declaration, b'-') => Some(Self::DeclarationDash),
            // `<!-->` and `<!--->` are whole comments: HTML, 13.2.5.43 "Comment start state".
            (Self::DeclarationDash, b'-') => Some(Self::Comment(2)),
            (Self::Comment(dashes), b'-') => Some(Self::Comment(2.min(dashes + 1))),
            (Self::Comment(_), b'>') | (Self::Open | Self::Declaration | Self::DeclarationDash, _) => None,
            (Self::Comment(_), _) => Some(Self::Comment(0)),
        }
    }
}

/// The places in a chunk where `</body` may begin: each `</b`, and a cut-off one at the end.
struct Candidates<'a> {
    small: Finds<'a>,
    capital: Finds<'a>,
    end: usize,
}

struct Finds<'a> {
    rest: memmem::FindIter<'a, 'static>,
    next: Option<usize>,
}

impl<'a> Candidates<'a> {
    fn of(chunk: &'a [u8]) -> Self {
        let cut_off = if chunk.ends_with(b"</") { 2 } else { usize::from(chunk.ends_with(b"<")) };
        Self { small: Finds::of(chunk, b"</b"), capital: Finds::of(chunk, b"</B"), end: chunk.len() - cut_off }
    }

    /// The first place at or behind `at`; the end of the chunk when there is none.
    fn next_from(&mut self, at: usize) -> usize {
        let found = [self.small.next_from(at), self.capital.next_from(at)].into_iter().flatten().min();
        found.unwrap_or(self.end).max(at)
    }
}

impl<'a> Finds<'a> {
    fn of(chunk: &'a [u8], text: &'static [u8]) -> Self {
        let mut rest = memmem::find_iter(chunk, text);
        let next = rest.next();
        Self { rest, next }
    }

    fn next_from(&mut self, at: usize) -> Option<usize> {
        while self.next.is_some_and(|next| next < at) {
            self.next = self.rest.next();
        }
        self.next
    }
}

fn ends_name(byte: u8) -> bool {
    matches!(byte, b'/' | b'>') || byte.is_ascii_whitespace()
}

const BODY: &[u8] = b"</body";
const HTML: &[u8] = b"html";
