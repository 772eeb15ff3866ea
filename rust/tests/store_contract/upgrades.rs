//! Stores that an earlier version has written to, and still writes to beside this one.

use rusqlite::Connection;
use trunnion::store::{
    PostgresStore, RedisStore, SqliteStore, StoredTask, TaskQuota, TaskStore, TaskSummary, TaskTimes,
};

use crate::store_contract::Folder;
use crate::store_contract::servers::Kind;

const OLD: &str = "{\"written\":\"by an earlier version\"}";

fn task(version: u64, text: &str) -> StoredTask {
    StoredTask { id: "old".into(), version, owner: "ada".into(), text: text.into(), ..StoredTask::default() }
}

/// A task without a summary is read whole, in every way.
async fn is_read(store: &impl TaskStore, version: u64) {
    let old = task(version, OLD);
    let summary = TaskSummary::from(old.clone());
    assert_eq!(summary.text, OLD);
    assert_eq!(store.load("old").await, Ok(Some(old)));
    assert_eq!(store.summary("old").await, Ok(Some(summary.clone())));
    assert_eq!(store.list("ada", None, 10).await, Ok(Some(vec![summary])));
}

/// From its next version on it has one.
async fn is_written(store: &impl TaskStore, version: u64) {
    let summary = "{}".to_owned();
    let new = StoredTask { over: true, summary, ..task(version, "{\"written\":\"by this version\"}") };
    assert_eq!(store.replace(new.clone(), None).await, Ok(true));
    assert_eq!(store.load("old").await, Ok(Some(new.clone())));
    assert_eq!(store.summary("old").await, Ok(Some(new.into())));
}

/// A task from before the upgrade counts towards the quota; an ended one makes room for a new one.
async fn makes_room(store: &impl TaskStore) {
    let (quota, times) = (TaskQuota { tasks: 1, bytes: 1000 }, TaskTimes { due: None, keep: None });
    let new = StoredTask { id: "new".into(), ..task(1, "{}") };
    store.insert_within(new, times, quota).await.expect("there is room for it");
    assert_eq!(store.load("old").await, Ok(None));
    let more = StoredTask { id: "more".into(), ..task(1, "{}") };
    assert!(store.insert_within(more, times, quota).await.expect_err("it is not over").is_full());
}

#[tokio::test]
async fn a_file_of_layout_2_gets_summaries() {
    let folder = Folder::new("upgrades");
    let path = folder.0.join("store.db");
    drop(SqliteStore::open(&path).expect("a store"));
    let db = Connection::open(&path).expect("a database");
    db.execute_batch(
        "DROP TABLE tasks;
        DROP TABLE kept;
        DROP TABLE clocks;
        CREATE TABLE tasks (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
            owner TEXT NOT NULL, due INTEGER, until INTEGER, text TEXT NOT NULL
        );
        CREATE INDEX tasks_owner ON tasks (owner, number);
        CREATE INDEX tasks_due ON tasks (due) WHERE due IS NOT NULL;
        CREATE INDEX tasks_until ON tasks (until) WHERE until IS NOT NULL;
        PRAGMA user_version = 2;",
    )
    .expect("as it was");
    let insert =
        "INSERT INTO tasks (id, version, owner, text, due, until) VALUES ('old', 3, 'ada', ?1, 1, NULL)";
    db.execute(insert, [OLD]).expect("inserted");
    let store = SqliteStore::open(&path).expect("a store");
    is_read(&store, 3).await;
    assert_eq!(store.due(None, 10).await.expect("no failure").tasks.len(), 1);
    is_written(&store, 4).await;
    // A process of the earlier version that has opened it continues.
    let replace = "UPDATE tasks SET version = 5, text = ?1, due = NULL WHERE id = 'old' AND version = 4";
    assert_eq!(db.execute(replace, [OLD]), Ok(1));
    is_read(&store, 5).await;
    is_written(&store, 6).await;
    makes_room(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tables_of_layout_1_get_summaries() {
    let Some(server) = tokio::task::block_in_place(|| Kind::Postgres.shared()) else { return };
    let url = server.url();
    drop(PostgresStore::connect(&url).await.expect("a store"));
    let (plain, schema) = url.split_once("?pool=6&schema=").expect("the options of the tests");
    let (db, connection) = tokio_postgres::connect(plain, tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    let before = format!(
        "SET search_path = {schema};
        ALTER TABLE trunnion_tasks DROP COLUMN over, DROP COLUMN bytes, DROP COLUMN summarized, DROP COLUMN summary;
        DELETE FROM trunnion_layout; INSERT INTO trunnion_layout (version) VALUES (1);
        INSERT INTO trunnion_tasks (id, version, owner, text, due, until)
            VALUES ('old', 3, 'ada', '{OLD}', statement_timestamp() - interval '1 second', NULL);"
    );
    db.batch_execute(&before).await.expect("as it was");
    // Several at once, as when a service is brought up to date.
    let opened = futures_util::future::join_all((0..3).map(|_| PostgresStore::connect(&url))).await;
    let store = opened.into_iter().next().expect("one").expect("a store");
    is_read(&store, 3).await;
    assert_eq!(store.due(None, 10).await.expect("no failure").tasks.len(), 1);
    is_written(&store, 4).await;
    // A process of the earlier version that has opened them continues.
    let replace = format!(
        "UPDATE trunnion_tasks SET version = 5, text = '{OLD}', due = NULL WHERE id = 'old' AND version = 4"
    );
    assert_eq!(db.execute(&replace, &[]).await.expect("replaced"), 1);
    is_read(&store, 5).await;
    is_written(&store, 6).await;
    makes_room(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tasks_of_an_earlier_version_in_redis_get_summaries() {
    let Some(server) = tokio::task::block_in_place(|| Kind::Redis.shared()) else { return };
    let url = server.url();
    let store = RedisStore::connect(&url).await.expect("a store");
    let (plain, prefix) = url.split_once("?prefix=").expect("the options of the tests");
    let mut db =
        redis::Client::open(plain).expect("a client").get_connection_manager().await.expect("connected");
    let key = |name: &str| format!("{{{prefix}}}:{name}");
    let _: () = redis::pipe()
        .hset_multiple(key("t:old"), &[("v", "3"), ("o", "ada"), ("t", OLD), ("n", "1")])
        .zadd(key("o:ada"), "old", 1)
        .zadd(key("due:"), "old", 1)
        .exec_async(&mut db)
        .await
        .expect("as it was");
    is_read(&store, 3).await;
    assert_eq!(store.due(None, 10).await.expect("no failure").tasks.len(), 1);
    is_written(&store, 4).await;
    // A process of the earlier version continues.
    let _: () = redis::pipe()
        .hset_multiple(key("t:old"), &[("v", "5"), ("t", OLD)])
        .exec_async(&mut db)
        .await
        .expect("replaced");
    is_read(&store, 5).await;
    is_written(&store, 6).await;
    makes_room(&store).await;
}
