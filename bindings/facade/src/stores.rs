//! The shared store of a server beyond its process, by its option `store`.

use std::sync::Arc;
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::http::Stores;
use trunnion_engine::store::{self, Bus, TaskStore};

/// The shared parts of the servers of one store.
pub(super) struct Opened {
    pub bus: Arc<dyn Bus>,
    pub stores: Stores,
    pub tasks: Arc<dyn TaskStore>,
    pub state_key: String,
}

/// Opens a store by its name: a path or a URL.
pub(super) fn open(name: &str) -> Result<Opened, Error> {
    if name.is_empty() || name.contains('\0') {
        return Err(Error::usage("store must be the path of a file or a URL"));
    }
    let failed = |error| Error::local(local::TRANSPORT, format!("the store cannot be opened: {error}"));
    let store = store::open_now(name).map_err(failed)?;
    let stores = Stores { sessions: Some(store.sessions), events: Some(store.events) };
    Ok(Opened { state_key: store.state_key, stores, tasks: store.tasks, bus: store.bus })
}
