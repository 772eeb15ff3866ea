//! Sockets of clients, and the limit of those of servers.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream};

/// Connect to a Unix socket.
pub(crate) async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// The path of a Unix socket as it is in a URL, decoded. `None`: it is no absolute path. The error is for a person.
pub(crate) fn unix_path(bytes: Vec<u8>) -> Result<Option<PathBuf>, String> {
    let is_absolute = bytes.first() == Some(&b'/') && !bytes.contains(&0);
    Ok(is_absolute.then(|| PathBuf::from(OsString::from_vec(bytes))))
}

/// Find out when the host of a server is gone without a word, as reqwest does on the other lane: a listening stream has
/// nothing to send that would show it. What the system does not know is left as it is.
pub(crate) fn watch_peer(stream: &TcpStream) {
    const PAUSE: Duration = Duration::from_secs(15);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, PAUSE);
    let _ = sockopt::set_tcp_keepintvl(stream, PAUSE);
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
    // What was sent and is not acknowledged.
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_tcp_user_timeout(stream, 30_000);
}

/// Descriptors that this process may have open; `None` without a limit.
pub(crate) fn descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}
