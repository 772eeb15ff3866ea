//! The machine by value, under virtual time.

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
}

fn op(name: &str) -> &'static Method {
    methods::by_op(name).expect("an operation")
}

fn rig(transport: Transport, era: EraPolicy) -> Rig {
    let conn = ClientConn::new(ClientConfig { transport, era, ..ClientConfig::default() });
    let mut rig = Rig { conn, now: Duration::ZERO, seen: Vec::new() };
    rig.conn.connect(rig.now);
    rig.drain();
    rig
}

fn modern(transport: Transport) -> Rig {
    let mut rig = rig(transport, EraPolicy::Auto);
    let (id, _) = rig.sent("server/discover");
    rig.answer(id, discovered());
    assert!(matches!(rig.take().as_slice(), [Output::Ready(_)]));
    rig
}

fn legacy(transport: Transport) -> Rig {
    let mut rig = rig(transport, EraPolicy::Only(Era::Legacy));
    let (id, _) = rig.sent("initialize");
    rig.conn.session_assigned(id, "s-1");
    rig.answer(id, initialized("2025-11-25"));
    rig.confirm();
    assert!(matches!(rig.take().as_slice(), [Output::Ready(_)]));
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
        self.seen.extend(std::iter::from_fn(|| self.conn.poll()));
    }

    fn take(&mut self) -> Vec<Output> {
        self.drain();
        std::mem::take(&mut self.seen)
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
            [Output::Send { bytes, post }] => {
                assert!(!bytes.contains(&b'\n') || post.is_some());
                (serde_json::from_slice(bytes).expect("JSON"), post.take())
            }
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
        self.conn.recv(self.now, None, Bytes::from(message.to_string()));
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
        self.conn.failed(self.now, post, TransportFailure::Status { status, body });
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

// ------------------------------------------------------------------------------------------ connecting

#[test]
fn a_modern_server_is_ready_after_one_probe() {
    let mut rig = rig(Transport::Http, EraPolicy::Auto);
    let (message, post) = rig.sent_message();
    let post = post.expect("a POST");
    assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"], "trunnion");
    assert_eq!(header_of(&post, header::PROTOCOL_VERSION), Some("2026-07-28"));
    assert_eq!(header_of(&post, header::METHOD), Some("server/discover"));
    rig.conn.session_assigned(post.post, "stray");
    rig.answer(post.post, discovered());
    let [Output::Ready(facts)] = &rig.take()[..] else { panic!("ready") };
    assert_eq!(
        facts.to_json(),
        r#"{"era":"modern","revision":"2026-07-28","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"},"instructions":"be kind"}"#
    );
    assert_eq!(rig.conn.next_deadline(), None);
    rig.start(1, "ping", json!({}));
    let (message, post) = rig.sent_message();
    assert_eq!(message["method"], "server/discover", "what stands for ping in the modern era");
    assert_eq!(header_of(&post.expect("a POST"), header::SESSION_ID), None);
    rig.answer(message["id"].as_u64().expect("id"), discovered());
    assert_eq!(rig.ended(1).expect("a result").as_str(), "{}");
}

#[test]
fn servers_that_answer_the_probe_wrongly_get_the_handshake() {
    type Answer = fn(&mut Rig, u64);
    let http: &[Answer] = &[
        |rig, id| rig.answer(id, json!({})),
        |rig, id| rig.refuse(id, -32601, Value::Null),
        |rig, id| rig.refuse(id, -32602, Value::Null),
        |rig, id| rig.status(id, 400, ""),
        |rig, id| rig.status(id, 404, "<html>"),
        |rig, id| rig.status(id, 405, ""),
        |rig, id| {
            rig.status(
                id,
                400,
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#,
            );
        },
        |rig, id| rig.conn.stream_ended(rig.now, id),
        |rig, id| rig.refuse(id, -32022, json!({"supported": ["2025-11-25", "2025-06-18"]})),
        |rig, id| rig.answer(id, json!({"supportedVersions": ["2025-11-25"]})),
    ];
    for (index, answer) in http.iter().enumerate() {
        let mut rig = rig(Transport::Http, EraPolicy::Auto);
        let (id, _) = rig.sent("server/discover");
        answer(&mut rig, id);
        let (message, post) = rig.sent_message();
        assert_eq!(message["method"], "initialize", "case {index}");
        assert_eq!(message["params"]["protocolVersion"], "2025-11-25");
        assert!(message["params"].get("_meta").is_none());
        let post = post.expect("a POST");
        assert!(post.headers.is_empty());
        rig.conn.session_assigned(post.post, "abc");
        rig.answer(post.post, initialized("2025-06-18"));
        rig.start(9, "list_tools", json!({}));
        rig.drain();
        assert_eq!(rig.seen.len(), 1, "requests wait until the server knows");
        rig.confirm();
        let outputs = rig.take();
        let [Output::Ready(facts), Output::Send { post: Some(post), bytes }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!(facts.revision, Revision::V2025_06_18);
        assert!(!bytes.windows(5).any(|window| window == b"_meta"));
        assert_eq!(header_of(post, header::PROTOCOL_VERSION), Some("2025-06-18"));
        assert_eq!(header_of(post, header::SESSION_ID), Some("abc"));
        let farewell = rig.conn.session_end().expect("a session");
        assert_eq!(header_of(&farewell, header::SESSION_ID), Some("abc"));
        assert!(rig.conn.session_end().is_none());
    }
}

#[test]
fn what_says_nothing_of_the_era_fails() {
    for status in [401, 403, 429, 500, 502, 503, 301] {
        let mut rig = rig(Transport::Http, EraPolicy::Auto);
        let (id, _) = rig.sent("server/discover");
        rig.status(id, status, "");
        let error = rig.connect_failure();
        assert_eq!(error.kind, "transport");
        assert!(error.message.contains(&status.to_string()), "{}", error.message);
    }
    let mut rig = rig(Transport::Http, EraPolicy::Auto);
    let (id, _) = rig.sent("server/discover");
    rig.conn.failed(rig.now, id, TransportFailure::Connection("connection refused".into()));
    assert_eq!(rig.connect_failure().message, "connection refused");
}

#[test]
fn recognised_modern_errors_never_fall_back() {
    for code in [-32020, -32021] {
        let mut rig = rig(Transport::Http, EraPolicy::Auto);
        let (id, _) = rig.sent("server/discover");
        let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no"}}).to_string();
        rig.status(id, 400, &body);
        assert_eq!(rig.connect_failure().code, code);
    }
    let mut rig = rig(STREAM, EraPolicy::Auto);
    let (id, _) = rig.sent("server/discover");
    rig.refuse(id, -32022, json!({"supported": ["2027-01-01"]}));
    assert_eq!(rig.connect_failure().kind, "unsupported_version");
}

#[test]
fn a_refused_version_is_tried_again_once() {
    let mut rig = rig(Transport::Http, EraPolicy::Auto);
    let (first, _) = rig.sent("server/discover");
    let refusal = |id| {
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32022, "message": "no",
            "data": {"supported": ["2026-07-28"]}}})
        .to_string()
    };
    rig.status(first, 400, &refusal(first));
    let (second, _) = rig.sent("server/discover");
    assert_ne!(first, second);
    rig.status(second, 400, &refusal(second));
    assert_eq!(rig.connect_failure().kind, "unsupported_version");

    let mut rig = modern(Transport::Http);
    rig.start(1, "call_tool", json!({"name": "t"}));
    let (first, _) = rig.sent("tools/call");
    rig.status(first, 400, &refusal(first));
    let (second, _) = rig.sent("tools/call");
    rig.refuse(second, -32022, json!({"supported": ["2026-07-28"]}));
    assert_eq!(rig.failed_as(1), "unsupported_version");
}

