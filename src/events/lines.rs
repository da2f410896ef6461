//! JSON lines to something that may block or fail, on the sink's own thread.
//!
//! What fails is tried again, from the first line that is not whole. Where the lines go is the business of the
//! two sinks that use this.

use std::{thread, time::Duration};

use super::{
    feed::{Held, Inbox, Order},
    trouble::Trouble,
};
use crate::sheet::Unwritten;

/// Where lines go.
pub(super) trait Target {
    /// Writes lines.
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten>;
    /// Opens anew what somebody may have moved.
    fn reopen(&mut self) {}
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

/// Bytes that are written at once, about.
const BATCH: usize = 256 << 10;
/// Before what failed is tried again.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(10) } else { Duration::from_secs(1) };
