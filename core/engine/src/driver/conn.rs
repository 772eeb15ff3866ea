//! One accepted connection: its byte stream for hyper, and a watch for events that hyper ignores while a
//! request is answered.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::platform::socket::Socket;
use super::{Driver, Sleep};
use crate::sync::lock;

/// Maximum number of bytes that are read before hyper requests them.
const AHEAD: usize = 64 << 10;
/// Maximum number of bytes of one such read.
const CHUNK: usize = 4 << 10;
/// Minimum rate in bytes per second at which a peer must read, after an initial time during which it may read
/// nothing.
const RATE: u64 = 1024;

/// One accepted connection, for hyper.
pub(crate) struct Conn(Arc<Shared>);

struct Shared {
    socket: Socket,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that were read before hyper requested them; the unread part begins at `taken`.
    ahead: Vec<u8>,
    taken: usize,
    /// True after the peer has sent its last byte.
    ended: bool,
    /// Start time of the wait for a peer that does not read, and the number of bytes that it has read since.
    waits: Option<(Instant, u64)>,
}

impl Conn {
    pub(super) fn new(socket: Socket) -> Conn {
        Conn(Arc::new(Shared { socket, state: Mutex::default() }))
    }

    #[cfg(test)]
    pub(super) fn socket(&self) -> &Socket {
        &self.0.socket
    }

    /// Returns a watch on this connection. The task that polls hyper must poll it too: they share its wakers.
    /// `limit`: the time for which a peer may read nothing.
    pub(crate) fn watch(&self, driver: &Driver, limit: Duration) -> ConnWatch {
        let shared = self.0.clone();
        let failed = {
            let shared = shared.clone();
            Box::pin(async move { shared.socket.failed().await })
        };
        ConnWatch { shared, failed, driver: driver.clone(), limit, timer: None, told: false }
    }
}

impl Shared {
    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        let mut state = lock(&self.state);
        match (written, &mut state.waits) {
            (Poll::Pending, None) => state.waits = Some((Instant::now(), 0)),
            (Poll::Ready(Ok(sent)), Some((_, taken))) => *taken += *sent as u64,
            _ => {}
        }
    }
}

/// An event that a [`ConnWatch`] has detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noticed {
    /// There are bytes for hyper to read.
    Bytes,
    /// The peer sends nothing more, and may still read (a half-closed connection). Reported once.
    End,
    /// The peer is disconnected: it receives nothing any longer.
    Gone,
    /// The peer reads too slowly.
    Stalled,
}

/// A watch on a connection while hyper answers: it detects that the peer disconnects or does not read.
pub(crate) struct ConnWatch {
    shared: Arc<Shared>,
    failed: Pin<Box<dyn Future<Output = ()> + Send>>,
    driver: Driver,
    limit: Duration,
    timer: Option<(Instant, Sleep)>,
    told: bool,
}

impl ConnWatch {
    /// Returns the next event. Bytes are buffered for hyper, up to 64 KiB.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Noticed> {
        if self.failed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Noticed::Gone);
        }
        let mut state = lock(&self.shared.state);
        if state.ended {
            if !std::mem::replace(&mut self.told, true) {
                return Poll::Ready(Noticed::End);
            }
            if self.shared.socket.is_reset() {
                return Poll::Ready(Noticed::Gone);
            }
        } else if state.ahead.len() - state.taken < AHEAD {
            // Not in the buffer itself, which would then reserve memory for every connection that is only
            // watched.
            let mut chunk = [MaybeUninit::<u8>::uninit(); CHUNK];
            match self.shared.socket.poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(0)) => {
                    state.ended = true;
                    self.told = true;
                    return Poll::Ready(Noticed::End);
                }
                Poll::Ready(Ok(filled)) => {
                    // SAFETY: the call above initialized that many bytes.
                    state.ahead.extend(chunk[..filled].iter().map(|byte| unsafe { byte.assume_init() }));
                    return Poll::Ready(Noticed::Bytes);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Noticed::Gone),
                Poll::Pending => {}
            }
        }
        let Some((since, taken)) = state.waits else {
            self.timer = None;
            return Poll::Pending;
        };
        drop(state);
        let at = since + self.limit + Duration::from_secs(taken / RATE);
        if self.timer.as_ref().is_none_or(|(old, _)| *old != at) {
            self.timer = Some((at, self.driver.sleep_until(at)));
        }
        let timer = self.timer.as_mut().map(|(_, sleep)| Pin::new(sleep).poll(cx));
        if timer.is_some_and(|timer| timer.is_ready()) {
            Poll::Ready(Noticed::Stalled)
        } else {
            Poll::Pending
        }
    }

    /// Sends bytes without hyper, which has nothing to send. Returns false if the peer is disconnected. The
    /// bytes are dropped if earlier ones are still queued, since those show the peer the same.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        if lock(&self.shared.state).waits.is_some() {
            return true;
        }
        match self.shared.socket.try_send(bytes) {
            // A partial write would corrupt the following bytes.
            Ok(sent) => sent == bytes.len(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Makes the kernel discard the bytes that the peer does not read, once the connection is dropped.
    pub(crate) fn abort(&self) {
        self.shared.socket.abort_on_drop();
    }
}

impl hyper::rt::Read for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0.state);
        let kept = state.ahead.len() - state.taken;
        if kept > 0 {
            let now = kept.min(buf.remaining());
            buf.put_slice(&state.ahead[state.taken..state.taken + now]);
            state.taken += now;
            if now == kept {
                (state.ahead, state.taken) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        if state.ended {
            return Poll::Ready(Ok(()));
        }
        // SAFETY: no initialized byte becomes uninitialized: the kernel only writes bytes here.
        let space = unsafe { buf.as_mut() };
        let size = space.len();
        let filled = self.0.socket.poll_read(cx, space);
        filled.map_ok(|filled| {
            state.ended = filled == 0 && size > 0;
            // SAFETY: the call above initialized that many bytes at the front of the cursor.
            unsafe { buf.advance(filled) }
        })
    }
}

impl hyper::rt::Write for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.0.socket.poll_write(cx, buf);
        self.0.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.0.socket.poll_write_vectored(cx, bufs);
        self.0.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Called by hyper after it has written all its data.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0.state).waits = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.socket.end_writing())
    }
}
