//! Framing: one frame is one line, whatever JSON a host writes.

use bytes::Bytes;
use serde_json::{Value, json};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{Behaviour, Catalog, Dispatch, Item, Offer};
use trunnion_proto::server::{LogEntry, Output, Progress, ServerConn, Settings, Stamp, questions};
use trunnion_proto::{ErrorKind, RpcError};

/// Input of a host: JSON over several lines, one of which is a message by itself.
const QUESTIONS: &str = "{\n\"q\": {\n\"op\": \"elicit\", \"params\": {\"message\": \"a\\nb\",\n\"note\":\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n,\r\n\
    \"requestedSchema\": {\"type\": \"object\",\n\"properties\": {\n}}}},\n\"r\": {\"op\":\"list_roots\",\n\"params\":{\n}},\n\
    \"s\": {\"op\": \"sample\", \"params\":\n{\"messages\": [\n], \"maxTokens\": 5}}\n}";

struct Wire {
    catalog: Catalog<()>,
    conn: ServerConn,
    frames: usize,
}

impl Wire {
    fn new() -> Wire {
        let stamp = Stamp::new("{\"name\":\"s\",\n\"version\":\"1\"}", 0, "private");
        let offer = Offer { stamp, instructions: None, page_size: 10 };
        let catalog = Catalog::new(Settings::default(), offer);
        let definition = "{\n\"name\": \"t\",\n\"inputSchema\": {\n\"type\": \"object\"}\n}";
        catalog.add(Item::Tool, definition, Behaviour::default(), ()).expect("valid");
        Wire { catalog, conn: ServerConn::new(Settings::default()), frames: 0 }
    }

    /// Says something to the server; gives the key of the call that it now works on.
    fn hear(&mut self, message: Value) -> u64 {
        self.conn.recv(Bytes::from(message.to_string()));
        let mut running = 0;
        while let Some(output) = self.conn.poll() {
            match output {
                Output::Send(frame) => self.check(&frame),
                Output::Request(key, request) => match self.catalog.dispatch(&request, None) {
                    Dispatch::Answer(outcome) => {
                        assert!(self.conn.complete(key, outcome, self.catalog.stamp()));
                    }
                    _ => running = key,
                },
                _ => {}
            }
        }
        running
    }

    fn drain(&mut self) {
        while let Some(output) = self.conn.poll() {
            if let Output::Send(frame) = output {
                self.check(&frame);
            }
        }
    }

    fn check(&mut self, frame: &[u8]) {
        let text = std::str::from_utf8(frame).expect("UTF-8");
        assert!(!text.contains(['\n', '\r']), "{text}");
        let message: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(message["jsonrpc"], "2.0");
        self.frames += 1;
    }
}

fn call(id: u64, meta: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "t", "_meta": meta}})
}

#[test]
fn what_a_server_says_in_a_session_is_one_line_each() {
    let mut wire = Wire::new();
    let able = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    let info = json!({"name": "c", "version": "1"});
    wire.hear(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": able, "clientInfo": info}}));
    wire.hear(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    assert_eq!(wire.frames, 2);

    let key = wire.hear(call(2, json!({"progressToken": "p"})));
    for question in questions(QUESTIONS).expect("valid") {
        wire.conn.ask(key, &question, None).expect("it runs");
        wire.conn.ask(key, &question.related_to("task"), None).expect("it runs");
    }
    wire.drain();
    assert_eq!(wire.frames, 8);

    let entry = LogEntry::from_json("{\"level\":\"error\",\"data\":{\n\"a\":\r\n1}}").expect("valid");
    wire.conn.log(key, &entry);
    let message = Some("one\ntwo".to_owned());
    wire.conn.progress(key, &Progress { progress: 1.0, total: None, message });
    let result = Outcome::Result("{\n\"content\":\n[\r\n]}".into());
    wire.conn.complete(key, result, wire.catalog.stamp());
    let key = wire.hear(call(3, json!({})));
    let data: Value = json!({"a": 1});
    let mut error = RpcError::new(ErrorKind::InternalError, "one\ntwo").with_data(data);
    error.data = serde_json::from_str("{\n\"a\":\r\n1}").ok();
    wire.conn.complete(key, Outcome::Error(error), wire.catalog.stamp());
    wire.drain();
    assert!(wire.frames >= 12, "{}", wire.frames);
}

#[test]
fn what_a_modern_server_says_is_one_line_each() {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "sampling": {}, "roots": {}}});
    let mut wire = Wire::new();
    for (id, outcome) in [
        Outcome::Value("{\n\"a\": [\n1\r\n]}".into()),
        Outcome::InputRequired { questions: questions(QUESTIONS).expect("valid"), state: "s".into() },
        Outcome::Text("a\nb".into()),
    ]
    .into_iter()
    .enumerate()
    {
        let key = wire.hear(call(id as u64, meta.clone()));
        wire.conn.complete(key, outcome, wire.catalog.stamp());
        wire.drain();
    }
    assert_eq!(wire.frames, 3);
}
