//! `CLOCK_MONOTONIC`: it is never set, and it stops while the machine sleeps.

use rustix::time::{ClockId, clock_gettime};

/// Returns an id that differs between boots of the machine, and between time namespaces: a container's clock
/// may have another origin.
pub(super) fn boot() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Returns the time of the clock.
pub(super) fn milliseconds() -> Option<i64> {
    let time = clock_gettime(ClockId::Monotonic);
    Some(time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
}
