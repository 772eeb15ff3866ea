//! The golden transcripts of `tests/vectors/`, run by the pure machines.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use trunnion_proto::Limits;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{Catalog, Dispatch, Input, Item, Offer};
use trunnion_proto::server::{Notice, Output, Progress, ServerConn, Settings, Stamp, questions};

use crate::{pattern, schema};

/// The server that `tests/vectors/README.md` describes.
fn catalog(definition: &Value) -> Catalog<&'static str> {
    let eras = definition.get("eras").cloned().unwrap_or(json!(["modern", "legacy"]));
    let serves = |era: &str| eras.as_array().expect("eras").contains(&json!(era));
    let settings = Settings { limits: Limits::default(), modern: serves("modern"), legacy: serves("legacy") };
    let info = json!({"name": definition["name"], "version": definition["version"]}).to_string();
    let ttl = definition.get("ttlMs").and_then(Value::as_u64).unwrap_or(0);
    let scope = definition.get("cacheScope").and_then(Value::as_str).unwrap_or("private");
    let page_size = definition.get("pageSize").and_then(Value::as_u64).unwrap_or(1000) as usize;
    let offer = Offer { stamp: Stamp::new(&info, ttl, scope), instructions: None, page_size };
    let catalog = Catalog::new(settings, offer);
    let object = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required});
    let (number, string) = (json!({"type": "number"}), json!({"type": "string"}));
    for (item, handler, definition) in [
        (
            Item::Tool,
            "add",
            json!({"name": "add", "inputSchema": object(json!({"a": number, "b": number}), json!(["a", "b"]))}),
        ),
        (
            Item::Tool,
            "echo",
            json!({"name": "echo", "inputSchema": object(json!({"text": string}), json!(["text"]))}),
        ),
        (
            Item::Tool,
            "fail",
            json!({"name": "fail", "inputSchema": object(json!({"message": string}), json!(["message"]))}),
        ),
        (
            Item::Tool,
            "steps",
            json!({"name": "steps", "inputSchema": object(json!({"n": {"type": "integer"}}), json!(["n"]))}),
        ),
        (Item::Tool, "hang", json!({"name": "hang"})),
        (
            Item::Tool,
            "visit",
            json!({"name": "visit", "inputSchema": object(json!({"id": string}), json!(["id"]))}),
        ),
        (Item::Resource, "text", json!({"uri": "test://text", "mimeType": "text/plain"})),
        (Item::ResourceTemplate, "item", json!({"uriTemplate": "test://item/{id}"})),
        (Item::Prompt, "greet", json!({"name": "greet", "arguments": [{"name": "name", "required": true}]})),
        (Item::Completion, "names", json!({"ref": {"type": "ref/prompt", "name": "greet"}})),
    ] {
        catalog.add(item, &definition.to_string(), Default::default(), handler).expect("valid");
    }
    catalog
}

struct Peer {
    catalog: Catalog<&'static str>,
    conn: ServerConn,
    limit: usize,
    sent: Vec<Value>,
    hanging: BTreeMap<u64, bool>,
    /// The calls that have asked, by the numbers of their questions, and the ids of their elicitations.
    visiting: BTreeMap<u64, (u64, String)>,
    said: schema::Conversation,
}

