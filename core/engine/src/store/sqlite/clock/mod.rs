//! The clock of a file, for its leases and lifetimes.
//!
//! The time of day does not suit: it can be set, and it advances while the machine sleeps, after which the
//! first process to wake would take over the tasks of live processes. On platforms with a clock that does
//! neither, all processes of one boot use that clock. The first of them to open the file stores the offset by
//! which the time of day is ahead of that clock, so that times that were written before stay about right.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod platform;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod platform;

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Transaction, params};

thread_local! {
    /// The offset by which the time of the file that this thread works on is ahead of the platform's clock.
    static AHEAD: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Returns the offset by which the time of a file is ahead of the platform's clock, in milliseconds; `None`:
/// the file uses the time of day.
pub(super) fn ahead(transaction: &Transaction<'_>) -> rusqlite::Result<Option<i64>> {
    let (Some(boot), Some(clock)) = (platform::boot(), platform::milliseconds()) else { return Ok(None) };
    let sql = "INSERT OR IGNORE INTO clocks (boot, ahead) VALUES (?1, ?2)";
    transaction.execute(sql, params![boot, time_of_day() - clock])?;
    transaction
        .query_row("SELECT ahead FROM clocks WHERE boot = ?1", params![boot], |row| row.get(0))
        .map(Some)
}

/// Sets the offset of the file that this thread works on.
pub(super) fn work_by(ahead: Option<i64>) {
    AHEAD.set(ahead);
}

/// Returns the milliseconds since 1970, approximately, by the file's time.
pub(super) fn now() -> i64 {
    match (AHEAD.get(), platform::milliseconds()) {
        (Some(ahead), Some(clock)) => clock.saturating_add(ahead),
        _ => time_of_day(),
    }
}

pub(super) fn until(keep: Duration) -> i64 {
    now().saturating_add(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))
}

fn time_of_day() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
