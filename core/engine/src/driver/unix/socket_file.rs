//! The file of a listening Unix socket: its creation, replacement and removal.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

/// The permissions: only the user that runs the server may connect.
const MODE: u32 = 0o600;

/// A socket's file, removed when dropped.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode, which identify the file: a file that another server has created there since must not
    /// be removed.
    identity: (u64, u64),
    /// The process that created it: a forked child drops a copy while the parent still listens.
    process: u32,
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns a listening socket at `path`, for this user only. A file that an earlier server left there is
/// replaced; the socket of an active listener, and a file that is not a socket, are left unchanged.
pub(super) fn listen(path: &Path, backlog: i32) -> io::Result<(OwnedFd, SocketFile)> {
    // The program may change its directory before the file is to be removed.
    let path = std::path::absolute(path)?;
    let address = SocketAddrUnix::new(&path).map_err(|error| match error {
        Errno::NAMETOOLONG => {
            io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket")
        }
        error => error.into(),
    })?;
    make_room(&path, &address)?;
    let socket = socket()?;
    rustix::net::bind(&socket, &address)?;
    let made = std::fs::symlink_metadata(&path)?;
    let file = SocketFile { path, identity: (made.dev(), made.ino()), process: std::process::id() };
    // Clients cannot connect before `listen`, so there is no moment at which other users could.
    std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(MODE))?;
    rustix::net::listen(&socket, backlog)?;
    Ok((socket, file))
}

fn make_room(path: &Path, address: &SocketAddrUnix) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is not a socket"));
    }
    match rustix::net::connect(&socket()?, address) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path),
        // It was removed in the meantime.
        Err(Errno::NOENT) => Ok(()),
        // A full queue of connections also belongs to a listener.
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "a server listens on this socket"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns a non-blocking socket that child processes do not inherit.
#[cfg(not(target_vendor = "apple"))]
fn socket() -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

#[cfg(target_vendor = "apple")]
fn socket() -> io::Result<OwnedFd> {
    let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}
