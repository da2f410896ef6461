//! The fields of a form, decoded.

use std::{borrow::Cow, fmt};

use encoding_rs::{Encoding, UTF_8};
use percent_encoding::percent_decode;

use super::media::charset;

/// The fields of a form, in their order.
pub struct Form {
    /// A value that is no text in the form's encoding is `None`.
    fields: Vec<(String, Option<String>)>,
    is_cut: bool,
}

/// A field before its text is decoded.
pub(super) struct RawField<'a> {
    pub(super) name: Cow<'a, [u8]>,
    pub(super) value: Cow<'a, [u8]>,
    /// What the field says of its own encoding.
    pub(super) charset: Option<&'static Encoding>,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded` (URL Standard, section 5.1).
    pub(super) fn from_urlencoded(bytes: &[u8], is_cut: bool, declared: Option<&'static Encoding>) -> Self {
        // What lies only partly in a cut copy is no field.
        let end = if is_cut { memchr::memrchr(b'&', bytes).unwrap_or(0) } else { bytes.len() };
        let pairs = bytes.get(..end).unwrap_or_default().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let fields = pairs.take(MAX_FIELDS).map(|pair| {
            let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = pair.split_at_checked(at).unwrap_or((pair, &[]));
            RawField { name: unescape(name), value: unescape(value.get(1..).unwrap_or_default()), charset: None }
        });
        Self::decode(&fields.collect::<Vec<_>>(), is_cut, declared)
    }

    /// Decodes all fields alike.
    ///
    /// A form says its encoding by `_charset_`, which browsers fill in (HTML, section 4.10.21.4), by its
    /// media type, or by `charset`, as the payment notifications of `PayPal` do. Otherwise it is
    /// UTF-8; anything else is not guessed.
    pub(super) fn decode(raw: &[RawField<'_>], is_cut: bool, declared: Option<&'static Encoding>) -> Self {
        let named = |name: &[u8]| raw.iter().find(|field| *field.name == *name).and_then(|field| charset(&field.value));
        let encoding = named(b"_charset_").or(declared).or_else(|| named(b"charset")).unwrap_or(UTF_8);
        let text = |bytes: &[u8], encoding: &'static Encoding| {
            encoding.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned)
        };
        let fields = raw.iter().filter_map(|field| {
            Some((text(&field.name, encoding)?, text(&field.value, field.charset.unwrap_or(encoding))))
        });
        Self { fields: fields.collect(), is_cut: is_cut || raw.len() >= MAX_FIELDS }
    }

    /// The first value of a field.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).and_then(|(_, value)| value.as_deref())
    }

    /// Whether only a part of the form was seen.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// Says nothing of what visitors typed.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").field("fields", &self.fields.len()).field("is_cut", &self.is_cut).finish()
    }
}

/// `+` is a space, and the rest is percent-encoded.
fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', raw).is_none() {
        return percent_decode(raw).into();
    }
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// As many as PHP reads by default (`max_input_vars`).
pub(super) const MAX_FIELDS: usize = 1000;
