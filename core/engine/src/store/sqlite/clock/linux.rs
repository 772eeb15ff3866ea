//! `CLOCK_MONOTONIC`: it is never set, and it stops while the machine sleeps.

use std::time::Duration;

/// Returns an id that differs between boots of the machine, and between time namespaces: a container's clock
/// may have another origin.
pub(super) fn boot() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Returns the time of the clock. Not by rustix, which looks for the vDSO itself and crashes under valgrind.
pub(super) fn milliseconds() -> Option<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is written, and lives through the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) } != 0;
    let time = Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    i64::try_from(time.as_millis()).ok().filter(|_| !failed)
}
