//! Whole lines to something that may fail within one, for logs and event records.
//!
//! A line that was torn is ended before anything else is written, so that no other hangs on it. Whether lines that
//! were not written come again, and where they go, is the business of those who write them.

use std::io::{self, ErrorKind, Write};

/// A writer that knows whether its last line is whole.
#[derive(Debug)]
pub struct Sheet<W> {
    /// Where lines go.
    pub writer: W,
    /// Whether the last one lacks its end.
    pub is_torn: bool,
}

impl<W: Write> Sheet<W> {
    /// Adds lines, each with its end.
    ///
    /// # Errors
    /// How many of them were written when not all could be.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        if self.is_torn {
            self.writer.write_all(b"\n").map_err(|error| Unwritten { whole: 0, error })?;
            self.is_torn = false;
        }
        let mut done = 0;
        while let Some(left) = lines.get(done..).filter(|left| !left.is_empty()) {
            let error = match self.writer.write(left) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(count) => {
                    done += count;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let written = lines.get(..done).unwrap_or_default();
            let whole = memchr::memrchr(b'\n', written).map_or(0, |end| end + 1);
            self.is_torn = done > whole;
            // It lacks nothing but its end, which comes before whatever is written next.
            let lacks_its_end = self.is_torn && lines.get(done) == Some(&b'\n');
            return Err(Unwritten { whole: if lacks_its_end { done + 1 } else { whole }, error });
        }
        Ok(())
    }
}

/// Lines that were not all written.
#[derive(Debug)]
pub struct Unwritten {
    /// So many bytes of whole lines were.
    pub whole: usize,
    /// Why not more.
    pub error: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails once, and so on.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                self.room = 25;
                return Err(ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.room).min(7);
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_whole_once_however_writing_fails() {
        let lines: Vec<String> = (0..20).map(|number| format!("{{\"line\":{number}}}\n")).collect();
        for room in 0..25 {
            let mut sheet = Sheet { writer: Narrow { taken: Vec::new(), room }, is_torn: false };
            let text = lines.concat();
            let mut left = text.as_bytes();
            while let Err(Unwritten { whole, .. }) = sheet.write(left) {
                left = &left[whole..];
            }
            let text = String::from_utf8(sheet.writer.taken).unwrap();
            let whole: Vec<String> =
                text.lines().filter(|line| line.ends_with('}')).map(|it| format!("{it}\n")).collect();
            assert_eq!(whole, lines, "{room}");
        }
    }
}
