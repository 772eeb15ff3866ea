//! The core tasks of 2025-11-25.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use trunnion::store::MemoryStore;

use super::world::{Faults, Faulty, Gate, accept, builder, check_against};
use crate::common::{Peer, Stream, text};

async fn session(gate: &Gate) -> Peer {
    let server = builder(gate).build().expect("valid");
    Peer::legacy(&server, "2025-11-25", json!({"elicitation": {}})).await
}

async fn create(peer: &Peer, tool: &str) -> Value {
    let params = json!({"name": tool, "arguments": {}, "task": {"ttl": 60000}});
    let made = peer.ask(10, "tools/call", params).await.json();
    check("CreateTaskResult", &made["result"]);
    made["result"]["task"].clone()
}

async fn ask(peer: &Peer, method: &str, task: &Value) -> Value {
    peer.ask(11, method, json!({"taskId": task["taskId"]})).await.json()
}

/// The next request that the server sends.
async fn asked(stream: &mut Stream) -> Value {
    loop {
        let Some(event) = stream.next().await else { panic!("the stream has ended") };
        if !event.data.is_empty() {
            let message = event.message();
            if message.get("method").is_some() && message.get("id").is_some() {
                return message;
            }
        }
    }
}

fn check(definition: &str, value: &Value) {
    let Some(folder) = std::env::var_os("MCP_SPEC_DIR").map(std::path::PathBuf::from) else { return };
    let text = std::fs::read_to_string(folder.join("2025-11-25/schema.json")).expect("a schema");
    check_against(&text, definition, value);
}

