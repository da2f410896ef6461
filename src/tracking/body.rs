//! Bodies read in passing: a bounded copy of what streams to the site or from it, and the fields in it.
//!
//! A tee keeps the first bytes, whatever the size of the body; nothing is held back. What it makes of
//! them is decided when the body has ended: the fields of a form, a JSON document, or the reason why
//! neither can be read. Which fields are wanted, and how long they may be, does not belong here.

use std::fmt;

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::Value;

mod form;
mod json;
mod media;
mod multipart;

pub use form::Form;
pub use json::text_of;
use media::{Kind, MediaType};

/// What a request's body says.
#[derive(Default)]
pub enum RequestBody {
    /// There is none, or it is of no kind that is read.
    #[default]
    None,
    /// A form.
    Form(Form),
    /// A JSON document.
    Json(Value),
    /// It should be one of them, but can't be read.
    Unreadable(Unreadable),
}

/// Why a body can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unreadable {
    /// It is longer than what is kept of it.
    TooLong,
    /// It is compressed.
    Encoded,
    /// It is not what its media type says.
    Malformed,
}

/// A copy of a request's body made in passing.
pub struct BodyTee {
    /// How it is to be read.
    media: Result<MediaType, Unreadable>,
    copy: Copied,
}

/// A copy of an answer's JSON made in passing.
pub struct ResponseTee {
    media: MediaType,
    copy: Copied,
}

impl RequestBody {
    /// The first value of a form's field; the name matches exactly, as in `billing[email]`.
    #[must_use]
    pub fn form(&self, name: &str) -> Option<String> {
        match self {
            Self::Form(form) => form.first(name).map(ToOwned::to_owned),
            Self::None | Self::Json(_) | Self::Unreadable(_) => None,
        }
    }

    /// What a JSON pointer (RFC 6901) leads to.
    #[must_use]
    pub fn json(&self, pointer: &str) -> Option<&Value> {
        match self {
            Self::Json(document) => document.pointer(pointer),
            Self::None | Self::Form(_) | Self::Unreadable(_) => None,
        }
    }

    /// Why nothing, or not everything, could be read.
    #[must_use]
    pub fn unreadable(&self) -> Option<Unreadable> {
        match self {
            Self::Unreadable(reason) => Some(*reason),
            Self::Form(form) => form.is_cut().then_some(Unreadable::TooLong),
            Self::None | Self::Json(_) => None,
        }
    }
}

impl Unreadable {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Encoded => "encoded",
            Self::Malformed => "malformed",
        }
    }
}

impl BodyTee {
    /// A tee for a request with this head; `None` when its body is of no kind that is read.
    #[must_use]
    pub fn for_request(headers: &HeaderMap) -> Option<Self> {
        let media = MediaType::parse(headers.get(CONTENT_TYPE)?.as_bytes())?;
        let is_plain = |value: &http::HeaderValue| {
            let coding = value.as_bytes().trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        };
        let is_encoded = !headers.get_all(CONTENT_ENCODING).iter().all(is_plain);
        let media = if is_encoded { Err(Unreadable::Encoded) } else { Ok(media) };
        Some(Self { media, copy: Copied::up_to(MAX_REQUEST) })
    }

    /// Sees the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.media.is_ok() {
            self.copy.push(bytes);
        }
    }

    /// Begins again: a retry replays the body.
    pub fn reset(&mut self) {
        self.copy.reset();
    }

    /// Reads what was seen, at the body's end.
    #[must_use]
    pub fn finish(self) -> RequestBody {
        let Copied { bytes, overflowed, .. } = self.copy;
        let media = match self.media {
            Ok(media) => media,
            Err(reason) => return RequestBody::Unreadable(reason),
        };
        if bytes.is_empty() {
            return RequestBody::None;
        }
        let form = match &media.kind {
            Kind::Json => return json::read(&bytes, overflowed, &media).into(),
            Kind::UrlEncoded => Some(Form::from_urlencoded(&bytes, overflowed, media.charset)),
            Kind::Multipart { boundary } => multipart::read(&bytes, boundary, overflowed, media.charset),
        };
        form.map_or(RequestBody::Unreadable(Unreadable::Malformed), RequestBody::Form)
    }
}

impl ResponseTee {
    /// A tee for an answer with this head; `None` when it is no JSON.
    ///
    /// It is to be shown plain bytes, after any decompression.
    #[must_use]
    pub fn for_response(headers: &HeaderMap) -> Option<Self> {
        let media = MediaType::parse(headers.get(CONTENT_TYPE)?.as_bytes())?;
        match media.kind {
            Kind::Json => Some(Self { media, copy: Copied::up_to(MAX_RESPONSE) }),
            Kind::UrlEncoded | Kind::Multipart { .. } => None,
        }
    }

    /// Sees the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.copy.push(bytes);
    }

    /// Reads what was seen, at the body's end.
    ///
    /// # Errors
    /// When it is too long or no JSON.
    pub fn finish(self) -> Result<Value, Unreadable> {
        json::read(&self.copy.bytes, self.copy.overflowed, &self.media)
    }
}

impl From<Result<Value, Unreadable>> for RequestBody {
    fn from(read: Result<Value, Unreadable>) -> Self {
        read.map_or_else(Self::Unreadable, Self::Json)
    }
}

/// Says nothing of what visitors typed.
impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Form(form) => form.fmt(f),
            Self::Json(_) => f.write_str("Json(..)"),
            Self::Unreadable(reason) => f.debug_tuple("Unreadable").field(reason).finish(),
        }
    }
}

impl fmt::Debug for BodyTee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyTee").field("bytes", &self.copy.bytes.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ResponseTee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseTee").field("bytes", &self.copy.bytes.len()).finish_non_exhaustive()
    }
}

/// The first bytes of a body.
struct Copied {
    bytes: Vec<u8>,
    limit: usize,
    overflowed: bool,
}

impl Copied {
    const fn up_to(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, overflowed: false }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.bytes.len());
        self.overflowed |= bytes.len() > room;
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn reset(&mut self) {
        self.bytes.clear();
        self.overflowed = false;
    }
}

/// What is kept of a request's body: many times a checkout's form.
const MAX_REQUEST: usize = 64 * 1024;

/// What is kept of an answer: baskets with all their products come back as JSON.
const MAX_RESPONSE: usize = 256 * 1024;

#[cfg(test)]
mod tests;
