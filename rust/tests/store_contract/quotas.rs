//! The contract of a store for the quotas of an owner.

use std::sync::Arc;

use trunnion::store::{StoredTask, TaskQuota, TaskStore, TaskTimes};

use crate::store_contract::{HOUR, Two};

const TIMES: TaskTimes = TaskTimes { due: None, keep: Some(HOUR) };

fn task(id: &str, owner: &str, bytes: usize) -> StoredTask {
    let (summary, text) = ("{}".to_owned(), "x".repeat(bytes - 2));
    StoredTask { id: id.into(), version: 1, owner: owner.into(), over: false, summary, text }
}

/// The same task at its end, with so many bytes.
fn ended(id: &str, owner: &str, bytes: usize) -> StoredTask {
    StoredTask { version: 2, over: true, ..task(id, owner, bytes) }
}

async fn ids(store: &Arc<dyn TaskStore>, owner: &str) -> Vec<String> {
    let tasks = store.list(owner, None, 100).await.expect("no failure").expect("no anchor");
    tasks.into_iter().map(|task| task.id).collect()
}

pub async fn make_room_for_new_tasks(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let quota = TaskQuota { tasks: 3, bytes: 1 << 20 };
    for id in ["a", "b", "c"] {
        store.insert_within(task(id, "ada", 10), TIMES, quota).await.expect("there is room");
    }
    store.insert_within(task("x", "bob", 10), TIMES, quota).await.expect("another's");
    assert_eq!(store.replace_within(ended("x", "bob", 10), None, quota).await, Ok(true));
    let full = store.insert_within(task("d", "ada", 10), TIMES, quota).await.expect_err("none is over");
    assert!(full.is_full(), "{full}");
    assert_eq!(ids(&other, "ada").await, ["a", "b", "c"]);
    // Not in the order of their creation: that is the one in which they go.
    for id in ["c", "b"] {
        assert_eq!(store.replace_within(ended(id, "ada", 10), None, quota).await, Ok(true));
    }
    other.insert_within(task("d", "ada", 10), TIMES, quota).await.expect("there is room for it");
    assert_eq!(ids(&store, "ada").await, ["a", "c", "d"], "the oldest that is over has gone");
    assert_eq!(store.load("b").await, Ok(None));
    store.insert_within(task("e", "ada", 10), TIMES, quota).await.expect("there is room for it");
    assert_eq!(ids(&other, "ada").await, ["a", "d", "e"]);
    let full = other.insert_within(task("f", "ada", 10), TIMES, quota).await.expect_err("none is over");
    assert!(full.is_full(), "{full}");
    assert_eq!(ids(&store, "ada").await, ["a", "d", "e"], "what is not over stays");
    assert_eq!(ids(&store, "bob").await, ["x"], "another's");
    // A removed task frees its room.
    assert_eq!(store.remove("a").await, Ok(true));
    other.insert_within(task("f", "ada", 10), TIMES, quota).await.expect("there is room");
    assert_eq!(ids(&store, "ada").await, ["d", "e", "f"]);
    let taken = store.insert_within(task("f", "ada", 10), TIMES, TaskQuota::NONE).await;
    assert!(!taken.expect_err("its id is taken").is_full());
}

pub async fn make_room_for_results(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let quota = TaskQuota { tasks: 100, bytes: 1000 };
    for id in ["a", "b"] {
        store.insert_within(task(id, "eve", 100), TIMES, quota).await.expect("there is room");
        assert_eq!(store.replace_within(ended(id, "eve", 400), None, quota).await, Ok(true));
    }
    let full = store.insert_within(task("large", "eve", 1001), TIMES, quota).await.expect_err("too large");
    assert!(full.is_full(), "{full}");
    assert_eq!(ids(&other, "eve").await, ["a", "b"], "nothing is forgotten in vain");
    other.insert_within(task("c", "eve", 300), TIMES, quota).await.expect("there is room for it");
    assert_eq!(ids(&store, "eve").await, ["b", "c"], "no more than it takes");
    // One that is not over may grow, for it was begun; its result makes room for itself.
    let grown = StoredTask { version: 2, ..task("c", "eve", 900) };
    assert_eq!(store.replace_within(grown, None, quota).await, Ok(true));
    assert_eq!(ids(&store, "eve").await, ["b", "c"]);
    let result = StoredTask { version: 3, ..ended("c", "eve", 700) };
    assert_eq!(other.replace_within(result, None, quota).await, Ok(true));
    assert_eq!(ids(&store, "eve").await, ["c"]);
    store.insert_within(task("d", "eve", 300), TIMES, quota).await.expect("there is room");
    // A result that is larger than the quota is stored all the same, and no other ended task remains.
    assert_eq!(store.replace_within(ended("d", "eve", 5000), None, quota).await, Ok(true));
    assert_eq!(ids(&other, "eve").await, ["d"]);
    store.insert_within(task("e", "eve", 10), TIMES, quota).await.expect("it goes for the next");
    assert_eq!(ids(&other, "eve").await, ["e"]);
    // A write based on another version changes nothing.
    let late = StoredTask { version: 7, ..ended("e", "eve", 5000) };
    assert_eq!(store.replace_within(late, None, quota).await, Ok(false));
    assert_eq!(ids(&other, "eve").await, ["e"]);
}
