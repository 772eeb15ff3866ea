//! One accepted connection: its bytes for hyper, and a watch for what hyper does not look at while a request is answered.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::platform::socket::Socket;
use super::{Driver, Sleep};
use crate::lock;

/// Bytes read before hyper asks for them, above which nothing more is.
const AHEAD: usize = 64 << 10;
/// Bytes of one read of those.
const CHUNK: usize = 4 << 10;
/// Bytes that a peer has to take in a second, besides the first seconds that it may stand still.
const RATE: u64 = 1024;

/// One accepted connection, for hyper.
pub(crate) struct Conn(Arc<Shared>);

struct Shared {
    socket: Socket,
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
    pub(super) fn new(socket: Socket) -> Conn {
        Conn(Arc::new(Shared { socket, state: Mutex::default() }))
    }

    #[cfg(test)]
    pub(super) fn socket(&self) -> &Socket {
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
            if self.shared.socket.is_reset() {
                return Poll::Ready(Noticed::Gone);
            }
        } else if state.ahead.len() - state.taken < AHEAD {
            // Not in the buffer itself, which would have room made for every connection that is only looked at.
            let mut chunk = [MaybeUninit::<u8>::uninit(); CHUNK];
            match self.shared.socket.poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(0)) => {
                    state.ended = true;
                    self.told = true;
                    return Poll::Ready(Noticed::End);
                }
                Poll::Ready(Ok(filled)) => {
                    // SAFETY: the call above initialised that many bytes.
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

    /// Send bytes past hyper, which has nothing to send. False: the peer is gone. Bytes that do not fit are left out: then others
    /// are on their way, and tell as much.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        if lock(&self.shared.state).waits.is_some() {
            return true;
        }
        match self.shared.socket.try_send(bytes) {
            // A part of it would garble what follows.
            Ok(sent) => sent == bytes.len(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Have the kernel forget what the peer does not take, once the connection is dropped.
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
        // SAFETY: nothing that is initialised gets de-initialised: the kernel only writes bytes here.
        let space = unsafe { buf.as_mut() };
        let size = space.len();
        let filled = self.0.socket.poll_read(cx, space);
        filled.map_ok(|filled| {
            state.ended = filled == 0 && size > 0;
            // SAFETY: the call above initialised that many bytes at the front of the cursor.
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

    /// Asked for by hyper when it has handed on all that it has.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0.state).waits = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.socket.end_writing())
    }
}
