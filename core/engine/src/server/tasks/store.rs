//! Reads and writes of records: by compare-and-swap, within a time limit.

use std::time::Duration;

use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::tasks::{Attention, Event, Next, Record, Refused, Summary};

use super::Tasks;
use crate::random::now_ms;
use crate::store::{StoreError, StoreFuture, StoredTask, TaskSummary, TaskTimes};

/// The time limit for one operation of a store.
pub(super) const STORE_LIMIT: Duration = Duration::from_secs(10);
/// The longest pause before a failed operation of a store is retried.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// The number of times that a task is read again after another writer was first.
const TRIES: usize = 32;

/// A record at a version.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub version: u64,
    pub record: Record,
}

/// The reasons why a task was not read or changed.
#[derive(Debug)]
pub(super) enum Failed {
    /// There is no task of that id.
    Gone,
    /// The event changes nothing.
    Refused(Refused),
    /// The store has failed.
    Store(StoreError),
}

impl Failed {
    /// Returns the error for a client.
    pub fn into_rpc(self, id: &str) -> RpcError {
        match self {
            Failed::Gone | Failed::Refused(_) => unknown(id),
            Failed::Store(error) => failed(&error),
        }
    }
}

/// Returns the error for a task that is unknown or belongs to another owner: the two are indistinguishable.
pub(super) fn unknown(id: &str) -> RpcError {
    let shown: String = id.chars().take(64).collect();
    RpcError::new(ErrorKind::InvalidParams, format!("Task not found: {shown}"))
}

pub(super) fn report(error: &StoreError) {
    tracing::error!(%error, "the store of tasks has failed");
}

pub(super) fn failed(error: &StoreError) -> RpcError {
    report(error);
    RpcError::new(ErrorKind::InternalError, "the server's store of tasks has failed")
}

/// Waits for an operation of a store, within the time limit. Only on the background runtime.
pub(super) async fn limited<T>(asked: StoreFuture<T>) -> Result<T, StoreError> {
    match tokio::time::timeout(STORE_LIMIT, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(StoreError::new(format!("it did not answer within {} s", STORE_LIMIT.as_secs()))),
    }
}

impl Tasks {
    /// Writes a new task.
    pub(super) async fn insert(&self, record: &Record) -> Result<(), StoreError> {
        // The store measures it from here on: clocks of the processes that write to it later need not agree.
        let keep = record.terms.ttl.map(Duration::from_millis);
        let times = TaskTimes { due: self.due(Attention::Lease), keep };
        limited(self.store.insert_within(stored(record, 1), times, self.options.kept)).await
    }

    /// Reads the summary of a task, which suffices for lists and watches.
    pub(super) async fn summary(&self, id: &str) -> Result<Summary, Failed> {
        let known = limited(self.store.summary(id)).await.map_err(Failed::Store)?;
        summary(known.ok_or(Failed::Gone)?)
    }

    /// Reads a task, with its arguments and its result.
    pub(super) async fn load(&self, id: &str) -> Result<Held, Failed> {
        let loaded = limited(self.store.load(id)).await.map_err(Failed::Store)?;
        held(loaded.ok_or(Failed::Gone)?)
    }

    /// Changes a task, beginning with the known version, if there is one.
    pub(super) async fn change(
        &self,
        id: &str,
        mut known: Option<Held>,
        event: Event<'_>,
    ) -> Result<Held, Failed> {
        for _ in 0..TRIES {
            let held = match known.take() {
                Some(held) => held,
                None => self.load(id).await?,
            };
            if let Some(held) = self.change_once(held, event.clone()).await? {
                return Ok(held);
            }
        }
        Err(Failed::Store(StoreError::new(format!(
            "the task {id} changed {TRIES} times while it was changed"
        ))))
    }

    fn due(&self, attention: Attention) -> Option<Duration> {
        match attention {
            Attention::None => None,
            Attention::Lease => Some(self.options.lease),
            Attention::Now => Some(Duration::ZERO),
        }
    }
}

/// Parses a stored record.
pub(super) fn held(stored: StoredTask) -> Result<Held, Failed> {
    let StoredTask { version, text, .. } = stored;
    match Record::from_text(&text) {
        Ok(record) => Ok(Held { version, record }),
        Err(error) => Err(Failed::Store(StoreError::new(error))),
    }
}

/// Parses a stored summary.
pub(super) fn summary(stored: TaskSummary) -> Result<Summary, Failed> {
    let TaskSummary { id, owner, text, .. } = stored;
    Summary::from_text(id, owner, &text).map_err(|error| Failed::Store(StoreError::new(error)))
}

fn stored(record: &Record, version: u64) -> StoredTask {
    StoredTask {
        id: record.id.clone(),
        version,
        owner: record.owner.clone(),
        over: record.status.is_over(),
        summary: record.summary().to_text(),
        text: record.to_text(),
    }
}

impl Tasks {
    /// Changes a task on behalf of its client, and signals its run.
    pub(super) async fn change_for_client(
        &self,
        id: &str,
        known: Option<Held>,
        event: Event<'_>,
    ) -> Result<Held, Failed> {
        let changed = self.change(id, known, event).await;
        if changed.is_ok() {
            self.signal(id);
        }
        changed
    }

    /// Changes a task at the given version only: `None` if another writer was first.
    pub(super) async fn change_once(&self, held: Held, event: Event<'_>) -> Result<Option<Held>, Failed> {
        let Next { record, visible, attention } =
            held.record.after(event, now_ms()).map_err(Failed::Refused)?;
        let version = held.version + 1;
        let (stored, due) = (stored(&record, version), self.due(attention));
        let done = limited(self.store.replace_within(stored, due, self.options.kept)).await;
        if !done.map_err(Failed::Store)? {
            return Ok(None);
        }
        let due = attention == Attention::Now;
        if visible || due {
            self.changed(&record, due);
        }
        Ok(Some(Held { version, record }))
    }
}
