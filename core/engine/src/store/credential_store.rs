//! Stores for credentials.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use trunnion_proto::auth::{AuthError, Credentials};

use crate::store::{StoreError, StoreFuture};
use crate::sync::lock;

/// The lock of a server's record; dropping it releases the lock.
pub type Turn = Box<dyn Send + Sync>;

/// A store for the credentials of servers. A store belongs to one user: a program that serves many users has
/// one for each.
///
/// Futures of a store do not borrow from it.
pub trait CredentialStore: Send + Sync + 'static {
    /// Loads the record of the MCP server at this URL, if there is one.
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>>;

    /// Stores a record if the store still contains the version that it was made from; see
    /// [`Credentials::swap_into`]. Returns false if another program has stored a newer version.
    fn swap(&self, record: Credentials) -> StoreFuture<bool>;

    /// Waits for the lock of this server: its holder reads the record, refreshes or authorizes, and swaps.
    /// Two concurrent refreshes would use one refresh token twice, which authorization servers treat as
    /// theft.
    fn turn(&self, server: &str) -> StoreFuture<Turn>;
}

/// For example [`Stores::credentials`](crate::store::Stores::credentials).
impl<S: CredentialStore + ?Sized> CredentialStore for Arc<S> {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        (**self).load(server)
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        (**self).swap(record)
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        (**self).turn(server)
    }
}

/// Calls [`Credentials::swap_into`] and returns its result in the form of a store.
pub(super) fn swapped(record: Credentials, slot: &mut Option<Credentials>) -> Result<bool, StoreError> {
    match record.swap_into(slot) {
        Ok(()) => Ok(true),
        Err(AuthError::StaleCredentials { .. }) => Ok(false),
        Err(error) => Err(StoreError::new(error)),
    }
}

/// Credentials in the memory of this process; clones share them.
#[derive(Debug, Default, Clone)]
pub struct MemoryCredentials {
    records: Arc<Mutex<HashMap<String, Record>>>,
}

#[derive(Debug, Default)]
struct Record {
    slot: Option<Credentials>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl CredentialStore for MemoryCredentials {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        let record = lock(&self.records).get(server).and_then(|record| record.slot.clone());
        Box::pin(std::future::ready(Ok(record)))
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        let mut records = lock(&self.records);
        let slot = &mut records.entry(record.server.clone()).or_default().slot;
        Box::pin(std::future::ready(swapped(record, slot)))
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        let turn = Arc::clone(&lock(&self.records).entry(server.to_owned()).or_default().turn);
        Box::pin(async move { Ok(Box::new(turn.lock_owned().await) as Turn) })
    }
}
