//! Tasks in memory: a table, and its indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::ready;
use std::time::{Duration, Instant};

use super::MemoryStore;
use crate::store::{
    DuePage, StoreError, StoreFuture, StoredTask, TaskQuota, TaskStore, TaskSummary, TaskTimes,
};
use crate::sync::lock;

/// About how many bytes a task takes besides its text.
const OVERHEAD: usize = 512;

pub struct Tasks {
    entries: HashMap<String, Entry>,
    by_owner: BTreeMap<(String, u64), String>,
    /// The tasks that are over.
    over: BTreeSet<(String, u64)>,
    /// The number of tasks of each owner, and the bytes of their texts.
    owners: HashMap<String, TaskQuota>,
    by_due: BTreeSet<(Instant, u64, String)>,
    by_end: BTreeSet<(Instant, u64, String)>,
    /// The origin of the stored times.
    begun: Instant,
    /// The number of the newest task.
    newest: u64,
    /// About how many bytes all tasks take, and may take.
    bytes: usize,
    most: usize,
}

impl Default for Tasks {
    fn default() -> Self {
        Tasks::limited(1 << 30)
    }
}

fn size(task: &StoredTask) -> usize {
    OVERHEAD + task.owner.len() + task.summary.len() + task.text.len()
}

/// Returns how many of its bytes count as its owner's.
fn texts(task: &StoredTask) -> u64 {
    (task.summary.len() + task.text.len()) as u64
}

fn summary(task: &StoredTask) -> TaskSummary {
    let StoredTask { id, version, owner, summary, text, .. } = task;
    let text = if summary.is_empty() { text } else { summary };
    TaskSummary { id: id.clone(), version: *version, owner: owner.clone(), text: text.clone() }
}

struct Entry {
    task: StoredTask,
    number: u64,
    due: Option<Instant>,
    end: Option<Instant>,
}

impl Tasks {
    pub(super) fn limited(most: usize) -> Tasks {
        Tasks {
            entries: HashMap::new(),
            by_owner: BTreeMap::new(),
            over: BTreeSet::new(),
            owners: HashMap::new(),
            by_due: BTreeSet::new(),
            by_end: BTreeSet::new(),
            begun: Instant::now(),
            newest: 0,
            bytes: 0,
            most,
        }
    }

    /// Removes expired tasks, so that none is found afterwards.
    fn sweep(&mut self, now: Instant) {
        while let Some((end, _, id)) = self.by_end.first() {
            if *end > now {
                return;
            }
            let id = id.clone();
            self.take(&id);
        }
    }

    fn put(&mut self, task: StoredTask, number: u64, due: Option<Instant>, end: Option<Instant>) {
        let key = |at: Instant| (at, number, task.id.clone());
        self.by_due.extend(due.map(key));
        self.by_end.extend(end.map(key));
        self.by_owner.insert((task.owner.clone(), number), task.id.clone());
        if task.over {
            self.over.insert((task.owner.clone(), number));
        }
        let kept = self.owners.entry(task.owner.clone()).or_insert(TaskQuota { tasks: 0, bytes: 0 });
        kept.tasks += 1;
        kept.bytes += texts(&task);
        self.bytes += size(&task);
        self.entries.insert(task.id.clone(), Entry { task, number, due, end });
    }

    fn take(&mut self, id: &str) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        self.bytes -= size(&entry.task);
        let key = |at: Instant| (at, entry.number, id.to_owned());
        if let Some(due) = entry.due {
            self.by_due.remove(&key(due));
        }
        if let Some(end) = entry.end {
            self.by_end.remove(&key(end));
        }
        let place = (entry.task.owner.clone(), entry.number);
        self.by_owner.remove(&place);
        self.over.remove(&place);
        if let Some(kept) = self.owners.get_mut(&entry.task.owner) {
            kept.tasks -= 1;
            kept.bytes -= texts(&entry.task);
            if kept.tasks == 0 {
                self.owners.remove(&entry.task.owner);
            }
        }
        Some(entry)
    }

    /// Returns the tasks to remove for another task of the owner with so many bytes, and whether there is
    /// room then.
    fn room(&self, owner: &str, bytes: u64, quota: TaskQuota) -> (Vec<String>, bool) {
        let mut kept = self.owners.get(owner).copied().unwrap_or(TaskQuota { tasks: 0, bytes: 0 });
        let fits =
            |kept: TaskQuota| kept.tasks < quota.tasks && kept.bytes.saturating_add(bytes) <= quota.bytes;
        let mut forgotten = Vec::new();
        let mut over = self.over.range((owner.to_owned(), 0)..=(owner.to_owned(), u64::MAX));
        while !fits(kept) {
            let Some(place) = over.next() else { return (forgotten, false) };
            let id = &self.by_owner[place];
            kept.tasks -= 1;
            kept.bytes -= texts(&self.entries[id].task);
            forgotten.push(id.clone());
        }
        (forgotten, true)
    }
}

