//! A descriptor that tasks can wait for: a call is tried first, and waits only if it would block.

use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::hosted::Source;
use crate::driver::Driver;

pub(super) const READABLE: u8 = 1;
pub(super) const WRITABLE: u8 = 2;
/// A flag that stays set: the end of the stream causes no second edge.
pub(super) const READ_CLOSED: u8 = 4;
pub(super) const WRITE_CLOSED: u8 = 8;

/// Number of consecutive calls on a ready descriptor before the task must yield to others.
pub(super) const FAIR_CALLS: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// The result of a successful call, with a prediction for the next one.
pub(super) struct Done<R> {
    pub(super) value: R,
    /// True if the call moved fewer bytes than it could have: the next one would block, so it waits for an
    /// edge instead.
    pub(super) drained: bool,
}

/// An owned descriptor that tasks can wait for.
pub(super) enum Watched {
    Tokio(AsyncFd<OwnedFd>),
    Hosted(Source),
    /// A regular file or the like, always ready.
    Always(OwnedFd, AtomicU32),
}

impl Watched {
    /// Registers with the driver. Falls back to `Always` for a kind of descriptor that cannot be watched.
    pub(super) fn new(driver: &Driver, fd: OwnedFd) -> io::Result<Self> {
        let failed = match driver {
            Driver::Tokio(handle) => {
                let _context = handle.enter();
                // SAFETY: an `OwnedFd` stays open, and the same, for as long as the `AsyncFd` owns it.
                match unsafe { AsyncFd::register(fd) } {
                    Ok(watched) => return Ok(Self::Tokio(watched)),
                    Err(error) => error.into_parts(),
                }
            }
            Driver::Hosted(handle) => match handle.watch(fd) {
                Ok(source) => return Ok(Self::Hosted(source)),
                Err(failed) => failed,
            },
        };
        match failed {
            (fd, error) if is_unwatchable(&error) => Ok(Self::Always(fd, AtomicU32::new(0))),
            (_, error) => Err(error),
        }
    }

    /// Makes `call`, which must not block, and waits for readiness while it returns `WouldBlock`.
    pub(super) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<Done<R>>,
    ) -> Poll<io::Result<R>> {
        match self {
            Self::Hosted(source) => source.poll(cx, direction, call),
            Self::Tokio(fd) => loop {
                let mut guard = match direction {
                    Direction::Read => ready!(fd.poll_read_ready(cx))?,
                    Direction::Write => ready!(fd.poll_write_ready(cx))?,
                };
                match guard.try_io(|fd| call(fd.as_fd())) {
                    Ok(Ok(done)) => {
                        if done.drained {
                            guard.clear_ready();
                        }
                        return Poll::Ready(Ok(done.value));
                    }
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(Err(error)) => return Poll::Ready(Err(error)),
                    Err(_would_block) => {}
                }
            },
            Self::Always(fd, calls) => {
                if calls.fetch_add(1, Relaxed) >= FAIR_CALLS {
                    calls.store(0, Relaxed);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                loop {
                    match call(fd.as_fd()) {
                        Ok(done) => return Poll::Ready(Ok(done.value)),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
    }

    /// Completes when the descriptor has failed: a socket whose peer has reset the connection. The task that
    /// reads must poll it.
    pub(super) async fn failed(&self) {
        match self {
            Self::Hosted(source) => poll_fn(|cx| source.poll_failed(cx)).await,
            Self::Tokio(fd) => drop(fd.ready(Interest::ERROR).await),
            Self::Always(..) => pending().await,
        }
    }
}

/// Returns true if a registration error means that this kind of descriptor cannot be watched: EPERM of epoll
/// for a file; EINVAL of Apple's kqueue for devices such as /dev/null.
fn is_unwatchable(error: &io::Error) -> bool {
    let is_apple_device = cfg!(target_vendor = "apple") && error.kind() == io::ErrorKind::InvalidInput;
    error.kind() == io::ErrorKind::PermissionDenied || is_apple_device
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tokio(fd) => fd.get_ref().as_fd(),
            Self::Hosted(source) => source.as_fd(),
            Self::Always(fd, _) => fd.as_fd(),
        }
    }
}
