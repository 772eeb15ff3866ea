//! Unix: descriptors, watched by epoll on Linux and by kqueue on macOS and the BSDs.
//!
//! Tested on Linux. For macOS it is compiled only (`tools/cross.sh macos-check`).

mod exit;
pub mod files;
pub(super) mod hosted;
pub(super) mod net;
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "poller_epoll.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "poller_polling.rs")]
mod poller;
pub mod process;
pub(super) mod signal;
pub mod sigpipe;
pub(super) mod socket;
mod socket_file;
pub mod sockets;
pub(super) mod stdio;
mod watch;

pub(crate) use std::os::fd::OwnedFd as OwnedStream;
