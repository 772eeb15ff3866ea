//! Listening sockets and their connections.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown};

use super::Driver;
use super::unix::{self, SocketFile};
use super::watch::{Direction, Done, Watched};

/// How long to stop accepting when the process has no descriptor or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Connections that may wait to be accepted; the kernel has a limit of its own.
const BACKLOG: i32 = 4096;

/// More buffers in one call than the kernel takes is an error, so the rest waits.
const MAX_SLICES: usize = 64;

/// A listening TCP or Unix socket.
pub(crate) struct Listener {
    driver: Driver,
    bound: Bound,
    socket: Watched,
}

enum Bound {
    Tcp(SocketAddr),
    Unix(SocketFile),
}

/// Where a listener listens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(&'a Path),
}

impl Listener {
    pub(super) fn bind(driver: &Driver, addr: SocketAddr) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind(addr)?;
        // The standard library queues 128 connections; those of a larger burst would wait a second for a
        // retransmission.
        rustix::net::listen(&socket, BACKLOG)?;
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        Ok(Self {
            driver: driver.clone(),
            bound: Bound::Tcp(addr),
            socket: Watched::new(driver, socket.into())?,
        })
    }

    pub(super) fn bind_unix(driver: &Driver, path: &Path) -> io::Result<Self> {
        let (socket, file) = unix::listen(path, BACKLOG)?;
        Ok(Self { driver: driver.clone(), bound: Bound::Unix(file), socket: Watched::new(driver, socket)? })
    }

    /// The next connection and the address it comes from, if it has one. Failures of a single connection, and a shortage of
    /// descriptors or memory, are waited out; an error means that the listener is unusable.
    pub(crate) async fn accept(&self) -> io::Result<(Conn, Option<IpAddr>)> {
        loop {
            let fd = accept(&self.driver, &self.socket).await?;
            let peer = match self.bound {
                Bound::Unix(_) => None,
                Bound::Tcp(_) => {
                    // A client that is gone by now has no address; it is not worth an error.
                    let Ok(Some(peer)) = rustix::net::getpeername(&fd) else { continue };
                    let Ok(peer) = SocketAddr::try_from(peer) else { continue };
                    if rustix::net::sockopt::set_tcp_nodelay(&fd, true).is_err() {
                        continue;
                    }
                    Some(peer.ip())
                }
            };
            match Watched::new(&self.driver, fd) {
                Ok(watched) => return Ok((Conn(watched), peer)),
                // A shortage too: of places in the set of watched descriptors.
                Err(error) => pause(&self.driver, &error).await,
            }
        }
    }

    /// Where it listens.
    pub(crate) fn place(&self) -> Place<'_> {
        match &self.bound {
            Bound::Tcp(address) => Place::Tcp(*address),
            Bound::Unix(file) => Place::Unix(file.path()),
        }
    }
}

/// One accepted connection, for hyper.
pub(crate) struct Conn(Watched);

impl hyper::rt::Read for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = self.0.poll(cx, Direction::Read, |fd| {
            // SAFETY: nothing that is initialised gets de-initialised: the kernel only writes bytes here.
            let space = unsafe { buf.as_mut() };
            let size = space.len();
            let (filled, _) = rustix::io::read(fd, space)?;
            let filled = filled.len();
            // Without a sticky end-of-stream flag (kqueue here) only an empty read proves it drained.
            Ok(Done { value: filled, drained: cfg!(target_os = "linux") && 0 < filled && filled < size })
        });
        filled.map_ok(|filled| {
            // SAFETY: the call above initialised that many bytes at the front of the cursor.
            unsafe { buf.advance(filled) }
        })
    }
}

impl hyper::rt::Write for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll(cx, Direction::Write, |fd| {
            let sent = rustix::net::send(fd, buf, SendFlags::NOSIGNAL)?;
            Ok(Done { value: sent, drained: 0 < sent && sent < buf.len() })
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[..bufs.len().min(MAX_SLICES)];
        let size: usize = bufs.iter().map(|buf| buf.len()).sum();
        self.0.poll(cx, Direction::Write, |fd| {
            // Not `writev`: a host that keeps the default SIGPIPE would die of a client that went away.
            let sent =
                rustix::net::sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?;
            Ok(Done { value: sent, drained: 0 < sent && sent < size })
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&self.0, Shutdown::Write) {
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

async fn accept(driver: &Driver, socket: &Watched) -> io::Result<OwnedFd> {
    loop {
        let accepted = poll_fn(|cx| {
            socket.poll(cx, Direction::Read, |fd| Ok(Done { value: accept_one(fd)?, drained: false }))
        })
        .await;
        let error = match accepted {
            Ok(fd) => return Ok(fd),
            Err(error) => error,
        };
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            // accept(2): errors of the new connection itself, to be treated like "try again".
            Some(
                Errno::CONNABORTED
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::TIMEDOUT,
            ) => {}
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                pause(driver, &error).await;
            }
            _ => return Err(error),
        }
    }
}

async fn pause(driver: &Driver, error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection; pausing");
    driver.sleep(EXHAUSTED_PAUSE).await;
}

#[cfg(not(target_vendor = "apple"))]
fn accept_one(socket: std::os::fd::BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    Ok(rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
}

#[cfg(target_vendor = "apple")]
fn accept_one(socket: std::os::fd::BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let fd = rustix::net::accept(socket)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    rustix::net::sockopt::set_socket_nosigpipe(&fd, true)?;
    Ok(fd)
}
