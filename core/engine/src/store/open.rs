//! Stores by name.

use std::sync::Arc;

use super::{Bus, EventStore, MemoryStore, SessionStore, StoreError, TaskStore};
use crate::store::CredentialStore;

/// The parts of one store.
#[derive(Clone)]
#[non_exhaustive]
pub struct Stores {
    /// The sessions of legacy clients.
    pub sessions: Arc<dyn SessionStore>,
    /// The events of their streams.
    pub events: Arc<dyn EventStore>,
    /// The tasks.
    pub tasks: Arc<dyn TaskStore>,
    /// The credentials of a client.
    pub credentials: Arc<dyn CredentialStore>,
    /// The bus between processes.
    pub bus: Arc<dyn Bus>,
    /// A key for `ServerBuilder::state_keys` that all processes
    /// with this store share.
    pub state_key: String,
}

impl Stores {
    fn new<S>(store: S, state_key: String) -> Stores
    where
        S: SessionStore + EventStore + TaskStore + CredentialStore + Bus,
    {
        let store = Arc::new(store);
        Stores {
            sessions: store.clone(),
            events: store.clone(),
            tasks: store.clone(),
            credentials: store.clone(),
            bus: store,
            state_key,
        }
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// Opens a store by its name:
///
/// - the path of a file, or `sqlite:` and the path: [`SqliteStore`](crate::store::SqliteStore);
/// - `postgres://user:password@host/database`: [`PostgresStore`](crate::store::PostgresStore);
/// - `redis://host`, `rediss://host`: [`RedisStore`](crate::store::RedisStore);
/// - `memory:`: a new [`MemoryStore`], for tests.
///
/// Fails when it cannot be reached, is another program's or of a later version, when an option of the URL is
/// wrong, and when this build lacks the feature (`sqlite`, `postgres`, `redis`). A message never has the
/// password.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let stores = trunnion::store::open("memory:").await?;
/// let credentials = stores.credentials.clone(); // for `trunnion::auth::Auth::store` of a client
/// let server = trunnion::Server::builder("notes", "1.0.0").store(stores).build()?;
/// # drop((credentials, server));
/// # Ok(()) }
/// ```
pub async fn open(name: &str) -> Result<Stores, StoreError> {
    if name == "memory:" {
        let key = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, crate::random::random::<32>());
        return Ok(Stores::new(MemoryStore::default(), key));
    }
    match name.split_once("://").map(|(scheme, _)| scheme) {
        None => sqlite(name.strip_prefix("sqlite:").unwrap_or(name)),
        Some("postgres" | "postgresql") => postgres(name).await,
        Some("redis" | "rediss") => redis(name).await,
        Some(other) => Err(StoreError::new(format!(
            "there is no store for {other}:, only for postgres:, redis: and rediss:"
        ))),
    }
}

/// Opens a store as [`open`] does, for synchronous callers: it blocks for as long as the server takes to
/// answer.
pub fn open_now(name: &str) -> Result<Stores, StoreError> {
    let name = name.to_owned();
    // On a thread of its own, for this one may belong to a runtime.
    let opening = std::thread::Builder::new().name("trunnion-open".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(StoreError::new)?;
        runtime.block_on(open(&name))
    });
    opening.map_err(StoreError::new)?.join().map_err(|_| StoreError::new("opening the store panicked"))?
}

#[cfg(feature = "sqlite")]
fn sqlite(path: &str) -> Result<Stores, StoreError> {
    if path.is_empty() || path.contains('\0') {
        return Err(StoreError::new("a store is the path of a file or a URL"));
    }
    let store = super::SqliteStore::open(path)?;
    let key = store.state_key().to_owned();
    Ok(Stores::new(store, key))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_: &str) -> Result<Stores, StoreError> {
    Err(StoreError::new("this build has no store in a file (feature `sqlite`)"))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Stores, StoreError> {
    let store = super::PostgresStore::connect(url).await?;
    let key = store.state_key().to_owned();
    Ok(Stores::new(store, key))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str) -> Result<Stores, StoreError> {
    Err(StoreError::new("this build has no store in PostgreSQL (feature `postgres`)"))
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<Stores, StoreError> {
    let store = super::RedisStore::connect(url).await?;
    let key = store.state_key().to_owned();
    Ok(Stores::new(store, key))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> Result<Stores, StoreError> {
    Err(StoreError::new("this build has no store in Redis (feature `redis`)"))
}
