//! Listening sockets and their connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::windows::io::AsRawSocket;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, TcpKeepalive, Type};
use tokio::net::TcpListener;
use windows_sys::Win32::Networking::WinSock::{
    SO_EXCLUSIVEADDRUSE, SOL_SOCKET, WSAECONNABORTED, WSAECONNRESET, WSAEHOSTUNREACH, WSAEMFILE, WSAENETDOWN,
    WSAENETRESET, WSAENETUNREACH, WSAENOBUFS, WSAETIMEDOUT, setsockopt,
};

use super::socket::Socket;
use super::sockets::no_unix_sockets;
use crate::driver::{Conn, Driver, Place};

/// Pause of accepting when the process has no socket or memory left, or when accepting fails for an unknown
/// reason.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Number of consecutive failures for an unknown reason after which a listener is unusable.
const MAX_FAILURES: u32 = 100;

/// Time without traffic on a connection after which the system probes its peer.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_PROBES: u32 = 4;

/// Maximum number of connections that wait to be accepted; the system has its own limit.
const BACKLOG: i32 = 4096;

/// A listening TCP socket.
pub struct Listener {
    driver: Driver,
    address: SocketAddr,
    socket: TcpListener,
}

impl Listener {
    pub(in crate::driver) fn bind(driver: &Driver, address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        hold_port(&socket)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let _context = match driver {
            Driver::Tokio(handle) => handle.enter(),
            Driver::Hosted(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = TcpListener::from_std(socket.into())?;
        Ok(Self { driver: driver.clone(), address: socket.local_addr()?, socket })
    }

    /// Fails with `Unsupported`.
    pub(in crate::driver) fn bind_unix(_: &Driver, _: &Path) -> io::Result<Self> {
        Err(no_unix_sockets())
    }

    /// Returns the next connection and its remote address. Failures of a single connection, and a shortage of
    /// sockets or memory, are retried after a pause; an error means that the listener is unusable.
    pub(crate) async fn accept(&self) -> io::Result<(Conn, Option<IpAddr>)> {
        let mut failures = 0;
        loop {
            let error = match self.socket.accept().await {
                Ok((stream, peer)) => {
                    // A client that has disconnected already is not an error of the listener.
                    if stream.set_nodelay(true).is_err() {
                        continue;
                    }
                    keep_alive(&SockRef::from(&stream));
                    // A listener on [::] may receive connections from IPv4 too.
                    return Ok((Conn::new(Socket::new(stream)), Some(peer.ip().to_canonical())));
                }
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(
                    WSAECONNABORTED | WSAECONNRESET | WSAENETDOWN | WSAENETRESET | WSAENETUNREACH
                    | WSAEHOSTUNREACH | WSAETIMEDOUT,
                ) => continue,
                Some(WSAEMFILE | WSAENOBUFS) => {}
                Some(_) if failures < MAX_FAILURES => failures += 1,
                // Not an error of the system: the runtime has ended.
                _ => return Err(error),
            }
            tracing::warn!(%error, "cannot accept a connection; pausing");
            self.driver.sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Returns the address that it listens on.
    pub(crate) fn place(&self) -> Place<'_> {
        Place::Tcp(self.address)
    }
}

/// Prevents other processes from binding the port as well, which `SO_REUSEADDR` would permit here.
fn hold_port(socket: &socket2::Socket) -> io::Result<()> {
    let on: i32 = 1;
    // SAFETY: the option's value is an i32 that lives through the call.
    let failed = unsafe {
        setsockopt(
            socket.as_raw_socket() as usize,
            SOL_SOCKET,
            SO_EXCLUSIVEADDRUSE,
            (&raw const on).cast(),
            size_of::<i32>() as i32,
        )
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the system detect peers that disappeared silently.
fn keep_alive(socket: &SockRef<'_>) {
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_IDLE)
        .with_interval(KEEP_ALIVE_INTERVAL)
        .with_retries(KEEP_ALIVE_PROBES);
    let _ = socket.set_tcp_keepalive(&keep_alive);
}
