//! One store shared by many processes.

use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use trunnion::store::{StoredTask, TaskStore, TaskTimes};

use crate::store_contract::until;

const FOR_EVER: TaskTimes = TaskTimes { due: None, keep: None };
const ROUNDS: u64 = 25;

fn task(id: &str) -> StoredTask {
    StoredTask { id: id.into(), version: 1, owner: "ada".into(), text: "{}".into(), ..StoredTask::default() }
}

/// One of the processes of the tests below.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "started by the tests beside it"]
async fn another_process() {
    let Ok(name) = std::env::var("TRUNNION_TEST_STORE") else { return };
    let tasks = trunnion::store::open(&name).await.expect("a store").tasks;
    match std::env::var("TRUNNION_TEST_ROLE").expect("a role").as_str() {
        "count" => {
            for _ in 0..ROUNDS {
                loop {
                    let now = tasks.load("counted").await.expect("no failure").expect("it is there");
                    let next = StoredTask { version: now.version + 1, ..now };
                    if tasks.replace(next, None).await.expect("no failure") {
                        break;
                    }
                }
            }
        }
        _ => {
            for n in 0.. {
                tasks.insert(task(&format!("t{n}")), FOR_EVER).await.expect("kept");
                // The line tells its reader that the task is stored.
                println!("\nkept t{n}");
            }
        }
    }
}

fn start(name: &str, role: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "store_contract::processes::another_process"])
        .env("TRUNNION_TEST_STORE", name)
        .env("TRUNNION_TEST_ROLE", role)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("started")
}

pub async fn count_together(name: &str) {
    let tasks: Arc<dyn TaskStore> = trunnion::store::open(name).await.expect("a store").tasks;
    tasks.insert(task("counted"), FOR_EVER).await.expect("kept");
    let processes: Vec<Child> = (0..3).map(|_| start(name, "count")).collect();
    for process in processes {
        let output = process.wait_with_output().await.expect("it has ended");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let now = tasks.load("counted").await.expect("no failure").expect("it is there");
    assert_eq!(now.version, 1 + 3 * ROUNDS, "none was lost, none was counted twice");
}

pub async fn are_killed(name: &str) {
    let mut process = start(name, "insert");
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let mut kept = Vec::new();
    while kept.len() < 50 {
        let line = lines.next_line().await.expect("a pipe").expect("it goes on");
        kept.extend(line.strip_prefix("kept ").map(str::to_owned));
    }
    process.start_kill().expect("killed");
    while let Some(line) = lines.next_line().await.expect("a pipe") {
        kept.extend(line.strip_prefix("kept ").map(str::to_owned));
    }
    process.wait().await.expect("it has ended");
    let tasks = trunnion::store::open(name).await.expect("a store").tasks;
    for id in &kept {
        assert_eq!(tasks.load(id).await, Ok(Some(task(id))), "of {}", kept.len());
    }
    until(async || tasks.insert(task("after"), FOR_EVER).await.is_ok()).await;
}
