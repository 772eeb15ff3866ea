//! Tasks in the server.

use std::time::Duration;

use super::{RedisStore, bytes, millis, number};
use crate::store::{StoreError, StoreFuture, StoredTask, TaskStore, TaskTimes};

/// Id, version, owner and text.
type Row = (String, u64, String, String);

impl RedisStore {
    /// The task, and the indexes of all tasks.
    fn task(&self, id: &str) -> Vec<Vec<u8>> {
        vec![self.key("t", id), self.keys("due"), self.keys("end")]
    }
}

impl TaskStore for RedisStore {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        let mut keys = self.task(&task.id);
        keys.extend([self.key("o", &task.owner), self.keys("n")]);
        let StoredTask { id, version, owner, text } = task;
        let [due, keep] = [times.due, times.keep].map(written);
        let arguments =
            vec![id.into_bytes(), number(version), owner.into_bytes(), text.into_bytes(), due, keep];
        self.eval(
            |scripts| &scripts.insert,
            keys,
            arguments,
            |made: bool| {
                if made { Ok(()) } else { Err(StoreError::new("there is a task of this id")) }
            },
        )
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        type Known = (Option<u64>, Option<String>, Option<String>);
        let (key, id) = (self.key("t", id), id.to_owned());
        self.eval(
            |scripts| &scripts.load_task,
            vec![key],
            Vec::new(),
            |(version, owner, text): Known| {
                let (Some(version), Some(owner), Some(text)) = (version, owner, text) else {
                    return Ok(None);
                };
                Ok(Some(StoredTask { id, version, owner, text }))
            },
        )
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        let keys = self.task(&task.id)[..2].to_vec();
        let arguments =
            vec![task.id.into_bytes(), number(task.version), task.text.into_bytes(), written(due)];
        self.eval(|scripts| &scripts.replace, keys, arguments, Ok)
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        self.eval(|scripts| &scripts.remove, self.task(id), vec![bytes(id), self.keys("o")], Ok)
    }

    fn due(&self, limit: usize) -> StoreFuture<Vec<StoredTask>> {
        let arguments = vec![self.keys("t"), number(limit)];
        self.eval(
            |scripts| &scripts.due,
            vec![self.keys("due")],
            arguments,
            |rows: Vec<Row>| Ok(stored(rows)),
        )
    }

    fn next_due(&self) -> StoreFuture<Option<Duration>> {
        // Less than zero: none will be.
        self.eval(
            |scripts| &scripts.next_due,
            vec![self.keys("due")],
            vec![self.keys("t")],
            |due: i64| Ok(u64::try_from(due).ok().map(Duration::from_millis)),
        )
    }

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<StoredTask>>> {
        let mut arguments = vec![self.keys("t"), number(limit)];
        arguments.extend(after.map(bytes));
        self.eval(
            |scripts| &scripts.list,
            vec![self.key("o", owner)],
            arguments,
            |rows: Option<Vec<Row>>| Ok(rows.map(stored)),
        )
    }
}

fn written(time: Option<Duration>) -> Vec<u8> {
    time.map(millis).unwrap_or_default()
}

fn stored(rows: Vec<Row>) -> Vec<StoredTask> {
    let stored = |(id, version, owner, text)| StoredTask { id, version, owner, text };
    rows.into_iter().map(stored).collect()
}
