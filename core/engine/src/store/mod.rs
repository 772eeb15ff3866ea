//! Stores for state that outlives a process or that several processes share: the sessions of legacy clients
//! over HTTP, the events of their streams, tasks, and the bus on which processes publish changes to each
//! other.
//!
//! By default a server needs none of it: sessions live in the process that opened them, and changes reach the
//! clients of the process in which they happen. With a [`SessionStore`] and a [`Bus`] any process answers any
//! request of a session; with an [`EventStore`] a client resumes its streams at any process. Modern clients
//! have no sessions; a bus carries the changes to which they subscribe.
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
//! All methods take their arguments by value or copy them before they return: a future of a store does not
//! borrow. The engine polls these futures on any executor, so a store that needs a runtime of its own brings
//! it along. Only servers that trust each other share a store or a bus: any process that can write to it can
//! act in the name of any client.

#[cfg(any(feature = "postgres", feature = "redis"))]
mod address;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod background;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
mod credential_files;
mod credential_store;
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
pub use credential_files::FileStore;
pub use credential_store::{CredentialStore, MemoryCredentials, Turn};
pub use memory::MemoryStore;
pub use open::open_now;
pub use open::{Stores, open};
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use tasks::{DuePage, StoredTask, TaskQuota, TaskStore, TaskSummary, TaskTimes};

/// The result of an operation of a store, or the reason why it failed.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A failed operation of a store. Clients are notified that it failed, not why; the log has the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct StoreError {
    reason: String,
    full: bool,
}

impl StoreError {
    /// Returns an error with this reason.
    pub fn new(reason: impl std::fmt::Display) -> StoreError {
        StoreError { reason: reason.to_string(), full: false }
    }

    /// Returns the error of a store that is full. A client whose task is not stored receives that fact.
    pub fn full(reason: impl std::fmt::Display) -> StoreError {
        StoreError { reason: reason.to_string(), full: true }
    }

    /// Returns true if the store is full.
    pub fn is_full(&self) -> bool {
        self.full
    }
}

/// The negotiated facts and the settings of a client, as a store holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Grows with every [`SessionStore::replace`].
    pub version: u64,
    /// JSON that only the engine reads. A few hundred bytes, and the URIs that the client watches: 1024 at
    /// most.
    pub text: String,
}

/// A store of the sessions of legacy clients (2025-11-25, Streamable HTTP, "Session Management").
///
/// A record expires when it was not touched for its time to live; the store may remove it some time later.
pub trait SessionStore: Send + Sync + 'static {
    /// Stores a new session for `keep` from now on. Ids are unguessable and never used twice.
    fn insert(&self, id: &str, text: &str, keep: Duration) -> StoreFuture<()>;

    /// Reads a session; `None`: there is none.
    fn load(&self, id: &str) -> StoreFuture<Option<SessionRecord>>;

    /// Replaces the text of a record that is still at this version. False: it is at another, or has expired.
    fn replace(&self, id: &str, version: u64, text: &str) -> StoreFuture<bool>;

    /// Extends the time to live of a session to `keep` from now on. False: it has expired.
    fn touch(&self, id: &str, keep: Duration) -> StoreFuture<bool>;

    /// Removes a session. False: it was removed before.
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
    /// The position in the stream. The first is 1, and none is left out.
    pub number: u64,
    /// A JSON-RPC message.
    pub message: Bytes,
}

/// An addition to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The events in their order; they follow those that were appended before. The store ignores events that
    /// the stream has already.
    pub events: Vec<StoredEvent>,
    /// True if no more events will follow.
    pub over: bool,
    /// The number of the oldest event that may still be read.
    pub oldest: u64,
    /// The time from now on for which the stream is stored.
    pub keep: Duration,
}

/// The contents of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The events in their order, none left out.
    pub events: Vec<StoredEvent>,
    /// True if no more events will follow.
    pub over: bool,
}

/// A store of the events of streams for clients that reconnect with `Last-Event-ID` (2025-11-25, Streamable
/// HTTP, "Resumability and Redelivery").
///
/// The engine limits a stream: it reports the events that are no longer needed (about 4 MiB of sent ones are
/// stored, besides answers), and holds a handler back when more than a mebibyte waits to be read.
pub trait EventStore: Send + Sync + 'static {
    /// Appends to a stream, which begins with the first call, even one without events.
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()>;

    /// Returns the events after this one. `None`: there is no such stream, or some of them are no longer
    /// stored.
    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>>;

    /// Removes one stream of a session, or all of them.
    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()>;
}

/// A bus that sends messages between the processes that serve together.
///
/// A lost message costs a client some change notifications or some seconds, never an answer that was stored.
pub trait Bus: Send + Sync + 'static {
    /// Sends a message to all other processes; the publisher may receive it too. Must not block. The bus
    /// itself reports messages that it cannot deliver. Most messages are small; one with a client's answer
    /// may be as large as a message can be.
    fn publish(&self, message: Bytes);

    /// Subscribes to the messages that are published from now on, in the order of each publisher.
    fn subscribe(&self, subscriber: Subscriber);
}

/// A subscriber of a [`Bus`].
#[derive(Clone)]
pub struct Subscriber(Weak<dyn Deliver>);

impl Subscriber {
    pub(crate) fn new(deliver: Weak<dyn Deliver>) -> Subscriber {
        Subscriber(deliver)
    }

    /// Delivers a message, from any thread. It does not block. False: the subscriber has been dropped.
    pub fn deliver(&self, message: &[u8]) -> bool {
        self.0.upgrade().map(|deliver| deliver.deliver(message)).is_some()
    }

    /// Returns true if the subscriber still exists.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

/// A receiver of the messages of a bus.
pub(crate) trait Deliver: Send + Sync {
    fn deliver(&self, message: &[u8]);
}
