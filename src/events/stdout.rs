//! Records as JSON lines on standard output, for whoever collects it.
//!
//! A reader that stops reading blocks this sink's thread and nothing else.

use std::{fs::File, io, os::fd::AsFd};

use super::{
    feed::Inbox,
    lines::{self, Target},
};
use crate::sheet::{Sheet, Unwritten};

/// Writes until it is told to end.
pub(super) fn run(inbox: Inbox) {
    lines::run(Stdout(None), inbox);
}

struct Stdout(Option<Sheet<File>>);

impl Target for Stdout {
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let sheet = match self.0.take() {
            Some(sheet) => sheet,
            None => Sheet { writer: unbuffered().map_err(|error| Unwritten { whole: 0, error })?, is_torn: false },
        };
        self.0.insert(sheet).write(lines)
    }
}

/// Standard output without a buffer, which would hide how much of a line has been written.
fn unbuffered() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}