/// Returns the end of a time. Out of range means "never".
fn after(time: Option<Duration>, now: Instant) -> Option<Instant> {
    time.and_then(|time| now.checked_add(time))
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
        self.insert_within(task, times, TaskQuota::NONE)
    }

    fn insert_within(&self, task: StoredTask, times: TaskTimes, quota: TaskQuota) -> StoreFuture<()> {
        self.tasks(|tasks, now| {
            if tasks.entries.contains_key(&task.id) {
                return Err(StoreError::new("there is a task of this id"));
            }
            let (forgotten, fits) = tasks.room(&task.owner, texts(&task), quota);
            if !fits {
                return Err(quota.exceeded());
            }
            let freed: usize = forgotten.iter().map(|id| size(&tasks.entries[id].task)).sum();
            // An existing task may grow: a task that was begun can be finished.
            if (tasks.bytes - freed).saturating_add(size(&task)) > tasks.most {
                return Err(StoreError::full(format!("the tasks in memory take {} bytes", tasks.bytes)));
            }
            for id in forgotten {
                tasks.take(&id);
            }
            tasks.newest += 1;
            tasks.put(task, tasks.newest, after(times.due, now), after(times.keep, now));
            Ok(())
        })
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        self.tasks(|tasks, _| Ok(tasks.entries.get(id).map(|entry| entry.task.clone())))
    }

    fn summary(&self, id: &str) -> StoreFuture<Option<TaskSummary>> {
        self.tasks(|tasks, _| Ok(tasks.entries.get(id).map(|entry| summary(&entry.task))))
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        self.replace_within(task, due, TaskQuota::NONE)
    }

    fn replace_within(&self, task: StoredTask, due: Option<Duration>, quota: TaskQuota) -> StoreFuture<bool> {
        self.tasks(|tasks, now| {
            if tasks.entries.get(&task.id).is_none_or(|entry| entry.task.version + 1 != task.version) {
                return Ok(false);
            }
            let Entry { task: old, number, end, .. } = tasks.take(&task.id).expect("it is there");
            if task.over {
                for id in tasks.room(&old.owner, texts(&task), quota).0 {
                    tasks.take(&id);
                }
            }
            tasks.put(StoredTask { owner: old.owner, ..task }, number, after(due, now), end);
            Ok(true)
        })
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        self.tasks(|tasks, _| Ok(tasks.take(id).is_some()))
    }

    fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage> {
        self.tasks(|tasks, now| {
            let (at, number) = match after {
                None => (0, 0),
                Some(place) => place
                    .split_once(':')
                    .and_then(|(at, number)| Some((at.parse().ok()?, number.parse::<u64>().ok()?)))
                    .ok_or_else(|| StoreError::new("no page of due tasks begins there"))?,
            };
            let at = tasks.begun + Duration::from_nanos(at);
            // No id is less than the empty one: the number alone separates them.
            let mut due = tasks.by_due.range((at, number + u64::from(after.is_some()), String::new())..);
            let page: Vec<_> = due.by_ref().take_while(|(due, ..)| *due <= now).take(limit).collect();
            let more = due.next().is_some_and(|(due, ..)| *due <= now);
            let next = page.last().filter(|_| more).map(|(due, number, _)| {
                format!("{}:{number}", due.saturating_duration_since(tasks.begun).as_nanos())
            });
            let tasks = page.iter().map(|(_, _, id)| summary(&tasks.entries[id].task)).collect();
            Ok(DuePage { tasks, next })
        })
    }

    fn next_due(&self) -> StoreFuture<Option<Duration>> {
        self.tasks(|tasks, now| Ok(tasks.by_due.first().map(|(due, ..)| due.saturating_duration_since(now))))
    }

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<TaskSummary>>> {
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
            Ok(Some(ids.map(|id| summary(&tasks.entries[id].task)).collect()))
        })
    }
}
