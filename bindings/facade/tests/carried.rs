//! Endpoints mounted in a web server of the host.

use serde_json::{Value, json};

use crate::common::{DRIVERS, Host, host_with};

fn carried_head(method: &str, more: Value) -> String {
    let mut headers = json!([["host", "127.0.0.1"], ["content-type", "application/json"]]);
    headers.as_array_mut().expect("an array").extend(more.as_array().expect("an array").iter().cloned());
    json!({"method": method, "target": "/mcp", "headers": headers}).to_string()
}

/// Calls the tool `t` in the modern era, at an endpoint mounted in the host.
fn carried_call(host: &Host, endpoint: u64) -> u64 {
    let headers =
        json!([["mcp-protocol-version", "2026-07-28"], ["mcp-method", "tools/call"], ["mcp-name", "t"]]);
    let meta = json!({"progressToken": 1, "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "_meta": meta}});
    let head = carried_head("POST", headers);
    host.engine.http_request(endpoint, &head, body.to_string().as_bytes()).expect("begins")
}

fn carried(driver: &str, max_connections: usize) -> (Host, u64) {
    let options = json!({"driver": driver, "maxConnections": max_connections}).to_string();
    let host = host_with(&options);
    let server = host.engine.server_new(r#"{"name":"test","version":"1"}"#).expect("a server");
    host.engine.server_add(server, "tool", r#"{"name":"t"}"#, "{}", 7).expect("added");
    let endpoint = host.engine.serve_http(server, r#"{"carried":true}"#).expect("serves");
    (host, endpoint)
}

#[test]
fn a_carried_endpoint_answers_so_many_requests_at_a_time() {
    for driver in DRIVERS {
        let (mut host, endpoint) = carried(driver, 1);
        let first = carried_call(&host, endpoint);
        let call = host.until(|event| event.kind == 1 && event.target == 7);
        let second = carried_call(&host, endpoint);
        let head = host.until(|event| event.kind == 16);
        assert!(head.id == second && head.payload.starts_with(r#"{"status":503"#), "{head:?}");
        host.outcome(second).expect("a whole response");
        assert!(host.engine.complete(call.id, 1, "fine"));
        host.outcome(first).expect("a whole response");
        let third = carried_call(&host, endpoint);
        host.until(|event| event.kind == 1 && event.target == 7);
        host.engine.cancel(third, "enough");
    }
}

#[test]
fn a_carried_endpoint_answers_preflight_requests() {
    let (mut host, endpoint) = carried("hosted", 10);
    let mut ask = |origin: &str| {
        let head =
            carried_head("OPTIONS", json!([["origin", origin], ["access-control-request-method", "POST"]]));
        let op = host.engine.http_request(endpoint, &head, b"").expect("begins");
        host.until(|event| event.kind == 16 && event.id == op).payload
    };
    let allowed = ask("http://localhost:6274");
    let header = r#"["access-control-allow-origin","http://localhost:6274"]"#;
    assert!(allowed.starts_with(r#"{"status":204"#) && allowed.contains(header), "{allowed}");
    let refused = ask("https://evil.example");
    assert!(refused.starts_with(r#"{"status":403"#) && !refused.contains("access-control"), "{refused}");
}
