//! Tasks, as clients observe them.

mod older;
mod shared;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{Peer, text};
use serde_json::json;
use trunnion::server::{TaskSupport, Tool};
use trunnion::store::{MemoryStore, StoredTask, TaskStore, TaskTimes};
use world::{Faults, Faulty, Gate, World, accept, again, builder, task_meta};

#[tokio::test]
async fn a_call_becomes_a_task_that_is_told_of_until_its_end() {
    let world = World::new().await;
    let task = world.create("steps", json!({})).await;
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")));
    assert_eq!((&task["ttlMs"], &task["pollIntervalMs"]), (&json!(86_400_000), &json!(5)));
    assert!(task["createdAt"].as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')), "{task}");
    world.check("CreateTaskResult", &task);
    let id = world.id(&task);

    let mut stream = world.listen(&[&id]).await;
    assert_eq!(stream.message().await["params"]["notifications"], json!({"taskIds": [id]}));
    let told = world.told(&mut stream, |task| task["statusMessage"] == "on the way (1 of 2)").await;
    assert_eq!((&told["status"], &told["taskId"]), (&json!("working"), &json!(id)));
    world.gate.go.notify_one();
    let told = world.told(&mut stream, |task| task["status"] == "completed").await;
    assert_eq!(told["result"]["content"][0]["text"], "done");
    assert!(told.get("statusMessage").is_none(), "{told}");

    let got = world.get(&id).await;
    assert_eq!(got["resultType"], "complete");
    assert_eq!((&got["result"], &got["lastUpdatedAt"]), (&told["result"], &told["lastUpdatedAt"]));
    world.check("GetTaskResult", &got);
}

#[tokio::test]
async fn what_a_task_asks_is_answered_in_parts() {
    let world = World::new().await;
    let task = world.create("two", json!({})).await;
    let id = world.id(&task);
    let mut stream = world.listen(&[&id]).await;
    let asked = world.told(&mut stream, |task| task["status"] == "input_required").await;
    assert_eq!(asked["inputRequests"].as_object().map(|asked| asked.len()), Some(2), "{asked}");
    assert_eq!(asked["inputRequests"]["a"]["method"], "elicitation/create");
    world.check("GetTaskResult", &world.get(&id).await);

    let wrong = world.update(&id, json!({"a": {"action": "accept", "content": {"name": 5}}})).await;
    assert_eq!(wrong["error"]["code"], -32602, "{wrong}");
    assert!(wrong["error"]["message"].as_str().expect("text").contains("inputResponses.a"), "{wrong}");
    let ack = world.update(&id, json!({"a": accept("Ada"), "zzz": {"x": 1}})).await;
    assert_eq!(ack["result"]["resultType"], "complete");
    assert!(ack["result"].get("taskId").is_none());
    let left = world.get(&id).await;
    assert_eq!(left["status"], "input_required");
    assert_eq!(
        left["inputRequests"].as_object().map(|asked| asked.keys().collect::<Vec<_>>()),
        Some(vec![&"b".to_owned()])
    );

    // One that was answered cannot be answered again.
    world.update(&id, json!({"a": accept("Eve")})).await;
    world.update(&id, json!({"b": accept("Bob")})).await;
    let done = world.told(&mut stream, |task| task["status"] == "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "Ada and Bob");
    let late = world.update(&id, json!({"b": accept("Eve")})).await;
    assert_eq!(late["result"]["resultType"], "complete", "ignored");
}

#[tokio::test]
async fn cancelling_reaches_the_handler_and_comes_too_late_after_the_end() {
    let world = World::new().await;
    let task = world.create("later", json!({})).await;
    let id = world.id(&task);
    let ack = world.cancel(&id).await;
    assert_eq!(ack["result"]["resultType"], "complete");
    assert!(ack["result"].get("status").is_none());
    world.gate.left.notified().await;
    assert_eq!(world.get(&id).await["status"], "cancelled");

    let task = world.create("hello", json!({})).await;
    let id = world.id(&task);
    world.over(&id).await;
    assert_eq!(world.cancel(&id).await["result"]["resultType"], "complete");
    assert_eq!(world.get(&id).await["status"], "completed");
}

#[tokio::test]
async fn a_handler_that_ignores_cancellation_changes_nothing() {
    let world = World::new().await;
    let task = world.create("stubborn", json!({})).await;
    let id = world.id(&task);
    world.gate.began.notified().await;
    world.cancel(&id).await;
    world.gate.open();
    world.gate.left.notified().await;
    assert_eq!(world.get(&id).await["status"], "cancelled");
    assert_eq!(text(&world.peer.call(9, "hello", json!({})).await.json()), "hello", "it serves on");
}

#[tokio::test]
async fn failures_are_results_and_errors_are_not() {
    let world = World::new().await;
    let task = world.create("fails", json!({})).await;
    let failed = world.over(&world.id(&task)).await;
    assert_eq!((&failed["status"], &failed["result"]["isError"]), (&json!("completed"), &json!(true)));
    let task = world.create("breaks", json!({})).await;
    let broken = world.over(&world.id(&task)).await;
    assert_eq!((&broken["status"], &broken["error"]["code"]), (&json!("failed"), &json!(-32603)));
    assert!(broken.get("result").is_none() && broken["statusMessage"].is_string(), "{broken}");
    let task = world.create("large", json!({})).await;
    let large = world.over(&world.id(&task)).await;
    assert!(large["error"]["message"].as_str().expect("text").contains("maxTaskResultBytes"), "{large}");
    let task = world.create("panics", json!({})).await;
    assert_eq!(world.over(&world.id(&task)).await["status"], "failed");
}

#[tokio::test]
async fn clients_that_do_not_know_of_tasks_get_none() {
    let world = World::new().await;
    assert_eq!(text(&world.peer.call(1, "hello", json!({})).await.json()), "hello");
    let refused = world.peer.call(2, "must", json!({})).await.json();
    assert_eq!(refused["error"]["code"], -32021);
    let required = &refused["error"]["data"]["requiredCapabilities"];
    assert_eq!(required["extensions"]["io.modelcontextprotocol/tasks"], json!({}));
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let refused = world.peer.ask(3, method, json!({"taskId": "x", "inputResponses": {}})).await.json();
        assert_eq!(refused["error"]["code"], -32021, "{method}");
    }
    let filter = json!({"notifications": {"taskIds": ["x"]}});
    assert_eq!(world.peer.ask(4, "subscriptions/listen", filter).await.json()["error"]["code"], -32021);
    // Never: the client's knowledge changes nothing.
    let called = world.call("plain", json!({})).await;
    assert_eq!(called["result"]["resultType"], "complete");
}

#[tokio::test]
async fn what_is_unknown_is_an_error() {
    let world = World::new().await;
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let answer = world.ask(method, json!({"taskId": "nothing", "inputResponses": {}})).await;
        assert_eq!(answer["error"]["code"], -32602, "{method}");
    }
    for method in ["tasks/result", "tasks/list"] {
        assert_eq!(
            world.ask(method, json!({"taskId": "nothing"})).await["error"]["code"],
            -32601,
            "{method}"
        );
    }
    assert_eq!(world.ask("tasks/update", json!({"taskId": "x"})).await["error"]["code"], -32602);
    let mut stream = world.listen(&["nothing"]).await;
    assert_eq!(stream.message().await["params"]["notifications"], json!({}));
}

