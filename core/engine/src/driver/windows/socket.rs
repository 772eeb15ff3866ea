//! A connected socket.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A connected socket that does not block.
pub(in crate::driver) struct Socket(TcpStream);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Socket {
        Socket(stream)
    }

    /// Reads bytes into the front of `space` and initializes it; returns 0 at the end of the stream.
    pub(in crate::driver) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        space: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_io(Interest::READABLE, || SockRef::from(&self.0).recv(space)) {
                Err(error) if is_passing(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    pub(in crate::driver) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, || self.0.try_write(bytes))
    }

    pub(in crate::driver) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, || self.0.try_write_vectored(slices))
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut send: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match send() {
                Err(error) if is_passing(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Sends the bytes that fit now; `WouldBlock` if none do.
    pub(in crate::driver) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    /// Never completes: a reset is detected by reading, or by writing once the peer has ended its side.
    pub(in crate::driver) async fn failed(&self) {
        std::future::pending().await
    }

    /// Returns true if a peer that sends nothing more is disconnected.
    pub(in crate::driver) fn is_reset(&self) -> bool {
        !matches!(self.0.take_error(), Ok(None))
    }

    /// Ends the sending direction. A connection that is closed already is not an error.
    pub(in crate::driver) fn end_writing(&self) -> io::Result<()> {
        match SockRef::from(&self.0).shutdown(std::net::Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes the system discard the bytes that the peer does not read, once the socket is dropped.
    pub(in crate::driver) fn abort_on_drop(&self) {
        let _ = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
