//! The loop of the thread that writes: whatever is queued is one batch.
//!
//! It decides when to work, when to wait and how to end; what a batch does to the disk does not belong
//! here. Nothing that a sender was told is accepted may be lost between the last batch and the end, so
//! the loop goes on until the channel itself says that nothing can come any more.

use std::{
    mem,
    pin::pin,
    task::{Context, Poll, Waker},
};

use tokio::sync::mpsc;

/// What is done with batches.
pub(super) trait Work {
    /// One request to the thread.
    type Command;

    /// What happens now and then, with or without commands; called before every look at the queue.
    fn tick(&mut self);

    /// Whether this command asks for the end.
    fn is_last(command: &Self::Command) -> bool;

    /// Carries a batch out and answers it.
    fn handle(&mut self, batch: Vec<Self::Command>);

    /// Carries out some of what had to wait; says whether there was anything that could be.
    fn catch_up(&mut self) -> bool;

    /// Leaves everything in order.
    fn end(&mut self);

    /// Answers a command that asked for the end, which is reached.
    fn ended(command: Self::Command);
}

/// Works until a command asks for the end, or nobody is left to send one.
///
/// `waker` must end what `wait` waits for; `wait` may end by itself at any time.
pub(super) fn run<W: Work>(
    mut receiver: mpsc::Receiver<W::Command>,
    work: &mut W,
    waker: &Waker,
    mut wait: impl FnMut(&mut W),
) {
    let mut context = Context::from_waker(waker);
    let mut batch = Vec::with_capacity(BATCH);
    let mut last = Vec::new();
    loop {
        work.tick();
        // By hand, because the blocking receive knows no timeout and a timer would cost more.
        let polled = pin!(receiver.recv_many(&mut batch, BATCH)).poll(&mut context);
        match polled {
            Poll::Pending => {
                if !work.catch_up() {
                    wait(work);
                }
            }
            // Closed, and nobody is still about to send what was promised a place.
            Poll::Ready(0) => break,
            Poll::Ready(_) => {
                last.extend(batch.extract_if(.., |command| W::is_last(command)));
                if !last.is_empty() {
                    receiver.close();
                }
                work.handle(mem::take(&mut batch));
                batch.reserve(BATCH);
            }
        }
    }
    while work.catch_up() {}
    work.end();
    last.into_iter().for_each(W::ended);
}

/// Commands in one transaction, at most.
pub(super) const BATCH: usize = 512;

#[cfg(test)]
mod schedules;
