//! Which revision servers have turned out to speak, so that the next connection need not find out again. One table
//! per process: programs make a client per task or per user, and all of them meet the same servers.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use trunnion_proto::revision::Revision;

use super::Target;

const MAX: usize = 256;
const LIFE: Duration = Duration::from_secs(600);

static VERDICTS: Mutex<Verdicts> = Mutex::new(Verdicts(Vec::new()));

/// In the order in which they were found out.
struct Verdicts(Vec<(String, Revision, Instant)>);

impl Verdicts {
    fn recall(&self, key: &str, now: Instant) -> Option<Revision> {
        let known = self.0.iter().find(|(known, _, found)| known == key && now - *found < LIFE);
        known.map(|(_, revision, _)| *revision)
    }

    fn remember(&mut self, key: &str, revision: Revision, now: Instant) {
        self.0.retain(|(known, _, found)| known != key && now - *found < LIFE);
        if self.0.len() >= MAX {
            self.0.remove(0);
        }
        self.0.push((key.to_owned(), revision, now));
    }
}

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
    VERDICTS.try_lock().ok()?.recall(key, Instant::now())
}

pub(super) fn remember(key: &str, revision: Revision) {
    if let Ok(mut verdicts) = VERDICTS.try_lock() {
        verdicts.remember(key, revision, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_are_remembered_and_as_long() {
        let (mut verdicts, now) = (Verdicts(Vec::new()), Instant::now());
        for server in 0..257 {
            verdicts.remember(&server.to_string(), Revision::LATEST, now);
        }
        assert_eq!(verdicts.recall("0", now), None, "the oldest went");
        assert_eq!(verdicts.recall("1", now), Some(Revision::LATEST));
        verdicts.remember("2", Revision::V2025_06_18, now);
        assert_eq!(verdicts.recall("2", now), Some(Revision::V2025_06_18));
        assert_eq!(verdicts.0.len(), 256, "instead of what was thought before");
        let almost = now + LIFE - Duration::from_secs(1);
        assert!(verdicts.recall("1", almost).is_some() && verdicts.recall("1", now + LIFE).is_none());
        assert_eq!(LIFE, Duration::from_secs(10 * 60));
    }
}
