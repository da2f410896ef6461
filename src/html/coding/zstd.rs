//! zstd, by its reference library.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::Step;

/// A zstd stream: frames, one after the other (RFC 8878, section 3.1).
pub(super) struct Zstd {
    /// Absent when the library could not get its memory.
    decoder: Option<Decoder<'static>>,
    is_whole: bool,
}

impl Zstd {
    pub(super) fn new() -> Self {
        let decoder = Decoder::new().and_then(|mut decoder| {
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
            Ok(decoder)
        });
        Self { decoder: decoder.ok(), is_whole: false }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.is_whole && input.is_empty() {
            return Step::default();
        }
        let Some(decoder) = &mut self.decoder else { return Step { is_corrupt: true, ..Step::default() } };
        let mut source = InBuffer::around(input);
        let mut sink = OutBuffer::around(output);
        let missing = decoder.run(&mut source, &mut sink);
        self.is_whole = matches!(missing, Ok(0));
        Step { taken: source.pos(), given: sink.pos(), is_corrupt: missing.is_err() }
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// 8 MiB (RFC 9659, section 3).
const WINDOW_LOG: u32 = 23;
