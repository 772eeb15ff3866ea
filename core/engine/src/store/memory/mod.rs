//! A store in the memory of one process.

mod tasks;

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    Append, Bus, EventStore, Replay, SessionRecord, SessionStore, StoreFuture, StoredEvent, StreamKey,
    Subscriber,
};
use crate::store::{CredentialStore, MemoryCredentials, Turn};
use crate::sync::lock;
use trunnion_proto::auth::Credentials;

/// A store and a bus for servers in one process: for tests, and for programs that serve at several addresses.
#[derive(Default)]
pub struct MemoryStore {
    sessions: Mutex<Table<String, SessionRecord>>,
    streams: Mutex<Table<StreamKey, Stream>>,
    tasks: Mutex<tasks::Tasks>,
    credentials: MemoryCredentials,
    subscribers: Mutex<Vec<Subscriber>>,
}

impl MemoryStore {
    /// Returns a store whose tasks take this many bytes at most, with about half a kibibyte more for each
    /// than its text has; by default a gibibyte. No task is removed before its time: new ones are refused.
    pub fn limited(task_bytes: usize) -> MemoryStore {
        MemoryStore { tasks: Mutex::new(tasks::Tasks::limited(task_bytes)), ..MemoryStore::default() }
    }
}

/// Entries that expire.
struct Table<K, T> {
    entries: BTreeMap<K, Kept<T>>,
    /// The number of entries at which expired ones are removed: often enough for a table of at most twice the
    /// live entries.
    sweep_at: usize,
}

struct Kept<T> {
    what: T,
    until: Instant,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Table { entries: BTreeMap::new(), sweep_at: 64 }
    }
}

impl<K: Ord + Clone, T> Table<K, T> {
    fn get(&mut self, key: &K) -> Option<&mut Kept<T>> {
        self.entries.get_mut(key).filter(|kept| !kept.is_over())
    }

    /// Returns the entry of a key, `new` if there is none, and stores it for `keep` from now on.
    fn keep(&mut self, key: &K, keep: Duration, new: impl FnOnce() -> T) -> &mut T {
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, kept| !kept.is_over());
            self.sweep_at = 64.max(2 * self.entries.len());
        }
        if self.get(key).is_none() {
            self.entries.insert(key.clone(), Kept { what: new(), until: until(keep) });
        }
        let kept = self.entries.get_mut(key).expect("it has just been put there");
        kept.until = until(keep);
        &mut kept.what
    }
}

impl<T> Kept<T> {
    fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }
}

/// Returns the end of a time from now on. Out of range means "never".
fn until(keep: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(keep).unwrap_or_else(|| now + Duration::from_secs(1 << 30))
}

#[derive(Default)]
struct Stream {
    events: VecDeque<StoredEvent>,
    /// The number of the newest event so far.
    newest: u64,
    over: bool,
}

impl SessionStore for MemoryStore {
    fn insert(&self, id: &str, text: &str, keep: Duration) -> StoreFuture<()> {
        let new = || SessionRecord { version: 1, text: text.to_owned() };
        lock(&self.sessions).keep(&id.to_owned(), keep, new);
        Box::pin(ready(Ok(())))
    }

    fn load(&self, id: &str) -> StoreFuture<Option<SessionRecord>> {
        let record = lock(&self.sessions).get(&id.to_owned()).map(|kept| kept.what.clone());
        Box::pin(ready(Ok(record)))
    }

    fn replace(&self, id: &str, version: u64, text: &str) -> StoreFuture<bool> {
        let mut sessions = lock(&self.sessions);
        let current = sessions.get(&id.to_owned()).filter(|kept| kept.what.version == version);
        let new = SessionRecord { version: version + 1, text: text.to_owned() };
        let replaced = current.map(|kept| kept.what = new).is_some();
        Box::pin(ready(Ok(replaced)))
    }

    fn touch(&self, id: &str, keep: Duration) -> StoreFuture<bool> {
        let mut sessions = lock(&self.sessions);
        let touched = sessions.get(&id.to_owned()).map(|kept| kept.until = until(keep)).is_some();
        Box::pin(ready(Ok(touched)))
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let removed = lock(&self.sessions).entries.remove(id).is_some_and(|kept| !kept.is_over());
        Box::pin(ready(Ok(removed)))
    }
}

impl EventStore for MemoryStore {
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()> {
        let mut streams = lock(&self.streams);
        let stream = streams.keep(key, append.keep, Stream::default);
        for event in append.events {
            if event.number > stream.newest {
                stream.newest = event.number;
                stream.events.push_back(event);
            }
        }
        while stream.events.front().is_some_and(|event| event.number < append.oldest) {
            stream.events.pop_front();
        }
        stream.over |= append.over;
        Box::pin(ready(Ok(())))
    }

    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>> {
        let mut streams = lock(&self.streams);
        let replay = streams.get(key).and_then(|Kept { what: stream, .. }| {
            let first = stream.events.front().map_or(stream.newest + 1, |event| event.number);
            let is_kept = after <= stream.newest && after + 1 >= first;
            let events = stream.events.iter().filter(|event| event.number > after).cloned();
            is_kept.then(|| Replay { events: events.collect(), over: stream.over })
        });
        Box::pin(ready(Ok(replay)))
    }

    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()> {
        let key = |stream| StreamKey { session: session.to_owned(), stream };
        let mut streams = lock(&self.streams);
        let range = key(stream.unwrap_or(0))..=key(stream.unwrap_or(u64::MAX));
        let gone: Vec<StreamKey> = streams.entries.range(range).map(|(key, _)| key.clone()).collect();
        for key in gone {
            streams.entries.remove(&key);
        }
        Box::pin(ready(Ok(())))
    }
}

impl CredentialStore for MemoryStore {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        self.credentials.load(server)
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        self.credentials.swap(record)
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        self.credentials.turn(server)
    }
}

impl Bus for MemoryStore {
    fn publish(&self, message: Bytes) {
        // Not under the lock: a subscriber may publish or subscribe.
        let subscribers = lock(&self.subscribers).clone();
        let heard = subscribers.iter().filter(|subscriber| subscriber.deliver(&message)).count();
        if heard < subscribers.len() {
            lock(&self.subscribers).retain(Subscriber::is_alive);
        }
    }

    fn subscribe(&self, subscriber: Subscriber) {
        lock(&self.subscribers).push(subscriber);
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