#[tokio::test]
async fn discovery_says_that_there_are_tasks() {
    let world = World::new().await;
    let discovered = world.ask("server/discover", json!({})).await;
    let capabilities = &discovered["result"]["capabilities"];
    assert_eq!(capabilities["extensions"], json!({"io.modelcontextprotocol/tasks": {}}));
    assert!(capabilities.get("tasks").is_none());
    let tools = world.ask("tools/list", json!({})).await;
    assert!(!tools.to_string().contains("taskSupport"));
}

#[tokio::test]
async fn tasks_wait_for_their_turn_and_there_are_only_so_many() {
    let gate = Gate::default();
    let server = builder(&gate).max_tasks(100, 3).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let one = world.create("narrow", json!({})).await;
    world.gate.began.notified().await;
    let two = world.create("narrow", json!({})).await;
    let three = world.create("narrow", json!({})).await;
    let refused = world.call("narrow", json!({})).await;
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(refused["error"]["message"].as_str().expect("text").contains("maxTasks"), "{refused}");
    // The second begins when the first has ended.
    assert_eq!(world.gate.count.load(Ordering::SeqCst), 1);
    world.cancel(&world.id(&two)).await;
    world.gate.go.notify_one();
    world.over(&world.id(&one)).await;
    world.gate.began.notified().await;
    world.gate.go.notify_one();
    assert_eq!(world.over(&world.id(&three)).await["status"], "completed");
    assert_eq!(world.gate.count.load(Ordering::SeqCst), 2, "the one that was cancelled never ran");
}

