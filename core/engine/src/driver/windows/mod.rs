//! Windows: handles, under the threaded driver only.
//!
//! A set of sockets has no descriptor there that another event loop could watch, so there is no hosted
//! driver, and `fd()` is -1: hosts wait by `wait` and `set_wake`. Sockets are tokio's, standard streams have
//! a thread each, child processes have a job object.
//!
//! The tests of `files` and `process` have run under Wine, compiled by `tools/cross.sh windows` separately
//! from the rest of the engine, which was not compiled for Windows yet.

pub mod files;
pub(super) mod hosted;
pub(super) mod net;
pub mod process;
pub(super) mod signal;
pub mod sigpipe;
pub(super) mod socket;
pub mod sockets;
pub(super) mod stdio;

pub(crate) use std::os::windows::io::OwnedHandle as OwnedStream;
