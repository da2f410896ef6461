//! gzip for pages that were decoded, so that they leave as small as they came, and can fail visibly.

use std::{io::Write, mem};

use flate2::{Compression, write::GzEncoder};

/// One page on its way out.
#[derive(Debug)]
pub struct Encoder {
    stream: GzEncoder<Vec<u8>>,
}

impl Encoder {
    /// Starts a page.
    #[must_use]
    pub fn new() -> Self {
        // Every byte costs processor time on the way of the page; more effort saves little.
        Self { stream: GzEncoder::new(Vec::new(), Compression::fast()) }
    }

    /// Takes bytes of the page and yields what a client needs to see all of them now.
    #[must_use]
    pub fn write(&mut self, bytes: &[u8]) -> Vec<u8> {
        // Writing to memory does not fail. If it did, the stream would stay unfinished, and so be damaged.
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).ok();
        mem::take(self.stream.get_mut())
    }

    /// Ends the page.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.stream.try_finish().ok();
        mem::take(self.stream.get_mut())
    }

    /// Ends the stream so that nobody takes it for complete: with a wrong checksum and a wrong length.
    ///
    /// Browsers ignore both and show the page, whereas a damaged block makes them drop even what came
    /// before it, if that came in the same packet (Chromium 156, measured). Others report an error.
    #[must_use]
    pub fn damage(self) -> Vec<u8> {
        let mut rest = self.finish();
        rest.iter_mut().rev().take(TRAILER).for_each(|byte| *byte = !*byte);
        rest
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Checksum and length (RFC 1952, section 2.3.1).
const TRAILER: usize = 8;

#[cfg(test)]
mod tests {
    use super::{
        super::{Coding, Decoder, Fault},
        *,
    };

    #[test]
    fn each_piece_can_be_seen_at_once_and_the_end_is_one() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(Coding::Gzip));
        for piece in [&b"<p>one"[..], b"<p>two"] {
            assert_eq!(decoder.write(&encoder.write(piece)).bytes, piece);
        }
        assert_eq!(decoder.finish(), Err(Fault::Corrupt), "not yet");
        assert_eq!(decoder.write(&encoder.finish()).fault, None);
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn damage_comes_behind_all_that_was_written() {
        for page in [&b""[..], b"<p>one"] {
            let mut encoder = Encoder::new();
            let stream = [encoder.write(page), encoder.damage()].concat();
            let decoded = Decoder::new(Coding::Gzip).write(&stream);
            assert_eq!((&decoded.bytes[..], decoded.fault), (page, Some(Fault::Corrupt)));
        }
    }
}