#[tokio::test]
async fn a_task_that_waits_for_its_client_keeps_nobody_from_working() {
    let world = World::new().await;
    let mut ids = Vec::new();
    // All of them ask, though only one of them may work.
    for _ in 0..3 {
        let id = world.id(&world.create("alone", json!({})).await);
        let mut stream = world.listen(&[&id]).await;
        world.told(&mut stream, |task| task["status"] == "input_required").await;
        ids.push(id);
    }
    // The first waits at its question. The others run one after the other.
    let answer = async |id: &str| {
        let asked = world.get(id).await["inputRequests"].clone();
        let key = asked.as_object().and_then(|asked| asked.keys().next()).expect("a key").clone();
        world.update(id, json!({ key: accept("Ada") })).await;
    };
    answer(&ids[1]).await;
    world.gate.began.notified().await;
    answer(&ids[2]).await;
    assert_eq!(world.get(&ids[2]).await["status"], "working");
    assert_eq!(world.gate.count.load(Ordering::SeqCst), 1, "it has not got its turn yet");
    world.gate.go.notify_one();
    world.gate.began.notified().await;
    world.gate.go.notify_one();
    for id in &ids[1..] {
        assert_eq!(world.over(id).await["result"]["content"][0]["text"], "alone");
    }
    assert_eq!(world.get(&ids[0]).await["status"], "input_required");
    answer(&ids[0]).await;
    world.gate.go.notify_one();
    assert_eq!(world.over(&ids[0]).await["result"]["content"][0]["text"], "alone");
}

#[tokio::test]
async fn the_time_that_a_client_takes_to_answer_is_not_the_tools() {
    let world = World::new().await;
    let id = world.id(&world.create("alone", json!({})).await);
    let mut stream = world.listen(&[&id]).await;
    let asked = world.told(&mut stream, |task| task["status"] == "input_required").await;
    let key =
        asked["inputRequests"].as_object().and_then(|asked| asked.keys().next()).expect("a key").clone();
    let pass = async |seconds| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
    };
    // Less than connections may be silent for.
    pass(9).await;
    assert_eq!(world.get(&id).await["status"], "input_required");
    world.update(&id, json!({ key: accept("Ada") })).await;
    world.gate.began.notified().await;
    // Its own time counts again.
    pass(9).await;
    let over = world.over(&id).await;
    assert!(over["result"]["content"][0]["text"].as_str().expect("text").contains("time limit"), "{over}");
}

