//! One accepted connection: its bytes for hyper, and a watch for what hyper does not look at while a request is answered.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, Shutdown, sockopt};

use super::platform::sigpipe::NO_SIGNAL;
use super::platform::watch::{Direction, Done, Watched};
use super::{Driver, Sleep};
use crate::lock;

/// More buffers in one call than the kernel takes is an error, so the rest waits.
const MAX_SLICES: usize = 64;
/// Bytes read before hyper asks for them, above which nothing more is.
const AHEAD: usize = 64 << 10;
/// Bytes of one read of those.
const CHUNK: usize = 4 << 10;
/// Bytes that a peer has to take in a second, besides the first seconds that it may stand still.
const RATE: u64 = 1024;

/// One accepted connection, for hyper.
pub(crate) struct Conn(Arc<Shared>);

struct Shared {
    socket: Watched,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Read before hyper asked for it, from `taken` on.
    ahead: Vec<u8>,
    taken: usize,
    /// The peer has sent all that it will send.
    ended: bool,
    /// Since when something waits that the peer does not take, and the bytes it has taken since.
    waits: Option<(Instant, u64)>,
}

impl Conn {
    pub(super) fn new(socket: Watched) -> Conn {
        Conn(Arc::new(Shared { socket, state: Mutex::default() }))
    }

    #[cfg(test)]
    pub(super) fn socket(&self) -> &Watched {
        &self.0.socket
    }

    /// A watch on this connection, to be polled by the task that polls hyper: they share its wakers. `limit`: how long a peer may
    /// take nothing of what is sent to it.
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

/// What a [`ConnWatch`] has noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noticed {
    /// There is something to read for hyper.
    Bytes,
    /// The peer sends nothing more, and may read still (a half-closed connection). Noticed once.
    End,
    /// The peer is gone: nothing reaches it any more.
    Gone,
    /// The peer takes too little of what is sent to it.
    Stalled,
}

/// Looks at a connection for hyper, which does not while it answers: whether the peer leaves, and whether it reads.
pub(crate) struct ConnWatch {
    shared: Arc<Shared>,
    failed: Pin<Box<dyn Future<Output = ()> + Send>>,
    driver: Driver,
    limit: Duration,
    timer: Option<(Instant, Sleep)>,
    told: bool,
}

impl ConnWatch {
    /// The next thing noticed. Bytes are kept for hyper, up to 64 KiB.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Noticed> {
        if self.failed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Noticed::Gone);
        }
        let mut state = lock(&self.shared.state);
        if state.ended {
            if !std::mem::replace(&mut self.told, true) {
                return Poll::Ready(Noticed::End);
            }
            // kqueue tells of the end of both directions in the same way.
            if !cfg!(target_os = "linux") && !matches!(sockopt::socket_error(&self.shared.socket), Ok(Ok(())))
            {
                return Poll::Ready(Noticed::Gone);
            }
        } else if state.ahead.len() - state.taken < AHEAD {
            let ahead = &mut state.ahead;
            let read = self.shared.socket.poll(cx, Direction::Read, |fd| {
                ahead.reserve(CHUNK);
                let room = ahead.spare_capacity_mut().len();
                let filled = rustix::io::read(fd, rustix::buffer::spare_capacity(ahead))?;
                Ok(Done { value: filled, drained: is_drained(filled, room) })
            });
            match read {
                Poll::Ready(Ok(0)) => {
                    state.ended = true;
                    self.told = true;
                    return Poll::Ready(Noticed::End);
                }
                Poll::Ready(Ok(_)) => return Poll::Ready(Noticed::Bytes),
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

    /// Send bytes past hyper, which has nothing to send. False: the peer is gone. Bytes that do not fit are left out: then others
    /// are on their way, and tell as much.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        if lock(&self.shared.state).waits.is_some() {
            return true;
        }
        loop {
            return match rustix::net::send(&self.shared.socket, bytes, NO_SIGNAL) {
                // A part of it would garble what follows.
                Ok(sent) => sent == bytes.len(),
                Err(Errno::INTR) => continue,
                Err(error) => error == Errno::AGAIN,
            };
        }
    }

    /// Have the kernel forget what the peer does not take, once the connection is dropped.
    pub(crate) fn abort(&self) {
        let _ = sockopt::set_socket_linger(&self.shared.socket, Some(Duration::ZERO));
    }
}

/// Without a sticky end-of-stream flag (kqueue here) only an empty read proves that nothing is left.
fn is_drained(filled: usize, size: usize) -> bool {
    cfg!(target_os = "linux") && 0 < filled && filled < size
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
        let filled = self.0.socket.poll(cx, Direction::Read, |fd| {
            // SAFETY: nothing that is initialised gets de-initialised: the kernel only writes bytes here.
            let space = unsafe { buf.as_mut() };
            let size = space.len();
            let (filled, _) = rustix::io::read(fd, space)?;
            let filled = filled.len();
            Ok(Done { value: (filled, size), drained: is_drained(filled, size) })
        });
        filled.map_ok(|(filled, size)| {
            state.ended = filled == 0 && size > 0;
            // SAFETY: the call above initialised that many bytes at the front of the cursor.
            unsafe { buf.advance(filled) }
        })
    }
}

impl hyper::rt::Write for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.0.socket.poll(cx, Direction::Write, |fd| {
            let sent = rustix::net::send(fd, buf, NO_SIGNAL)?;
            Ok(Done { value: sent, drained: 0 < sent && sent < buf.len() })
        });
        self.0.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[..bufs.len().min(MAX_SLICES)];
        let size: usize = bufs.iter().map(|buf| buf.len()).sum();
        let written = self.0.socket.poll(cx, Direction::Write, |fd| {
            // Not `writev`: a host that keeps the default SIGPIPE would die of a client that went away.
            let sent = rustix::net::sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), NO_SIGNAL)?;
            Ok(Done { value: sent, drained: 0 < sent && sent < size })
        });
        self.0.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Asked for by hyper when it has handed on all that it has.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0.state).waits = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&self.0.socket, Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}
