//! Pages that come compressed although they were asked for plain: undone while they pass.
//!
//! Bytes in, bytes out: whatever a chunk allows to be decoded leaves with that chunk, so that a page
//! which the site flushes piece by piece still arrives piece by piece. What is done with a page that
//! can't be decoded to its end is decided by whoever holds the decoder; up to the fault, all that came
//! out is a true beginning of the page.
//!
//! # Bounds
//!
//! A compressed stream can promise a thousand times its size (deflate: 1032 : 1; brotli and zstd: more
//! than 100,000 : 1), so a few megabytes could fill the memory. A page is given up as a *bomb*
//!
//! - beyond [`MAX_PAGE`] in all: browsers don't survive larger documents either;
//! - beyond [`MAX_RATIO`] times what came in, once it is past [`GRACE`]. HTML shrinks to a fifth or a
//!   tenth, endless tables of equal rows to a hundredth; what expands more is made to;
//! - beyond [`MAX_CHUNK`] out of one chunk, because a chunk leaves in one piece and stands in memory.
//!
//! The windows are bounded by the formats: 32 KiB of gzip, 16 MiB of brotli (RFC 7932, section 9.1;
//! "large windows" are refused), and 8 MiB of zstd, the most that RFC 9659 allows on the web.

use std::fmt;

use http::{HeaderMap, header};

mod brotli;
mod gzip;
#[cfg(test)]
mod tests;
mod zstd;

use self::{brotli::Brotli, gzip::Gzip, zstd::Zstd};

/// A content coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, also written `x-gzip` (RFC 9110, section 8.4.1.3).
    Gzip,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
}

/// Why decoding ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The stream is damaged, or ends before its end.
    Corrupt,
    /// It expands beyond the bounds.
    Bomb,
}

/// One compressed page on its way.
pub struct Decoder {
    format: Format,
    taken: u64,
    given: u64,
}

/// What came out of a chunk.
#[derive(Debug)]
pub struct Decoded {
    /// Bytes of the page, also when there is a fault behind them.
    pub bytes: Vec<u8>,
    /// Why nothing more can come.
    pub fault: Option<Fault>,
}

enum Format {
    Gzip(Gzip),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

/// What one call of a format's library did.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    taken: usize,
    given: usize,
    is_corrupt: bool,
}

impl Coding {
    /// Reads one `Content-Encoding` that names a single coding.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("br") {
            Some(Self::Brotli)
        } else if is("zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }
}

/// Whether a client wants nothing that is not encoded (RFC 9110, section 12.5.3).
#[must_use]
pub fn refuses_identity(request: &HeaderMap) -> bool {
    let (mut identity, mut any) = (None, None);
    let lines = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    for element in lines.flat_map(|line| line.split(',')) {
        let mut parts = element.split(';').map(str::trim);
        let named = match parts.next() {
            Some(name) if name.eq_ignore_ascii_case("identity") => &mut identity,
            Some("*") => &mut any,
            Some(_) | None => continue,
        };
        *named = Some(parts.any(is_weight_of_zero));
    }
    identity.or(any).unwrap_or(false)
}

fn is_weight_of_zero(parameter: &str) -> bool {
    let Some((name, weight)) = parameter.split_once('=') else { return false };
    let weight = weight.trim();
    name.trim().eq_ignore_ascii_case("q") && weight.starts_with('0') && weight.bytes().all(|it| b"0.".contains(&it))
}

impl Fault {
    /// A word for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Bomb => "bomb",
        }
    }
}

impl Decoder {
    /// Starts a page.
    #[must_use]
    pub fn new(coding: Coding) -> Self {
        let format = match coding {
            Coding::Gzip => Format::Gzip(Gzip::new()),
            Coding::Brotli => Format::Brotli(Box::new(Brotli::new())),
            Coding::Zstd => Format::Zstd(Zstd::new()),
        };
        Self { format, taken: 0, given: 0 }
    }

    /// Takes the next chunk and yields all that can be decoded now.
    #[must_use = "the bytes in it are part of the page"]
    pub fn write(&mut self, chunk: &[u8]) -> Decoded {
        let mut bytes = Vec::new();
        let fault = self.decode(chunk, &mut bytes).err();
        Decoded { bytes, fault }
    }

    /// Says at the end of the body whether that was all of the page.
    ///
    /// No bytes at all are a page too, an empty one; browsers think so as well.
    pub fn finish(&self) -> Result<(), Fault> {
        let is_whole = match &self.format {
            Format::Gzip(it) => it.is_whole(),
            Format::Brotli(it) => it.is_whole(),
            Format::Zstd(it) => it.is_whole(),
        };
        if is_whole || self.taken == 0 { Ok(()) } else { Err(Fault::Corrupt) }
    }

    fn decode(&mut self, mut input: &[u8], bytes: &mut Vec<u8>) -> Result<(), Fault> {
        if input.is_empty() {
            return Ok(());
        }
        loop {
            let start = bytes.len();
            bytes.resize(start + STEP, 0);
            let room = bytes.get_mut(start..).unwrap_or_default();
            let Step { taken, given, is_corrupt } = match &mut self.format {
                Format::Gzip(it) => it.step(input, room),
                Format::Brotli(it) => it.step(input, room),
                Format::Zstd(it) => it.step(input, room),
            };
            bytes.truncate(start + given);
            input = input.get(taken..).unwrap_or_default();
            self.taken = self.taken.saturating_add(taken as u64);
            self.given = self.given.saturating_add(given as u64);
            if is_corrupt {
                return Err(Fault::Corrupt);
            }
            if self.is_excessive() || bytes.len() > MAX_CHUNK {
                return Err(Fault::Bomb);
            }
            // With room left over there is nothing more to come out of what went in.
            if given < STEP && input.is_empty() {
                return Ok(());
            }
            if given == 0 && taken == 0 {
                return Err(Fault::Corrupt);
            }
        }
    }

    const fn is_excessive(&self) -> bool {
        self.given > MAX_PAGE || (self.given > GRACE && self.given > self.taken.saturating_mul(MAX_RATIO))
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The libraries' states are opaque.
        f.debug_struct("Decoder").field("taken", &self.taken).field("given", &self.given).finish_non_exhaustive()
    }
}

/// The most bytes that a page may have.
pub const MAX_PAGE: u64 = 64 << 20;
/// How many times larger than its compressed form a page may be.
pub const MAX_RATIO: u64 = 200;
/// Up to here the ratio does not matter: a page of blanks is no attack.
pub const GRACE: u64 = 1 << 20;
/// The most bytes that may come out of one chunk.
pub const MAX_CHUNK: usize = 8 << 20;
/// How much is decoded between two looks at the bounds.
const STEP: usize = 16 << 10;