#[tokio::test]
async fn a_handler_that_goes_on_after_it_was_cancelled_keeps_its_turn_and_its_place() {
    let gate = Gate::default();
    let server = builder(&gate).max_tasks(100, 2).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let first = world.create("stubborn_narrow", json!({})).await;
    world.gate.began.notified().await;
    world.cancel(&world.id(&first)).await;
    let second = world.create("stubborn_narrow", json!({})).await;
    let refused = world.call("hello", json!({})).await;
    assert!(refused["error"]["message"].as_str().expect("text").contains("maxTasks"), "{refused}");
    assert_eq!(world.gate.count.load(Ordering::SeqCst), 1, "one thread works");
    world.gate.open();
    assert_eq!(world.over(&world.id(&second)).await["result"]["content"][0]["text"], "stubborn");
    assert_eq!(world.gate.count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_task_that_takes_too_long_fails_as_its_call_would() {
    let world = World::new().await;
    let task = world.create("slow", json!({})).await;
    let over = world.over(&world.id(&task)).await;
    assert!(over["result"]["content"][0]["text"].as_str().expect("text").contains("time limit"), "{over}");
}

#[tokio::test]
async fn a_task_is_kept_for_its_time() {
    let gate = Gate::default();
    let server = builder(&gate)
        .task_ttl(Duration::from_millis(1))
        .task_lease(Duration::from_millis(30))
        .build()
        .expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let task = world.create("later", json!({})).await;
    // Its handler detects this with the next renewal of its lease.
    world.gate.left.notified().await;
    let gone = world.ask("tasks/get", json!({"taskId": task["taskId"]})).await;
    assert_eq!(gone["error"]["code"], -32602, "{gone}");
}

#[tokio::test]
async fn a_memory_that_is_full_takes_no_more_tasks_and_loses_none() {
    let gate = Gate::default();
    let store = Arc::new(MemoryStore::limited(30_000));
    let server = builder(&gate).task_store(store).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let mut ids = Vec::new();
    let refused = loop {
        let made = world.call("hello", json!({})).await;
        if made.get("error").is_some() {
            break made;
        }
        ids.push(world.id(&made["result"]));
        world.over(ids.last().expect("one")).await;
    };
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(refused["error"]["message"].as_str().expect("text").contains("as many tasks as it can"));
    assert!(ids.len() > 5, "{}", ids.len());
    for id in &ids {
        assert_eq!(world.get(id).await["status"], "completed");
    }
}

#[tokio::test]
async fn only_so_much_is_kept_of_one_owner() {
    let gate = Gate::default();
    let server = builder(&gate).kept_tasks(3, 1 << 20).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.id(&world.create("hello", json!({})).await));
        world.over(ids.last().expect("one")).await;
    }
    for (n, id) in ids.iter().enumerate() {
        let got = world.ask("tasks/get", json!({"taskId": id})).await;
        assert_eq!(got.get("error").is_some(), n < 2, "the oldest are forgotten: {got}");
    }
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(world.id(&world.create("later", json!({})).await));
    }
    let refused = world.call("later", json!({})).await;
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(refused["error"]["message"].as_str().expect("text").contains("maxKeptTasks"), "{refused}");
    for id in &running {
        assert_eq!(world.get(id).await["status"], "working", "what is not over is not forgotten");
    }
}

#[tokio::test]
async fn how_long_a_task_is_kept_is_counted_where_it_is_kept() {
    let store = Arc::new(MemoryStore::default());
    let gate = Gate::default();
    let server = builder(&gate).task_store(store.clone()).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let made = world.create("later", json!({})).await;
    // The same task from a process whose clock is behind by more than the time for which the task is stored.
    let known = TaskStore::load(&*store, &world.id(&made)).await.expect("no failure").expect("it is there");
    let mut record: serde_json::Value = serde_json::from_str(&known.text).expect("JSON");
    let hour = Duration::from_secs(3600);
    record["id"] = json!("behind");
    record["terms"]["ttl"] = json!(3_600_000);
    record["created"] = json!(record["created"].as_u64().expect("a number") - 7_200_000);
    let behind = StoredTask { id: "behind".into(), version: 1, text: record.to_string(), ..known };
    let times = TaskTimes { due: Some(hour), keep: Some(hour) };
    TaskStore::insert(&*store, behind, times).await.expect("kept");
    assert_eq!(world.cancel("behind").await["result"]["resultType"], "complete");
    assert_eq!(world.get("behind").await["status"], "cancelled");
}

