//! Tests of the server option `auth`, and of tokens that the host checks, with both drivers.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::{DRIVERS, Host, NOTHING_ALIVE, host};
use serde_json::{Value, json};
use trunnion_auth_server::{AuthServer, RESOURCE_SERVER};
use trunnion_facade::Completion;

fn server(host: &Host, auth: Value) -> u64 {
    let definition = json!({"name": "test", "version": "1", "auth": auth}).to_string();
    let server = host.engine.server_new(&definition).expect("a server");
    let add = |name: &str, options: &str, target| {
        let tool = json!({ "name": name }).to_string();
        host.engine.server_add(server, "tool", &tool, options, target).expect("a tool");
    };
    add("open", "{}", 20);
    add("write", r#"{"scopes":["write"]}"#, 21);
    add("staff", r#"{"visibleTo":{"claim":"groups","is":"staff"}}"#, 22);
    server
}

fn serve(host: &mut Host, server: u64) -> Value {
    let op = host.engine.serve_http(server, "{}").expect("serving");
    let listening = host.until(|event| event.kind == 13 && event.id == op);
    serde_json::from_str(&listening.payload).expect("JSON")
}

/// A call of a tool over a connection of its own.
struct Sent(TcpStream);

impl Sent {
    fn call(at: &Value, tool: &str, token: &str) -> Sent {
        let address = format!("{}:{}", at["host"].as_str().expect("a host"), at["port"]);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}});
        let body = body.to_string();
        let authorization =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let mut stream = TcpStream::connect(&address).expect("connected");
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
             mcp-method: tools/call\r\nmcp-name: {tool}\r\n{authorization}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        Sent(stream)
    }

    /// Returns the whole answer, and runs the host meanwhile.
    fn answer(self, host: &mut Host) -> String {
        let Sent(mut stream) = self;
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("read");
            text
        });
        while !reading.is_finished() {
            host.engine.wait(Some(std::time::Duration::from_millis(20)));
            host.seen.extend(host.engine.drain(Vec::new()));
        }
        reading.join().expect("read")
    }
}

fn end(host: Host) {
    host.engine.close(std::time::Duration::from_secs(5));
    host.engine.drain(Vec::new());
    assert_eq!(host.engine.live(), NOTHING_ALIVE);
}

