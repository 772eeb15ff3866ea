//! `CLOCK_MONOTONIC`: nobody sets it, and it stands still while the machine sleeps.

use rustix::time::{ClockId, clock_gettime};

/// Tells one boot of the machine from others, and one time namespace: a container's clock may have another beginning.
pub(super) fn boot() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// What the clock says.
pub(super) fn milliseconds() -> Option<i64> {
    let time = clock_gettime(ClockId::Monotonic);
    Some(time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
}