#[tokio::test]
async fn what_is_declared_to_be_asked_is_asked_before_the_task_is_made() {
    let world = World::new().await;
    let first = world.call("asks", json!({})).await;
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    let mut params = json!({"name": "asks", "arguments": {}, "requestState": first["result"]["requestState"],
        "inputResponses": {"who": accept("Ada")}});
    params["_meta"] = task_meta();
    let task = world.peer.ask(50, "tools/call", params).await.json();
    assert_eq!(task["result"]["resultType"], "task", "{task}");
    let over = world.over(&world.id(&task["result"])).await;
    assert_eq!(over["result"]["content"][0]["text"], "Hello, Ada");
}

#[tokio::test]
async fn a_store_that_fails_fails_requests_and_not_the_server() {
    let faults = Arc::new(Faults::default());
    let store = Arc::new(Faulty::new(Arc::new(MemoryStore::default()), faults.clone()));
    let gate = Gate::default();
    let server =
        builder(&gate).task_store(store).task_lease(Duration::from_millis(30)).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let task = world.create("keeps", json!({})).await;
    let id = world.id(&task);
    world.gate.began.notified().await;

    faults.down.store(true, Ordering::SeqCst);
    let refused = world.call("later", json!({})).await;
    assert_eq!(refused["error"]["code"], -32603, "{refused}");
    assert!(!refused.to_string().contains("secret"), "clients are not told why");
    assert_eq!(world.ask("tasks/get", json!({"taskId": id})).await["error"]["code"], -32603);
    // A stream that could never send a notification is refused.
    let listened = world.ask("subscriptions/listen", json!({"notifications": {"taskIds": [id]}})).await;
    assert_eq!(listened["error"]["code"], -32603, "{listened}");
    assert_eq!(text(&world.peer.call(9, "hello", json!({})).await.json()), "hello");
    // A failed write fails in the handler, which continues; its result is written when the store is available
    // again.
    world.gate.go.notify_one();
    world.gate.began.notified().await;
    faults.down.store(false, Ordering::SeqCst);
    world.gate.go.notify_one();
    let over = world.over(&id).await;
    assert_eq!(over["result"]["content"][0]["text"], "internal_error", "{over}");
}

#[tokio::test]
async fn a_store_that_comes_back_costs_a_handler_nothing_but_time() {
    let faults = Arc::new(Faults::default());
    let store = Arc::new(Faulty::new(Arc::new(MemoryStore::default()), faults.clone()));
    let gate = Gate::default();
    let server = builder(&gate).task_store(store).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let task = world.create("keeps", json!({})).await;
    world.gate.began.notified().await;
    faults.down.store(true, Ordering::SeqCst);
    world.gate.go.notify_one();
    while faults.refused.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    faults.down.store(false, Ordering::SeqCst);
    world.gate.began.notified().await;
    world.gate.go.notify_one();
    let over = world.over(&world.id(&task)).await;
    assert_eq!(over["result"]["content"][0]["text"], "kept", "{over}");
}

