//! Tests of the state machine by value, under virtual time.

mod caching;
mod connecting;
mod endings;
mod incoming;
mod listening;
mod questions;
mod requests;
#[path = "../../../../tests/vectors/schema.rs"]
mod schema;
mod streams;
mod tasks;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::header;
use crate::methods::{self, Method};

const STREAM: Transport = Transport::Stream { restartable: false };
const CHILD: Transport = Transport::Stream { restartable: true };

/// A connection, its time, and what it has put out.
struct Rig {
    conn: ClientConn,
    now: Duration,
    seen: Vec<Output>,
    said: schema::Conversation,
    /// The stream for what belongs to no request, of [`legacy`].
    standalone: u64,
}

fn op(name: &str) -> &'static Method {
    methods::by_op(name).expect("an operation")
}

fn rig(transport: Transport, era: EraPolicy) -> Rig {
    rig_with(transport, era, "{}")
}

fn rig_with(transport: Transport, era: EraPolicy, capabilities: &str) -> Rig {
    let capabilities = Json::from(capabilities.to_owned());
    rig_of(ClientConfig { transport, era, capabilities, ..ClientConfig::default() })
}

fn rig_of(config: ClientConfig) -> Rig {
    let conn = ClientConn::new(config);
    let said = schema::Conversation::new(schema::End::Client);
    let mut rig = Rig { conn, now: Duration::ZERO, seen: Vec::new(), said, standalone: 0 };
    rig.conn.connect(rig.now);
    rig.drain();
    rig
}

fn modern(transport: Transport) -> Rig {
    modern_of(ClientConfig { transport, ..ClientConfig::default() })
}

fn modern_of(config: ClientConfig) -> Rig {
    let mut rig = rig_of(config);
    let (id, _) = rig.sent("server/discover");
    rig.answer(id, discovered());
    assert!(matches!(rig.take().as_slice(), [Output::Ready(_)]));
    rig
}

fn legacy(transport: Transport) -> Rig {
    legacy_of(ClientConfig { transport, ..ClientConfig::default() }, json!({}))
}

fn legacy_of(config: ClientConfig, capabilities: Value) -> Rig {
    let transport = config.transport;
    let mut rig = rig_of(ClientConfig { era: EraPolicy::Only(Era::Legacy), ..config });
    let (id, _) = rig.sent("initialize");
    rig.conn.session_assigned(id, "s-1");
    let mut said = initialized("2025-11-25");
    said["capabilities"] = capabilities;
    rig.answer(id, said);
    rig.confirm();
    match rig.take().as_slice() {
        [Output::Ready(_)] if transport != Transport::Http => {}
        [Output::Ready(_), Output::Open { head, endpoint: false }] => rig.standalone = head.post,
        other => panic!("{other:?}"),
    }
    rig
}

fn discovered() -> Value {
    json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
        "instructions": "be kind", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}}})
}

fn initialized(revision: &str) -> Value {
    json!({"protocolVersion": revision, "capabilities": {}, "serverInfo": {"name": "old", "version": "0"}})
}

impl Rig {
    fn drain(&mut self) {
        while let Some(output) = self.conn.poll() {
            if let Output::Send { bytes, .. } = &output {
                assert!(!bytes.contains(&b'\n'), "a frame is one line");
                let message = serde_json::from_slice(bytes).expect("a message is JSON");
                self.said.sent(&message).expect("what the schema allows");
            }
            self.seen.push(output);
        }
    }

    fn take(&mut self) -> Vec<Output> {
        self.drain();
        std::mem::take(&mut self.seen)
    }

    fn take_first(&mut self) -> Output {
        self.drain();
        self.seen.remove(0)
    }

    /// The only output is this request; its id and parameters.
    fn sent(&mut self, method: &str) -> (u64, Value) {
        let (message, post) = self.sent_message();
        assert_eq!(message["method"], method);
        let id = message["id"].as_u64().expect("a number");
        assert!(post.is_none_or(|post| post.post == id && post.request));
        (id, message["params"].clone())
    }

    fn sent_message(&mut self) -> (Value, Option<Box<PostHead>>) {
        match self.take().as_mut_slice() {
            [Output::Send { bytes, post }] => (serde_json::from_slice(bytes).expect("JSON"), post.take()),
            other => panic!("expected one message, got {other:?}"),
        }
    }

    /// The handshake's notification arrived.
    fn confirm(&mut self) {
        self.drain();
        let Output::Send { bytes, post } = self.seen.remove(0) else { panic!("expected a message") };
        assert_eq!(bytes, br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        if let Some(post) = post {
            assert!(!post.request);
            self.conn.stream_ended(self.now, post.post);
        }
    }

    fn recv(&mut self, message: Value) {
        let frame = message.to_string();
        self.said.heard(frame.as_bytes());
        self.conn.recv(self.now, None, Bytes::from(frame));
    }

    fn answer(&mut self, id: u64, result: Value) {
        self.recv(json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }

    fn refuse(&mut self, id: u64, code: i64, data: Value) {
        self.recv(
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no", "data": data}}),
        );
    }

    fn start(&mut self, id: u64, name: &str, params: Value) {
        self.start_with(id, name, params, CallOptions::default());
    }

    fn start_with(&mut self, id: u64, name: &str, params: Value, options: CallOptions) {
        self.conn.start(self.now, id, op(name), params.to_string(), options);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.conn.on_deadline(self.now);
    }

    fn status(&mut self, post: u64, status: u16, body: &str) {
        let body = Bytes::from(body.to_owned());
        self.conn.failed(self.now, post, TransportFailure::Status { status, body, asked: Vec::new() });
    }

    /// The only outputs are a failure to connect and the end.
    fn connect_failure(&mut self) -> ClientError {
        match self.take().as_slice() {
            [Output::ConnectFailed(error), Output::Closed { .. }] => error.clone(),
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    /// The only output is the end of this operation.
    fn ended(&mut self, op: u64) -> Result<Json, ClientError> {
        match self.take().as_slice() {
            [Output::Result { op: ended, result }] if *ended == op => Ok(result.clone()),
            [Output::Error { op: ended, error }] if *ended == op => Err(error.clone()),
            other => panic!("expected the end of {op}, got {other:?}"),
        }
    }

    fn failed_as(&mut self, op: u64) -> &'static str {
        self.ended(op).expect_err("a failure").kind
    }
}

fn header_of<'a>(post: &'a PostHead, name: &str) -> Option<&'a str> {
    post.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A tool whose parameter is mirrored in a header.
fn annotated(name: &str, kind: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object",
        "properties": {"region": {"type": kind, "x-mcp-header": "Region"}}}})
}
