//! What a server keeps beyond its process, by its option `store`.

use std::sync::Arc;

use crate::error::Error;
use crate::server::http::Stores;
use crate::store::{Bus, TaskStore};

/// What the servers of one store have in common.
pub(super) struct Opened {
    pub bus: Arc<dyn Bus>,
    pub stores: Stores,
    pub tasks: Arc<dyn TaskStore>,
    pub state_key: String,
}

/// Open the store of a path.
#[cfg(feature = "sqlite")]
pub(super) fn open(path: &str) -> Result<Opened, Error> {
    use crate::error::local;
    use crate::store::SqliteStore;

    if path.is_empty() || path.contains('\0') {
        return Err(Error::usage("store must be the path of a file"));
    }
    let failed = |error| Error::local(local::TRANSPORT, format!("the store cannot be opened: {error}"));
    let store = Arc::new(SqliteStore::open(path).map_err(failed)?);
    let stores = Stores { sessions: Some(store.clone()), events: Some(store.clone()) };
    Ok(Opened { state_key: store.state_key().to_owned(), stores, tasks: store.clone(), bus: store })
}

#[cfg(not(feature = "sqlite"))]
pub(super) fn open(_: &str) -> Result<Opened, Error> {
    Err(Error::usage("store: this build has none (feature `sqlite`)"))
}
