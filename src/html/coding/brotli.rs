//! br, by the Rust port of Google's decoder.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::Step;

/// A brotli stream.
pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    is_whole: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        let alloc = StandardAlloc::default;
        // Strict: no windows beyond those of RFC 7932.
        Self { state: BrotliState::new_strict(alloc(), alloc(), alloc()), is_whole: false }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.is_whole {
            // What stands behind the stream is ignored, as with gzip.
            return Step { taken: input.len(), ..Step::default() };
        }
        let (mut unread, mut taken) = (input.len(), 0);
        let (mut room, mut given) = (output.len(), 0);
        let result = BrotliDecompressStream(
            &mut unread,
            &mut taken,
            input,
            &mut room,
            &mut given,
            output,
            &mut 0,
            &mut self.state,
        );
        self.is_whole = matches!(result, BrotliResult::ResultSuccess);
        Step { taken, given, is_corrupt: matches!(result, BrotliResult::ResultFailure) }
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }
}
