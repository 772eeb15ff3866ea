//! Where tasks are kept.

use std::time::Duration;

use super::{StoreError, StoreFuture};

/// A task as a store keeps it: what it is found by, and texts that only the engine reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredTask {
    /// Unguessable, at most 64 bytes of ASCII, never used twice.
    pub id: String,
    /// Grows by one with every [`TaskStore::replace`]; a new task has 1.
    pub version: u64,
    /// Whose it is, for [`TaskStore::list`]; empty: nobody's in particular. It does not change.
    pub owner: String,
    /// Nothing about it will change any more.
    pub over: bool,
    /// JSON: what lists and watches need of the text. A few hundred bytes, 8 KiB at most.
    pub summary: String,
    /// JSON. A few hundred bytes, the arguments, and what the handler has stored, answered and been answered.
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
    /// The task's summary as it was written, or its whole text where none was.
    pub text: String,
}

impl From<StoredTask> for TaskSummary {
    fn from(task: StoredTask) -> TaskSummary {
        let StoredTask { id, version, owner, summary, text, .. } = task;
        TaskSummary { id, version, owner, text: if summary.is_empty() { text } else { summary } }
    }
}

/// How much is kept of the tasks of one owner, those that are over included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskQuota {
    /// Most tasks.
    pub tasks: u64,
    /// Most bytes of their texts and summaries.
    pub bytes: u64,
}

impl TaskQuota {
    /// Any number.
    pub const NONE: TaskQuota = TaskQuota { tasks: u64::MAX, bytes: u64::MAX };

    /// Why a task is refused.
    pub(super) fn exceeded(self) -> StoreError {
        let TaskQuota { tasks, bytes } = self;
        StoreError::full(format!(
            "{tasks} tasks, or tasks of {bytes} bytes, are kept of its owner and too few are over"
        ))
    }
}

/// Some of the tasks that are due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DuePage {
    /// Those that have been due for longest first.
    pub tasks: Vec<TaskSummary>,
    /// Where the next page begins, for [`TaskStore::due`]; `None`: this was the last.
    pub next: Option<String>,
}

/// What a new task's times are. They are measured by the store's own clock from the write on, so that processes whose clocks
/// differ agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTimes {
    /// After how long somebody is to look after it ([`TaskStore::due`]): when the lease of its worker has run out. `None`: never,
    /// for it is over, or waits for its client.
    pub due: Option<Duration>,
    /// For how long it is kept, whatever is written later; `None`: for ever.
    pub keep: Option<Duration>,
}

/// Keeps tasks, so that they outlive a process and are worked on by any.
///
/// A store decides nothing: the engine reads a task, makes its next state, and has it written only if nobody else was faster. That
/// is what fences off a worker whose lease has run out. What a future has resolved to has been made durable, as far as the store
/// can: a client is told the id of a task only after [`TaskStore::insert`].
pub trait TaskStore: Send + Sync + 'static {
    /// Keep a new task. Fails if its id is taken.
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()>;

    /// [`TaskStore::insert`] where the owner has only so much room. What is too much is made room for at once, in the same
    /// transaction: those of the owner's tasks that are [over](StoredTask::over) are forgotten, the oldest first. Others are not:
    /// where they leave no room, the new one is refused with [`StoreError::full`](super::StoreError::full) and nothing is
    /// forgotten. The default limits nothing.
    fn insert_within(&self, task: StoredTask, times: TaskTimes, quota: TaskQuota) -> StoreFuture<()> {
        let _ = quota;
        self.insert(task, times)
    }

    /// [`TaskStore::replace`] where the owner has only so much room: if the task is over with this version, and its owner has
    /// too much then, others that are over are forgotten, the oldest first. It is written in any case. The default limits
    /// nothing.
    fn replace_within(&self, task: StoredTask, due: Option<Duration>, quota: TaskQuota) -> StoreFuture<bool> {
        let _ = quota;
        self.replace(task, due)
    }

    /// Look one up; `None`: there is none, or it is not kept any more.
    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>>;

    /// Look one up without reading its text. The default reads it.
    fn summary(&self, id: &str) -> StoreFuture<Option<TaskSummary>> {
        let loaded = self.load(id);
        Box::pin(async move { Ok(loaded.await?.map(TaskSummary::from)) })
    }

    /// Write the next version of a task: `task.version` is one more than the one that is there. `due` counts anew from this
    /// write on, as [`TaskTimes::due`] does from the first; how long it is kept does not change. False: it is at another
    /// version, or gone; nothing has changed then.
    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool>;

    /// Forget one. False: it was gone.
    fn remove(&self, id: &str) -> StoreFuture<bool>;

    /// Tasks that are due, those first that have been for longest, `limit` at most, without reading their texts. `after`: where
    /// the page before said that this one begins; a task that is due all the time is met once on the way to the last page.
    /// Which of several processes looks after one is decided by [`TaskStore::replace`].
    fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage>;

    /// After how long the next task will be due, if none is now; zero: one is. `None`: none will be.
    fn next_due(&self) -> StoreFuture<Option<Duration>>;

    /// The tasks of one owner in the order of their creation, after the one with the id `after` if that is given (which may be
    /// gone meanwhile: `None` is the answer then), `limit` at most, without reading their texts.
    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<TaskSummary>>>;
}