#[test]
fn one_era_only_means_it() {
    let mut only_modern = rig(STREAM, EraPolicy::Only(Era::Modern));
    let (id, _) = only_modern.sent("server/discover");
    only_modern.refuse(id, -32601, Value::Null);
    assert_eq!(only_modern.connect_failure().kind, "method_not_found");

    let mut silent = rig(CHILD, EraPolicy::Only(Era::Modern));
    silent.sent("server/discover");
    silent.pass(Duration::from_secs(9));
    assert!(silent.take().is_empty());
    silent.pass(Duration::from_secs(1));
    assert_eq!(silent.connect_failure().kind, "timeout");

    let mut legacy = rig(STREAM, EraPolicy::Only(Era::Legacy));
    let (id, _) = legacy.sent("initialize");
    legacy.answer(id, initialized("2026-07-28"));
    assert_eq!(legacy.connect_failure().kind, "unsupported_version");
}

#[test]
fn silence_and_death_restart_a_child_once() {
    for death in [false, true] {
        let mut rig = rig(CHILD, EraPolicy::Auto);
        let (probe, _) = rig.sent("server/discover");
        if death {
            rig.conn.peer_closed("exit status: 1");
        } else {
            assert_eq!(rig.conn.next_deadline(), Some(Duration::from_secs(3)));
            rig.pass(Duration::from_secs(3));
        }
        assert!(matches!(rig.take().as_slice(), [Output::Restart]));
        rig.start(1, "list_tools", json!({}));
        rig.conn.restarted();
        let (id, _) = rig.sent("initialize");
        rig.answer(probe, discovered());
        assert!(rig.take().is_empty(), "a late answer means nothing");
        if death {
            rig.conn.peer_closed("exit status: 2");
            let outputs = rig.take();
            let [Output::Error { op: 1, error }, Output::ConnectFailed(_), Output::Closed { reason }] =
                &outputs[..]
            else {
                panic!("{outputs:?}")
            };
            assert_eq!((error.kind, reason.as_str()), ("transport", "exit status: 2"));
        } else {
            rig.answer(id, initialized("2024-11-05"));
            rig.confirm();
            assert!(matches!(rig.take().as_slice(), [Output::Ready(_), Output::Send { .. }]));
        }
    }
}

