//! Which revision servers have turned out to speak, so that the next connection need not find out again. One table
//! per process: programs make a client per task or per user, and all of them meet the same servers.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use trunnion_proto::revision::Revision;

use super::Target;

const MAX: usize = 256;
const LIFE: Duration = Duration::from_secs(600);

/// In the order in which they were found out.
static VERDICTS: Mutex<Vec<(String, Revision, Instant)>> = Mutex::new(Vec::new());

/// What a target is called in the table; `None` for servers of this process.
pub(super) fn key(target: &Target) -> Option<String> {
    match target {
        Target::Url(url) => Some(url.clone()),
        Target::Command { argv, env, cwd } => Some(format!("{argv:?} {env:?} {cwd:?}")),
        Target::Memory(_) => None,
    }
}

pub(super) fn recall(key: &str) -> Option<Revision> {
    // A table that is in use is done without: it may be locked for ever in the child of a fork.
    let verdicts = VERDICTS.try_lock().ok()?;
    verdicts
        .iter()
        .find(|(known, _, found)| known == key && found.elapsed() < LIFE)
        .map(|(_, revision, _)| *revision)
}

pub(super) fn remember(key: &str, revision: Revision) {
    let Ok(mut verdicts) = VERDICTS.try_lock() else { return };
    verdicts.retain(|(known, _, found)| known != key && found.elapsed() < LIFE);
    if verdicts.len() >= MAX {
        verdicts.remove(0);
    }
    verdicts.push((key.to_owned(), revision, Instant::now()));
}
