//! Write throughput of tasks: `cargo test --test store_contract throughput -- --ignored --nocapture`.
//! `TRUNNION_TEST_STORE` names one store; without it the test's own servers are measured, whose PostgreSQL
//! does not wait for the disk.

use std::time::Instant;

use trunnion::store::{StoredTask, Stores, TaskTimes};

use crate::store_contract::servers::Kind;
use crate::store_contract::{Folder, HOUR};

const TIMES: TaskTimes = TaskTimes { due: Some(HOUR), keep: Some(HOUR) };

async fn measure(name: &str, stores: Stores) {
    for at_once in [1, 64] {
        let count = if at_once == 1 { 300 } else { 6400 };
        let task = |n: usize, version| StoredTask {
            id: format!("{at_once}-{n}"),
            version,
            owner: format!("owner{}", n % 10),
            summary: "x".repeat(300),
            text: "x".repeat(600),
            ..StoredTask::default()
        };
        for (what, version) in [("inserts", 1), ("replaces", 2)] {
            let begun = Instant::now();
            let worker = async |first: usize| {
                for n in (first..count).step_by(at_once) {
                    let task = task(n, version);
                    match version {
                        1 => stores.tasks.insert(task, TIMES).await.expect("kept"),
                        _ => assert!(stores.tasks.replace(task, TIMES.due).await.expect("no failure")),
                    }
                }
            };
            futures_util::future::join_all((0..at_once).map(worker)).await;
            let rate = count as f64 / begun.elapsed().as_secs_f64();
            println!("{name}: {rate:.0} {what} a second, {at_once} at once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "measures"]
async fn is_measured() {
    if let Ok(name) = std::env::var("TRUNNION_TEST_STORE") {
        return measure("the store", trunnion::store::open(&name).await.expect("a store")).await;
    }
    let folder = Folder::new("throughput");
    let path = folder.0.join("db").to_string_lossy().into_owned();
    let mut names = vec![("memory", "memory:".to_owned()), ("sqlite", path)];
    for kind in [Kind::Postgres, Kind::Redis] {
        if let Some(server) = tokio::task::block_in_place(|| kind.shared()) {
            names.push((if kind == Kind::Postgres { "postgres" } else { "redis" }, server.url()));
        }
    }
    for (name, url) in names {
        measure(name, trunnion::store::open(&url).await.expect("a store")).await;
    }
}
