//! Listening sockets and their connections.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

use super::socket::Socket;
use super::socket_file::{self, SocketFile};
use super::watch::{Direction, Done, Watched};
use crate::driver::{Conn, Driver, Place};

/// Pause of accepting when the process has no descriptor or memory left, or when accepting fails for an
/// unknown reason.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Number of consecutive failures for an unknown reason after which a listener is unusable.
const MAX_FAILURES: u32 = 100;

/// Time without traffic on a connection after which the kernel probes its peer.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_PROBES: u32 = 4;

/// Maximum number of connections that wait to be accepted; the kernel has its own limit.
const BACKLOG: i32 = 4096;

/// A listening TCP or Unix socket.
pub struct Listener {
    driver: Driver,
    bound: Bound,
    socket: Watched,
    /// Errors that the next calls of accept return.
    #[cfg(test)]
    pub(crate) faults: std::sync::Mutex<std::collections::VecDeque<Errno>>,
}

enum Bound {
    Tcp(SocketAddr),
    Unix(SocketFile),
}

impl Listener {
    pub(in crate::driver) fn bind(driver: &Driver, addr: SocketAddr) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind(addr)?;
        // The standard library queues 128 connections; those of a larger burst would wait a second for a
        // retransmission.
        rustix::net::listen(&socket, BACKLOG)?;
        socket.set_nonblocking(true)?;
        keep_alive(&socket);
        let bound = Bound::Tcp(socket.local_addr()?);
        Self::new(driver, bound, socket.into())
    }

    pub(in crate::driver) fn bind_unix(driver: &Driver, path: &Path) -> io::Result<Self> {
        let (socket, file) = socket_file::listen(path, BACKLOG)?;
        Self::new(driver, Bound::Unix(file), socket)
    }

    fn new(driver: &Driver, bound: Bound, socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            driver: driver.clone(),
            bound,
            socket: Watched::new(driver, socket)?,
            #[cfg(test)]
            faults: Default::default(),
        })
    }

    /// Makes the kernel accept no more connections on it.
    #[cfg(test)]
    pub(crate) fn break_off(&self) {
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both).expect("shut down");
    }

    /// Returns the next connection and its remote address, if it has one. Failures of a single connection,
    /// and a shortage of descriptors or memory, are retried after a pause; an error means that the listener
    /// is unusable.
    pub(crate) async fn accept(&self) -> io::Result<(Conn, Option<IpAddr>)> {
        loop {
            let fd = self.accept_one().await?;
            // Failures from here on belong to this connection: its client may have closed it already, and
            // then it has no address.
            if prepare(&fd).is_err() {
                continue;
            }
            let peer = match self.bound {
                Bound::Unix(_) => None,
                Bound::Tcp(_) => {
                    let Ok(Some(peer)) = rustix::net::getpeername(&fd) else { continue };
                    let Ok(peer) = SocketAddr::try_from(peer) else { continue };
                    if sockopt::set_tcp_nodelay(&fd, true).is_err() {
                        continue;
                    }
                    // A listener on [::] receives connections from IPv4 too.
                    Some(peer.ip().to_canonical())
                }
            };
            match Watched::new(&self.driver, fd) {
                Ok(watched) => return Ok((Conn::new(Socket::new(watched)), peer)),
                // A shortage too: of entries in the set of watched descriptors.
                Err(error) => pause(&self.driver, &error).await,
            }
        }
    }

    async fn accept_one(&self) -> io::Result<OwnedFd> {
        let mut failures = 0;
        loop {
            let accepted = poll_fn(|cx| {
                self.socket.poll(cx, Direction::Read, |fd| {
                    #[cfg(test)]
                    if let Some(fault) = crate::sync::lock(&self.faults).pop_front() {
                        return Err(fault.into());
                    }
                    Ok(Done { value: accept_from(fd)?, drained: false })
                })
            })
            .await;
            let error = match accepted {
                Ok(fd) => return Ok(fd),
                Err(error) => error,
            };
            match Fault::of(&error, || listens(&self.socket)) {
                Fault::Connection => {}
                Fault::Shortage => pause(&self.driver, &error).await,
                Fault::Unknown if failures < MAX_FAILURES => {
                    failures += 1;
                    pause(&self.driver, &error).await;
                }
                Fault::Unknown | Fault::Listener => return Err(error),
            }
        }
    }

    /// Returns the address that it listens on.
    pub(crate) fn place(&self) -> Place<'_> {
        match &self.bound {
            Bound::Tcp(address) => Place::Tcp(*address),
            Bound::Unix(file) => Place::Unix(file.path()),
        }
    }
}

