//! A descriptor that is readable while a queue has entries.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

/// A flag with a descriptor, readable from [`Signal::set`] until [`Signal::clear`]. Any thread may call.
///
/// Producers push, then `set`; the consumer clears, then takes everything there is. In that order
/// nothing is lost, and only the first `set` after a `clear` costs a system call.
pub struct Signal {
    set: AtomicBool,
    read: OwnedFd,
    /// `None` with an eventfd, which is both ends.
    write: Option<OwnedFd>,
}

impl Signal {
    /// Returns a new signal that is not set.
    pub fn new() -> io::Result<Self> {
        let (read, write) = ends()?;
        Ok(Self { set: AtomicBool::new(false), read, write })
    }

    /// Makes the descriptor readable.
    pub fn set(&self) {
        if !self.set.swap(true, SeqCst) {
            // The only failure of a valid descriptor here is a full one, which is readable already.
            let _ = rustix::io::write(self.write.as_ref().unwrap_or(&self.read), &1u64.to_ne_bytes());
        }
    }

    /// Makes the descriptor not readable.
    pub fn clear(&self) {
        if self.set.load(SeqCst) {
            let mut buf = [0u8; 8];
            let _ = rustix::io::read(&self.read, &mut buf);
            // After the read: the consumer's next pass over the queue covers a `set` in between.
            self.set.store(false, SeqCst);
        }
    }

    /// Returns the descriptor to watch for readability.
    pub fn fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// Blocks until set; `None` waits without limit. Returns false if the time has passed.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        wait_readable(self.read.as_fd(), timeout)
    }
}

/// Blocks until `fd` is readable. Returns false if the time has passed.
pub(super) fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> bool {
    let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
    loop {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let spec = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], spec.as_ref()) {
            Ok(n) => return n > 0,
            Err(rustix::io::Errno::INTR) => {}
            // An invalid descriptor counts as ready, so that the caller's next call reports the error.
            Err(_) => return true,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn ends() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok((eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?, None))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn ends() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (read, write) = rustix::pipe::pipe()?;
    for end in [&read, &write] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok((read, Some(write)))
}
