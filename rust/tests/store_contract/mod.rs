//! The contract of every store, run against the four built-in ones, each over the real service.

mod bus;
mod credentials;
mod events;
mod faults;
mod files;
mod names;
mod processes;
mod quotas;
pub mod servers;
mod sessions;
mod tasks;
mod throughput;
mod upgrades;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use trunnion::auth::CredentialStore;
use trunnion::store::{
    Bus, EventStore, MemoryStore, PostgresStore, RedisStore, SessionStore, SqliteStore, TaskStore,
};

use servers::Kind;

const HOUR: Duration = Duration::from_secs(3600);

/// All that a store is.
trait Store: SessionStore + EventStore + TaskStore + CredentialStore + Bus {}
impl<T: SessionStore + EventStore + TaskStore + CredentialStore + Bus> Store for T {}

/// One store as two processes have it.
type Two = [Arc<dyn Store>; 2];

/// Polls until the condition holds; a wait in vain ends at the test's own time limit.
async fn until(is_so: impl AsyncFn() -> bool) {
    while !is_so().await {
        tokio::task::yield_now().await;
    }
}

/// Every promise, over one store.
macro_rules! contract {
    ($store:ident, $open:expr) => {
        mod $store {
            contract!(@each $open,
                tasks: are_kept, are_summed_up, are_listed_without_their_results, are_due_page_by_page,
                    are_due_in_their_order, are_listed, end, move_once_at_a_time, may_be_large_and_odd,
                    come_in_crowds;
                quotas: make_room_for_new_tasks, make_room_for_results;
                sessions: are_kept, end, change_once_at_a_time, may_be_odd;
                events: are_kept, end, may_be_large_and_odd;
                credentials: are_swapped, are_renewed_in_turn;
                bus: carries_changes, keeps_the_order, tells_of_what_comes);
        }
    };
    (@each $open:expr, $($of:ident: $($promise:ident),+);+) => {
        $(mod $of {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let name = concat!(stringify!($of), "-", stringify!($promise));
                let Some((two, _kept)) = $open(name).await else { return };
                crate::store_contract::$of::$promise(two).await;
            })+
        })+
    };
}

contract!(memory, crate::store_contract::in_memory);
contract!(sqlite, crate::store_contract::in_a_file);
contract!(postgres, crate::store_contract::in_postgres);
contract!(redis, crate::store_contract::in_redis);

/// Every promise to many processes, over one store.
macro_rules! processes {
    ($store:ident, $name:expr) => {
        mod $store {
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn count_together() {
                let Some((name, _kept)) = $name("count") else { return };
                crate::store_contract::processes::count_together(&name).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn are_killed() {
                let Some((name, _kept)) = $name("killed") else { return };
                crate::store_contract::processes::are_killed(&name).await;
            }
        }
    };
}

mod in_processes {
    processes!(sqlite, crate::store_contract::a_path);
    processes!(postgres, crate::store_contract::a_database);
    processes!(redis, crate::store_contract::a_server);
}

fn a_path(name: &str) -> Option<(String, Folder)> {
    let folder = Folder::new(name);
    Some((folder.0.join("db").to_string_lossy().into_owned(), folder))
}

fn a_database(_: &str) -> Option<(String, ())> {
    Some((Kind::Postgres.shared()?.url(), ()))
}

fn a_server(_: &str) -> Option<(String, ())> {
    Some((Kind::Redis.shared()?.url(), ()))
}

async fn in_memory(_: &str) -> Option<(Two, ())> {
    let store = Arc::new(MemoryStore::default());
    Some(([store.clone(), store], ()))
}

async fn in_a_file(name: &str) -> Option<(Two, Folder)> {
    let folder = Folder::new(name);
    let open = || Arc::new(SqliteStore::open(folder.0.join("db")).expect("a store"));
    Some(([open(), open()], folder))
}

async fn in_postgres(_: &str) -> Option<(Two, ())> {
    shared(Kind::Postgres).await
}

async fn in_redis(_: &str) -> Option<(Two, ())> {
    shared(Kind::Redis).await
}

async fn shared(kind: Kind) -> Option<(Two, ())> {
    let url = tokio::task::block_in_place(|| kind.shared())?.url();
    Some(([open(kind, &url).await, open(kind, &url).await], ()))
}

async fn open(kind: Kind, url: &str) -> Arc<dyn Store> {
    match kind {
        Kind::Postgres => Arc::new(PostgresStore::connect(url).await.expect("a store")),
        Kind::Redis => Arc::new(RedisStore::connect(url).await.expect("a store")),
    }
}

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("trunnion-contract-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
