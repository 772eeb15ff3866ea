//! Client sockets, and the descriptor limit for server sockets.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream};

/// Connects to a Unix socket.
pub(crate) async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// Returns the path of a Unix socket from the decoded bytes of a URL. `None`: it is not an absolute path. The
/// error is for a person.
pub(crate) fn unix_path(bytes: Vec<u8>) -> Result<Option<PathBuf>, String> {
    let is_absolute = bytes.first() == Some(&b'/') && !bytes.contains(&0);
    Ok(is_absolute.then(|| PathBuf::from(OsString::from_vec(bytes))))
}

/// Enables the detection of a server host that disappeared silently, as reqwest does on the other transport:
/// a subscription stream sends nothing that would reveal it. Options that the system lacks are skipped.
pub(crate) fn watch_peer(stream: &TcpStream) {
    const PAUSE: Duration = Duration::from_secs(15);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, PAUSE);
    let _ = sockopt::set_tcp_keepintvl(stream, PAUSE);
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
    // The time limit for sent data that is not acknowledged.
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_tcp_user_timeout(stream, 30_000);
}

/// Returns the number of descriptors that this process may have open; `None` without a limit.
pub(crate) fn descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}
