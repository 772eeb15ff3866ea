//! trunnion: the Model Context Protocol for servers and clients.

pub mod client;
pub(crate) mod driver;
pub(crate) mod error;
pub mod host;
pub mod server;
pub mod store;
pub mod telemetry;

pub use client::{Client, auth};
pub use error::Error;
pub use server::Server;
pub use telemetry::Telemetry;
pub use trunnion_proto::client::HttpTransport;
pub use trunnion_proto::model;
pub use trunnion_proto::revision::{Era, Revision};
/// The crates that the argument structs of the macros derive from. Structs that a program derives itself must
/// use the same versions.
#[cfg(feature = "macros")]
pub use {schemars, serde};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the mutex and ignores poisoning: it protects only a queue or a table, so a panic elsewhere while it
/// was locked leaves it usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The snippets of the guide, compiled and run as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
struct Guide;
