//! Tasks in memory: a table, and what they are found by.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::ready;
use std::time::{Duration, Instant};

use super::MemoryStore;
use crate::lock;
use crate::store::{StoreError, StoreFuture, StoredTask, TaskStore, TaskTimes};

#[derive(Default)]
pub(super) struct Tasks {
    entries: HashMap<String, Entry>,
    by_owner: BTreeMap<(String, u64), String>,
    by_due: BTreeSet<(Instant, u64, String)>,
    by_end: BTreeSet<(Instant, u64, String)>,
    /// The number of the newest.
    newest: u64,
}

struct Entry {
    task: StoredTask,
    number: u64,
    due: Option<Instant>,
    end: Option<Instant>,
}

impl Tasks {
    /// Forget what is over, so that whatever is found is there.
    fn sweep(&mut self, now: Instant) {
        while let Some((end, _, id)) = self.by_end.first() {
            if *end > now {
                return;
            }
            let id = id.clone();
            self.take(&id);
        }
    }

    fn put(&mut self, task: StoredTask, number: u64, times: TaskTimes, now: Instant) {
        // Out of range means "never".
        let at = |after: Option<Duration>| after.and_then(|after| now.checked_add(after));
        let (due, end) = (at(times.due), at(times.keep));
        let key = |at: Instant| (at, number, task.id.clone());
        self.by_due.extend(due.map(key));
        self.by_end.extend(end.map(key));
        self.by_owner.insert((task.owner.clone(), number), task.id.clone());
        self.entries.insert(task.id.clone(), Entry { task, number, due, end });
    }

    fn take(&mut self, id: &str) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        let key = |at: Instant| (at, entry.number, id.to_owned());
        if let Some(due) = entry.due {
            self.by_due.remove(&key(due));
        }
        if let Some(end) = entry.end {
            self.by_end.remove(&key(end));
        }
        self.by_owner.remove(&(entry.task.owner.clone(), entry.number));
        Some(entry)
    }
}

impl MemoryStore {
    fn tasks<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tasks, Instant) -> Result<T, StoreError>,
    ) -> StoreFuture<T> {
        let (mut tasks, now) = (lock(&self.tasks), Instant::now());
        tasks.sweep(now);
        Box::pin(ready(work(&mut tasks, now)))
    }
}

impl TaskStore for MemoryStore {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        self.tasks(|tasks, now| {
            if tasks.entries.contains_key(&task.id) {
                return Err(StoreError::new("there is a task of this id"));
            }
            tasks.newest += 1;
            tasks.put(task, tasks.newest, times, now);
            Ok(())
        })
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        self.tasks(|tasks, _| Ok(tasks.entries.get(id).map(|entry| entry.task.clone())))
    }

    fn replace(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<bool> {
        self.tasks(|tasks, now| {
            if tasks.entries.get(&task.id).is_none_or(|entry| entry.task.version + 1 != task.version) {
                return Ok(false);
            }
            let Entry { task: old, number, .. } = tasks.take(&task.id).expect("it is there");
            tasks.put(StoredTask { owner: old.owner, ..task }, number, times, now);
            Ok(true)
        })
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        self.tasks(|tasks, _| Ok(tasks.take(id).is_some()))
    }

    fn due(&self, limit: usize) -> StoreFuture<Vec<StoredTask>> {
        self.tasks(|tasks, now| {
            let due = tasks.by_due.iter().take_while(|(due, ..)| *due <= now).take(limit);
            Ok(due.map(|(_, _, id)| tasks.entries[id].task.clone()).collect())
        })
    }

    fn next_due(&self) -> StoreFuture<Option<Duration>> {
        self.tasks(|tasks, now| Ok(tasks.by_due.first().map(|(due, ..)| due.saturating_duration_since(now))))
    }

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<StoredTask>>> {
        self.tasks(|tasks, _| {
            let after = match after {
                None => 0,
                Some(id) => match tasks.entries.get(id).filter(|entry| entry.task.owner == owner) {
                    Some(entry) => entry.number,
                    None => return Ok(None),
                },
            };
            let range = (owner.to_owned(), after + 1)..=(owner.to_owned(), u64::MAX);
            let ids = tasks.by_owner.range(range).take(limit).map(|(_, id)| id);
            Ok(Some(ids.map(|id| tasks.entries[id].task.clone()).collect()))
        })
    }
}
