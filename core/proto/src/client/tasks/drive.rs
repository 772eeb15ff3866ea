//! One followed task: the schedule of its polls, its questions, the operations that wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::seen::Seen;
use crate::json::Json;

/// Default interval between polls.
const USUAL_INTERVAL: Duration = Duration::from_secs(1);
/// Bounds of the interval that a server may request.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
/// Interval between polls of a server that sends updates by itself, and the upper limit of the back-off,
/// unless the server asks for a longer interval.
const SLOW_INTERVAL: Duration = Duration::from_secs(30);
/// Polls in a row without a change after which the interval doubles, and the number of doublings.
const QUIET_LOOKS: u32 = 10;
const DOUBLINGS: u32 = 2;
/// Failures in a row after which the server counts as lost.
pub(super) const MAX_FAULTS: u32 = 32;

/// The state of one task that is followed, or was.
#[derive(Debug)]
pub(super) struct Drive {
    /// The operations that wait for it.
    pub users: BTreeSet<u64>,
    pub last: Option<Seen>,
    /// When it was seen first: at the earliest its time to live counts from then.
    since: Duration,
    /// True if its time to live has passed; the next poll decides.
    pub overdue: bool,
    pub poll: Poll,
    pub schedule: Schedule,
    /// Questions of the task, by their keys, which are unique for its lifetime.
    pub keys: BTreeMap<String, Key>,
    /// The request that carries answers.
    pub update: Option<u64>,
    /// When answers that did not arrive are sent again.
    pub update_at: Option<Duration>,
    pub push: Push,
    /// Streams that have ended.
    pub pushes: u32,
    /// The request that waits for its result (2025-11-25).
    pub fetch: Option<u64>,
}

/// The next poll of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poll {
    /// No poll is needed.
    Idle,
    At(Duration),
    Sent {
        request: u64,
        /// The end of the time limit.
        until: Duration,
    },
}

/// The stream on which the server sends updates of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    Untried,
    Asked(u64),
    Open(u64),
    /// The server has none.
    No,
}

/// State of a question of the task.
#[derive(Debug, Clone)]
pub(super) enum Key {
    /// Sent to the host.
    Asked(u64),
    /// Answered by the host, not yet sent.
    Answered(Json),
    /// In flight.
    Sent(Json),
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// The interval that the server asks for.
    pub interval: Option<Duration>,
    /// Polls in a row without a change.
    pub quiet: u32,
    /// Failures in a row.
    pub faults: u32,
    /// True if the server sends updates by itself.
    pub pushed: bool,
}

impl Schedule {
    /// The delay until the next poll.
    pub fn delay(&self) -> Duration {
        let interval = self.interval.unwrap_or(USUAL_INTERVAL).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        if self.faults > 0 {
            let longer = Duration::from_secs(1 << (self.faults - 1).min(10));
            return longer.min(SLOW_INTERVAL).max(interval);
        }
        if self.pushed {
            return interval.max(SLOW_INTERVAL);
        }
        let longer = interval * (1 << (self.quiet / QUIET_LOOKS).min(DOUBLINGS));
        longer.min(SLOW_INTERVAL).max(interval)
    }
}

impl Drive {
    pub fn new(now: Duration) -> Drive {
        Drive {
            users: BTreeSet::new(),
            last: None,
            since: now,
            overdue: false,
            poll: Poll::Idle,
            schedule: Schedule::default(),
            keys: BTreeMap::new(),
            update: None,
            update_at: None,
            push: Push::Untried,
            pushes: 0,
            fetch: None,
        }
    }

    /// The end of its time to live, by the latest state from the server.
    pub fn expires(&self) -> Option<Duration> {
        let ttl = self.last.as_ref()?.ttl?;
        Some(self.since.saturating_add(ttl))
    }

    pub fn next_deadline(&self) -> Option<Duration> {
        if self.users.is_empty() {
            return None;
        }
        let poll = match self.poll {
            Poll::Idle => None,
            Poll::At(at) => Some(at),
            Poll::Sent { until, .. } => Some(until),
        };
        let expires = self.expires().filter(|_| !self.overdue);
        [poll, expires, self.update_at].into_iter().flatten().min()
    }

    /// Processes a state of the task. Returns true if something has changed.
    pub fn saw(&mut self, seen: Seen, by_polling: bool) -> bool {
        let changed = self.last.as_ref().is_none_or(|last| !seen.is_same(last));
        self.schedule.interval = seen.interval;
        self.schedule.faults = 0;
        self.schedule.quiet = match (changed, by_polling) {
            (true, _) => 0,
            (false, true) => self.schedule.quiet.saturating_add(1),
            (false, false) => self.schedule.quiet,
        };
        self.last = Some(seen);
        changed
    }

    /// The requests that it has in flight.
    pub fn requests(&self) -> impl Iterator<Item = u64> + use<> {
        let poll = match self.poll {
            Poll::Sent { request, .. } => Some(request),
            _ => None,
        };
        let push = match self.push {
            Push::Asked(request) | Push::Open(request) => Some(request),
            _ => None,
        };
        [poll, self.update, push, self.fetch].into_iter().flatten()
    }

    /// No operation waits for the task: drops the answers in flight, keeps the answered questions.
    pub fn rest(&mut self) {
        self.poll = Poll::Idle;
        self.update = None;
        self.update_at = None;
        self.fetch = None;
        self.push = Push::Untried;
        self.schedule = Schedule { interval: self.schedule.interval, ..Schedule::default() };
        self.keys.retain(|_, key| match key {
            Key::Asked(_) => false,
            Key::Sent(answer) => {
                *key = Key::Answered(std::mem::take(answer));
                true
            }
            Key::Answered(_) | Key::Done => true,
        });
    }

    pub fn open_questions(&self) -> usize {
        self.keys.values().filter(|key| matches!(key, Key::Asked(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_asked_as_often_as_it_wants_within_bounds() {
        let ms = Duration::from_millis;
        let delay = |interval: Option<u64>, quiet, faults, pushed| {
            Schedule { interval: interval.map(ms), quiet, faults, pushed }.delay()
        };
        assert_eq!(delay(None, 0, 0, false), ms(1000));
        assert_eq!(delay(Some(0), 0, 0, false), ms(100));
        assert_eq!(delay(Some(u64::MAX), 9, 0, false), LONGEST_INTERVAL);
        assert_eq!(delay(Some(u64::MAX), u32::MAX, u32::MAX, true), LONGEST_INTERVAL);
        // Rarer when nothing changes, but no rarer than half a minute if that is often enough for the server.
        assert_eq!(delay(Some(5000), 9, 0, false), ms(5000));
        assert_eq!(delay(Some(5000), 10, 0, false), ms(10_000));
        assert_eq!(delay(Some(5000), 500, 0, false), ms(20_000));
        assert_eq!(delay(Some(20_000), 500, 0, false), ms(30_000));
        assert_eq!(delay(Some(60_000), 500, 0, false), ms(60_000));
        // When it fails, twice as long each time.
        assert_eq!([1, 2, 3, 9].map(|faults| delay(Some(100), 0, faults, false).as_secs()), [1, 2, 4, 30]);
        assert_eq!(delay(Some(5000), 0, 1, true), ms(5000));
        assert_eq!(delay(Some(5000), 50, 0, true), SLOW_INTERVAL);
    }
}
