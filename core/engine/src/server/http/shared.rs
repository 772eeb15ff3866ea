//! Sessions that several processes serve: their stored state, and the messages between the processes.

use std::sync::Arc;
use std::time::Duration;

use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::server::Session as Facts;

use super::log::StreamLog;
use crate::driver::Driver;
use crate::random::random;
use crate::server::notices::{Line, News};
use crate::store::{Append, EventStore, Replay, SessionStore, StoreError, StreamKey};

/// Streams, and questions, that one process can number in one session.
const NUMBERS: u64 = 1 << 24;
/// Maximum number of attempts when several processes change one session at the same time.
const MAX_TRIES: usize = 16;

/// The stores that several processes share.
#[derive(Clone, Default)]
pub struct Stores {
    /// The sessions of legacy clients; `None`: in this process.
    pub sessions: Option<Arc<dyn SessionStore>>,
    /// The events of their streams; `None`: in this process.
    pub events: Option<Arc<dyn EventStore>>,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stores { sessions, events } = self;
        f.debug_struct("Stores")
            .field("sessions", &sessions.is_some())
            .field("events", &events.is_some())
            .finish()
    }
}

/// The sessions of one endpoint that has a store.
pub(super) struct Shared {
    pub sessions: Arc<dyn SessionStore>,
    pub events: Option<Arc<dyn EventStore>>,
    pub line: Arc<Line>,
    pub driver: Driver,
    /// The lifetime of a record after its last use.
    pub keep: Duration,
}

/// Returns the first number of one process in one session, distinct from that of other processes. Below 2^52,
/// which JavaScript can represent.
pub(super) fn first_number() -> u64 {
    (u64::from(u32::from_be_bytes(random())) >> 4) * NUMBERS
}

/// Returns true if a stream, of any process, is the one that belongs to no request.
pub(super) fn is_standing(stream: u64) -> bool {
    stream.is_multiple_of(NUMBERS)
}

/// A store has failed, for the log: its own words may name hosts and users.
pub(super) fn report(what: &'static str, error: &StoreError) {
    tracing::warn!(%error, store = what, "a store has failed");
}

/// The same, and what to tell the client.
pub(super) fn failed(what: &'static str, error: &StoreError) -> RpcError {
    report(what, error);
    RpcError::new(ErrorKind::InternalError, format!("the store of {what} has failed; try again"))
}

impl Shared {
    /// Change what is kept of a session, whoever else does: the version that now is, and what `change` made
    /// of it. `None`: the session is gone.
    pub async fn change<T>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut Facts) -> Result<T, RpcError>,
    ) -> Result<Option<(u64, Facts, T)>, RpcError> {
        for _ in 0..MAX_TRIES {
            let Some((version, mut facts)) = self.load(id).await? else { return Ok(None) };
            let done = change(&mut facts)?;
            let text = facts.to_record();
            let replaced = self.sessions.replace(id, version, &text).await;
            if replaced.map_err(|error| failed("sessions", &error))? {
                self.line.tell(id, News::Changed { version: version + 1, text });
                return Ok(Some((version + 1, facts, done)));
            }
        }
        Err(RpcError::new(ErrorKind::InternalError, "the session is changed all the time; try again"))
    }

    /// Returns the stored state of a session; `None` if it was removed.
    pub async fn load(&self, id: &str) -> Result<Option<(u64, Facts)>, RpcError> {
        let record = self.sessions.load(id).await.map_err(|error| failed("sessions", &error))?;
        let Some(record) = record else { return Ok(None) };
        match Facts::from_record(&record.text) {
            Some(facts) => Ok(Some((record.version, facts))),
            None => Err(failed("sessions", &StoreError::new("a record cannot be read"))),
        }
    }

    /// Forget the events of one stream of a session, or all of them, in a task of its own.
    pub fn forget_events(&self, session: &str, stream: Option<u64>) {
        let Some(events) = &self.events else { return };
        let forgotten = events.remove(session, stream);
        self.driver.spawn(async move {
            if let Err(error) = forgotten.await {
                report("events", &error);
            }
        });
    }
}

/// The store for the events of one stream, which any process can read.
pub(super) struct Backing {
    pub shared: Arc<Shared>,
    pub events: Arc<dyn EventStore>,
    pub key: StreamKey,
}

impl Backing {
    pub fn of(shared: Option<&Arc<Shared>>, session: &str, stream: u64) -> Option<Backing> {
        let shared = shared?.clone();
        let events = shared.events.clone()?;
        Some(Backing { shared, events, key: StreamKey { session: session.to_owned(), stream } })
    }

    pub async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.events.append(&self.key, append).await
    }

    pub async fn read(&self, after: u64) -> Result<Option<Replay>, RpcError> {
        self.events.read(&self.key, after).await.map_err(|error| failed("events", &error))
    }

    /// Tell the other processes something of the stream.
    pub fn tell(&self, news: impl FnOnce(u64) -> News) {
        self.shared.line.tell(&self.key.session, news(self.key.stream));
    }

    /// Bring what is new in a log to the store, until there is nothing new.
    pub async fn write(&self, log: &StreamLog) {
        while let Some(append) = log.take_unstored(self.shared.keep) {
            let (newest, over) = (append.events.last().map(|event| event.number), append.over);
            let stored = self.append(append).await;
            if let Err(error) = &stored {
                report("events", error);
            }
            if !log.stored(stored.is_ok(), newest, over) {
                return;
            }
            self.tell(|stream| News::Appended { stream });
        }
    }
}
