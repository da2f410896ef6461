//! Keeps what is personal out of records.
//!
//! Requests are built again from events that hold stars instead. Answers are strangers' texts that may
//! repeat what they were sent, so they are searched, for each value in every form in which a postback
//! may have brought it.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::{
    store::mask::{HIDDEN, personal_values},
    tracking::{
        digest::{Algorithm, Writing},
        event::Payload,
        mask::as_in_json,
        template::{encode_component, sha256},
    },
};

/// What stands in the place of what is not shown.
pub(super) const STARS: &str = HIDDEN;

/// The personal values of one event, to be found in a text.
pub(super) struct Veil(Finder);

/// A text with stars for the checksums of stars, which would look like somebody's.
pub(super) fn without_traces(text: &str) -> String {
    TRACES.hide(text)
}

impl Veil {
    /// Everything personal that an event brought.
    pub(super) fn over(payload: &Payload) -> Self {
        // Shorter ones tell nothing and are found everywhere.
        Self(Finder::new(personal_values(payload).filter(|text| text.len() >= SHORTEST).flat_map(|text| forms(text))))
    }

    /// The text without them.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.hide(text)
    }
}

struct Finder {
    /// None: it could not be built, and everything is hidden.
    finder: Option<AhoCorasick>,
}

impl Finder {
    fn new(texts: impl Iterator<Item = String>) -> Self {
        let mut builder = AhoCorasick::builder();
        // Networks may write a value in other letters than it was sent.
        let builder = builder.ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest);
        Self { finder: builder.build(texts).ok() }
    }

    fn hide(&self, text: &str) -> String {
        let Some(finder) = &self.finder else { return STARS.to_owned() };
        finder.replace_all(text, &vec![STARS; finder.patterns_len()])
    }
}

/// A value as it is, as addresses, forms and JSON write it, and what is made of it for networks.
fn forms(value: &str) -> Vec<String> {
    let mut encoded = String::new();
    encode_component(value, &mut encoded);
    // Whoever parses an address writes apostrophes so (URL Standard, special-query percent-encode set).
    let address = encoded.replace('\'', "%27");
    let form = address.replace("%20", "+");
    let mut forms = vec![value.to_owned(), encoded, address, form, as_in_json(value)];
    forms.extend(checksums(value));
    let normal = value.trim().to_lowercase();
    if normal != value {
        forms.extend(checksums(&normal));
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// Every checksum and coding that a template can ask for without a key.
fn checksums(value: &str) -> impl Iterator<Item = String> {
    let bytes = value.as_bytes();
    let digests: Vec<Vec<u8>> = ALGORITHMS.iter().map(|algorithm| algorithm.digest(bytes)).collect();
    let written = digests.into_iter().chain([bytes.to_vec()]);
    let written = written.flat_map(|bytes| WRITINGS.map(|writing| writing.text(&bytes)));
    written.chain([sha256(value)]).collect::<Vec<_>>().into_iter()
}

const SHORTEST: usize = 3;
const ALGORITHMS: [Algorithm; 4] = [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];
const WRITINGS: [Writing; 3] = [Writing::Hex, Writing::Base64, Writing::Base64Url];

static TRACES: LazyLock<Finder> = LazyLock::new(|| Finder::new(checksums(STARS)));
