//! Tasks in the server.

use std::future::ready;
use std::time::Duration;

use super::{RedisStore, bytes, millis, number};
use crate::store::{
    DuePage, StoreError, StoreFuture, StoredTask, TaskQuota, TaskStore, TaskSummary, TaskTimes,
};

/// Id, version, owner and summary.
type Row = (String, u64, String, String);

impl RedisStore {
    /// Returns the keys of the task, and of the indexes of all tasks.
    fn task(&self, id: &str) -> Vec<Vec<u8>> {
        vec![self.key("t", id), self.keys("due"), self.keys("end")]
    }

    /// Returns a version of a task and the quota of its owner, as arguments of the scripts.
    fn version(&self, task: StoredTask, due: Option<Duration>, quota: TaskQuota) -> Vec<Vec<u8>> {
        let StoredTask { id, version, over, summary, text, .. } = task;
        let over = number(u8::from(over));
        let [tasks, most] = [quota.tasks, quota.bytes].map(|most| match most {
            u64::MAX => Vec::new(),
            most => number(most),
        });
        let (due, prefix) = (written(due), bytes(&self.server.prefix));
        let texts = [text.into_bytes(), due, over, summary.into_bytes()];
        [id.into_bytes(), number(version)].into_iter().chain(texts).chain([prefix, tasks, most]).collect()
    }
}

impl TaskStore for RedisStore {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        self.insert_within(task, times, TaskQuota::NONE)
    }

    fn insert_within(&self, task: StoredTask, times: TaskTimes, quota: TaskQuota) -> StoreFuture<()> {
        let mut keys = self.task(&task.id);
        keys.extend([self.key("o", &task.owner), self.keys("n")]);
        let owner = bytes(&task.owner);
        let mut arguments = self.version(task, times.due, quota);
        arguments.extend([owner, written(times.keep)]);
        self.eval(
            |scripts| &scripts.insert,
            keys,
            arguments,
            move |made: u64| match made {
                1 => Ok(()),
                2 => Err(quota.exceeded()),
                _ => Err(StoreError::new("there is a task of this id")),
            },
        )
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        type Known =
            (Option<u64>, Option<String>, Option<String>, Option<String>, Option<String>, Option<u64>);
        let (key, id) = (self.key("t", id), id.to_owned());
        self.eval(
            |scripts| &scripts.load_task,
            vec![key],
            Vec::new(),
            |(version, owner, text, over, summary, summarized): Known| {
                let (Some(version), Some(owner), Some(text)) = (version, owner, text) else {
                    return Ok(None);
                };
                let is_new = summarized == Some(version);
                let over = is_new && over.as_deref() == Some("1");
                let summary = summary.filter(|_| is_new).unwrap_or_default();
                Ok(Some(StoredTask { id, version, owner, over, summary, text }))
            },
        )
    }

    fn summary(&self, id: &str) -> StoreFuture<Option<TaskSummary>> {
        let (key, id) = (self.key("t", id), id.to_owned());
        self.eval(
            |scripts| &scripts.load_summary,
            vec![key],
            Vec::new(),
            |known: Option<(u64, String, String)>| {
                Ok(known.map(|(version, owner, text)| TaskSummary { id, version, owner, text }))
            },
        )
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        self.replace_within(task, due, TaskQuota::NONE)
    }

    fn replace_within(&self, task: StoredTask, due: Option<Duration>, quota: TaskQuota) -> StoreFuture<bool> {
        let keys = self.task(&task.id)[..2].to_vec();
        let arguments = self.version(task, due, quota);
        self.eval(|scripts| &scripts.replace, keys, arguments, Ok)
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let arguments = vec![bytes(id), bytes(&self.server.prefix)];
        self.eval(|scripts| &scripts.remove, vec![self.key("t", id)], arguments, Ok)
    }

    fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage> {
        let mut arguments = vec![self.keys("t"), number(limit)];
        if let Some(place) = after {
            let Some((due, id)) = place.split_once(':').filter(|(due, _)| due.parse::<f64>().is_ok()) else {
                return Box::pin(ready(Err(StoreError::new("no page of due tasks begins there"))));
            };
            arguments.extend([bytes(due), bytes(id)]);
        }
        self.eval(
            |scripts| &scripts.due,
            vec![self.keys("due")],
            arguments,
            |(rows, last): (Vec<Row>, Vec<String>)| {
                Ok(DuePage { tasks: summaries(rows), next: (!last.is_empty()).then(|| last.join(":")) })
            },
        )
    }

    fn next_due(&self) -> StoreFuture<Option<Duration>> {
        // Less than zero: none will be due.
        self.eval(
            |scripts| &scripts.next_due,
            vec![self.keys("due")],
            vec![self.keys("t")],
            |due: i64| Ok(u64::try_from(due).ok().map(Duration::from_millis)),
        )
    }

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<TaskSummary>>> {
        let mut arguments = vec![self.keys("t"), number(limit)];
        arguments.extend(after.map(bytes));
        self.eval(
            |scripts| &scripts.list,
            vec![self.key("o", owner)],
            arguments,
            |rows: Option<Vec<Row>>| Ok(rows.map(summaries)),
        )
    }
}

fn written(time: Option<Duration>) -> Vec<u8> {
    time.map(millis).unwrap_or_default()
}

fn summaries(rows: Vec<Row>) -> Vec<TaskSummary> {
    let summary = |(id, version, owner, text)| TaskSummary { id, version, owner, text };
    rows.into_iter().map(summary).collect()
}