#[test]
fn a_silent_stream_gets_the_handshake_and_then_the_time_limit() {
    let mut rig = rig(STREAM, EraPolicy::Auto);
    rig.sent("server/discover");
    rig.pass(Duration::from_secs(3));
    rig.sent("initialize");
    rig.start(1, "list_tools", json!({}));
    assert_eq!(rig.conn.next_deadline(), Some(Duration::from_secs(10)));
    rig.pass(Duration::from_secs(7));
    let outputs = rig.take();
    assert!(
        matches!(&outputs[..], [Output::Error { op: 1, .. }, Output::ConnectFailed(error), Output::Closed { .. }] if error.kind == "timeout")
    );
}

#[test]
fn connecting_can_be_given_up() {
    let mut rig = rig(STREAM, EraPolicy::Auto);
    rig.sent("server/discover");
    assert!(rig.conn.cancel_connect(""));
    assert_eq!(rig.connect_failure().kind, "cancelled");
    assert!(!rig.conn.cancel_connect(""));
    rig.conn.close();
    rig.start(1, "list_tools", json!({}));
    assert_eq!(rig.failed_as(1), "closed");
}

// ---------------------------------------------------------------------------------------------- requests

#[test]
fn a_modern_call_carries_its_metadata_twice() {
    let mut rig = modern(Transport::Http);
    let options =
        CallOptions { progress: true, meta: Json::from(r#"{"k": 1}"#.to_owned()), ..CallOptions::default() };
    rig.start_with(1, "call_tool", json!({"name": "héllo", "arguments": {"a": 1}}), options);
    let (message, post) = rig.sent_message();
    let post = post.expect("a POST");
    assert_eq!(header_of(&post, header::METHOD), Some("tools/call"));
    assert_eq!(header_of(&post, header::NAME).and_then(header::decode).as_deref(), Some("héllo"));
    let meta = &message["params"]["_meta"];
    assert_eq!((&meta["progressToken"], &meta["k"]), (&json!(post.post), &json!(1)));
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
    assert_eq!(message["params"]["arguments"], json!({"a": 1}));

    let result = r#"{"content":[] , "structuredContent":1.50,"resultType":"complete"}"#;
    let frame = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, post.post);
    rig.conn.recv(rig.now, Some(post.post), Bytes::from(frame));
    assert_eq!(rig.ended(1).expect("a result").as_str(), result);
}

#[test]
fn only_complete_results_are_taken() {
    let mut rig = modern(STREAM);
    let cases = [
        (json!({"content": []}), None),
        (json!({"resultType": "complete", "a": 1}), None),
        (json!({"a": {"resultType": "x"}, "resultType": "complete"}), None),
        (
            json!({"a": {"resultType": "complete"}, "b": 1, "resultType": "input_required"}),
            Some("input_required"),
        ),
        (json!({"resultType": "task"}), Some("task")),
        (json!({"resultType": "novel"}), Some("novel")),
        (json!({"resultType": 5}), Some("no string")),
        (json!([]), Some("no object")),
    ];
    for (index, (result, complaint)) in cases.into_iter().enumerate() {
        let index = index as u64;
        rig.start(index, "call_tool", json!({"name": "t"}));
        let (id, _) = rig.sent("tools/call");
        rig.answer(id, result);
        match (rig.ended(index), complaint) {
            (Ok(_), None) => {}
            (Err(error), Some(complaint)) => {
                assert_eq!(error.kind, "protocol");
                assert!(error.message.contains(complaint), "{}", error.message);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn hosts_get_told_what_they_did_wrong() {
    let mut rig = modern(STREAM);
    for params in ["[]", "{", "3"] {
        rig.conn.start(rig.now, 1, op("list_tools"), params.into(), CallOptions::default());
        assert_eq!(rig.failed_as(1), "usage");
    }
    let options = CallOptions { meta: Json::from("[]".to_owned()), ..CallOptions::default() };
    rig.start_with(1, "list_tools", json!({}), options);
    assert_eq!(rig.failed_as(1), "usage");
    let mut old = legacy(STREAM);
    old.start(1, "discover", json!({}));
    assert_eq!(old.failed_as(1), "method_not_found");
    old.conn.start(
        old.now,
        2,
        op("list_tools"),
        " {\n \"cursor\":\r\n \"c\" }\n".into(),
        CallOptions::default(),
    );
    assert_eq!(old.sent("tools/list").1, json!({"cursor": "c"}));
}

#[test]
fn too_many_requests_are_refused() {
    let mut rig = modern(STREAM);
    rig.conn.config.limits.in_flight = 2;
    for op in 1..=3 {
        rig.start(op, "list_tools", json!({}));
    }
    let outputs = rig.take();
    assert!(matches!(&outputs[2], Output::Error { op: 3, error } if error.kind == "limit"));
}

#[test]
fn stray_answers_mean_nothing() {
    let mut rig = modern(STREAM);
    rig.start(1, "list_tools", json!({}));
    let (id, _) = rig.sent("tools/list");
    rig.answer(id + 7, json!({}));
    rig.recv(json!({"jsonrpc": "2.0", "id": id.to_string(), "result": {}}));
    rig.recv(json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "?"}}));
    rig.conn.recv(rig.now, None, Bytes::from_static(b"Server started on port 3000"));
    rig.recv(json!({"jsonrpc": "2.0", "id": 5, "method": "sampling/createMessage"}));
    assert!(rig.take().is_empty());
    rig.answer(id, json!({"tools": []}));
    assert!(rig.ended(1).is_ok());
    rig.answer(id, json!({"tools": []}));
    assert!(rig.take().is_empty());

    rig.start(2, "list_tools", json!({}));
    let (id, _) = rig.sent("tools/list");
    rig.recv(json!({"jsonrpc": "2.0", "id": id}));
    assert_eq!(rig.failed_as(2), "protocol");
}

#[test]
fn http_failures_end_their_own_call() {
    let mut rig = modern(Transport::Http);
    type Fail = fn(&mut Rig, u64);
    let fails: &[(Fail, &str)] = &[
        (|rig, id| rig.status(id, 502, "bad gateway"), "transport"),
        (
            |rig, id| {
                let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "no"}});
                rig.status(id, 400, &body.to_string());
            },
            "invalid_params",
        ),
        (|rig, id| rig.conn.stream_ended(rig.now, id), "transport"),
        (|rig, id| rig.conn.failed(rig.now, id, TransportFailure::Limit("big".into())), "limit"),
        (|rig, id| rig.conn.failed(rig.now, id, TransportFailure::Connection("reset".into())), "transport"),
        (|rig, id| rig.conn.recv(rig.now, Some(id), Bytes::from_static(b"{")), "protocol"),
        (
            |rig, id| {
                let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#;
                rig.conn.recv(rig.now, Some(id), Bytes::from_static(body.as_bytes()));
            },
            "parse_error",
        ),
    ];
    for (fail, kind) in fails {
        rig.start(1, "list_tools", json!({}));
        rig.start(2, "list_prompts", json!({}));
        let outputs = rig.take();
        let [Output::Send { post: Some(first), .. }, Output::Send { post: Some(second), .. }] = &outputs[..]
        else {
            panic!("{outputs:?}")
        };
        fail(&mut rig, first.post);
        assert_eq!(rig.failed_as(1), *kind);
        rig.answer(second.post, json!({"prompts": []}));
        assert!(rig.ended(2).is_ok());
        rig.conn.stream_ended(rig.now, second.post);
        assert!(rig.take().is_empty());
    }
}