/// The cause of an error of accept(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// One connection, which is closed.
    Connection,
    /// A shortage of descriptors or memory.
    Shortage,
    /// The listener, which accepts no more connections.
    Listener,
    /// Unknown: it may be temporary.
    Unknown,
}

impl Fault {
    fn of(error: &io::Error, listens: impl FnOnce() -> bool) -> Fault {
        match Errno::from_io_error(error) {
            // accept(2): network errors are those of the new connection, to be treated like "try again";
            // EPERM comes from a firewall.
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::TIMEDOUT,
            ) => Fault::Connection,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(Errno::NONET) => Fault::Connection,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Fault::Shortage,
            Some(Errno::BADF | Errno::NOTSOCK) => Fault::Listener,
            Some(Errno::INVAL) if !listens() => Fault::Listener,
            Some(_) => Fault::Unknown,
            // Not an error of the system: the driver has ended.
            None => Fault::Listener,
        }
    }
}

/// Returns true if a socket still listens, as far as the system reports it.
fn listens(socket: &Watched) -> bool {
    #[cfg(not(target_vendor = "apple"))]
    return sockopt::socket_acceptconn(socket).unwrap_or(false);
    #[cfg(target_vendor = "apple")]
    return rustix::net::getsockname(socket).is_ok();
}

async fn pause(driver: &Driver, error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection; pausing");
    driver.sleep(ACCEPT_PAUSE).await;
}

/// Makes the kernel detect peers that disappeared silently. Accepted sockets inherit the options. They are
/// optional, so options that a system lacks are skipped.
fn keep_alive(socket: &std::net::TcpListener) {
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, KEEP_ALIVE_IDLE);
    let _ = sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE_INTERVAL);
    let _ = sockopt::set_tcp_keepcnt(socket, KEEP_ALIVE_PROBES);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = sockopt::set_tcp_user_timeout(
        socket,
        (KEEP_ALIVE_IDLE + KEEP_ALIVE_INTERVAL * KEEP_ALIVE_PROBES).as_millis() as u32,
    );
}

#[cfg(not(target_vendor = "apple"))]
fn accept_from(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    Ok(rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
}

#[cfg(target_vendor = "apple")]
fn accept_from(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept(socket)?)
}

/// Sets the options that an accepted descriptor needs if accept(2) cannot set them.
#[cfg(not(target_vendor = "apple"))]
fn prepare(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}

#[cfg(target_vendor = "apple")]
fn prepare(fd: &OwnedFd) -> io::Result<()> {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(fd, true)?;
    Ok(sockopt::set_socket_nosigpipe(fd, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_listener_itself_end_it() {
        let fault = |errno: Errno, listens: bool| Fault::of(&errno.into(), || listens);
        assert_eq!(fault(Errno::INVAL, false), Fault::Listener);
        assert_eq!(fault(Errno::BADF, true), Fault::Listener);
        assert_eq!(fault(Errno::NOTSOCK, true), Fault::Listener);
        for passing in [Errno::INVAL, Errno::ACCESS, Errno::IO] {
            assert_eq!(fault(passing, true), Fault::Unknown, "{passing}");
        }
        for own in [Errno::CONNABORTED, Errno::CONNRESET, Errno::PERM, Errno::NETDOWN] {
            assert_eq!(fault(own, true), Fault::Connection, "{own}");
        }
        assert_eq!(fault(Errno::MFILE, true), Fault::Shortage);
        assert_eq!(Fault::of(&io::Error::other("the driver has ended"), || true), Fault::Listener);
    }
}