impl Peer {
    fn send(&mut self, frame: Vec<u8>) {
        self.said.heard(&frame);
        if frame.len() > self.limit {
            self.conn.oversized(&frame[..self.limit]);
        } else {
            self.conn.recv(Bytes::from(frame));
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.conn.poll() {
            match output {
                Output::Send(message) => {
                    assert!(!message.contains(&b'\n'), "one message is one line");
                    let message = serde_json::from_slice(&message).expect("a message is JSON");
                    self.said.sent(&message).expect("what the schema allows");
                    self.sent.push(message);
                }
                Output::Cancelled(key, _) => {
                    *self.hanging.get_mut(&key).expect("only hang is ever cancelled here") = true;
                }
                Output::Answered(ask, answer) => {
                    let (key, id) = self.visiting.remove(&ask).expect("asked");
                    let answer = answer.expect("an answer");
                    let answer: Value = serde_json::from_str(answer.as_str()).expect("JSON");
                    self.conn.notice(&Notice::ElicitationComplete(id));
                    self.answer(key, Outcome::Text(answer["action"].as_str().expect("action").into()));
                }
                Output::Withdrawn(_) | Output::RootsChanged => panic!("no transcript does that"),
                Output::Request(key, request) => match self.catalog.dispatch(&request, None) {
                    Dispatch::Answer(outcome) => self.answer(key, outcome),
                    Dispatch::Listen(granted) => self.conn.listen(key, granted),
                    Dispatch::Create { .. } | Dispatch::Tasks(_) => {
                        panic!("no tool of a transcript has tasks")
                    }
                    Dispatch::Forbid(scopes) => panic!("nobody has scopes here: {scopes:?}"),
                    Dispatch::Run { entry, input } => {
                        let exchange = self.conn.exchange_mut(key).expect("live");
                        exchange.answered_by(&entry, &request);
                        if entry.handler == "hang" {
                            self.hanging.insert(key, false);
                        } else if entry.handler == "visit" {
                            self.visit(key, input);
                        } else {
                            let outcome = self.handle(key, entry.handler, input);
                            self.answer(key, outcome);
                        }
                    }
                },
            }
        }
    }

    fn visit(&mut self, key: u64, input: Input) {
        let Input::Tool(arguments) = input else { panic!("visit is a tool") };
        let arguments: Value = serde_json::from_str(arguments.as_str()).expect("JSON");
        let page = json!({"mode": "url", "message": "Sign in", "url": "https://example.com/sign-in", "elicitationId": arguments["id"]});
        let asked = questions(&json!({"page": {"op": "elicit", "params": page}}).to_string()).expect("valid");
        let ask = self.conn.ask(key, &asked[0], None).expect("live");
        self.visiting.insert(ask, (key, arguments["id"].as_str().expect("id").into()));
    }

    fn answer(&mut self, key: u64, outcome: Outcome) {
        assert!(self.conn.complete(key, outcome, self.catalog.stamp()));
        assert!(!self.conn.complete(key, Outcome::Text("twice".into()), self.catalog.stamp()));
    }

    fn handle(&mut self, key: u64, handler: &str, input: Input) -> Outcome {
        let (arguments, params): (Value, Vec<(String, String)>) = match input {
            Input::Tool(json) | Input::Prompt(json) => {
                (serde_json::from_str(json.as_str()).expect("JSON"), vec![])
            }
            Input::Tasks(_) => panic!("no tool of a transcript has tasks"),
            Input::Completion { argument, .. } => {
                (serde_json::from_str(argument.as_str()).expect("JSON"), vec![])
            }
            Input::Resource { params, .. } => (Value::Null, params),
        };
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        match handler {
            "add" => {
                let sum = arguments["a"].as_f64().expect("a") + arguments["b"].as_f64().expect("b");
                Outcome::Value(json!({ "sum": sum }).to_string())
            }
            "echo" => Outcome::Text(text("text")),
            "fail" => Outcome::ToolError(text("message")),
            "steps" => {
                let n = arguments["n"].as_i64().expect("n");
                for step in 1..=n {
                    let progress = Progress { progress: step as f64, total: Some(n as f64), message: None };
                    self.conn.progress(key, &progress);
                }
                Outcome::Text("done".into())
            }
            "text" => Outcome::Text("hello".into()),
            "item" => Outcome::Text(format!("item {}", params[0].1)),
            "greet" => Outcome::Text(format!("Greet {}", text("name"))),
            "names" => {
                let fitting: Vec<&str> = ["ada", "alan", "grace"]
                    .into_iter()
                    .filter(|name| name.starts_with(&text("value")))
                    .collect();
                Outcome::Value(json!(fitting).to_string())
            }
            other => panic!("no handler {other}"),
        }
    }
}

#[test]
fn golden_transcripts() {
    let mut cases = 0;
    for (file, case) in pattern::cases() {
        run(&case).unwrap_or_else(|why| panic!("{file}: {}: {why}", case["name"]));
        cases += 1;
    }
    assert!(cases > 30, "only {cases} cases");
}

fn run(case: &Value) -> Result<(), String> {
    let default = json!({"name": "vectors", "version": "1.0.0"});
    let catalog = catalog(case.get("server").unwrap_or(&default));
    let settings = catalog.settings().clone();
    let limit = settings.limits.message_bytes;
    let mut peer = Peer {
        catalog,
        conn: ServerConn::new(settings),
        limit,
        sent: Vec::new(),
        hanging: BTreeMap::new(),
        visiting: BTreeMap::new(),
        said: schema::Conversation::new(schema::End::Server),
    };
    for (index, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
        let at = format!("step {index}");
        if let Some(message) = step.get("send") {
            peer.send(message.as_str().map_or_else(|| message.to_string(), str::to_owned).into_bytes());
        } else if let Some(frame) = pattern::repeated(step) {
            peer.send(frame.into_bytes());
        } else if let Some(pattern) = step.get("expect") {
            if peer.sent.is_empty() {
                return Err(format!("{at}: nothing was sent, expected {pattern}"));
            }
            pattern::fits(pattern, &peer.sent.remove(0), &at)?;
        } else if step.get("handler").is_some() {
            if !peer.hanging.values().any(|cancelled| *cancelled) {
                return Err(format!("{at}: hang was not cancelled"));
            }
        } else {
            return Err(format!("{at}: unknown step {step}"));
        }
    }
    if peer.sent.is_empty() { Ok(()) } else { Err(format!("unexpected: {:?}", peer.sent)) }
}
