//! Client sockets, and the descriptor limit for server sockets.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

const NO_UNIX_SOCKETS: &str = "Unix sockets are not supported on Windows; use an address of this machine, such as http://127.0.0.1:8000/mcp";

/// Returns an error of kind `Unsupported`.
pub(super) fn no_unix_sockets() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, NO_UNIX_SOCKETS)
}

/// Fails with `Unsupported`.
pub(crate) async fn connect_unix(_: &Path) -> io::Result<TcpStream> {
    Err(no_unix_sockets())
}

/// Refuses the path of a Unix socket in a URL. The error is for a person.
pub(crate) fn unix_path(_: Vec<u8>) -> Result<Option<PathBuf>, String> {
    Err(NO_UNIX_SOCKETS.to_owned())
}

/// Enables the detection of a server host that disappeared silently: a subscription stream sends nothing that
/// would reveal it.
pub(crate) fn watch_peer(stream: &TcpStream) {
    const PAUSE: Duration = Duration::from_secs(15);
    let keep_alive = TcpKeepalive::new().with_time(PAUSE).with_interval(PAUSE).with_retries(3);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keep_alive);
}

/// Returns `None`: the limit of handles on Windows is far above the needs of a server.
pub(crate) fn descriptor_limit() -> Option<u64> {
    None
}
