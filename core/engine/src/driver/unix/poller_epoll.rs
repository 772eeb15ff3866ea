//! Readiness on Linux, by epoll itself. In the `polling` crate, every `wait` costs four more system calls (it
//! re-arms its one-shot notifier and its timer each time); a turn is one call here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::watch::{READ_CLOSED, READABLE, WRITABLE, WRITE_CLOSED};

/// The key of the notifier and the timer, which need no dispatch.
const INTERNAL: u64 = u64::MAX;

pub(super) struct Poller {
    epoll: OwnedFd,
    notifier: OwnedFd,
    timer: OwnedFd,
}

/// A buffer for one [`Poller::poll`].
pub(super) struct Events(Vec<epoll::Event>);

// SAFETY: the pointer that keeps the type from being `Send` is one arm of the kernel's data union; only
// the integer arm is used here.
unsafe impl Send for Events {}

impl Events {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(256))
    }

    /// Returns `(key, readiness flags)` of the events of the last poll.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, u8)> {
        self.0.iter().filter(|event| event.data.u64() != INTERNAL).map(|event| {
            let flags = event.flags;
            let mut ready = 0;
            if flags.intersects(EventFlags::IN | EventFlags::PRI) {
                ready |= READABLE;
            }
            if flags.contains(EventFlags::OUT) {
                ready |= WRITABLE;
            }
            if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                ready |= READABLE | READ_CLOSED;
            }
            if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
                ready |= WRITABLE | WRITE_CLOSED;
            }
            (event.data.u64() as usize, ready)
        })
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let notifier = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        // They are edge-triggered and need not be read: receiving the event is enough to make the set not
        // ready again.
        for fd in [&notifier, &timer] {
            epoll::add(&epoll, fd, EventData::new_u64(INTERNAL), EventFlags::IN | EventFlags::ET)?;
        }
        Ok(Self { epoll, notifier, timer })
    }

    /// Returns a descriptor that is readable while there are events for [`Poller::poll`].
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Watches both directions, edge-triggered. `PermissionDenied`: a kind that cannot be watched (a file).
    pub(super) fn add(&self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(key as u64), flags)?)
    }

    pub(super) fn delete(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Makes the descriptor readable until the next poll. Callable from any thread.
    pub(super) fn notify(&self) {
        let _ = rustix::io::write(&self.notifier, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor readable at `deadline`; replaces the last setting.
    pub(super) fn arm(&self, deadline: Instant) {
        // Zero would disarm it.
        let delay = deadline.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value =
            Timespec::try_from(delay).unwrap_or(Timespec { tv_sec: i64::from(i32::MAX), tv_nsec: 0 });
        let _ = timerfd_settime(
            &self.timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value },
        );
    }

    /// Collects the events that are ready now, without waiting.
    pub(super) fn poll(&self, events: &mut Events) {
        events.0.clear();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events.0), Some(&now)).is_err() {
            events.0.clear();
        }
    }
}