// ------------------------------------------------------------------------- cancelling, time and progress

#[test]
fn cancelling_says_so_in_the_way_of_transport_and_era() {
    let cancelled = |rig: &mut Rig| {
        rig.start(1, "list_tools", json!({}));
        let (id, _) = rig.sent("tools/list");
        assert!(rig.conn.cancel(1, "enough"));
        assert!(!rig.conn.cancel(1, "enough"));
        let mut outputs = rig.take();
        let Some(Output::Error { op: 1, error }) = outputs.pop() else { panic!("{outputs:?}") };
        assert_eq!((error.kind, error.message.as_str()), ("cancelled", "enough"));
        rig.answer(id, json!({"tools": []}));
        assert!(rig.take().is_empty());
        let notified = |output: &Output| {
            let Output::Send { bytes, .. } = output else { return false };
            let message: Value = serde_json::from_slice(bytes).expect("JSON");
            message["method"] == "notifications/cancelled"
                && message["params"] == json!({"requestId": id, "reason": "enough"})
        };
        let aborted = |output: &Output| matches!(output, Output::Abort { post } if *post == id);
        (outputs.iter().any(notified), outputs.iter().any(aborted))
    };
    assert_eq!(cancelled(&mut modern(STREAM)), (true, false));
    assert_eq!(cancelled(&mut modern(Transport::Http)), (false, true));
    assert_eq!(cancelled(&mut legacy(STREAM)), (true, false));
    assert_eq!(cancelled(&mut legacy(Transport::Http)), (true, true));
}

