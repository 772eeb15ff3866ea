//! A cache of the revisions of servers, so that the next connection need not probe again. There is one table
//! per process: programs create a client per task or per user, and all of them connect to the same servers.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use trunnion_proto::revision::Revision;

use super::Target;

const MAX: usize = 256;
const LIFE: Duration = Duration::from_secs(600);

static VERDICTS: Mutex<Verdicts> = Mutex::new(Verdicts(Vec::new()));

/// Entries in the order in which they were determined.
struct Verdicts(Vec<(u64, Revision, Instant)>);

impl Verdicts {
    fn recall(&self, key: u64, now: Instant) -> Option<Revision> {
        let known = self.0.iter().find(|(known, _, found)| *known == key && now - *found < LIFE);
        known.map(|(_, revision, _)| *revision)
    }

    fn remember(&mut self, key: u64, revision: Revision, now: Instant) {
        self.0.retain(|(known, _, found)| *known != key && now - *found < LIFE);
        if self.0.len() >= MAX {
            self.0.remove(0);
        }
        self.0.push((key, revision, now));
    }
}

/// Returns the key of a target in the table; `None` for servers of this process. It is a keyed hash: URLs,
/// arguments and environments may contain secrets, and the table outlives the client.
pub(super) fn key(target: &Target) -> Option<u64> {
    static HASH: OnceLock<RandomState> = OnceLock::new();
    let hash = HASH.get_or_init(RandomState::new);
    match target {
        Target::Url(url) => Some(hash.hash_one(url)),
        Target::Command(command) => {
            Some(hash.hash_one((&command.argv, &command.env, command.inherit_env, &command.cwd)))
        }
        Target::Memory(_) => None,
    }
}

pub(super) fn recall(key: u64) -> Option<Revision> {
    // A table that is locked is not used: in the child of a fork it may be locked indefinitely.
    VERDICTS.try_lock().ok()?.recall(key, Instant::now())
}

pub(super) fn remember(key: u64, revision: Revision) {
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
            verdicts.remember(server, Revision::LATEST, now);
        }
        assert_eq!(verdicts.recall(0, now), None, "the oldest went");
        assert_eq!(verdicts.recall(1, now), Some(Revision::LATEST));
        verdicts.remember(2, Revision::V2025_06_18, now);
        assert_eq!(verdicts.recall(2, now), Some(Revision::V2025_06_18));
        assert_eq!(verdicts.0.len(), 256, "instead of what was thought before");
        let almost = now + LIFE - Duration::from_secs(1);
        assert!(verdicts.recall(1, almost).is_some() && verdicts.recall(1, now + LIFE).is_none());
        assert_eq!(LIFE, Duration::from_secs(10 * 60));
    }
}
