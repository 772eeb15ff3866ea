//! A flag that is set while a queue has entries, for threads that wait.

use std::io;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::sync::lock;

/// A flag, set from [`Signal::set`] until [`Signal::clear`]. Any thread may call.
///
/// Producers push, then `set`; the consumer clears, then takes all entries. In that order no entry is lost.
pub struct Signal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Returns a new signal that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { is_set: Mutex::new(false), changed: Condvar::new() })
    }

    /// Sets the flag and wakes the threads that wait.
    pub(crate) fn set(&self) {
        *lock(&self.is_set) = true;
        self.changed.notify_all();
    }

    /// Clears the flag, so that the next wait blocks.
    pub(crate) fn clear(&self) {
        *lock(&self.is_set) = false;
    }

    /// Returns -1: there is no descriptor.
    pub(crate) fn fd(&self) -> i32 {
        -1
    }

    /// Blocks until set; `None` waits without limit. Returns false if the time has passed.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let is_set = lock(&self.is_set);
        let waited = match timeout {
            None => self.changed.wait_while(is_set, |is_set| !*is_set),
            Some(timeout) => self
                .changed
                .wait_timeout_while(is_set, timeout, |is_set| !*is_set)
                .map(|(is_set, _)| is_set)
                .map_err(|poisoned| std::sync::PoisonError::new(poisoned.into_inner().0)),
        };
        *waited.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