#[test]
fn waiting_calls_can_be_cancelled_too() {
    let mut rig = rig(STREAM, EraPolicy::Auto);
    let (probe, _) = rig.sent("server/discover");
    rig.start(1, "list_tools", json!({}));
    assert!(rig.conn.cancel(1, ""));
    assert_eq!(rig.failed_as(1), "cancelled");
    rig.answer(probe, discovered());
    assert!(matches!(rig.take().as_slice(), [Output::Ready(_)]));
}

#[test]
fn progress_restarts_the_limit_but_not_the_cap() {
    let mut rig = modern(STREAM);
    let seconds = Duration::from_secs;
    let options = CallOptions {
        timeout: Some(seconds(10)),
        total: Some(seconds(25)),
        progress: true,
        ..CallOptions::default()
    };
    rig.start_with(1, "call_tool", json!({"name": "slow"}), options);
    let (id, params) = rig.sent("tools/call");
    assert_eq!(params["_meta"]["progressToken"], id);
    for step in 1..=2 {
        rig.pass(seconds(8));
        assert!(rig.take().is_empty());
        rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": id, "progress": step, "total": 3, "message": "é", "_meta": {}}}));
        let outputs = rig.take();
        let [Output::Progress { op: 1, payload }] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(payload.as_str(), format!(r#"{{"progress":{step},"total":3,"message":"é"}}"#));
    }
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": id + 1, "progress": 1}}));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": id, "progress": "x"}}));
    assert!(rig.take().is_empty());
    while rig.conn.next_deadline().is_some_and(|deadline| deadline < seconds(25)) {
        let until = rig.conn.next_deadline().expect("a deadline") - rig.now;
        rig.pass(until);
        assert!(rig.take().is_empty());
    }
    assert_eq!(rig.conn.next_deadline(), Some(seconds(25)));
    rig.pass(seconds(9));
    let outputs = rig.take();
    assert!(
        matches!(&outputs[..], [Output::Send { .. }, Output::Error { op: 1, error }] if error.kind == "timeout"),
        "{outputs:?}"
    );
    assert_eq!(rig.conn.next_deadline(), None);
}

#[test]
fn zero_is_no_time_limit() {
    let config =
        ClientConfig { transport: STREAM, connect_timeout: Duration::ZERO, ..ClientConfig::default() };
    let mut conn = ClientConn::new(config);
    conn.connect(Duration::ZERO);
    assert_eq!(conn.next_deadline(), Some(Duration::from_secs(3)), "of the probe");
    let mut rig = modern(STREAM);
    let (zero, most) = (Some(Duration::ZERO), Some(Duration::MAX));
    let options = CallOptions { timeout: most, total: most, ..CallOptions::default() };
    rig.pass(Duration::from_secs(1));
    rig.start_with(1, "list_tools", json!({}), options);
    rig.take();
    assert!(rig.conn.cancel(1, ""));
    rig.take();
    let options = CallOptions { timeout: zero, total: zero, ..CallOptions::default() };
    rig.start_with(1, "list_tools", json!({}), options);
    let (id, _) = rig.sent("tools/list");
    assert_eq!(rig.conn.next_deadline(), None);
    assert!(rig.conn.expects(id) && !rig.conn.expects(id + 1));
    rig.answer(id, json!({"tools": []}));
    assert!(rig.ended(1).is_ok() && !rig.conn.expects(id));
}

