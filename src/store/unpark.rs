//! Lets a thread without a runtime wait for a future, with a limit to the wait.

use std::{
    sync::Arc,
    task::{Wake, Waker},
    thread::{self, Thread},
};

/// Wakes the writer's thread when a command arrives.
pub(super) struct Unpark(Thread);

impl Unpark {
    /// A waker for whoever calls.
    pub(super) fn this_thread() -> Waker {
        Waker::from(Arc::new(Self(thread::current())))
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
