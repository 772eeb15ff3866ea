//! Properties of the SQLite file alone.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rusqlite::Connection;
use trunnion::auth::CredentialStore;
use trunnion::store::{SessionStore, SqliteStore, StoredTask, TaskStore, TaskTimes};

use crate::store_contract::{Folder, HOUR};

const FOR_EVER: TaskTimes = TaskTimes { due: None, keep: None };

fn task(id: &str) -> StoredTask {
    StoredTask { id: id.into(), version: 1, text: "{}".into(), ..StoredTask::default() }
}

#[tokio::test]
async fn is_the_users_and_outlives_its_openers() {
    let folder = Folder::new("files");
    let path = folder.0.join("store.db");
    let open = || SqliteStore::open(&path);
    let (store, other) = (open().expect("a store"), open().expect("another process could open it"));
    assert_eq!(store.state_key(), other.state_key());
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    SessionStore::insert(&store, "kept", "text", HOUR).await.expect("no failure");
    TaskStore::insert(&store, task("kept"), FOR_EVER).await.expect("no failure");
    for file in std::fs::read_dir(&folder.0).expect("a folder") {
        assert_eq!(mode(&file.expect("an entry").path()), 0o600);
    }
    drop((store, other));
    let again = open().expect("a store");
    assert_eq!(SessionStore::load(&again, "kept").await.expect("no failure").expect("a record").text, "text");
    assert_eq!(TaskStore::load(&again, "kept").await, Ok(Some(task("kept"))));
    assert_eq!(CredentialStore::load(&again, "https://h").await, Ok(None));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("changed");
    let refused =
        CredentialStore::load(&again, "https://h").await.expect_err("others may read it").to_string();
    assert!(refused.contains("0600"), "{refused}");
}

#[tokio::test]
async fn is_refused_if_it_is_not_ours() {
    let folder = Folder::new("refused");
    let path = |name: &str| folder.0.join(name);
    std::fs::write(path("text"), "no database, but long enough to be read as one by whoever tries")
        .expect("written");
    let refused = SqliteStore::open(path("text")).expect_err("it is no database");
    assert!(refused.to_string().contains("not a database"), "{refused}");
    let refused = SqliteStore::open(path("none/store.db")).expect_err("there is no such folder");
    assert!(refused.to_string().contains("none/store.db"), "{refused}");
    Connection::open(path("other")).and_then(|db| db.execute_batch("CREATE TABLE t (a)")).expect("made");
    let refused = SqliteStore::open(path("other")).expect_err("it is another program's");
    assert!(refused.to_string().contains("another program"), "{refused}");
    drop(SqliteStore::open(path("later")).expect("a store"));
    Connection::open(path("later"))
        .and_then(|db| db.pragma_update(None, "user_version", 99))
        .expect("changed");
    let refused = SqliteStore::open(path("later")).expect_err("it is of a later version");
    assert!(refused.to_string().contains("layout 99"), "{refused}");
}

#[tokio::test]
async fn of_an_earlier_version_goes_on() {
    let folder = Folder::new("earlier");
    let path = folder.0.join("store.db");
    let store = SqliteStore::open(&path).expect("a store");
    SessionStore::insert(&store, "kept", "text", HOUR).await.expect("no failure");
    let key = store.state_key().to_owned();
    drop(store);
    // The schema of version 1.
    let db = Connection::open(&path).expect("a database");
    db.execute_batch(
        "DROP TABLE tasks; DROP TABLE credentials; DROP TABLE turns; DROP TABLE kept; DROP TABLE clocks",
    )
    .expect("dropped");
    db.pragma_update(None, "user_version", 1).expect("changed");
    let store = SqliteStore::open(&path).expect("a store");
    assert_eq!(store.state_key(), key);
    assert_eq!(SessionStore::load(&store, "kept").await.expect("no failure").expect("a record").text, "text");
    TaskStore::insert(&store, task("new"), FOR_EVER).await.expect("no failure");
}

/// A clock that is set forward, or a machine that has slept, ends no lease: all processes of a boot use the
/// file's own time.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn counts_leases_by_a_time_that_nobody_sets() {
    let folder = Folder::new("clock");
    let path = folder.0.join("store.db");
    let first = SqliteStore::open(&path).expect("a store");
    let db = Connection::open(&path).expect("a database");
    let ahead =
        || db.query_row("SELECT ahead FROM clocks", (), |row| row.get::<_, i64>(0)).expect("one boot");
    let before = ahead();
    // As it is where the time of day was set forward by two hours since then.
    db.execute("UPDATE clocks SET ahead = ahead - 7200000", ()).expect("changed");
    drop(first);
    let [store, other] = [(); 2].map(|()| SqliteStore::open(&path).expect("a store"));
    assert_eq!(ahead(), before - 7_200_000, "who opens it later takes its time as it is");
    let lease = TaskTimes { due: Some(HOUR), keep: Some(HOUR) };
    TaskStore::insert(&store, task("leased"), lease).await.expect("no failure");
    let due: i64 = db.query_row("SELECT due FROM tasks", (), |row| row.get(0)).expect("one task");
    let time_of_day = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    assert!(u128::try_from(due).expect("a time") < time_of_day, "by the time of day it is over");
    assert_eq!(other.due(None, 10).await.expect("no failure").tasks, []);
    assert_eq!(TaskStore::load(&other, "leased").await, Ok(Some(task("leased"))), "it is kept");
    let next = other.next_due().await.expect("no failure").expect("one will be");
    assert!(next > HOUR / 2 && next <= HOUR, "{next:?}");
}

#[tokio::test]
async fn gives_the_turn_of_a_process_that_died_to_the_next() {
    let folder = Folder::new("turns");
    let path = folder.0.join("store.db");
    let [store, other] = [(); 2].map(|()| Arc::new(SqliteStore::open(&path).expect("a store")));
    let dead = store.turn("https://h").await.expect("a turn");
    let mut next = other.turn("https://h");
    assert!(futures_util::poll!(&mut next).is_pending());
    // The lease was not renewed.
    let db = Connection::open(&path).expect("a database");
    db.execute("UPDATE turns SET until = 0", ()).expect("changed");
    let next = next.await.expect("it is over");
    // A holder that returns too late takes the lock from nobody.
    drop(dead);
    let mut third = store.turn("https://h");
    assert!(futures_util::poll!(&mut third).is_pending());
    drop(next);
    third.await.expect("a turn");
}

#[tokio::test]
async fn a_job_that_fails_does_not_harm_those_beside_it() {
    let folder = Folder::new("batch");
    let store = SqliteStore::open(folder.0.join("store.db")).expect("a store");
    TaskStore::insert(&store, task("t3"), FOR_EVER).await.expect("no failure");
    // They come faster than they are committed, and so together.
    let all: Vec<_> = (0..50).map(|n| TaskStore::insert(&store, task(&format!("t{n}")), FOR_EVER)).collect();
    let made = futures_util::future::join_all(all).await;
    let failed: Vec<usize> = (0..50).filter(|n| made[*n].is_err()).collect();
    assert_eq!(failed, [3]);
    assert_eq!(
        TaskStore::list(&store, "", None, 100).await.expect("no failure").expect("no anchor").len(),
        50
    );
}
