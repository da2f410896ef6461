//! One policy as text: which of its directives governs, what that allows, and how it is extended.
//!
//! Policies are read where they stand and changed by insertions, so that all else stays as it was,
//! byte for byte.

use url::Url;

use super::source::{Page, matches};

/// What loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A pixel.
    Image,
    /// A hidden frame.
    Frame,
    /// What a script sends.
    Connection,
}

/// An address that must be allowed, and the expression that is added where it is not.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) url: Url,
    pub(super) source: String,
}

/// A directive with its place in the policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directive<'a> {
    pub(super) name: &'a str,
    pub(super) sources: &'a str,
    /// Behind its last character.
    pub(super) end: usize,
}

impl Kind {
    /// The directives that govern, the first that there is (CSP3, "Get fetch directive fallback list").
    const fn directives(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["img-src", "default-src"],
            Self::Frame => &["frame-src", "child-src", "default-src"],
            Self::Connection => &["connect-src", "default-src"],
        }
    }

    fn own_directive(self) -> &'static str {
        self.directives().first().copied().unwrap_or_default()
    }

    fn governing(self, policy: &[u8]) -> Option<Directive<'_>> {
        first_of(self.directives(), policy)
    }
}

impl Directive<'_> {
    fn allows(&self, url: &Url, page: &Page) -> bool {
        self.sources.split_ascii_whitespace().any(|source| matches(source, url, page))
    }
}

/// The first of these directives that a policy has.
pub(super) fn first_of<'a>(names: &[&str], policy: &'a [u8]) -> Option<Directive<'a>> {
    // Of several directives of one name the first counts (CSP3, 2.2.1).
    names.iter().find_map(|name| directives(policy).find(|directive| directive.name.eq_ignore_ascii_case(name)))
}

/// Whether one policy lets this address load.
pub(super) fn allows(policy: &[u8], kind: Kind, url: &Url, page: &Page) -> bool {
    kind.governing(policy).is_none_or(|directive| directive.allows(url, page))
}

/// Whether all policies of a header line do; they are separated by commas (CSP3, 3.1).
pub(super) fn allows_all(line: &[u8], kind: Kind, url: &Url, page: &Page) -> bool {
    line.split(|byte| *byte == b',').all(|policy| allows(policy, kind, url, page))
}

/// A header line whose policies allow all that is needed; `None` when they do already.
pub(super) fn amend_all(line: &[u8], kind: Kind, needed: &[Needed], page: &Page) -> Option<Vec<u8>> {
    amend_each(line, |policy| amend(policy, kind, needed, page))
}

/// A header line with some of its policies changed; `None` when none is.
pub(super) fn amend_each(line: &[u8], amend: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut amended = Vec::new();
    let mut is_changed = false;
    for (index, policy) in line.split(|byte| *byte == b',').enumerate() {
        if index > 0 {
            amended.push(b',');
        }
        match amend(policy) {
            Some(changed) => {
                is_changed = true;
                amended.extend(changed);
            }
            None => amended.extend_from_slice(policy),
        }
    }
    is_changed.then_some(amended)
}

fn amend(policy: &[u8], kind: Kind, needed: &[Needed], page: &Page) -> Option<Vec<u8>> {
    let governing = kind.governing(policy)?;
    let mut added: Vec<&str> = Vec::new();
    for needed in needed.iter().filter(|needed| !governing.allows(&needed.url, page)) {
        if !added.contains(&needed.source.as_str()) {
            added.push(&needed.source);
        }
    }
    if added.is_empty() {
        return None;
    }
    let added = added.join(" ");
    // Only alone does it forbid everything (CSP3, "Does url match source list"); beside others it would be a mistake.
    let is_none = governing.sources.eq_ignore_ascii_case("'none'");
    let (cut, insertion) = if !governing.name.eq_ignore_ascii_case(kind.own_directive()) {
        let kept: String = copied(governing.sources).flat_map(|source| [source, " "]).collect();
        (governing.end, format!("; {} {kept}{added}", kind.own_directive()))
    } else if is_none {
        (governing.end - governing.sources.len(), added)
    } else {
        (governing.end, format!(" {added}"))
    };
    let (before, after) = (policy.get(..cut)?, policy.get(governing.end..)?);
    Some([before, insertion.as_bytes(), after].concat())
}

/// What a list for scripts and everything else says about images and frames.
fn copied(sources: &str) -> impl Iterator<Item = &str> {
    let concerns = |source: &&str| !source.starts_with('\'') || source.eq_ignore_ascii_case("'self'");
    sources.split_ascii_whitespace().filter(concerns)
}

/// The directives of a policy, those passed over that browsers pass over (CSP3, 2.2.1).
fn directives(policy: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    let mut next = 0;
    policy.split(|byte| *byte == b';').filter_map(move |token| {
        let start = next;
        next += token.len() + 1;
        let end = start + token.trim_ascii_end().len();
        let text = std::str::from_utf8(token.trim_ascii()).ok().filter(|text| text.is_ascii() && !text.is_empty())?;
        let (name, sources) = text.split_once(|letter: char| letter.is_ascii_whitespace()).unwrap_or((text, ""));
        Some(Directive { name, sources: sources.trim_ascii_start(), end })
    })
}
