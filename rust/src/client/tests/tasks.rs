//! Tasks of hand-written servers: one over HTTP that is unavailable for a time, one on the standard streams
//! of a child.

use std::sync::atomic::AtomicBool;

use super::*;

fn task(status: &str, kind: &str, more: Value) -> Value {
    let mut task = json!({"resultType": kind, "taskId": "t-1", "status": status, "ttlMs": null, "pollIntervalMs": 1,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z"});
    for (key, value) in more.as_object().expect("members") {
        task[key] = value.clone();
    }
    task
}

#[tokio::test]
async fn a_server_that_is_away_for_a_while_keeps_its_task() {
    let looks = AtomicUsize::new(0);
    let (url, seen, _) = serve(modern(move |request| {
        let id = &request.body["id"];
        match request.body["method"].as_str() {
            Some("tools/call") => (ok(id, task("working", "task", json!({}))), false),
            Some("tasks/get") => match looks.fetch_add(1, Ordering::SeqCst) {
                0 => (response(503, "", "busy"), false),
                // Cut off in the middle of its head.
                1 => ("HTTP/1.1 2".into(), true),
                _ => {
                    let result = json!({"result": text_result("at last")});
                    (ok(id, task("completed", "complete", result)), false)
                }
            },
            _ => (response(404, "", ""), false),
        }
    }))
    .await;
    let client = Client::connect(url).await.expect("connected");
    assert_eq!(client.call_tool("slow", ()).await.expect("a result").text(), "at last");
    let looks: Vec<Raw> = seen
        .lock()
        .expect("unpoisoned")
        .iter()
        .filter(|request| request.body["method"] == "tasks/get")
        .cloned()
        .collect();
    assert!(looks.len() >= 3);
    assert!(looks.iter().all(|look| look.head.contains("mcp-name: t-1")), "{}", looks[0].head);
    client.close().await;
}

#[tokio::test]
async fn dropping_a_call_cancels_its_task_at_the_server() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let asked = AtomicBool::new(false);
    let (url, _, _) = serve(modern(move |request| {
        let id = &request.body["id"];
        let method = request.body["method"].as_str().unwrap_or_default().to_owned();
        let answer = match method.as_str() {
            "tools/call" => ok(id, task("working", "task", json!({}))),
            "tasks/get" => ok(id, task("working", "complete", json!({}))),
            "tasks/cancel" => ok(id, json!({"resultType": "complete"})),
            _ => response(404, "", ""),
        };
        if method != "tasks/get" || !asked.swap(true, Ordering::SeqCst) {
            let _ = told.send((method, request.body["params"]["taskId"].clone()));
        }
        (answer, false)
    }))
    .await;
    let client = Client::connect(url).await.expect("connected");
    let call = tokio::spawn(client.call_tool("slow", ()).into_future());
    while heard.recv().await.expect("a request").0 != "tasks/get" {}
    call.abort();
    assert!(call.await.is_err());
    loop {
        let (method, id) = heard.recv().await.expect("a request");
        if method == "tasks/cancel" {
            assert_eq!(id, "t-1");
            break;
        }
    }
    client.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_task_over_standard_streams() {
    let created = task("working", "task", json!({}));
    let done = task("completed", "complete", json!({"result": text_result("from a child")}));
    let answer =
        |result: &Value| format!(r#"printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" '{result}' ;;"#);
    let refusal = r#"printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}\n' "$id" ;;"#;
    let cases = format!(
        "*tools/call*) {}\n*tasks/get*) {}\n*subscriptions/listen*) {refusal}",
        answer(&created),
        answer(&done)
    );
    let client = script(&cases).connect().await.expect("connected");
    assert_eq!(client.call_tool("slow", ()).await.expect("a result").text(), "from a child");
    let task = client.call_tool("slow", ()).task().await.expect("a task");
    assert_eq!(task.id(), Some("t-1"));
    assert_eq!(task.result().await.expect("a result").text(), "from a child");
    client.close().await;
}
