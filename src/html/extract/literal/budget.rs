//! How much of a page's scripts is read, so that none takes all time or memory.

/// How much may still be read of a page.
#[derive(Debug)]
pub(in crate::html::extract) struct Budget {
    /// Bytes of scripts, those read twice counted twice.
    bytes: usize,
    values: usize,
}

impl Budget {
    /// Enough for scripts of this many bytes.
    pub(in crate::html::extract) const fn new(bytes: usize) -> Self {
        // Functions within literals are read again for what they do, at the most so many times.
        Self { bytes: bytes.saturating_mul(4), values: MAX_VALUES }
    }

    /// Whether something was not read that might have been.
    pub(in crate::html::extract) const fn is_spent(&self) -> bool {
        self.bytes == 0 || self.values == 0
    }

    /// Counts what was read.
    pub(super) const fn spend_bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
    }

    /// Counts values that come; false when there are too many of them.
    #[must_use]
    pub(super) const fn allows_values(&mut self, count: usize) -> bool {
        self.values = self.values.saturating_sub(count);
        self.values > 0
    }
}

/// How many values are read of one page; each takes up to a hundred bytes.
pub(super) const MAX_VALUES: usize = 100_000;
