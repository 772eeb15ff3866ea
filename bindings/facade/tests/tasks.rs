//! Calls that become tasks, as a host sees them, with both drivers.

use std::time::Duration;

use crate::common::{DRIVERS, Host, NOTHING_ALIVE, host};
use serde_json::{Value, json};
use trunnion_facade::Event;

const CALL_TOOL: u32 = 1;
const CANCELLED: u32 = 5;
const HTTP_CHUNK: u32 = 17;

/// Sends a request of a client that supports tasks to an endpoint mounted in the host, and returns the
/// response.
fn ask(host: &mut Host, endpoint: u64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":
            {"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}});
    let name = params.get("name").or(params.get("taskId")).and_then(Value::as_str).unwrap_or_default();
    let headers = json!([
        ["content-type", "application/json"],
        ["accept", "application/json, text/event-stream"],
        ["host", "127.0.0.1"],
        ["mcp-protocol-version", "2026-07-28"],
        ["mcp-method", method],
        ["mcp-name", name]
    ]);
    let head = json!({"method": "POST", "target": "/mcp", "headers": headers}).to_string();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let op = host.engine.http_request(endpoint, &head, body.as_bytes()).expect("begins");
    let chunk = host.until(|event| event.kind == HTTP_CHUNK && event.id == op);
    host.outcome(op).expect("a whole response");
    let text: String = serde_json::from_str(&chunk.payload).expect("a text");
    serde_json::from_str(&text).expect("JSON")
}

fn begun(host: &mut Host, target: u64) -> (u64, Value) {
    let begun: Event = host.until(|event| event.kind == CALL_TOOL && event.target == target);
    let context = host.engine.context(begun.id).expect("it is live");
    (begun.id, serde_json::from_str(&context).expect("JSON"))
}

fn serve(host: &Host, definition: &Value) -> (u64, u64) {
    let server = host.engine.server_new(&definition.to_string()).expect("a server");
    let options = json!({"task": "optional", "resumable": true}).to_string();
    host.engine.server_add(server, "tool", r#"{"name":"work"}"#, &options, 7).expect("added");
    (server, host.engine.serve_http(server, r#"{"carried":true}"#).expect("serves"))
}

#[test]
fn a_host_works_on_a_task() {
    for driver in DRIVERS {
        let mut host = host(driver);
        let (server, endpoint) = serve(&host, &json!({"name": "t", "version": "1", "taskPollMs": 1}));
        let call = json!({"name": "work", "arguments": {}});
        let made = ask(&mut host, endpoint, "tools/call", call.clone());
        let task = made["result"]["taskId"].clone();
        assert_eq!(made["result"]["resultType"], "task", "{made}");
        let (exchange, context) = begun(&mut host, 7);
        assert_eq!(context["task"], json!({"taskId": task, "run": 1}), "{driver}");

        for (op, params) in
            [("store", json!({"key": "k", "value": 5})), ("checkpoint", json!({"value": {"page": 2}}))]
        {
            let stored = host.engine.request(exchange, op, &params.to_string(), "{}").expect("begins");
            assert_eq!(host.outcome(stored).expect("stored"), json!({}));
        }
        let context: Value =
            serde_json::from_str(&host.engine.context(exchange).expect("live")).expect("JSON");
        assert_eq!((&context["memory"], &context["checkpoint"]), (&json!({"k": 5}), &json!({"page": 2})));

        let asks = json!({"who": {"op": "elicit", "params": {"message": "?", "requestedSchema":
            {"type": "object", "properties": {}}}}});
        let asked = host.engine.request(exchange, "ask", &asks.to_string(), "{}").expect("begins");
        let get = json!({"taskId": task});
        while ask(&mut host, endpoint, "tasks/get", get.clone())["result"]["status"] != "input_required" {}
        let answer = json!({"taskId": task, "inputResponses": {"who": {"action": "decline"}}});
        ask(&mut host, endpoint, "tasks/update", answer);
        assert_eq!(host.outcome(asked).expect("answered"), json!({"who": {"action": "decline"}}));
        assert!(host.engine.complete(exchange, 1, "done"));
        while ask(&mut host, endpoint, "tasks/get", get.clone())["result"]["status"] != "completed" {}

        // A cancelled task notifies its handler.
        let made = ask(&mut host, endpoint, "tools/call", call);
        let (exchange, _) = begun(&mut host, 7);
        ask(&mut host, endpoint, "tasks/cancel", json!({"taskId": made["result"]["taskId"]}));
        host.until(|event| event.kind == CANCELLED && event.id == exchange);
        let late = host.engine.request(exchange, "checkpoint", r#"{"value":1}"#, "{}");
        assert_eq!(late.map_err(|error| error.kind), Err("cancelled"));
        host.engine.server_close(server);
        host.engine.close(Duration::from_secs(5));
        assert_eq!(host.engine.live(), NOTHING_ALIVE, "{driver}");
    }
}

#[cfg(unix)]
#[test]
fn a_task_outlives_an_engine() {
    let folder = std::env::temp_dir().join(format!("trunnion-tasks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for driver in DRIVERS {
        let store = folder.join(driver);
        let definition = json!({"name": "t", "version": "1", "store": store.to_str(), "taskPollMs": 1});
        let (task, run) = {
            let mut host = host(driver);
            let (_, endpoint) = serve(&host, &definition);
            let call = json!({"name": "work", "arguments": {"n": 3}});
            let made = ask(&mut host, endpoint, "tools/call", call);
            let (exchange, context) = begun(&mut host, 7);
            let params = json!({"value": "half"}).to_string();
            let stored = host.engine.request(exchange, "checkpoint", &params, "{}").expect("begins");
            host.outcome(stored).expect("stored");
            host.engine.close(Duration::from_secs(5));
            assert_eq!(host.engine.live(), NOTHING_ALIVE, "{driver}");
            (made["result"]["taskId"].clone(), context["task"]["run"].clone())
        };
        assert_eq!(run, 1);
        let mut host = host(driver);
        let (_, endpoint) = serve(&host, &definition);
        let (exchange, context) = begun(&mut host, 7);
        assert_eq!((&context["task"]["run"], &context["checkpoint"]), (&json!(2), &json!("half")));
        assert!(host.engine.complete(exchange, 1, "done"));
        let get = json!({"taskId": task});
        while ask(&mut host, endpoint, "tasks/get", get.clone())["result"]["status"] != "completed" {}
        host.engine.close(Duration::from_secs(5));
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn options_of_tasks_are_checked() {
    let host = host("threaded");
    let wrong = |options: &str| {
        let server = host.engine.server_new(r#"{"name":"t","version":"1"}"#).expect("a server");
        host.engine.server_add(server, "tool", r#"{"name":"a"}"#, options, 1).map_err(|error| error.kind)
    };
    assert_eq!(wrong(r#"{"task":"sometimes"}"#), Err("usage"));
    assert_eq!(wrong(r#"{"resumable":true}"#), Err("usage"));
    assert_eq!(wrong(r#"{"task":"required","taskConcurrency":0}"#), Err("usage"));
    assert_eq!(wrong(r#"{"task":"required","taskConcurrency":2,"taskTtlMs":1000}"#), Ok(()));
    let lease = host.engine.server_new(r#"{"name":"t","version":"1","taskLeaseMs":0}"#);
    assert_eq!(lease.map_err(|error| error.kind), Err("usage"));
}
