//! Byte streams over descriptors that may be shared with other processes: the standard streams and a child's
//! pipes.
//!
//! `O_NONBLOCK` belongs to the open file description, which may be shared with the parent process (and later
//! with a shell), so it is never set on the original descriptor. Sockets get a flag with every call; pipes
//! and terminals are reopened if the system can; otherwise a poll precedes every call.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags};
use rustix::net::{RecvFlags, SendFlags};

use super::sigpipe;
use super::watch::{Direction, Done, Watched};
use crate::driver::Driver;

/// Size of the buffer for one read; the capacity of a pipe on Linux.
const READ_SIZE: usize = 64 * 1024;

/// Minimum number of bytes that a pipe which polls writable accepts without blocking (POSIX's `PIPE_BUF`).
const SAFE_WRITE: usize = 512;

/// A reader of bytes from a descriptor.
pub struct ByteReader {
    fd: Watched,
    access: Access,
    /// True after a read found it empty. Only then will another edge follow a short read: a named pipe whose
    /// writers closed it before it was opened causes none.
    was_empty: bool,
}

/// A writer of bytes to a descriptor.
pub struct ByteWriter {
    fd: Watched,
    access: Access,
    /// True if writing may raise SIGPIPE, and the process does not ignore it.
    deadly: bool,
}

impl ByteReader {
    pub(in crate::driver) fn new(driver: &Driver, fd: OwnedFd) -> io::Result<Self> {
        let (fd, access) = prepare(fd, OFlags::RDONLY)?;
        Ok(Self { fd: Watched::new(driver, fd)?, access, was_empty: false })
    }

    /// Appends the available bytes, at least one, to `buf`; returns 0 at the end of the stream. Cancel-safe.
    pub(crate) async fn read(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        // A mostly full buffer would shorten every read.
        if buf.capacity() - buf.len() < READ_SIZE / 4 {
            buf.reserve(READ_SIZE);
        }
        let Self { fd, access, was_empty } = self;
        poll_fn(|cx| {
            fd.poll(cx, Direction::Read, |fd| {
                let room = buf.capacity() - buf.len();
                let count = access.read(fd, buf).inspect_err(|_| *was_empty = true)?;
                let short = 0 < count && count < room;
                Ok(Done { value: count, drained: cfg!(target_os = "linux") && short && *was_empty })
            })
        })
        .await
    }
}

impl ByteWriter {
    pub(in crate::driver) fn new(driver: &Driver, fd: OwnedFd) -> io::Result<Self> {
        let (fd, access) = prepare(fd, OFlags::WRONLY)?;
        // The option against SIGPIPE is not set on a shared socket; if a call has no flag for it, the thread
        // blocks the signal.
        let is_quiet = access == Access::Socket && !sigpipe::NO_SIGNAL.is_empty();
        let deadly = !is_quiet && sigpipe::is_deadly();
        Ok(Self { fd: Watched::new(driver, fd)?, access, deadly })
    }

    /// Writes all of `bytes`. Not cancel-safe: a dropped call may have written a part.
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| {
                self.fd.poll(cx, Direction::Write, |fd| {
                    let write = || self.access.write(fd, bytes);
                    let value = if self.deadly { sigpipe::without(write) } else { write() }?;
                    // It depends on the kind of descriptor whether an edge follows a short write; so the call
                    // is tried again.
                    Ok(Done { value, drained: false })
                })
            })
            .await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }
}

/// Takes over the process's standard input and output for a protocol stream.
///
/// Descriptor 0 becomes the null device, and 1 a duplicate of standard error, so that output of user code and
/// its child processes cannot corrupt the stream. Once per process: later calls fail with `AlreadyExists`.
pub fn take_stdio() -> io::Result<(OwnedFd, OwnedFd)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, SeqCst) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the standard streams of this process are being served already",
        ));
    }
    let take = || {
        let input = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
        let output = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        // A process may have been started without standard error.
        if rustix::stdio::dup2_stdout(io::stderr()).is_err() {
            rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
        }
        Ok((input, output))
    };
    take().inspect_err(|_| TAKEN.store(false, SeqCst))
}

/// The method of non-blocking reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    /// A socket: a flag with each call.
    Socket,
    /// A separate open file description, in non-blocking mode; or a file, which never blocks.
    Direct,
    /// A shared, blocking description: a poll before each call.
    Polled,
}

impl Access {
    fn read(self, fd: BorrowedFd<'_>, buf: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Access::Socket => {
                let before = buf.len();
                rustix::net::recv(fd, spare_capacity(buf), RecvFlags::DONTWAIT)?;
                return Ok(buf.len() - before);
            }
            Access::Direct => {}
            Access::Polled => poll_now(fd, PollFlags::IN)?,
        }
        match rustix::io::read(fd, spare_capacity(buf)) {
            // The other side of a terminal is closed.
            Err(rustix::io::Errno::IO) if fd.is_terminal() => Ok(0),
            result => Ok(result?),
        }
    }

    fn write(self, fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
        Ok(match self {
            Access::Socket => rustix::net::send(fd, bytes, SendFlags::DONTWAIT | sigpipe::NO_SIGNAL)?,
            Access::Direct => rustix::io::write(fd, bytes)?,
            Access::Polled => {
                poll_now(fd, PollFlags::OUT)?;
                rustix::io::write(fd, &bytes[..bytes.len().min(SAFE_WRITE)])?
            }
        })
    }
}

/// Returns `WouldBlock` unless `fd` is ready for `wanted`, or at its end.
fn poll_now(fd: BorrowedFd<'_>, wanted: PollFlags) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, wanted)], Some(&now))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

fn prepare(fd: OwnedFd, mode: OFlags) -> io::Result<(OwnedFd, Access)> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    Ok(match kind {
        FileType::Socket => (fd, Access::Socket),
        FileType::Fifo | FileType::CharacterDevice => match reopen(fd.as_fd(), mode) {
            Some(own) => (own, Access::Direct),
            None => (fd, Access::Polled),
        },
        _ => (fd, Access::Direct),
    })
}

/// Opens a separate description of the same pipe or terminal. `None` if that is impossible (no /proc, a pipe
/// of another user).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reopen(fd: BorrowedFd<'_>, mode: OFlags) -> Option<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reopen(_: BorrowedFd<'_>, _: OFlags) -> Option<OwnedFd> {
    None
}
