//! gzip, by zlib-ng.

use flate2::{Decompress, FlushDecompress, Status};

use super::Step;

/// A gzip stream: members, one after the other (RFC 1952, section 2.2).
pub(super) struct Gzip {
    member: Decompress,
    place: Place,
}

enum Place {
    /// In a member, or before the first.
    Member,
    /// Behind a member.
    Between,
    /// Behind the last one. What stands there is ignored, as browsers and gzip(1) do: some sites pad
    /// their pages, or print a comment after the compressor is done.
    Behind,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self { member: Decompress::new_gzip(WINDOW_BITS), place: Place::Member }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if matches!(self.place, Place::Between) {
            match input.first() {
                None => return Step::default(),
                Some(&MAGIC) => *self = Self::new(),
                Some(_) => self.place = Place::Behind,
            }
        }
        if matches!(self.place, Place::Behind) {
            return Step { taken: input.len(), ..Step::default() };
        }
        let (taken, given) = (self.member.total_in(), self.member.total_out());
        let status = self.member.decompress(input, output, FlushDecompress::None);
        if matches!(status, Ok(Status::StreamEnd)) {
            self.place = Place::Between;
        }
        // The library's counts also hold for a call that ran into damage.
        let passed = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or_default();
        Step {
            taken: passed(self.member.total_in(), taken),
            given: passed(self.member.total_out(), given),
            is_corrupt: status.is_err(),
        }
    }

    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.place, Place::Between | Place::Behind)
    }
}

/// All that deflate knows: 32 KiB.
const WINDOW_BITS: u8 = 15;
/// The first byte of a member.
const MAGIC: u8 = 0x1f;
