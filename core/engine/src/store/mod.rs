//! What outlives a process, and what several processes share: the sessions of legacy clients over HTTP, the events of their
//! streams, and the bus on which processes tell each other what has changed.
//!
//! By default a server needs none of it: sessions live in the process that opened them, and changes are heard in the process
//! where they happen. With a [`SessionStore`] and a [`Bus`] any process answers any request of a session, with an
//! [`EventStore`] a client comes back to its streams at any process. Modern clients have no sessions; a bus carries the
//! changes that they listen for.
//!
//! ```
//! use std::sync::Arc;
//! use trunnion::Server;
//! use trunnion::store::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), trunnion::Error> {
//! // In a real program these are two processes, and the store is a database that both reach.
//! let store = Arc::new(MemoryStore::default());
//! for _ in 0..2 {
//!     let server = Server::builder("notes", "1.0.0").bus(store.clone()).build()?;
//!     let http = server.http().session_store(store.clone()).event_store(store.clone());
//!     let listening = http.bind("127.0.0.1:0").await?;
//! #   listening.close().await;
//! }
//! # Ok(()) }
//! ```
//!
//! All methods take what they need by value or copy it before they return: a future of a store does not borrow. The engine
//! polls these futures wherever it runs, so a store that needs a runtime of its own brings it along. Only servers that trust
//! each other share a store or a bus: who can write to it can speak in the name of any client.

#[cfg(any(feature = "postgres", feature = "redis"))]
mod address;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod background;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
mod credentials;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod hub;
mod memory;
mod open;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tasks;

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::time::Duration;

#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
use bytes::Bytes;
pub use memory::MemoryStore;
pub(crate) use open::open_now;
pub use open::{Stores, open};
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use tasks::{DuePage, StoredTask, TaskQuota, TaskStore, TaskSummary, TaskTimes};

/// What a store will have done, or why it could not.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A store could not do what it was asked. Clients are told that it failed, not why; the log has the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct StoreError {
    reason: String,
    full: bool,
}

impl StoreError {
    /// For this reason.
    pub fn new(reason: impl std::fmt::Display) -> StoreError {
        StoreError { reason: reason.to_string(), full: false }
    }

    /// It was not done because as much is kept as may be. A client whose task is not kept is told that much.
    pub fn full(reason: impl std::fmt::Display) -> StoreError {
        StoreError { reason: reason.to_string(), full: true }
    }

    /// Whether as much is kept as may be.
    pub fn is_full(&self) -> bool {
        self.full
    }
}

/// What was negotiated with a client and what it has set, as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Grows with every [`SessionStore::replace`].
    pub version: u64,
    /// JSON that only the engine reads. A few hundred bytes, and the URIs that the client watches: 1024 at most.
    pub text: String,
}

/// Keeps the sessions of legacy clients (2025-11-25, Streamable HTTP, "Session Management").
///
/// A record that was not touched for as long as it was to be kept is gone, or soon will be.
pub trait SessionStore: Send + Sync + 'static {
    /// Keep a new session for `keep` from now on. Ids are unguessable and never used twice.
    fn insert(&self, id: &str, text: &str, keep: Duration) -> StoreFuture<()>;

    /// Look one up; `None`: there is none.
    fn load(&self, id: &str) -> StoreFuture<Option<SessionRecord>>;

    /// Replace the text of a record that is at this version still. False: it is at another, or gone.
    fn replace(&self, id: &str, version: u64, text: &str) -> StoreFuture<bool>;

    /// Keep one for `keep` from now on. False: it is gone.
    fn touch(&self, id: &str, keep: Duration) -> StoreFuture<bool>;

    /// Forget one. False: it was gone.
    fn remove(&self, id: &str) -> StoreFuture<bool>;
}

/// One stream of one session. Only one process at a time writes to a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The id of the session.
    pub session: String,
    /// The number of the stream, below 2^63.
    pub stream: u64,
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the stream. The first is 1, and none is left out.
    pub number: u64,
    /// A JSON-RPC message.
    pub message: Bytes,
}

/// What is new of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// In their order; they follow what was appended before. Those that the stream has already are to be ignored.
    pub events: Vec<StoredEvent>,
    /// Nothing more will come.
    pub over: bool,
    /// Nobody asks for events before this one any more.
    pub oldest: u64,
    /// How long from now on the stream is to be kept.
    pub keep: Duration,
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// In their order, none left out.
    pub events: Vec<StoredEvent>,
    /// Nothing more will come after them.
    pub over: bool,
}

/// Keeps the events of streams for clients that come back with `Last-Event-ID` (2025-11-25, Streamable HTTP, "Resumability
/// and Redelivery").
///
/// The engine keeps a stream small: it says which events it does not need any more (about 4 MiB of those that were sent are
/// kept, besides answers), and holds a handler back when more than a mebibyte waits to be read.
pub trait EventStore: Send + Sync + 'static {
    /// Add to a stream, which begins with the first call, even one without events.
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()>;

    /// The events after this one. `None`: there is no such stream, or some of them are not kept any more.
    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>>;

    /// Forget one stream of a session, or all of them.
    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()>;
}

/// Carries messages between the processes that serve together.
///
/// What gets lost costs a client some news or some seconds, never an answer that was stored.
pub trait Bus: Send + Sync + 'static {
    /// Tell all the others; the publisher may hear it too. Must not block. What cannot be delivered is the bus's to report.
    /// Most messages are small; one that carries a client's answer may be as large as a message can be.
    fn publish(&self, message: Bytes);

    /// Hear of what is published from now on, in the order of each publisher.
    fn subscribe(&self, subscriber: Subscriber);
}

/// Who hears a [`Bus`].
#[derive(Clone)]
pub struct Subscriber(Weak<dyn Deliver>);

impl Subscriber {
    pub(crate) fn new(deliver: Weak<dyn Deliver>) -> Subscriber {
        Subscriber(deliver)
    }

    /// Hand over a message, from any thread. It does not block. False: nobody hears it any more.
    pub fn deliver(&self, message: &[u8]) -> bool {
        self.0.upgrade().map(|deliver| deliver.deliver(message)).is_some()
    }

    /// Whether anybody hears it still.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

/// Takes what a bus has brought.
pub(crate) trait Deliver: Send + Sync {
    fn deliver(&self, message: &[u8]);
}