#[test]
fn claims_are_in_the_context() {
    for driver in DRIVERS {
        let mut host = host(driver);
        let tokens = json!({"one": {"sub": "ann", "scope": "read"}, "two": {"sub": "bob", "scope": "write", "groups": ["staff"]}});
        let server = server(&host, json!({ "tokens": tokens }));
        let at = serve(&mut host, server);
        let refused = Sent::call(&at, "open", "").answer(&mut host);
        assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("resource_metadata="), "{refused}");
        let sent = Sent::call(&at, "open", "one");
        let call = host.until(|event| event.kind == 1);
        let context: Value =
            serde_json::from_str(&host.engine.context(call.id).expect("live")).expect("JSON");
        assert_eq!((&context["claims"]["sub"], &context["claims"]["scope"]), (&json!("ann"), &json!("read")));
        assert_eq!(context["principal"], r#"["tokens","sub:ann"]"#);
        assert!(host.engine.complete(call.id, 1, "fine"));
        assert!(sent.answer(&mut host).contains("fine"));
        let refused = Sent::call(&at, "write", "one").answer(&mut host);
        assert!(refused.starts_with("HTTP/1.1 403") && refused.contains(r#"scope="write""#), "{refused}");
        let unknown = Sent::call(&at, "staff", "one").answer(&mut host);
        assert!(unknown.contains("Unknown tool: staff"), "{unknown}");
        let sent = Sent::call(&at, "staff", "two");
        let call = host.until(|event| event.kind == 1);
        assert_eq!(call.target, 22);
        assert!(host.engine.complete(call.id, 1, "theirs"));
        assert!(sent.answer(&mut host).contains("theirs"));
        end(host);
    }
}

#[test]
fn the_host_checks_tokens() {
    for driver in DRIVERS {
        let mut host = host(driver);
        let server = server(&host, json!({"host": true, "audience": "me"}));
        let at = serve(&mut host, server);
        for (outcome, payload, status) in [
            (3, r#"{"message":"unknown"}"#, "401"),
            (0, r#"{"sub":"ann","aud":"you"}"#, "401"),
            (0, "[]", "503"),
            (4, "the database is down", "503"),
            (1, "text", "503"),
        ] {
            let sent = Sent::call(&at, "open", "s3cret-token");
            let check = host.until(|event| event.kind == 9);
            assert_eq!((check.target, check.payload.as_str()), (server, r#"{"token":"s3cret-token"}"#));
            assert!(!format!("{check:?}").contains("s3cret"), "a token is in no log");
            host.engine.drain(vec![Completion { id: check.id, outcome, payload: payload.into() }]);
            let answer = sent.answer(&mut host);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(!answer.contains("s3cret") && !answer.contains("unknown"), "{answer}");
            assert!(!answer.contains("database"), "{answer}");
        }
        let sent = Sent::call(&at, "open", "good");
        let check = host.until(|event| event.kind == 9);
        assert!(host.engine.complete(check.id, 0, r#"{"sub":"ann","aud":"me"}"#));
        let call = host.until(|event| event.kind == 1);
        assert!(host.engine.complete(call.id, 1, "fine"));
        assert!(sent.answer(&mut host).contains("fine"));
        // A caller that has left expects no answer any more.
        let sent = Sent::call(&at, "open", "leaves");
        let check = host.until(|event| event.kind == 9);
        drop(sent);
        host.until(|event| event.kind == 5 && event.id == check.id);
        assert!(!host.engine.complete(check.id, 0, r#"{"sub":"ann","aud":"me"}"#));
        end(host);
    }
}

#[test]
fn issuers_are_asked_under_both_drivers() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let issuer = runtime.block_on(AuthServer::start()).expect("a port");
    let endpoint = format!("{}/introspect", issuer.issuer());
    let (id, secret) = RESOURCE_SERVER;
    for driver in DRIVERS {
        for auth in [
            json!({"jwt": {"issuer": issuer.issuer()}, "audience": "me"}),
            json!({"introspection": {"endpoint": endpoint, "clientId": id, "clientSecret": secret}, "audience": ["me"]}),
        ] {
            let mut host = host(driver);
            let server = server(&host, auth);
            let at = serve(&mut host, server);
            let refused = Sent::call(&at, "open", &issuer.token(&json!({"claims": {"aud": "you"}})));
            let refused = refused.answer(&mut host);
            assert!(
                refused.starts_with("HTTP/1.1 401") && refused.contains(r#""reason":"audience""#),
                "{refused}"
            );
            let sent = Sent::call(&at, "open", &issuer.token(&json!({"claims": {"aud": "me"}})));
            let call = host.until(|event| event.kind == 1);
            assert!(host.engine.complete(call.id, 1, "fine"));
            assert!(sent.answer(&mut host).contains("fine"));
            end(host);
        }
    }
}

#[test]
fn a_carried_endpoint_is_guarded_too() {
    let mut host = host("hosted");
    let server = server(&host, json!({"tokens": {"one": {"sub": "ann"}}}));
    let error = host.engine.serve_http(server, r#"{"carried":true}"#).expect_err("nobody knows where it is");
    assert!(error.kind == "usage" && error.message.contains("publicUrl"), "{error:?}");
    let options = r#"{"carried":true,"publicUrl":"https://mcp.example.com/mcp"}"#;
    let endpoint = host.engine.serve_http(server, options).expect("serving");
    let mut ask = |method: &str, target: &str| {
        let head =
            json!({"method": method, "target": target, "headers": [["host", "mcp.example.com"]]}).to_string();
        let op = host.engine.http_request(endpoint, &head, b"").expect("begins");
        let head = host.until(|event| event.kind == 16 && event.id == op);
        let body = host.until(|event| event.kind == 17 && event.id == op);
        (head.payload, body.payload)
    };
    let (head, _) = ask("POST", "/mcp");
    assert!(head.starts_with(r#"{"status":401"#) && head.contains("www-authenticate"), "{head}");
    let (head, body) = ask("GET", "/.well-known/oauth-protected-resource/mcp");
    assert!(head.starts_with(r#"{"status":200"#), "{head}");
    assert!(body.contains("https://mcp.example.com/mcp"), "{body}");
    host.engine.server_close(server);
}

#[test]
fn wrong_options_are_told() {
    let host = host("hosted");
    for (auth, what) in [
        (json!({}), "no way to check"),
        (json!({"tokens": {"a": {}}}), "sub"),
        (json!({"jwt": {"issuer": "https://as.example", "algorithms": ["HS256"]}}), "HS256"),
        (json!({"jwt": {"issuer": "http://as.example"}}), "https"),
        (json!({"host": true, "dpop": "maybe"}), "dpop"),
        (json!({"host": true, "issuer": "x"}), "issuer"),
        (json!({"host": true, "requiredScopes": ["offline_access"]}), "offline_access"),
    ] {
        let definition = json!({"name": "test", "version": "1", "auth": auth}).to_string();
        let error = host.engine.server_new(&definition).expect_err("refused");
        assert!(error.kind == "usage" && error.message.contains(what), "{auth}: {error:?}");
    }
    let server = server(&host, json!({"host": true}));
    for options in [r#"{"visibleTo":{"claim":"x"}}"#, r#"{"visibleTo":"x"}"#, r#"{"scopes":["a b"]}"#] {
        let error =
            host.engine.server_add(server, "tool", r#"{"name":"x"}"#, options, 1).expect_err("refused");
        assert_eq!(error.kind, "usage", "{options}");
    }
}