#[test]
fn the_end_of_the_peer_fails_every_call() {
    let mut rig = modern(CHILD);
    for op in 1..=3 {
        rig.start(op, "list_tools", json!({}));
    }
    rig.take();
    rig.conn.peer_closed("the server's process ended (exit status: 3)");
    let outputs = rig.take();
    assert_eq!(outputs.len(), 4);
    for output in &outputs[..3] {
        let Output::Error { error, .. } = output else { panic!("{output:?}") };
        assert_eq!(error.kind, "transport");
        assert!(error.message.contains("exit status: 3"));
    }
    assert!(matches!(&outputs[3], Output::Closed { .. }));
    rig.conn.close();
    assert!(rig.take().is_empty());
}

// ------------------------------------------------------------------------------- what the server asks, tells

#[test]
fn legacy_servers_get_answers() {
    let mut rig = legacy(Transport::Http);
    rig.recv(json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}));
    let (message, post) = rig.sent_message();
    assert_eq!(message, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    assert_eq!(header_of(&post.expect("a POST"), header::SESSION_ID), Some("s-1"));
    rig.recv(json!({"jsonrpc": "2.0", "id": 7, "method": "roots/list"}));
    assert_eq!(rig.sent_message().0["error"]["code"], -32601);
}

#[test]
fn notifications_go_by_their_neutral_names() {
    let mut rig = modern(STREAM);
    rig.recv(
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}),
    );
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/novel"}));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
    let told: Vec<String> = rig
        .take()
        .iter()
        .map(|output| match output {
            Output::Notification { event, params } => format!("{event} {}", params.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [r#"log {"data":1,"level":"info"}"#, "tools_changed {}"]);
}

fn annotated(name: &str, kind: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object",
        "properties": {"region": {"type": kind, "x-mcp-header": "Region"}}}})
}

