//! The I/O interface: the same engine code runs on tokio or on a reactor that the host runs itself.
//!
//! Engine code gets tasks, time, listeners and byte streams from a [`Driver`], and never names tokio on the
//! request path. Under [`Driver::Hosted`] everything runs inside [`Reactor::turn`], on the thread of the
//! host's own event loop; under [`Driver::Tokio`] it runs on the runtime's threads and a [`Signal`] notifies
//! the host.
//!
//! Each system has one folder for its own parts, selected here: streams, sockets, child processes, private
//! files.

mod conn;
pub mod in_process;
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
pub use platform::hosted::{Handle, Reactor};
pub use platform::net::Listener;
pub use platform::signal::Signal;
pub use platform::stdio::{ByteReader, ByteWriter, take_stdio};
pub use platform::{files, process, sigpipe, sockets};
pub(crate) use time::Sleep;

/// The address of a listener.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows has none"))]
    Unix(&'a Path),
}

/// The runtime of tasks, timers and I/O. Cheap to clone; a clone does not keep a [`Reactor`] alive.
#[derive(Clone)]
pub enum Driver {
    /// A tokio runtime with I/O and time enabled.
    Tokio(tokio::runtime::Handle),
    /// A reactor that the host runs; from [`Reactor::driver`].
    Hosted(Handle),
}

impl Driver {
    /// Runs `fut` to its end. A panic in it ends that task only. After the driver was closed, `fut` is
    /// dropped at once.
    pub fn spawn(&self, fut: impl Future<Output = ()> + Send + 'static) {
        match self {
            Driver::Tokio(handle) => drop(handle.spawn(fut)),
            Driver::Hosted(handle) => handle.spawn(Box::pin(fut)),
        }
    }

    /// Returns a future that completes at `deadline`. It registers with the timer only if it is first polled
    /// before the deadline.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(self, deadline)
    }

    /// Returns a future that completes after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        // Out of range means "never"; about thirty years are sufficient for a process.
        let now = Instant::now();
        self.sleep_until(now.checked_add(duration).unwrap_or_else(|| now + Duration::from_secs(1 << 30)))
    }

    /// Listens on a TCP address; port 0 selects a free one.
    pub async fn listen(&self, addr: SocketAddr) -> io::Result<Listener> {
        Listener::bind(self, addr)
    }

    /// Listens on a Unix socket at this path. A file that an earlier server left there is replaced; the file
    /// is removed with the listener.
    pub async fn listen_unix(&self, path: &Path) -> io::Result<Listener> {
        Listener::bind_unix(self, path)
    }

    /// Returns a reader for any stream: pipe, socket, terminal or file. Its flags are not changed.
    pub fn reader(&self, stream: OwnedStream) -> io::Result<ByteReader> {
        ByteReader::new(self, stream)
    }

    /// Returns a writer for any stream: pipe, socket, terminal or file. Its flags are not changed.
    pub fn writer(&self, stream: OwnedStream) -> io::Result<ByteWriter> {
        ByteWriter::new(self, stream)
    }
}
