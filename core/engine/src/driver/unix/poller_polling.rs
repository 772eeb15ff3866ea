//! Readiness on other systems (kqueue), by the `polling` crate.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use polling::os::kqueue::{PollerKqueueExt, Timer};
use polling::{Event, PollMode};

use super::watch::{READABLE, WRITABLE};

const TIMER: usize = usize::MAX - 1;

pub(super) struct Poller {
    inner: polling::Poller,
    timer_added: AtomicBool,
}

/// A buffer for one [`Poller::poll`].
pub(super) struct Events(polling::Events);

impl Events {
    pub(super) fn new() -> Self {
        Self(polling::Events::new())
    }

    /// Returns `(key, readiness flags)` of the events of the last poll.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, u8)> {
        self.0.iter().filter(|event| event.key != TIMER).map(|event| {
            let readable = if event.readable { READABLE } else { 0 };
            let writable = if event.writable { WRITABLE } else { 0 };
            (event.key, readable | writable)
        })
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { inner: polling::Poller::new()?, timer_added: AtomicBool::new(false) })
    }

    /// Returns a descriptor that is readable while there are events for [`Poller::poll`].
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    /// Watches both directions, edge-triggered.
    pub(super) fn add(&self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        // SAFETY: the caller (`hosted::Source`) owns the descriptor and deletes it here before closing it.
        let added = unsafe { self.inner.add_with_mode(fd.as_raw_fd(), Event::all(key), PollMode::Edge) };
        // One of the two filters may have been added; and `polling` remembers the number, which the next
        // descriptor may reuse.
        added.inspect_err(|_| self.delete(fd))
    }

    pub(super) fn delete(&self, fd: BorrowedFd<'_>) {
        let _ = self.inner.delete(fd);
    }

    /// Makes the descriptor readable until the next poll. Callable from any thread.
    pub(super) fn notify(&self) {
        let _ = self.inner.notify();
    }

    /// Makes the descriptor readable at `deadline`; replaces the last setting.
    pub(super) fn arm(&self, deadline: Instant) {
        let timeout = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let timer = Timer { id: TIMER, timeout };
        let armed = if self.timer_added.swap(true, SeqCst) {
            self.inner.modify_filter(timer, TIMER, PollMode::Oneshot)
        } else {
            self.inner.add_filter(timer, TIMER, PollMode::Oneshot)
        };
        if armed.is_err() {
            self.notify();
        }
    }

    /// Collects the events that are ready now, without waiting.
    pub(super) fn poll(&self, events: &mut Events) {
        events.0.clear();
        let _ = self.inner.wait(&mut events.0, Some(Duration::ZERO));
    }
}
