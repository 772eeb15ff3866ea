//! Clients of the host.

use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Handle {}
impl Handle { pub fn close(&self) {} }

/// A client of the host.
pub(crate) struct ClientEntry {
    pub handle: Handle,
    connecting: AtomicBool,
}

impl ClientEntry {
    /// True once, while it is not connected: then the attempt has failed.
    pub fn fail_connect(&self) -> bool {
        self.connecting.swap(false, Ordering::AcqRel)
    }
}
