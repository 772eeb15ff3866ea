//! Unix: descriptors, watched by epoll on Linux and by kqueue on macOS and the BSDs.
//!
//! Tested on Linux. For macOS it is compiled only (`tools/cross.sh macos-check`).

pub(super) mod hosted;
pub(super) mod net;
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "poller_epoll.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "poller_polling.rs")]
mod poller;
pub(crate) mod signal;
pub(crate) mod sigpipe;
mod socket_file;
pub(super) mod stdio;
pub(super) mod watch;
