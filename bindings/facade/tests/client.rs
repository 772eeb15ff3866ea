//! Client and server of one engine, in process and over HTTP, with both drivers.

use std::time::Duration;

use crate::common::{DRIVERS, Host, NOTHING_ALIVE, host};
use serde_json::{Value, json};
use trunnion_facade::Completion;

/// Connects in process, over HTTP, and over HTTP in the legacy era, with both drivers.
fn each(test: impl Fn(&mut Host, u64)) {
    for driver in DRIVERS {
        for (transport, era) in
            [("memory", "auto"), ("http", "auto"), ("memory", "legacy"), ("http", "legacy")]
        {
            let mut host = host(driver);
            let server = host.server();
            let target = if transport == "http" {
                let op = host.engine.serve_http(server, "{}").expect("serves");
                let listening = host.until(|event| event.kind == 13 && event.id == op);
                let payload: Value = serde_json::from_str(&listening.payload).expect("JSON");
                json!({ "url": payload["url"] })
            } else {
                json!({ "server": server })
            };
            let options = json!({ "era": era }).to_string();
            let client = host.engine.connect(&target.to_string(), &options).expect("begins");
            let facts = host.outcome(client).expect("connects");
            assert_eq!(facts["era"], if era == "auto" { "modern" } else { "legacy" });
            test(&mut host, client);
            host.engine.client_close(client);
            host.until(|event| event.kind == 15 && event.id == client);
            host.engine.server_close(server);
            host.engine.close(Duration::from_secs(5));
            assert_eq!(host.engine.live(), NOTHING_ALIVE, "{driver} {transport}");
        }
    }
}

#[test]
fn tools_are_listed_and_called() {
    each(|host, client| {
        let list = host.engine.request(client, "list_tools", "{}", "{}").expect("begins");
        let list = host.outcome(list).expect("a list");
        assert_eq!(list["tools"].as_array().expect("tools").len(), 3);
        let call = host.call(client, "add", json!({"a": 1, "b": 2}));
        assert_eq!(host.outcome(call).expect("a result")["structuredContent"]["sum"], 3.0);
    });
}

#[test]
fn progress_arrives_before_the_result() {
    each(|host, client| {
        let call = host.call(client, "steps", json!({}));
        host.outcome(call).expect("a result");
        let progress: Vec<Value> = host
            .seen
            .iter()
            .filter(|event| event.kind == 12 && event.id == call)
            .map(|event| serde_json::from_str::<Value>(&event.payload).expect("JSON")["progress"].clone())
            .collect();
        assert_eq!(progress, [json!(1), json!(2), json!(3)]);
    });
}

#[test]
fn cancelling_reaches_the_handler() {
    each(|host, client| {
        let call = host.call(client, "hang", json!({}));
        let exchange = host.until(|event| event.kind == 1 && event.target == 3).id;
        assert!(host.engine.cancel(call, "enough"));
        assert_eq!(host.outcome(call).expect_err("cancelled")["kind"], "cancelled");
        host.until(|event| event.kind == 5 && event.id == exchange);
        assert!(!host.engine.complete(exchange, 1, "too late"));
        assert!(!host.engine.cancel(call, "again"), "it had ended");
    });
}

#[test]
fn errors_keep_their_kind() {
    each(|host, client| {
        let call = host.call(client, "nope", json!({}));
        let error = host.outcome(call).expect_err("unknown tool");
        assert_eq!((&error["code"], &error["kind"]), (&json!(-32602), &json!("invalid_params")));
        let call = host.call(client, "add", json!({"a": "x"}));
        assert_eq!(host.outcome(call).expect("a tool error")["isError"], true);
    });
}

#[test]
fn a_time_limit_ends_a_call() {
    each(|host, client| {
        let params = r#"{"name":"hang"}"#;
        let call = host.engine.request(client, "call_tool", params, r#"{"timeoutMs":30}"#).expect("begins");
        assert_eq!(host.outcome(call).expect_err("timed out")["kind"], "timeout");
    });
}

#[test]
fn closing_the_engine_fails_what_is_pending() {
    for driver in DRIVERS {
        let mut host = host(driver);
        let server = host.server();
        let client = host.engine.connect(&json!({ "server": server }).to_string(), "{}").expect("begins");
        host.outcome(client).expect("connects");
        let call = host.call(client, "hang", json!({}));
        host.until(|event| event.kind == 1 && event.target == 3);
        host.engine.close(Duration::from_secs(5));
        host.engine.close(Duration::from_secs(5));
        host.outcome(call).expect_err("pending");
        assert_eq!(host.engine.live(), NOTHING_ALIVE);
        assert_eq!(
            host.engine.server_new(r#"{"name":"x","version":"1"}"#).expect_err("closed").kind,
            "closed"
        );
    }
}

#[test]
fn what_is_no_url_is_refused_at_once() {
    let host = host("threaded");
    for url in ["", "localhost:8000/mcp", "127.0.0.1:8000", "ftp://example.com/", "/mcp", "http://"] {
        let target = json!({ "url": url }).to_string();
        let error = host.engine.connect(&target, "{}").expect_err(url);
        assert_eq!(error.kind, "usage", "{url}");
        assert!(error.message.contains("URL"), "{}", error.message);
    }
    let error = host
        .engine
        .connect(r#"{"url":"http://127.0.0.1:1/"}"#, r#"{"transport":"pigeon"}"#)
        .expect_err("no such transport");
    assert!(error.kind == "usage" && error.message.contains("pigeon"), "{}", error.message);
    assert_eq!(host.engine.live(), NOTHING_ALIVE);
}

#[test]
fn what_a_carried_server_says_waits_for_a_host_that_is_behind() {
    const REQUESTS: usize = 10;
    const ANSWER: usize = 4 << 20;
    let host = host("hosted");
    let server = host.server();
    let endpoint = host.engine.serve_http(server, r#"{"carried":true}"#).expect("serving");
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "hang", "_meta": meta}});
    let head = json!({"method": "POST", "target": "/mcp", "headers": [["host", "localhost"],
        ["content-type", "application/json"], ["accept", "application/json, text/event-stream"],
        ["mcp-protocol-version", "2026-07-28"], ["mcp-method", "tools/call"], ["mcp-name", "hang"]]});
    for _ in 0..REQUESTS {
        let body = call.to_string();
        host.engine.http_request(endpoint, &head.to_string(), body.as_bytes()).expect("begins");
    }
    let mut calls = Vec::new();
    while calls.len() < REQUESTS {
        let events = host.engine.drain(Vec::new());
        calls.extend(events.into_iter().filter(|event| event.kind == 1).map(|event| event.id));
    }
    let answer = |id| Completion { id, outcome: 1, payload: "x".repeat(ANSWER) };
    let mut events = host.engine.drain(calls.into_iter().map(answer).collect());
    let mut ended = 0;
    while ended < REQUESTS {
        let bytes: usize = events.iter().map(|event| event.payload.len()).sum();
        assert!(bytes < (8 << 20) + 2 * ANSWER, "{bytes} bytes wait at once");
        ended += events.iter().filter(|event| event.kind == 10).count();
        events = host.engine.drain(Vec::new());
    }
}