#[tokio::test]
async fn a_task_of_2025_has_its_own_shape() {
    let gate = Gate::default();
    let peer = session(&gate).await;
    let task = create(&peer, "later").await;
    assert_eq!(
        (&task["status"], &task["ttl"], &task["pollInterval"]),
        (&json!("working"), &json!(60000), &json!(5))
    );
    let got = ask(&peer, "tasks/get", &task).await;
    assert_eq!(got["result"]["taskId"], task["taskId"]);
    assert!(got["result"].get("resultType").is_none());
    check("GetTaskResult", &got["result"]);
    gate.go.notify_one();
    // It waits for the end.
    let result = ask(&peer, "tasks/result", &task).await;
    assert_eq!(text(&result), "later");
    let related = &result["result"]["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(related["taskId"], task["taskId"]);
    check("CallToolResult", &result["result"]);

    // A tool that fails makes a task that has failed, and its result is what it would have been.
    let failed = create(&peer, "fails").await;
    let result = ask(&peer, "tasks/result", &failed).await;
    assert_eq!(result["result"]["isError"], true);
    assert_eq!(ask(&peer, "tasks/get", &failed).await["result"]["status"], "failed");
    let broken = create(&peer, "breaks").await;
    assert_eq!(ask(&peer, "tasks/result", &broken).await["error"]["code"], -32603);
}

#[tokio::test]
async fn what_a_task_asks_comes_on_the_stream_of_its_result() {
    let gate = Gate::default();
    let peer = session(&gate).await;
    let task = create(&peer, "two").await;
    let mut stream = peer.ask(12, "tasks/result", json!({"taskId": task["taskId"]})).await.stream();
    for (name, message) in [("Ada", "Who?"), ("Bob", "And who?")] {
        let question = asked(&mut stream).await;
        assert_eq!(
            (&question["method"], &question["params"]["message"]),
            (&json!("elicitation/create"), &json!(message))
        );
        let related = &question["params"]["_meta"]["io.modelcontextprotocol/related-task"];
        assert_eq!(related["taskId"], task["taskId"]);
        assert_eq!(peer.respond(&question, accept(name)).await, 202);
    }
    let result = loop {
        let event = stream.next().await.expect("the result");
        if !event.data.is_empty() && event.message().get("result").is_some() {
            break event.message();
        }
    };
    assert_eq!(text(&result), "Ada and Bob");
}

#[tokio::test]
async fn a_client_that_cannot_answer_fails_the_question() {
    let gate = Gate::default();
    let peer = session(&gate).await;
    let task = create(&peer, "two").await;
    let mut stream = peer.ask(12, "tasks/result", json!({"taskId": task["taskId"]})).await.stream();
    for _ in 0..2 {
        let question = asked(&mut stream).await;
        let error = json!({"code": -1, "message": "nobody is there"});
        peer.post(&json!({"jsonrpc": "2.0", "id": question["id"], "error": error})).await;
    }
    let result = loop {
        let event = stream.next().await.expect("the result");
        if !event.data.is_empty() && event.message().get("error").is_some() {
            break event.message();
        }
    };
    assert_eq!(
        (&result["error"]["code"], &result["error"]["message"]),
        (&json!(-1), &json!("nobody is there"))
    );
}

#[tokio::test]
async fn cancelling_is_done_when_it_is_answered_and_only_once() {
    let gate = Gate::default();
    let peer = session(&gate).await;
    let task = create(&peer, "later").await;
    let cancelled = ask(&peer, "tasks/cancel", &task).await;
    assert_eq!(cancelled["result"]["status"], "cancelled");
    check("CancelTaskResult", &cancelled["result"]);
    gate.left.notified().await;
    let again = ask(&peer, "tasks/cancel", &task).await;
    assert_eq!(again["error"]["code"], -32602);
    assert!(again["error"]["message"].as_str().expect("text").contains("'cancelled'"), "{again}");
    // The status is that of an answer: clients of that time take any other for a failure of the transport.
    let result = peer.ask(12, "tasks/result", json!({"taskId": task["taskId"]})).await;
    assert_eq!(result.status(), 200);
    assert_eq!(result.json()["error"], json!({"code": -32600, "message": "the task was cancelled"}));
    let unknown = peer.ask(13, "tasks/get", json!({"taskId": "nothing"})).await.json();
    assert_eq!(unknown["error"]["code"], -32602);
    assert_eq!(
        peer.ask(14, "tasks/update", json!({"taskId": "x", "inputResponses": {}})).await.json()["error"]["code"],
        -32601
    );
}

#[tokio::test]
async fn whoever_waits_for_a_result_outlasts_a_store_that_is_away() {
    let faults = Arc::new(Faults::default());
    let store = Arc::new(Faulty::new(Arc::new(MemoryStore::default()), faults.clone()));
    let gate = Gate::default();
    let server = builder(&gate).task_store(store).build().expect("valid");
    let peer = Peer::legacy(&server, "2025-11-25", json!({"elicitation": {}})).await;
    let task = create(&peer, "two").await;
    let mut stream = peer.ask(12, "tasks/result", json!({"taskId": task["taskId"]})).await.stream();
    for name in ["Ada", "Bob"] {
        let question = asked(&mut stream).await;
        // The client's answers while the store is unavailable are not lost.
        faults.down.store(true, Ordering::SeqCst);
        let before = faults.refused.load(Ordering::SeqCst);
        assert_eq!(peer.respond(&question, accept(name)).await, 202);
        while faults.refused.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        faults.down.store(false, Ordering::SeqCst);
    }
    let result = loop {
        let event = stream.next().await.expect("the result");
        if !event.data.is_empty() && event.message().get("method").is_none() {
            break event.message();
        }
    };
    assert_eq!(text(&result), "Ada and Bob");
    // A client that asks only now gets an error.
    faults.down.store(true, Ordering::SeqCst);
    assert_eq!(ask(&peer, "tasks/result", &task).await["error"]["code"], -32603);
}

#[tokio::test]
async fn a_call_that_is_cancelled_while_its_task_is_made_is_not_worked_on() {
    let faults = Arc::new(Faults::default());
    let store = Arc::new(Faulty::new(Arc::new(MemoryStore::default()), faults.clone()));
    let gate = Gate::default();
    let server = builder(&gate).task_store(store).build().expect("valid");
    let peer = Peer::legacy(&server, "2025-11-25", json!({})).await;
    faults.slow.store(true, Ordering::SeqCst);
    let params = json!({"name": "later", "arguments": {}, "task": {}});
    let listed = async {
        faults.inserting.notified().await;
        assert_eq!(peer.notify("notifications/cancelled", json!({"requestId": 12})).await, 202);
        faults.go.notify_one();
        loop {
            let listed = peer.ask(13, "tasks/list", json!({})).await.json()["result"]["tasks"].clone();
            let status = &listed[0]["status"];
            if status == "cancelled" || gate.count.load(Ordering::SeqCst) > 0 {
                break listed;
            }
        }
    };
    let called = std::pin::pin!(peer.ask(12, "tools/call", params));
    let listed = match futures_util::future::select(called, std::pin::pin!(listed)).await {
        futures_util::future::Either::Left((_, listed)) => listed.await,
        futures_util::future::Either::Right((listed, _)) => listed,
    };
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["status"]), (Some(1), &json!("cancelled")));
    assert_eq!(gate.count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_session_lists_its_own_tasks() {
    let gate = Gate::default();
    let server = builder(&gate).page_size(2).build().expect("valid");
    let peer = Peer::legacy(&server, "2025-11-25", json!({})).await;
    let other = Peer::legacy(&server, "2025-11-25", json!({})).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(create(&peer, "later").await["taskId"].clone());
    }
    create(&other, "later").await;
    let first = peer.ask(20, "tasks/list", json!({})).await.json();
    check("ListTasksResult", &first["result"]);
    let second = peer.ask(21, "tasks/list", json!({"cursor": first["result"]["nextCursor"]})).await.json();
    let pages = [&first, &second].map(|page| page["result"]["tasks"].as_array().expect("tasks").clone());
    let listed: Vec<Value> = pages.concat().iter().map(|task| task["taskId"].clone()).collect();
    assert_eq!(listed, made);
    assert!(second["result"].get("nextCursor").is_none());
    let wrong = peer.ask(22, "tasks/list", json!({"cursor": "nothing"})).await.json();
    assert_eq!(wrong["error"]["code"], -32602);
    // Any client that knows the id may poll.
    assert_eq!(
        other.ask(23, "tasks/get", json!({"taskId": made[0]})).await.json()["result"]["status"],
        "working"
    );
}

