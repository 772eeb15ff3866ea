//! Tasks of several processes that share a store.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use trunnion::server::{Server, TaskSupport, Tool};
use trunnion::store::{MemoryStore, StoredTask, TaskStore, TaskTimes};

use super::world::{Gate, World, accept, again, builder};
use crate::common::Peer;

/// Short enough to wait for it, long enough for a slow machine not to lose it by accident: the assertions
/// depend on it only in that a dead process loses it.
const LEASE: Duration = Duration::from_millis(500);

fn server(store: &Arc<MemoryStore>, gate: &Gate, lease: Duration) -> Server {
    builder(gate).task_store(store.clone()).bus(store.clone()).task_lease(lease).build().expect("valid")
}

/// A process of its own: it can die.
struct Process(Option<tokio::runtime::Runtime>);

impl Process {
    fn begin(server: &Server) -> (Process, Peer) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (sender, receiver) = std::sync::mpsc::channel();
        let server = server.clone();
        runtime.spawn(async move {
            let listening = server.http().bind("127.0.0.1:0").await.expect("an address");
            sender.send(listening).expect("the test waits");
        });
        let peer = Peer::of(receiver.recv().expect("it listens"), "2026-07-28");
        (Process(Some(runtime)), peer)
    }

    fn die(mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[tokio::test]
async fn a_task_is_served_at_any_process() {
    let store = Arc::new(MemoryStore::default());
    let (first, second) = (Gate::default(), Gate::default());
    let a = World::of(Peer::modern(&server(&store, &first, LEASE * 60)).await, first.clone());
    let b = World::of(Peer::modern(&server(&store, &second, LEASE * 60)).await, second);
    let task = a.create("two", json!({})).await;
    let id = a.id(&task);
    let mut stream = b.listen(&[&id]).await;
    b.told(&mut stream, |task| task["status"] == "input_required").await;
    b.update(&id, json!({"a": accept("Ada")})).await;
    b.update(&id, json!({"b": accept("Bob")})).await;
    let over = b.told(&mut stream, |task| task["status"] == "completed").await;
    assert_eq!(over["result"]["content"][0]["text"], "Ada and Bob");
    assert_eq!(a.get(&id).await["result"], over["result"]);

    let task = a.create("later", json!({})).await;
    b.cancel(&a.id(&task)).await;
    first.left.notified().await;
    assert_eq!(a.get(&a.id(&task)).await["status"], "cancelled");
}

/// Tasks of tools that no server here has stay due, more of them than are read together.
#[tokio::test]
async fn due_tasks_of_unknown_tools_hide_no_later_ones() {
    let (store, gate) = (Arc::new(MemoryStore::default()), Gate::default());
    let made = server(&store, &gate, LEASE);
    let world = World::of(Peer::modern(&made).await, gate.clone());
    let id = world.id(&world.create("hello", json!({})).await);
    world.over(&id).await;
    let known = TaskStore::load(&*store, &id).await.expect("no failure").expect("it is there");
    let mut record: serde_json::Value = serde_json::from_str(&known.text).expect("JSON");
    (record["status"], record["leased"], record["end"]) = (json!("working"), json!(false), json!(null));
    record["terms"]["resumable"] = json!(true);
    let now = TaskTimes { due: Some(Duration::ZERO), keep: None };
    let mut insert = async |id: &str, tool: &str| {
        (record["id"], record["origin"]["tool"]) = (json!(id), json!(tool));
        let task = StoredTask {
            id: id.into(),
            version: 1,
            text: record.to_string(),
            owner: known.owner.clone(),
            ..StoredTask::default()
        };
        TaskStore::insert(&*store, task, now).await.expect("kept");
    };
    for n in 0..5000 {
        insert(&format!("unknown-{n}"), "of another server").await;
    }
    insert("last", "hello").await;
    assert_eq!(world.over("last").await["status"], "completed");
    assert_eq!(world.get("unknown-0").await["status"], "working");
}

#[tokio::test]
async fn another_process_goes_on_when_one_has_died() {
    let store = Arc::new(MemoryStore::default());
    let (first, second) = (Gate::default(), Gate::default());
    // One counter for both servers.
    let second = Gate { count: first.count.clone(), ..second };
    let (process, peer) = Process::begin(&server(&store, &first, LEASE));
    let a = World::of(peer, first.clone());
    let b = World::of(Peer::modern(&server(&store, &second, LEASE)).await, second);
    let task = a.create("careful", json!({})).await;
    let id = a.id(&task);
    let mut stream = b.listen(&[&id]).await;
    let asked = b.told(&mut stream, |task| task["status"] == "input_required").await;
    let key =
        asked["inputRequests"].as_object().and_then(|asked| asked.keys().next()).expect("a key").clone();
    b.update(&id, json!({ key: accept("Ada") })).await;
    first.began.notified().await;
    process.die();
    let over = b.over(&id).await;
    assert_eq!(
        over["result"]["content"][0]["text"], "run 2 of Ada, charged 1, found \"asked Ada\"",
        "{over}"
    );
}

#[tokio::test]
async fn a_tool_that_cannot_run_again_fails_with_its_process() {
    let store = Arc::new(MemoryStore::default());
    let (first, second) = (Gate::default(), Gate::default());
    let (process, peer) = Process::begin(&server(&store, &first, LEASE));
    let a = World::of(peer, first.clone());
    let b = World::of(Peer::modern(&server(&store, &second, LEASE)).await, second);
    let task = a.create("careless", json!({})).await;
    first.began.notified().await;
    process.die();
    let over = b.over(&a.id(&task)).await;
    assert_eq!(over["status"], "failed");
    assert!(over["error"]["message"].as_str().expect("text").contains("cannot be run again"), "{over}");
}

#[tokio::test]
async fn a_worker_that_was_thought_dead_changes_nothing() {
    let store = Arc::new(MemoryStore::default());
    let (first, second) = (Gate::default(), Gate::default());
    let second = Gate { count: first.count.clone(), ..second };
    // No bus: the first is not notified that another process has taken its task, nor does it poll in time.
    let alone = builder(&first).task_store(store.clone()).task_lease(LEASE).build().expect("valid");
    let (process, peer) = Process::begin(&alone);
    let a = World::of(peer, first.clone());
    let task = a.create("careless", json!({})).await;
    let id = a.id(&task);
    first.began.notified().await;
    // Its process is suspended: none of its code runs until it is resumed.
    let runtime = process.0.as_ref().expect("alive").handle().clone();
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let stopped = Arc::new(tokio::sync::Notify::new());
    let tell = stopped.clone();
    runtime.spawn(async move {
        tell.notify_one();
        let _ = receiver.recv();
    });
    stopped.notified().await;
    let b = World::of(Peer::modern(&server(&store, &second, LEASE)).await, second);
    let over = b.over(&id).await;
    assert_eq!(over["status"], "failed", "{over}");
    first.go.notify_one();
    drop(sender);
    // A request that the first answers after all of that.
    assert_eq!(a.get(&id).await["error"], over["error"]);
}

#[tokio::test]
async fn a_server_that_closes_hands_its_tasks_over() {
    let store = Arc::new(MemoryStore::default());
    let (first, second) = (Gate::default(), Gate::default());
    // The test does not wait for a lease of an hour.
    let hour = Duration::from_secs(3600);
    let second = Gate { count: first.count.clone(), ..second };
    let closing = server(&store, &first, hour);
    let a = World::of(Peer::modern(&closing).await, first.clone());
    let b = World::of(Peer::modern(&server(&store, &second, hour)).await, second);
    let careful = a.create("careful", json!({})).await;
    let id = a.id(&careful);
    let mut stream = b.listen(&[&id]).await;
    let asked = b.told(&mut stream, |task| task["status"] == "input_required").await;
    let key =
        asked["inputRequests"].as_object().and_then(|asked| asked.keys().next()).expect("a key").clone();
    b.update(&id, json!({ key: accept("Ada") })).await;
    first.began.notified().await;
    // One that cannot run elsewhere is finished first.
    let careless = a.create("careless", json!({})).await;
    first.began.notified().await;
    let (id_of_careless, World { peer, .. }) = (a.id(&careless), a);
    let closing = tokio::spawn(peer.listening.close());
    let over = b.over(&id).await;
    assert!(
        over["result"]["content"][0]["text"].as_str().expect("text").starts_with("run 2 of Ada"),
        "{over}"
    );
    first.go.notify_waiters();
    closing.await.expect("closed");
    assert_eq!(b.over(&id_of_careless).await["result"]["content"][0]["text"], "careless");
}

#[tokio::test]
async fn a_server_that_serves_again_goes_on_with_what_it_had_left() {
    let gate = Gate::default();
    let again = Tool::new("again", again).task(TaskSupport::Optional).resumable();
    let server = builder(&gate).task_lease(Duration::from_secs(3600)).tool(again).build().expect("valid");
    let a = World::of(Peer::modern(&server).await, gate.clone());
    let task = a.create("again", json!({})).await;
    gate.began.notified().await;
    let (id, World { peer, .. }) = (a.id(&task), a);
    peer.listening.close().await;
    let b = World::of(Peer::modern(&server).await, gate);
    assert_eq!(b.over(&id).await["result"]["content"][0]["text"], "stored in run 2");
}

#[tokio::test]
async fn what_cannot_be_handed_over_in_time_fails() {
    let store = Arc::new(MemoryStore::default());
    let (first, second) = (Gate::default(), Gate::default());
    let hour = Duration::from_secs(3600);
    let listening = server(&store, &first, hour).http().drain_limit(Duration::from_millis(20));
    let a =
        World::of(Peer::of(listening.bind("127.0.0.1:0").await.expect("an address"), "2026-07-28"), first);
    let b = World::of(Peer::modern(&server(&store, &second, hour)).await, second);
    let task = a.create("careless", json!({})).await;
    let id = a.id(&task);
    a.peer.listening.close().await;
    let over = b.over(&id).await;
    assert!(over["error"]["message"].as_str().expect("text").contains("shut down"), "{over}");
}
