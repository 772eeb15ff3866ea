//! Limits of `docs/limits.md` that the pure machines enforce, each at its edge. The defaults of the machines
//! are compared with the numbers of that table.

use bytes::Bytes;
use serde_json::{Value, json};
use trunnion_proto::Limits;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{Behaviour, Catalog, Dispatch, Item, Offer};
use trunnion_proto::server::{Output, ServerConn, Settings, Stamp, questions};

fn catalog() -> Catalog<()> {
    let stamp = Stamp::new(r#"{"name":"s","version":"1"}"#, 0, "private");
    Catalog::new(Settings::default(), Offer { stamp, instructions: None, page_size: 10 })
}

/// A server that answers what the engine answers by itself, and nothing else.
struct Server {
    catalog: Catalog<()>,
    conn: ServerConn,
}

impl Server {
    fn new(settings: Settings) -> Server {
        Server { catalog: catalog(), conn: ServerConn::new(settings) }
    }

    /// In a session of a legacy revision.
    fn in_session(revision: &str) -> Server {
        let mut server = Server::new(Settings::default());
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let answers = server.hear(&hello.to_string());
        assert_eq!(answers[0]["result"]["protocolVersion"], revision);
        server.hear(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        server
    }

    /// Answers to a frame. Requests that would run a handler stay open.
    fn hear(&mut self, frame: &str) -> Vec<Value> {
        self.conn.recv(Bytes::from(frame.to_owned()));
        let mut said = Vec::new();
        while let Some(output) = self.conn.poll() {
            match output {
                Output::Send(bytes) => said.push(serde_json::from_slice(&bytes).expect("JSON")),
                Output::Request(key, request) => {
                    if let Dispatch::Answer(outcome) = self.catalog.dispatch(&request, None) {
                        assert!(self.conn.complete(key, outcome, self.catalog.stamp()));
                    }
                }
                _ => {}
            }
        }
        said
    }
}

fn modern(id: u64, method: &str, mut params: Value) -> String {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn code(answers: &[Value]) -> Option<i64> {
    answers.first()?["error"]["code"].as_i64()
}

#[test]
fn defaults_of_messages() {
    assert_eq!(Limits::default(), Limits { message_bytes: 4 << 20, depth: 128, in_flight: 1024 });
}

#[test]
fn bytes_and_nesting_of_a_message() {
    let limits = Limits { message_bytes: 1000, depth: 8, in_flight: 8 };
    let mut server = Server::new(Settings { limits, ..Settings::default() });
    let ping = modern(1, "server/discover", json!({}));
    let of = |bytes: usize| ping.clone() + &" ".repeat(bytes - ping.len());
    assert_eq!(code(&server.hear(&of(1000))), None);
    assert_eq!(code(&server.hear(&of(1001))), Some(-32600));
    // The message and its parameters are two of them.
    let nested = |depth: usize| {
        let deep: Value =
            serde_json::from_str(&("[".repeat(depth - 2) + &"]".repeat(depth - 2))).expect("JSON");
        modern(1, "server/discover", json!({ "x": deep }))
    };
    assert_eq!(code(&server.hear(&nested(8))), None);
    assert_eq!(code(&server.hear(&nested(9))), Some(-32600));
}

#[test]
fn requests_that_wait_for_an_answer() {
    let mut server = Server::new(Settings::default());
    server.catalog.add(Item::Tool, r#"{"name":"t"}"#, Behaviour::default(), ()).expect("valid");
    for id in 0..1024 {
        assert!(server.hear(&modern(id, "tools/call", json!({"name": "t"}))).is_empty());
    }
    let refused = server.hear(&modern(2000, "tools/call", json!({"name": "t"})));
    assert_eq!((code(&refused), &refused[0]["id"]), (Some(-32600), &json!(2000)));
}

#[test]
fn digits_of_an_id() {
    let mut server = Server::in_session("2025-11-25");
    let mut ping = |id: &str| server.hear(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
    let longest = format!("-{}", "7".repeat(64));
    assert!(ping(&longest)[0]["result"].is_object());
    // Nothing that a peer could not read back.
    let refused = ping(&"7".repeat(65));
    assert_eq!((code(&refused), &refused[0]["id"]), (Some(-32600), &Value::Null));
    let text = format!("\"{}\"", "7".repeat(65));
    assert_eq!(ping(&text)[0]["id"], json!("7".repeat(65)));
}

#[test]
fn messages_of_a_batch() {
    let batch = |count: usize| {
        let ping = |id: usize| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
        Value::Array((0..count).map(ping).collect()).to_string()
    };
    let mut server = Server::in_session("2025-03-26");
    let answers = server.hear(&batch(100));
    assert_eq!(answers[0].as_array().map(Vec::len), Some(100));
    assert_eq!(code(&server.hear(&batch(101))), Some(-32600));
}

#[test]
fn tasks_that_are_watched() {
    let mut server = Server::new(Settings::default());
    let mut listen = |count: usize| {
        let ids: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
        let mut request: Value = serde_json::from_str(&modern(
            count as u64,
            "subscriptions/listen",
            json!({"notifications": {"taskIds": ids}}),
        ))
        .expect("JSON");
        request["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        code(&server.hear(&request.to_string()))
    };
    assert_eq!((listen(1024), listen(1025)), (None, Some(-32602)));
}

#[test]
fn resources_that_are_watched() {
    let uris = |count: usize| (0..count).map(|n| format!("test://{n}")).collect::<Vec<_>>();
    let mut server = Server::in_session("2025-11-25");
    let template = r#"{"name":"n","uriTemplate":"test://{n}"}"#;
    server.catalog.add(Item::ResourceTemplate, template, Behaviour::default(), ()).expect("valid");
    let mut watch = |uri: &str| {
        let params = json!({ "uri": uri });
        server.hear(
            &json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": params})
                .to_string(),
        )
    };
    // A refused subscription takes no slot.
    for n in 0..1024 {
        assert_eq!(code(&watch(&format!("none://{n}"))), Some(-32002));
    }
    for uri in uris(1024) {
        assert_eq!(code(&watch(&uri)), None, "{uri}");
    }
    assert!(code(&watch("test://more")).is_some());
    assert_eq!(code(&watch("test://7")), None, "it is watched already");

    let mut server = Server::new(Settings::default());
    let mut listen = |count: usize| {
        let params = json!({"notifications": {"resourceSubscriptions": uris(count)}});
        code(&server.hear(&modern(count as u64, "subscriptions/listen", params)))
    };
    assert_eq!((listen(1024), listen(1025)), (None, Some(-32602)));
}

#[test]
fn bytes_of_what_is_watched() {
    let uri = |n: usize, bytes: usize| format!("test://{n:0width$}", width = bytes - "test://".len());
    let mut server = Server::in_session("2025-11-25");
    let template = r#"{"name":"n","uriTemplate":"test://{n}"}"#;
    server.catalog.add(Item::ResourceTemplate, template, Behaviour::default(), ()).expect("valid");
    let mut ask = |method: &str, uri: String| {
        let params = json!({ "uri": uri });
        code(
            &server.hear(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()),
        )
    };
    assert_eq!(ask("resources/subscribe", uri(0, (8 << 10) + 1)), Some(-32600));
    for n in 0..32 {
        assert_eq!(ask("resources/subscribe", uri(n, 8 << 10)), None, "{n}");
    }
    assert_eq!(ask("resources/subscribe", "test://1".into()), Some(-32600));
    assert_eq!(ask("resources/subscribe", uri(7, 8 << 10)), None, "it is watched already");
    assert_eq!(ask("resources/unsubscribe", uri(7, 8 << 10)), None);
    assert_eq!(ask("resources/subscribe", "test://1".into()), None);

    let mut server = Server::new(Settings::default());
    let mut id = 0;
    let mut listen = |uris: Vec<String>| {
        id += 1;
        let params = json!({"notifications": {"resourceSubscriptions": uris}});
        code(&server.hear(&modern(id, "subscriptions/listen", params)))
    };
    let full: Vec<String> = (0..32).map(|n| uri(n, 8 << 10)).collect();
    assert_eq!((listen(vec![uri(0, 8 << 10)]), listen(vec![uri(0, (8 << 10) + 1)])), (None, Some(-32602)));
    assert_eq!(listen(full.clone()), None);
    assert_eq!(listen([full, vec!["test://1".into()]].concat()), Some(-32602));
}

#[test]
fn bytes_of_a_uri() {
    let uri = |bytes: usize| format!("test://{}", "x".repeat(bytes - "test://".len()));
    let mut server = Server::in_session("2025-11-25");
    let template = r#"{"name":"n","uriTemplate":"test://{n}"}"#;
    server.catalog.add(Item::ResourceTemplate, template, Behaviour::default(), ()).expect("valid");
    let completion = r#"{"ref":{"type":"ref/resource","uri":"test://{n}"}}"#;
    server.catalog.add(Item::Completion, completion, Behaviour::default(), ()).expect("valid");
    let mut ask = |method: &str, params: Value| {
        let request = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params});
        let answers = server.hear(&request.to_string());
        server.conn.recv(Bytes::from(
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": method}})
                .to_string(),
        ));
        while server.conn.poll().is_some() {}
        code(&answers)
    };
    let read = |uri: String| json!({ "uri": uri });
    assert_eq!(ask("resources/read", read(uri(8 << 10))), None, "it runs");
    assert_eq!(ask("resources/read", read(uri((8 << 10) + 1))), Some(-32602));
    let reference = |uri: String| json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "n", "value": ""}});
    assert_eq!(ask("completion/complete", reference("test://{n}".into())), None, "it runs");
    let message = |params: Value| {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": params});
        server.hear(&request.to_string())[0]["error"]["message"].as_str().expect("refused").to_owned()
    };
    let mut message = message;
    assert_eq!(message(reference(uri((8 << 10) + 1))), "params.ref.uri exceeds 8192 bytes");
    assert_eq!(message(reference(uri(8 << 10))), "params.ref: nothing completes this");
}

#[test]
fn steps_of_matching_in_one_request() {
    let mut server = Server::new(Settings::default());
    // Each takes some 80,000 steps for a URI of 8 KiB, and they are tried in two ways.
    for n in 0..60 {
        let template =
            json!({"name": "n", "uriTemplate": format!("test://{{a}}-{{b}}-{{c}}-{{d}}{{?x{n}}}!")});
        server
            .catalog
            .add(Item::ResourceTemplate, &template.to_string(), Behaviour::default(), ())
            .expect("valid");
    }
    let mut read = |bytes: usize| {
        let uri = format!("test://{}/!", "-".repeat(bytes - "test:///!".len()));
        let answers = server.hear(&modern(1, "resources/read", json!({ "uri": uri })));
        answers[0]["error"]["message"].as_str().expect("refused").to_owned()
    };
    assert!(read(1 << 10).starts_with("Resource not found: "));
    assert!(read(8 << 10).starts_with("params.uri: too many templates could be meant by "));
}

#[test]
fn what_a_client_says_of_itself() {
    let hello = |bytes: usize| {
        let said = |name: &str, able: &str| {
            (json!({"name": name, "version": "1"}), json!({"experimental": {"x": {"y": able}}}))
        };
        let (info, capabilities) = said("", "");
        let rest = bytes - info.to_string().len() - capabilities.to_string().len();
        let (info, capabilities) = said(&"n".repeat(rest / 2), &"y".repeat(rest - rest / 2));
        let params =
            json!({"protocolVersion": "2025-11-25", "clientInfo": info, "capabilities": capabilities});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        code(&Server::new(Settings::default()).hear(&message.to_string()))
    };
    assert_eq!((hello(64 << 10), hello((64 << 10) + 1)), (None, Some(-32602)));
}

#[test]
fn questions_that_one_call_asks() {
    let asked = |count: usize| {
        let all = (0..count).map(|n| (n.to_string(), json!({"op": "list_roots"}))).collect();
        questions(&Value::Object(all).to_string()).map(|questions| questions.len())
    };
    assert_eq!(asked(64).expect("valid"), 64);
    assert!(asked(65).is_err());
}

#[test]
fn values_of_a_completion() {
    let complete = |count: usize| {
        let mut server = Server::new(Settings::default());
        let prompt = r#"{"name":"p","arguments":[{"name":"a"}]}"#;
        server.catalog.add(Item::Prompt, prompt, Behaviour::default(), ()).expect("valid");
        let reference = json!({"type": "ref/prompt", "name": "p"});
        server
            .catalog
            .add(Item::Completion, &json!({ "ref": reference }).to_string(), Behaviour::default(), ())
            .expect("valid");
        let params = json!({"ref": reference, "argument": {"name": "a", "value": ""}});
        server.conn.recv(Bytes::from(modern(1, "completion/complete", params)));
        let Some(Output::Request(key, _)) = server.conn.poll() else { panic!("a good request") };
        let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        assert!(server.conn.complete(key, Outcome::Value(json!(values).to_string()), server.catalog.stamp()));
        let Some(Output::Send(bytes)) = server.conn.poll() else { panic!("an answer") };
        let answer: Value = serde_json::from_slice(&bytes).expect("JSON");
        let completion = &answer["result"]["completion"];
        (
            completion["values"].as_array().map(Vec::len),
            completion["total"].clone(),
            completion["hasMore"].clone(),
        )
    };
    assert_eq!(complete(100), (Some(100), json!(100), json!(false)));
    assert_eq!(complete(101), (Some(100), json!(101), json!(true)));
}

#[test]
fn names_of_tools() {
    let catalog = catalog();
    let add =
        |name: &str| catalog.add(Item::Tool, &json!({ "name": name }).to_string(), Behaviour::default(), ());
    assert!(add(&"a".repeat(128)).is_ok() && add("A.z_0-9").is_ok());
    assert!(add(&"a".repeat(129)).is_err());
    for name in ["", "a b", "a/b", "a:b", "é", "a\n", "a,b"] {
        assert!(add(name).is_err(), "{name:?}");
    }
}
