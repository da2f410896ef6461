//! JSON lines to something that may block or fail, on the sink's own thread.
//!
//! What fails is tried again, from the first line that is not whole; a line that was torn is ended, so
//! that no other hangs on it. Where the lines go is the business of the two sinks that use this.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::Duration,
};

use super::{
    feed::{Held, Inbox, Order},
    trouble::Trouble,
};

/// Where lines go.
pub(super) trait Target {
    /// Writes lines.
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten>;
    /// Opens anew what somebody may have moved.
    fn reopen(&mut self) {}
}

/// Lines that were not all written.
pub(super) struct Unwritten {
    /// So many bytes of whole lines are.
    pub(super) whole: usize,
    pub(super) error: io::Error,
}

/// Writes whatever comes until it is told to end.
pub(super) fn run(mut target: impl Target, mut inbox: Inbox) {
    let (mut trouble, mut next) = (Trouble::new(inbox.sink), None);
    while let Some(order) = next.take().or_else(|| inbox.orders.blocking_recv()) {
        match order {
            Order::Reopen => target.reopen(),
            Order::Close(_told_by_its_end) => return,
            Order::Write(first) => {
                let mut batch = Batch::default();
                batch.add(first);
                while batch.lines.len() < BATCH {
                    match inbox.orders.try_recv() {
                        Ok(Order::Write(held)) => batch.add(held),
                        Ok(other @ (Order::Reopen | Order::Close(_))) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                batch.write(&mut target, &inbox, &mut trouble);
            }
        }
    }
}

/// Lines that are written at once.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    /// They keep their room until they are written.
    held: Vec<Held>,
}

impl Batch {
    fn add(&mut self, held: Held) {
        self.lines.extend_from_slice(held.record.to_json().as_bytes());
        self.lines.push(b'\n');
        self.held.push(held);
    }

    fn write(self, target: &mut impl Target, inbox: &Inbox, trouble: &mut Trouble) {
        let mut left = &*self.lines;
        while let Err(Unwritten { whole, error }) = target.write(left) {
            inbox.failed();
            left = left.get(whole..).unwrap_or_default();
            if inbox.is_closing() {
                let lost = memchr::memchr_iter(b'\n', left).count();
                inbox.dropped(lost);
                return inbox.written(self.held.len().saturating_sub(lost));
            }
            trouble.tell(&error);
            thread::sleep(PAUSE);
        }
        trouble.is_over();
        inbox.written(self.held.len());
    }
}

/// A writer that knows whether its last line is whole.
pub(super) struct Sheet<W> {
    pub(super) writer: W,
    pub(super) is_torn: bool,
}

impl<W: Write> Sheet<W> {
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
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

/// Bytes that are written at once, about.
const BATCH: usize = 256 << 10;
/// Before what failed is tried again.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(10) } else { Duration::from_secs(1) };

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
