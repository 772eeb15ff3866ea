//! A connected socket.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, Shutdown, sockopt};

use super::sigpipe::NO_SIGNAL;
use super::watch::{Direction, Done, Watched};

/// Maximum number of buffers in one call, since more than the kernel accepts is an error; the rest waits.
const MAX_SLICES: usize = 64;

/// A connected socket that does not block.
pub(in crate::driver) struct Socket(Watched);

impl Socket {
    pub(super) fn new(watched: Watched) -> Socket {
        Socket(watched)
    }

    /// Reads bytes into the front of `space` and initializes it; returns 0 at the end of the stream.
    pub(in crate::driver) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        space: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        let size = space.len();
        self.0.poll(cx, Direction::Read, |fd| {
            let (filled, _) = rustix::io::read(fd, &mut *space)?;
            let filled = filled.len();
            // Without a sticky end-of-stream flag (kqueue here) only an empty read proves that nothing is
            // left.
            let drained = cfg!(target_os = "linux") && 0 < filled && filled < size;
            Ok(Done { value: filled, drained })
        })
    }

    pub(in crate::driver) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll(cx, Direction::Write, |fd| {
            let sent = rustix::net::send(fd, bytes, NO_SIGNAL)?;
            Ok(Done { value: sent, drained: 0 < sent && sent < bytes.len() })
        })
    }

    pub(in crate::driver) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = &slices[..slices.len().min(MAX_SLICES)];
        let size: usize = slices.iter().map(|slice| slice.len()).sum();
        self.0.poll(cx, Direction::Write, |fd| {
            // Not `writev`: a disconnected client would then end a host that has the default SIGPIPE
            // disposition.
            let sent = rustix::net::sendmsg(fd, slices, &mut SendAncillaryBuffer::default(), NO_SIGNAL)?;
            Ok(Done { value: sent, drained: 0 < sent && sent < size })
        })
    }

    /// Sends the bytes that fit now; `WouldBlock` if none do.
    pub(in crate::driver) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::net::send(&self.0, bytes, NO_SIGNAL) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    /// Completes when the peer has reset the connection. The task that reads must poll it.
    pub(in crate::driver) async fn failed(&self) {
        self.0.failed().await;
    }

    /// Returns true if a peer that sends nothing more is disconnected, on systems where [`Socket::failed`]
    /// cannot detect it: kqueue reports the end of both directions in the same way.
    pub(in crate::driver) fn is_reset(&self) -> bool {
        !cfg!(target_os = "linux") && !matches!(sockopt::socket_error(&self.0), Ok(Ok(())))
    }

    /// Ends the sending direction. A connection that is closed already is not an error.
    pub(in crate::driver) fn end_writing(&self) -> io::Result<()> {
        match rustix::net::shutdown(&self.0, Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the kernel discard the bytes that the peer does not read, once the socket is dropped.
    pub(in crate::driver) fn abort_on_drop(&self) {
        let _ = sockopt::set_socket_linger(&self.0, Some(Duration::ZERO));
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
