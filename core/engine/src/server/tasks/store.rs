//! Reading and writing records: by compare-and-swap, within a time limit.

use std::time::Duration;

use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::tasks::{Attention, Event, Next, Record, Refused, Summary};

use super::Tasks;
use crate::server::seal::now_ms;
use crate::store::{StoreError, StoreFuture, StoredTask, TaskSummary, TaskTimes};

/// How long a store may take for one thing.
pub(super) const STORE_LIMIT: Duration = Duration::from_secs(10);
/// The longest pause before a store that has failed is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How often a task is read again because somebody else was faster.
const TRIES: usize = 32;

/// A record at a version.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub version: u64,
    pub record: Record,
}

/// Why a task was not read or changed.
#[derive(Debug)]
pub(super) enum Failed {
    /// There is none of that id.
    Gone,
    /// The event changes nothing.
    Refused(Refused),
    /// The store has failed.
    Store(StoreError),
}

impl Failed {
    /// What a client is told.
    pub fn into_rpc(self, id: &str) -> RpcError {
        match self {
            Failed::Gone | Failed::Refused(_) => unknown(id),
            Failed::Store(error) => failed(&error),
        }
    }
}

/// There is no such task, or it is another's: the two look the same.
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

/// What a store is asked, within the time limit. Only on the background runtime.
pub(super) async fn limited<T>(asked: StoreFuture<T>) -> Result<T, StoreError> {
    match tokio::time::timeout(STORE_LIMIT, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(StoreError::new(format!("it did not answer within {} s", STORE_LIMIT.as_secs()))),
    }
}

impl Tasks {
    /// Write a new one.
    pub(super) async fn insert(&self, record: &Record) -> Result<(), StoreError> {
        // Counted by the store from here on: clocks of the processes that write to it later need not agree.
        let keep = record.terms.ttl.map(Duration::from_millis);
        let times = TaskTimes { due: self.due(Attention::Lease), keep };
        limited(self.store.insert_within(stored(record, 1), times, self.options.kept)).await
    }

    /// Read what lists and watches need of one.
    pub(super) async fn summary(&self, id: &str) -> Result<Summary, Failed> {
        let known = limited(self.store.summary(id)).await.map_err(Failed::Store)?;
        summary(known.ok_or(Failed::Gone)?)
    }

    /// Read one, with its arguments and its result.
    pub(super) async fn load(&self, id: &str) -> Result<Held, Failed> {
        let loaded = limited(self.store.load(id)).await.map_err(Failed::Store)?;
        held(loaded.ok_or(Failed::Gone)?)
    }

    /// Change one, beginning with what is known of it, if anything is.
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

/// A record of a store.
pub(super) fn held(stored: StoredTask) -> Result<Held, Failed> {
    let StoredTask { version, text, .. } = stored;
    match Record::from_text(&text) {
        Ok(record) => Ok(Held { version, record }),
        Err(error) => Err(Failed::Store(StoreError::new(error))),
    }
}

/// A summary of a store.
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
    /// Change one on behalf of its client: its run hears of it.
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

    /// Change one as it is here, or not at all: `None` if somebody else was faster.
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