#[tokio::test]
async fn a_page_of_tasks_is_short() {
    let gate = Gate::default();
    let peer = session(&gate).await;
    for _ in 0..51 {
        create(&peer, "later").await;
    }
    let first = peer.ask(20, "tasks/list", json!({})).await.json()["result"].clone();
    assert_eq!(first["tasks"].as_array().map(Vec::len), Some(50));
    let second = peer.ask(21, "tasks/list", json!({"cursor": first["nextCursor"]})).await.json();
    assert_eq!(second["result"]["tasks"].as_array().map(Vec::len), Some(1));
    assert!(second["result"].get("nextCursor").is_none());
}

#[tokio::test]
async fn the_session_is_told_of_its_tasks() {
    let gate = Gate::default();
    let peer = session(&gate).await;
    let mut standing = peer.get(None).await.stream();
    let task = create(&peer, "steps").await;
    gate.go.notify_one();
    loop {
        let event = standing.next().await.expect("the stream goes on");
        if event.data.is_empty() || event.message()["method"] != "notifications/tasks/status" {
            continue;
        }
        let params = &event.message()["params"];
        assert_eq!(params["taskId"], task["taskId"]);
        assert!(params.get("result").is_none());
        check("TaskStatusNotificationParams", params);
        if params["status"] == "completed" {
            break;
        }
    }
}

#[tokio::test]
async fn tools_say_whether_they_have_tasks_and_are_held_to_it() {
    let gate = Gate::default();
    let server = builder(&gate).build().expect("valid");
    let peer = Peer::legacy(&server, "2025-11-25", json!({})).await;
    let tools = peer.ask(30, "tools/list", json!({})).await.json();
    let support = |name: &str| {
        let tools = tools["result"]["tools"].as_array().expect("tools");
        tools.iter().find(|tool| tool["name"] == name).expect("it is there")["execution"]["taskSupport"]
            .clone()
    };
    assert_eq!(
        [support("plain"), support("hello"), support("must")],
        [Value::Null, json!("optional"), json!("required")]
    );
    assert_eq!(text(&peer.call(31, "hello", json!({})).await.json()), "hello");
    assert_eq!(peer.call(32, "must", json!({})).await.json()["error"]["code"], -32601);
    let plain = peer.ask(33, "tools/call", json!({"name": "plain", "task": {}})).await.json();
    assert_eq!(plain["error"]["code"], -32601);
    let wrong = peer.ask(34, "tools/call", json!({"name": "hello", "task": {"ttl": -1}})).await.json();
    assert_eq!(wrong["error"]["code"], -32602);
    // Before that revision there are none.
    let older = Peer::legacy(&server, "2025-06-18", json!({})).await;
    let tools = older.ask(35, "tools/list", json!({})).await.json();
    assert!(!tools.to_string().contains("taskSupport"));
    let called = older.ask(36, "tools/call", json!({"name": "hello", "task": {}})).await.json();
    assert_eq!(text(&called), "hello");
    assert_eq!(older.ask(37, "tasks/get", json!({"taskId": "x"})).await.json()["error"]["code"], -32601);
    assert_eq!(older.call(38, "must", json!({})).await.json()["error"]["code"], -32601);
}

#[tokio::test]
async fn a_session_has_only_so_many_tasks() {
    let gate = Gate::default();
    let server = builder(&gate).max_tasks(2, 100).build().expect("valid");
    let peer = Peer::legacy(&server, "2025-11-25", json!({})).await;
    let first = create(&peer, "later").await;
    create(&peer, "later").await;
    let params = json!({"name": "later", "arguments": {}, "task": {}});
    let refused = peer.ask(40, "tools/call", params.clone()).await;
    assert_eq!(refused.status(), 200);
    let refused = refused.json();
    assert_eq!(refused["error"]["code"], -32600);
    assert!(refused["error"]["message"].as_str().expect("text").contains("maxTasksPerOwner"), "{refused}");
    // Another session has its own.
    let other = Peer::legacy(&server, "2025-11-25", json!({})).await;
    create(&other, "hello").await;
    ask(&peer, "tasks/cancel", &first).await;
    gate.left.notified().await;
}
