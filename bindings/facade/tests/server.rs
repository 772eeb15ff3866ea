//! The server side of the facade, over real transports, with both drivers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use trunnion_facade::{Completion, Engine, Event};

const DRIVERS: [&str; 2] = ["hosted", "threaded"];

fn engine(driver: &str) -> Engine {
    Engine::new(&json!({ "driver": driver }).to_string()).expect("an engine")
}

fn server(engine: &Engine) -> u64 {
    let server = engine.server_new(r#"{"name":"test","version":"1"}"#).expect("a server");
    let add = json!({"name": "add", "inputSchema": {"type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}});
    engine.server_add(server, "tool", &add.to_string(), "{}", 7).expect("a tool");
    server
}

/// Acts as the host until `done` returns true.
fn host(engine: &Engine, mut done: impl FnMut(&Event) -> bool) {
    let mut completions = Vec::new();
    loop {
        let events = engine.drain(std::mem::take(&mut completions));
        if events.is_empty() {
            assert!(engine.wait(Some(Duration::from_secs(20))), "nothing happened");
        }
        for event in &events {
            if event.kind == 1 {
                assert_eq!(event.target, 7);
                let arguments: Value = serde_json::from_str(&event.payload).expect("JSON");
                let sum = arguments["a"].as_f64().expect("a") + arguments["b"].as_f64().expect("b");
                completions.push(Completion {
                    id: event.id,
                    outcome: 2,
                    payload: json!({"sum": sum}).to_string(),
                });
            }
            if done(event) {
                return;
            }
        }
    }
}

fn listen(engine: &Engine, server: u64) -> (u64, String) {
    let op = engine.serve_http(server, "{}").expect("serving");
    let mut address = String::new();
    host(engine, |event| {
        let listening = event.kind == 13 && event.id == op;
        if listening {
            let payload: Value = serde_json::from_str(&event.payload).expect("JSON");
            address = format!("{}:{}", payload["host"].as_str().expect("host"), payload["port"]);
        }
        listening
    });
    (op, address)
}

fn post(address: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sends");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("answers");
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, response.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn call(id: u64, arguments: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": "add", "arguments": arguments, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}}}})
    .to_string()
}

const HEADERS: &str = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: add\r\n";

#[test]
fn a_tool_is_called_over_http() {
    for driver in DRIVERS {
        let engine = engine(driver);
        let server = server(&engine);
        let (op, address) = listen(&engine, server);
        let client = std::thread::spawn({
            let engine = engine.clone();
            move || {
                let good = post(&address, HEADERS, &call(1, json!({"a": 2, "b": 3})));
                let bad = post(&address, HEADERS, &call(2, json!({"a": "x"})));
                let legacy = post(
                    &address,
                    "",
                    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#,
                );
                let foreign = post(&address, "Origin: https://evil.example\r\n", "{}");
                engine.server_close(server);
                (good, bad, legacy, foreign)
            }
        });
        host(&engine, |event| event.kind == 10 && event.id == op);
        let (good, bad, legacy, foreign) = client.join().expect("no panic");
        assert_eq!(good.0, 200, "{}", good.1);
        let good: Value = serde_json::from_str(&good.1).expect("JSON");
        assert_eq!(good["result"]["structuredContent"], json!({"sum": 5.0}));
        assert_eq!(good["result"]["resultType"], "complete");
        assert_eq!(good["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "test");
        assert!(bad.1.contains("isError") && bad.1.contains("invalid arguments"), "{}", bad.1);
        let legacy: Value = serde_json::from_str(&legacy.1).expect("JSON");
        assert_eq!(legacy["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(legacy["result"]["serverInfo"]["name"], "test");
        assert_eq!(foreign.0, 403);
        assert!(foreign.1.contains("allowedOrigins"), "{}", foreign.1);
        assert_eq!(
            engine.live(),
            r#"{"servers":0,"clients":0,"exchanges":0,"operations":0,"connections":0,"sessions":0}"#
        );
        engine.close(Duration::from_secs(1));
    }
}

#[test]
fn an_option_that_is_wrong_is_named() {
    let engine = engine("threaded");
    let refused = |definition: Value| {
        let error = engine.server_new(&definition.to_string()).expect_err("refused");
        assert_eq!(error.kind, "usage");
        error.message
    };
    let message = refused(json!({"name": "test", "version": "1", "pageSize": "many"}));
    assert!(message.starts_with("definition: pageSize: invalid type"), "{message}");
    let message = refused(json!({"name": "test", "version": "1", "eras": ["modern", "stone"]}));
    assert!(message.starts_with("definition: eras[1]: unknown variant"), "{message}");
    let message = refused(json!({"name": "test", "version": "1", "sise": 1}));
    assert!(message.contains("unknown field `sise`"), "{message}");
    for (text, complaint) in [
        ("{name: 1}", "definition: key must be a string at line 1 column 2"),
        ("{\"name\": \"x\",\n }", "definition: trailing comma at line 2 column 2"),
        ("{\"name\": \"x\"", "definition: EOF while parsing an object at line 1 column 12"),
    ] {
        assert_eq!(engine.server_new(text).expect_err("refused").message, complaint);
    }
    let message = engine.server_new("{} {}").expect_err("refused").message;
    assert!(message.contains("definition"), "{message}");
    let message = engine.server_new(r#"{"name":"test","version":"1"} x"#).expect_err("refused").message;
    assert!(message.contains("trailing"), "{message}");
}
