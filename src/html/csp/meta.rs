//! Policies that stand in the page itself: `<meta http-equiv="Content-Security-Policy" content="…">`.
//!
//! They can't be amended, only obeyed, and they come to light while the page passes. The start of the
//! page is searched for `<meta`, and nothing but such elements is kept. What stands in a comment or a
//! script, where browsers don't look, counts too: a pixel too few is better than one that a browser
//! blocks and the visitor's console shows. For the same reason whatever can't be read forbids everything.

use std::mem;

use memchr::memmem;
use url::Url;

use super::{
    policy::{self, Kind},
    script,
    source::Page,
};

mod attribute;
#[cfg(test)]
mod tests;

use attribute::{Place, attributes, decode};

/// The policies seen so far in one passing page.
#[derive(Debug, Default)]
pub struct MetaPolicies {
    looked_at: usize,
    /// How many letters of `<meta` the bytes so far end with.
    seen: usize,
    tag: Option<Tag>,
    tags: usize,
    policies: Vec<Vec<u8>>,
    is_unreadable: bool,
}

/// An element that has begun: all behind `<meta`.
#[derive(Debug, Default)]
struct Tag {
    text: Vec<u8>,
    place: Place,
}

impl MetaPolicies {
    /// Looks at the next piece of the page.
    pub fn look_at(&mut self, chunk: &[u8]) {
        let left = WINDOW - self.looked_at;
        if left == 0 || self.is_unreadable {
            return;
        }
        let chunk = chunk.get(..left).unwrap_or(chunk);
        self.looked_at += chunk.len();
        let mut again = self.scan(chunk).map(|(text, rest)| vec![rest.to_vec(), text]).unwrap_or_default();
        while let Some(text) = again.pop() {
            if let Some((inner, rest)) = self.scan(&text) {
                again.extend([rest.to_vec(), inner]);
            }
        }
    }

    /// Whether all of them let a pixel load.
    #[must_use]
    pub fn let_load(&self, page: &Page, url: &str) -> bool {
        self.allow(Kind::Image, page, || Url::parse(url).ok())
    }

    /// Whether all of them let a frame of the page's own origin load.
    #[must_use]
    pub fn let_own_frame(&self, page: &Page, path: &str) -> bool {
        self.allow(Kind::Frame, page, || page.url(path))
    }

    /// Whether all of them let a script of ours with this nonce run and send to a path of the page's own origin.
    #[must_use]
    pub fn let_run(&self, page: &Page, path: &str, nonce: Option<&str>) -> bool {
        self.allow(Kind::Connection, page, || page.url(path))
            && self.policies.iter().all(|policy| script::allows(policy, nonce))
    }

    /// A nonce by which one of them lets scripts run.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.policies.iter().find_map(|policy| script::nonce(policy))
    }

    fn allow(&self, kind: Kind, page: &Page, url: impl FnOnce() -> Option<Url>) -> bool {
        if self.is_unreadable || self.tag.as_ref().is_some_and(|tag| names_policy(&tag.text)) {
            return false;
        }
        let allow = |url: &Url| self.policies.iter().all(|it| policy::allows(it, kind, url, page));
        self.policies.is_empty() || url().is_some_and(|url| allow(&url))
    }

    /// Scans until an element has ended in which another one may hide: yields what must be scanned
    /// again, and what comes after it.
    fn scan<'a>(&mut self, bytes: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_unreadable {
            if let Some(tag) = &mut self.tag {
                let (is_whole, after) = tag.take(rest);
                rest = after;
                if is_whole || tag.text.len() > MAX_TAG {
                    let again = self.close(is_whole);
                    if let Some(again) = again {
                        return Some((again, rest));
                    }
                }
            } else if self.seen == 0 {
                let at = find_start(rest);
                self.seen = usize::from(at < rest.len());
                rest = rest.get(at + 1..).unwrap_or_default();
            } else if let Some((byte, after)) = rest.split_first() {
                self.seen = match META.get(self.seen) {
                    Some(letter) if byte.eq_ignore_ascii_case(letter) => self.seen + 1,
                    _ => usize::from(*byte == b'<'),
                };
                rest = after;
            }
            if self.seen == META.len() {
                self.seen = 0;
                self.tag = Some(Tag::default());
            }
        }
        None
    }

    fn close(&mut self, is_whole: bool) -> Option<Vec<u8>> {
        let text = mem::take(&mut self.tag)?.text;
        self.tags += 1;
        if self.tags > MAX_TAGS || !is_whole && names_policy(&text) {
            self.is_unreadable = true;
            return None;
        }
        if is_whole && text.first().is_some_and(|byte| b"/>".contains(byte) || byte.is_ascii_whitespace()) {
            self.read(&text);
        }
        // A quote in a script makes an element seem longer than it is.
        let inner = text.windows(META.len()).position(|window| window.eq_ignore_ascii_case(META))?;
        self.seen = 0;
        text.get(inner..).map(<[u8]>::to_vec)
    }

    /// HTML, 4.2.5.3 "Content security policy state".
    fn read(&mut self, text: &[u8]) {
        let attributes = attributes(text);
        // Of several attributes of one name the first counts (HTML, 13.2.5.33).
        let value = |name: &[u8]| attributes.iter().find(|(other, _)| other == name).map(|(_, value)| decode(value));
        match value(b"http-equiv") {
            Some(Some(name)) if name.eq_ignore_ascii_case(b"Content-Security-Policy") => {}
            Some(None) => return self.is_unreadable = names_policy(text),
            _ => return,
        }
        match value(b"content") {
            Some(Some(policy)) => self.policies.push(policy),
            Some(None) => self.is_unreadable = true,
            None => {}
        }
    }
}

impl Tag {
    /// Takes bytes up to and with the end of the tag: whether it ended, and what follows.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> (bool, &'a [u8]) {
        let end = bytes.iter().position(|byte| {
            self.place = self.place.step(*byte);
            self.place == Place::End
        });
        let (own, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        self.text.extend_from_slice(own);
        (end.is_some(), rest)
    }
}

/// Where `<m` begins, or `<` at the very end; else the end.
fn find_start(bytes: &[u8]) -> usize {
    let small = memmem::find(bytes, b"<m").unwrap_or(bytes.len());
    // Only up to there, so that no byte is searched twice.
    let before = bytes.get(..small).unwrap_or(bytes);
    let found = memmem::find(before, b"<M").unwrap_or(small);
    if found == bytes.len() && bytes.ends_with(b"<") { found - 1 } else { found }
}

fn names_policy(text: &[u8]) -> bool {
    text.windows(POLICY.len()).any(|window| window.eq_ignore_ascii_case(POLICY))
}

const META: &[u8] = b"<meta";
const POLICY: &[u8] = b"security-policy";
/// How much of a page is searched: a policy stands early, because it governs only what follows it.
const WINDOW: usize = 64 * 1024;
/// The longest element that is read, and the most of them.
const MAX_TAG: usize = 8 * 1024;
const MAX_TAGS: usize = 512;
