//! The I/O seam: the same engine code runs on tokio or on a reactor that the host turns itself.
//!
//! Engine code asks a [`Driver`] for tasks, time, listeners and byte streams, and never names tokio on
//! the request path. Under [`Driver::Hosted`] everything runs inside [`Reactor::turn`], on the thread of
//! the host's own event loop; under [`Driver::Tokio`] it runs on the runtime's threads and the host is
//! told through a [`Signal`].
//!
//! What differs between systems is in one folder for each, chosen here: streams, sockets, child processes, private files.

mod conn;
#[cfg_attr(unix, path = "unix/mod.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
mod platform;
#[cfg(test)]
#[cfg(unix)]
pub(crate) mod tests;
mod time;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use conn::{Conn, ConnWatch, Noticed};
pub(crate) use platform::OwnedStream;
pub(crate) use platform::hosted::{Handle, Reactor};
pub(crate) use platform::net::Listener;
pub(crate) use platform::signal::Signal;
pub(crate) use platform::stdio::{ByteReader, ByteWriter, take_stdio};
pub(crate) use platform::{files, process, sigpipe, sockets};
pub(crate) use time::Sleep;

/// Where a listener listens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows has none"))]
    Unix(&'a Path),
}

/// Where tasks, timers and I/O run. Cheap to clone; a clone does not keep a [`Reactor`] alive.
#[derive(Clone)]
pub(crate) enum Driver {
    /// A tokio runtime with I/O and time enabled.
    Tokio(tokio::runtime::Handle),
    /// A reactor the host turns; from [`Reactor::driver`].
    Hosted(Handle),
}

impl Driver {
    /// Run `fut` to its end. A panic in it ends that task only. After the driver was closed, `fut` is
    /// dropped at once.
    pub(crate) fn spawn(&self, fut: impl Future<Output = ()> + Send + 'static) {
        match self {
            Driver::Tokio(handle) => drop(handle.spawn(fut)),
            Driver::Hosted(handle) => handle.spawn(Box::pin(fut)),
        }
    }

    /// Completes at `deadline`. Registers with the timer only when first polled while still early.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(self, deadline)
    }

    /// Completes after `duration`.
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        // Out of range means "never": about thirty years is that for a process.
        let now = Instant::now();
        self.sleep_until(now.checked_add(duration).unwrap_or_else(|| now + Duration::from_secs(1 << 30)))
    }

    /// Listen on a TCP address; port 0 picks a free one.
    pub(crate) async fn listen(&self, addr: SocketAddr) -> io::Result<Listener> {
        Listener::bind(self, addr)
    }

    /// Listen on a Unix socket at this path. A file that a server left behind is replaced; the file goes with the listener.
    pub(crate) async fn listen_unix(&self, path: &Path) -> io::Result<Listener> {
        Listener::bind_unix(self, path)
    }

    /// Read bytes from any stream: pipe, socket, terminal or file. Its flags are left alone.
    pub(crate) fn reader(&self, stream: OwnedStream) -> io::Result<ByteReader> {
        ByteReader::new(self, stream)
    }

    /// Write bytes to any stream: pipe, socket, terminal or file. Its flags are left alone.
    pub(crate) fn writer(&self, stream: OwnedStream) -> io::Result<ByteWriter> {
        ByteWriter::new(self, stream)
    }
}