#[tokio::test]
async fn a_run_that_cannot_store_is_left_to_another() {
    let faults = Arc::new(Faults::default());
    let store = Arc::new(Faulty::new(Arc::new(MemoryStore::default()), faults.clone()));
    let gate = Gate::default();
    let again = Tool::new("again", again).task(TaskSupport::Optional).resumable();
    let server = builder(&gate)
        .task_store(store)
        .task_lease(Duration::from_millis(30))
        .tool(again)
        .build()
        .expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let task = world.create("again", json!({})).await;
    world.gate.began.notified().await;
    faults.down.store(true, Ordering::SeqCst);
    world.gate.go.notify_one();
    world.gate.left.notified().await;
    faults.down.store(false, Ordering::SeqCst);
    let over = world.over(&world.id(&task)).await;
    assert_eq!(over["result"]["content"][0]["text"], "stored in run 2", "{over}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_has_failed() {
    let faults = Arc::new(Faults::default());
    let store = Arc::new(Faulty::new(Arc::new(MemoryStore::default()), faults.clone()));
    let gate = Gate::default();
    let server = builder(&gate).task_store(store).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    faults.hangs.store(true, Ordering::SeqCst);
    tokio::time::pause();
    assert_eq!(world.call("later", json!({})).await["error"]["code"], -32603);
    assert_eq!(world.ask("tasks/get", json!({"taskId": "x"})).await["error"]["code"], -32603);
    assert_eq!(text(&world.peer.call(9, "hello", json!({})).await.json()), "hello");
}

#[tokio::test]
async fn a_task_that_could_not_be_made_is_not_worked_on_later() {
    let faults = Arc::new(Faults::default());
    let store = Arc::new(MemoryStore::default());
    let faulty = Arc::new(Faulty::new(store.clone(), faults.clone()));
    let gate = Gate::default();
    let server = builder(&gate).task_store(faulty).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let removed = async |times| {
        while faults.removed.load(Ordering::SeqCst) < times {
            tokio::task::yield_now().await;
        }
    };
    let kept =
        async || TaskStore::list(&*store, "", None, 10).await.expect("no failure").expect("a list").len();
    faults.late.store(true, Ordering::SeqCst);
    assert_eq!(world.call("later", json!({})).await["error"]["code"], -32603);
    removed(1).await;
    // It arrives all the same, after it was removed.
    let (task, times) = faults.arriving.lock().expect("no panic").pop().expect("it was to be made");
    TaskStore::insert(&*store, task, times).await.expect("kept");
    assert_eq!(kept().await, 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    removed(2).await;
    assert_eq!(kept().await, 0);
    assert_eq!(world.gate.count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn whoever_loses_a_race_tries_again() {
    let faults = Arc::new(Faults::default());
    let store = Arc::new(Faulty::new(Arc::new(MemoryStore::default()), faults.clone()));
    let gate = Gate::default();
    let server = builder(&gate).task_store(store).build().expect("valid");
    let world = World::of(Peer::modern(&server).await, gate);
    let task = world.create("two", json!({})).await;
    let id = world.id(&task);
    faults.lose.store(3, Ordering::SeqCst);
    let mut stream = world.listen(&[&id]).await;
    world.told(&mut stream, |task| task["status"] == "input_required").await;
    faults.lose.store(3, Ordering::SeqCst);
    world.update(&id, json!({"a": accept("Ada"), "b": accept("Bob")})).await;
    let over = world.told(&mut stream, |task| task["status"] == "completed").await;
    assert_eq!(over["result"]["content"][0]["text"], "Ada and Bob");
    faults.lose.store(u32::MAX, Ordering::SeqCst);
    let task = world.create("later", json!({})).await;
    let refused = world.cancel(&world.id(&task)).await;
    assert_eq!(refused["error"]["code"], -32603, "not for ever: {refused}");
}

#[tokio::test]
async fn a_tool_says_what_makes_no_sense() {
    use trunnion::server::{Prompt, Server, TaskSupport, Tool};
    let build =
        |tool: Tool| Server::builder("t", "1").tool(tool).build().map(drop).map_err(|error| error.kind);
    assert_eq!(build(Tool::new("a", crate::common::hello).resumable()), Err("usage"));
    let optional = || Tool::new("a", crate::common::hello).task(TaskSupport::Optional);
    assert_eq!(build(optional().task_concurrency(0)), Err("usage"));
    assert_eq!(build(optional()), Ok(()));
    let lease = Server::builder("t", "1")
        .task_lease(Duration::ZERO)
        .prompt(Prompt::new("p", crate::common::hello))
        .build();
    assert_eq!(lease.map(drop).map_err(|error| error.kind), Err("usage"));
}
