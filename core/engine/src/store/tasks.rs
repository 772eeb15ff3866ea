//! The store of tasks.

use std::time::Duration;

use super::{StoreError, StoreFuture};

/// A task as a store holds it: its indexed members, and texts that only the engine reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredTask {
    /// Unguessable, at most 64 bytes of ASCII, never used twice.
    pub id: String,
    /// Grows by one with every [`TaskStore::replace`]; a new task has 1.
    pub version: u64,
    /// The owner, for [`TaskStore::list`]; empty: no owner in particular. It does not change.
    pub owner: String,
    /// True if the task will not change any longer.
    pub over: bool,
    /// JSON: the part of the text that lists and watches need. A few hundred bytes, 8 KiB at most.
    pub summary: String,
    /// JSON. A few hundred bytes, the arguments, the values and the answer of the handler, and the client's
    /// answers to it.
    pub text: String,
}

/// A task without its arguments and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSummary {
    /// As in [`StoredTask`].
    pub id: String,
    /// As in [`StoredTask`].
    pub version: u64,
    /// As in [`StoredTask`].
    pub owner: String,
    /// The task's summary as it was written, or its whole text if none was.
    pub text: String,
}

impl From<StoredTask> for TaskSummary {
    fn from(task: StoredTask) -> TaskSummary {
        let StoredTask { id, version, owner, summary, text, .. } = task;
        TaskSummary { id, version, owner, text: if summary.is_empty() { text } else { summary } }
    }
}

/// The limit for the stored tasks of one owner, those that are over included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskQuota {
    /// Most tasks.
    pub tasks: u64,
    /// Most bytes of their texts and summaries.
    pub bytes: u64,
}

impl TaskQuota {
    /// No limit.
    pub const NONE: TaskQuota = TaskQuota { tasks: u64::MAX, bytes: u64::MAX };

    /// Returns the error for a task that exceeds the quota.
    pub(super) fn exceeded(self) -> StoreError {
        let TaskQuota { tasks, bytes } = self;
        StoreError::full(format!(
            "{tasks} tasks, or tasks of {bytes} bytes, are kept of its owner and too few are over"
        ))
    }
}

/// A page of the tasks that are due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DuePage {
    /// The tasks; those that have been due for longest come first.
    pub tasks: Vec<TaskSummary>,
    /// The beginning of the next page, for [`TaskStore::due`]; `None`: this was the last.
    pub next: Option<String>,
}

/// The times of a new task. The store's own clock measures them from the write on, so that processes whose
/// clocks differ agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTimes {
    /// The time after which a process is to look after it ([`TaskStore::due`]): when the lease of its worker
    /// has run out. `None`: never, for it is over, or waits for its client.
    pub due: Option<Duration>,
    /// The time for which it is stored, independent of later writes; `None`: without limit.
    pub keep: Option<Duration>,
}

/// A store of tasks, so that they outlive a process and any process can work on them.
///
/// A store decides nothing: the engine reads a task, computes its next state, and has it written only if no
/// other writer was first. That fences off a worker whose lease has run out. A change is durable when its
/// future has resolved, as far as the store can make it so: a client receives the id of a task only after
/// [`TaskStore::insert`].
pub trait TaskStore: Send + Sync + 'static {
    /// Stores a new task. Fails if its id exists already.
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()>;

    /// Stores a new task as [`TaskStore::insert`] does, within the quota of its owner. Room for it is made in
    /// the same transaction: the oldest of the owner's tasks that are [over](StoredTask::over) are removed.
    /// Others are not: if they leave no room, the new one is refused with
    /// [`StoreError::full`](super::StoreError::full) and nothing is removed. The default limits nothing.
    fn insert_within(&self, task: StoredTask, times: TaskTimes, quota: TaskQuota) -> StoreFuture<()> {
        let _ = quota;
        self.insert(task, times)
    }

    /// Replaces a task as [`TaskStore::replace`] does, within the quota of its owner: if the task is over
    /// with this version, and its owner then exceeds the quota, the oldest others that are over are removed.
    /// It is written in any case. The default limits nothing.
    fn replace_within(&self, task: StoredTask, due: Option<Duration>, quota: TaskQuota) -> StoreFuture<bool> {
        let _ = quota;
        self.replace(task, due)
    }

    /// Reads a task; `None`: there is none, or it has expired.
    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>>;

    /// Reads a task without its text. The default reads the text.
    fn summary(&self, id: &str) -> StoreFuture<Option<TaskSummary>> {
        let loaded = self.load(id);
        Box::pin(async move { Ok(loaded.await?.map(TaskSummary::from)) })
    }

    /// Writes the next version of a task: `task.version` is one more than the stored one. `due` counts anew
    /// from this write on, as [`TaskTimes::due`] does from the first; the time for which it is stored does
    /// not change. False: it is at another version, or was removed; nothing has changed then.
    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool>;

    /// Removes a task. False: it was removed before.
    fn remove(&self, id: &str) -> StoreFuture<bool>;

    /// Returns tasks that are due, those that have been due for longest first, `limit` at most, without
    /// reading their texts. `after`: the beginning of this page, from the previous page; a task that is due
    /// all the time appears once on the way to the last page. [`TaskStore::replace`] decides which of several
    /// processes looks after a task.
    fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage>;

    /// Returns the time after which the next task will be due, if none is now; zero: one is. `None`: none
    /// will be.
    fn next_due(&self) -> StoreFuture<Option<Duration>>;

    /// Returns the tasks of one owner in the order of their creation, after the one with the id `after` if
    /// that is given (it may have been removed meanwhile: the result is `None` then), `limit` at most,
    /// without reading their texts.
    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<TaskSummary>>>;
}
