//! What every store has to do; the four in the box are held to it here, each over the real thing.

mod tasks;

use std::sync::Arc;
use std::time::Duration;

use trunnion::auth::CredentialStore;
use trunnion::store::{Bus, EventStore, MemoryStore, SessionStore, TaskStore};

const HOUR: Duration = Duration::from_secs(3600);

/// All that a store is.
trait Store: SessionStore + EventStore + TaskStore + CredentialStore + Bus {}
impl<T: SessionStore + EventStore + TaskStore + CredentialStore + Bus> Store for T {}

/// One store as two processes have it.
type Two = [Arc<dyn Store>; 2];

/// Asks until it is so; whoever waits in vain is ended by the test's own limit.
async fn until(is_so: impl AsyncFn() -> bool) {
    while !is_so().await {
        tokio::task::yield_now().await;
    }
}

/// Every promise, over one store.
macro_rules! contract {
    ($store:ident, $open:expr) => {
        mod $store {
            contract!(@each $open, tasks: are_kept, are_due_in_their_order, are_listed, end, move_once_at_a_time,
                may_be_large_and_odd, come_in_crowds);
        }
    };
    (@each $open:expr, $($of:ident: $($promise:ident),+);+) => {
        $(mod $of {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let Some((two, _kept)) = $open(concat!(stringify!($of), "_", stringify!($promise))).await else { return };
                crate::$of::$promise(two).await;
            })+
        })+
    };
}

contract!(memory, crate::in_memory);
#[cfg(feature = "sqlite")]
contract!(sqlite, crate::in_a_file);

async fn in_memory(_: &str) -> Option<(Two, ())> {
    let store = Arc::new(MemoryStore::default());
    Some(([store.clone(), store], ()))
}

/// A folder that is gone at the end.
#[cfg(feature = "sqlite")]
struct Folder(std::path::PathBuf);

#[cfg(feature = "sqlite")]
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(feature = "sqlite")]
async fn in_a_file(name: &str) -> Option<(Two, Folder)> {
    let folder =
        Folder(std::env::temp_dir().join(format!("trunnion-contract-{}-{name}", std::process::id())));
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let open = || Arc::new(trunnion::store::SqliteStore::open(folder.0.join("db")).expect("a store"));
    Some(([open(), open()], folder))
}