#[test]
fn annotated_parameters_are_mirrored() {
    let mut rig = modern(Transport::Http);
    rig.start(1, "list_tools", json!({}));
    let (id, _) = rig.sent("tools/list");
    rig.answer(
        id,
        json!({"resultType": "complete", "tools": [annotated("good", "string"), annotated("bad", "number")]}),
    );
    let outputs = rig.take();
    let [Output::ToolDropped { tool, .. }, Output::Result { result, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(tool, "bad");
    assert!(!result.as_str().contains("\"bad\""));
    for (arguments, expected) in [
        (json!({"region": "us"}), Some("us")),
        (json!({"region": ""}), Some("")),
        (json!({"region": null}), None),
        (json!({}), None),
        (json!({"region": " é"}), Some("=?base64?IMOp?=")),
    ] {
        rig.start(2, "call_tool", json!({"name": "good", "arguments": arguments}));
        let (message, post) = rig.sent_message();
        assert_eq!(header_of(&post.expect("a POST"), "mcp-param-region"), expected);
        rig.answer(message["id"].as_u64().expect("id"), json!({"content": []}));
        assert!(rig.ended(2).is_ok());
    }
}

#[test]
fn refused_headers_refresh_the_list_once() {
    let mut rig = modern(Transport::Http);
    let call = json!({"name": "good", "arguments": {"region": "us"}});
    rig.start(1, "call_tool", call.clone());
    let (id, _) = rig.sent("tools/call");
    rig.refuse(id, -32020, Value::Null);
    let (id, _) = rig.sent("tools/list");
    rig.answer(id, json!({"tools": [], "nextCursor": "2"}));
    let (id, params) = rig.sent("tools/list");
    assert_eq!(params["cursor"], "2");
    rig.answer(id, json!({"tools": [annotated("good", "string")]}));
    let (message, post) = rig.sent_message();
    let post = post.expect("a POST");
    assert_eq!(header_of(&post, "mcp-param-region"), Some("us"));
    assert_eq!(message["method"], "tools/call");
    rig.refuse(post.post, -32020, Value::Null);
    assert_eq!(rig.failed_as(1), "header_mismatch");

    rig.start(2, "call_tool", call);
    let (id, _) = rig.sent("tools/call");
    rig.refuse(id, -32020, Value::Null);
    let (id, _) = rig.sent("tools/list");
    assert!(rig.conn.cancel(2, ""));
    let outputs = rig.take();
    assert!(matches!(&outputs[..], [Output::Abort { post }, Output::Error { op: 2, .. }] if *post == id));
}

// ------------------------------------------------------------------------------------------ random orders

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

#[test]
fn in_any_order_every_operation_ends_once() {
    for seed in 1..=600u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let transport = [STREAM, CHILD, Transport::Http][random.below(3)];
        let era =
            [EraPolicy::Auto, EraPolicy::Only(Era::Legacy), EraPolicy::Only(Era::Modern)][random.below(3)];
        let mut rig = rig(transport, era);
        let mut started = 0u64;
        let mut ended = std::collections::BTreeMap::<u64, u32>::new();
        let (mut ready, mut refused, mut closed) = (0, 0, 0);
        let mut ids: Vec<u64> = vec![1];
        for step in 0..120 {
            let id = ids[random.below(ids.len())] + u64::from(random.below(12) == 0);
            match random.below(16) {
                0..=2 => {
                    started += 1;
                    let name = ["list_tools", "call_tool", "ping", "get_prompt", "discover"][random.below(5)];
                    let options = CallOptions {
                        timeout: (random.below(2) == 0)
                            .then(|| Duration::from_millis(random.below(5000) as u64)),
                        total: (random.below(3) == 0)
                            .then(|| Duration::from_millis(random.below(9000) as u64)),
                        progress: random.below(2) == 0,
                        meta: Json::default(),
                    };
                    rig.start_with(started, name, json!({"name": "t"}), options);
                }
                3 => drop(rig.conn.cancel(random.below(started as usize + 2) as u64, "x")),
                4 => rig.pass(Duration::from_millis(random.below(800) as u64)),
                5 => rig.answer(id, discovered()),
                6 => rig.answer(id, initialized("2025-06-18")),
                7 => rig.answer(id, json!({"tools": [annotated("t", "string")], "nextCursor": "c"})),
                8 => {
                    let code = [-32020, -32021, -32022, -32601, 5][random.below(5)];
                    rig.refuse(id, code, json!({"supported": ["2026-07-28", "2025-11-25"]}));
                }
                9 => rig.status(id, [400, 401, 404, 500][random.below(4)], ""),
                10 => rig.conn.stream_ended(rig.now, id),
                11 => rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": id, "progress": step}})),
                12 => rig.recv(json!({"jsonrpc": "2.0", "id": id, "method": "ping"})),
                13 => rig.conn.recv(rig.now, Some(id), Bytes::from_static(b"{\"jsonrpc\"")),
                14 if random.below(8) == 0 => rig.conn.peer_closed("gone"),
                14 => rig.conn.restarted(),
                _ if random.below(20) == 0 => rig.conn.close(),
                _ => rig.conn.session_assigned(id, "s"),
            }
            for output in rig.take() {
                match output {
                    Output::Send { bytes, post } => {
                        let message: Value = serde_json::from_slice(&bytes).expect("JSON");
                        ids.extend(message["id"].as_u64());
                        ids.extend(post.map(|post| post.post));
                        ids.drain(..ids.len().saturating_sub(8));
                    }
                    Output::Result { op, .. } | Output::Error { op, .. } => {
                        *ended.entry(op).or_default() += 1
                    }
                    Output::Ready(_) => ready += 1,
                    Output::ConnectFailed(_) => refused += 1,
                    Output::Closed { .. } => closed += 1,
                    _ => {}
                }
            }
        }
        rig.conn.close();
        for output in rig.take() {
            match output {
                Output::Error { op, .. } => *ended.entry(op).or_default() += 1,
                Output::ConnectFailed(_) => refused += 1,
                Output::Closed { .. } => closed += 1,
                _ => {}
            }
        }
        assert_eq!((ready + refused, closed), (1, 1), "seed {seed}");
        assert_eq!(ended.len() as u64, started, "seed {seed}: every operation ends");
        assert!(ended.values().all(|&count| count == 1), "seed {seed}: once");
        assert_eq!(rig.conn.next_deadline(), None);
    }
}
