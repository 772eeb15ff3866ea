//! Properties of [`ClientConn`]: it connects or fails to, once, and every operation ends once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use trunnion_proto::client::{
    CallOptions, ClientConfig, ClientConn, ClientError, EraPolicy, Output, Transport, TransportFailure, kind,
};
use trunnion_proto::json::Json;
use trunnion_proto::{Era, Limits, methods};

use super::frames::{self, Frame};

const IN_FLIGHT: usize = 5;
const OPS: [&str; 7] =
    ["list_tools", "call_tool", "ping", "get_prompt", "read_resource", "complete", "discover"];

#[derive(Debug, Clone)]
enum Step {
    Start { op: u64, name: &'static str, params: &'static str, timeout: u64, total: u64, progress: bool },
    Cancel(u64),
    Pass(u64),
    Answer(Index, Value),
    Refuse(Index, i64),
    Progress(Index, u8),
    Recv(Option<Index>, Frame),
    Failed(Index, Failure),
    StreamEnded(Index),
    Restarted,
    PeerClosed,
    Session(Index),
    CancelConnect,
    Broken,
    Close,
}

#[derive(Debug, Clone)]
enum Failure {
    Status(u16, &'static str),
    Connection,
    Limit,
}

fn step() -> impl Strategy<Value = Step> {
    let params =
        vec!["", "{}", "{\"name\":\"t\"}", " {\n\"uri\":\"test://x\" } ", "[]", "{", "{\"_meta\":1}"];
    let start = (0..24_u64, select(OPS.to_vec()), select(params), 0..6_u64, 0..9_u64, any::<bool>());
    let results = vec![
        json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
        json!({"supportedVersions": ["2025-06-18", "1900-01-01"]}),
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s"}}),
        json!({"protocolVersion": "1900-01-01"}),
        json!({"tools": [{"name": "t", "inputSchema": {"properties": {"r": {
            "type": "string", "x-mcp-header": "R"}}}}], "nextCursor": "c"}),
        json!({"tools": []}),
        json!({"resultType": "input_required"}),
        json!([]),
        json!(null),
    ];
    let codes = vec![-32020, -32021, -32022, -32601, -32602, -32002, 5];
    let failure = prop_oneof![
        (select(vec![400, 401, 404, 500, 503]), select(vec!["", "{}", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32022,\"message\":\"m\",\"data\":{\"supported\":[\"2025-11-25\"]}}}"]))
            .prop_map(|(status, body)| Failure::Status(status, body)),
        Just(Failure::Connection),
        Just(Failure::Limit),
    ];
    let asks = select(vec!["ping", "roots/list", "no/such"]);
    let request =
        (frames::id(), asks).prop_map(|(id, method)| json!({"jsonrpc": "2.0", "id": id, "method": method}));
    let told = select(vec!["notifications/message", "notifications/tools/list_changed", "no/such"]).prop_map(
        |method| json!({"jsonrpc": "2.0", "method": method, "params": {"level": "info", "data": 1}}),
    );
    let message = prop_oneof![request, told, frames::request()];
    let post = prop::option::of(any::<Index>());
    prop_oneof![
        12 => start.prop_map(|(op, name, params, timeout, total, progress)| {
            Step::Start { op, name, params, timeout, total, progress }
        }),
        3 => (0..24_u64).prop_map(Step::Cancel),
        3 => (0..3000_u64).prop_map(Step::Pass),
        12 => (any::<Index>(), select(results)).prop_map(|(id, result)| Step::Answer(id, result)),
        4 => (any::<Index>(), select(codes)).prop_map(|(id, code)| Step::Refuse(id, code)),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(id, progress)| Step::Progress(id, progress)),
        4 => (post, frames::frame(message)).prop_map(|(post, frame)| Step::Recv(post, frame)),
        2 => (any::<Index>(), failure).prop_map(|(post, failure)| Step::Failed(post, failure)),
        3 => any::<Index>().prop_map(Step::StreamEnded),
        1 => Just(Step::Restarted),
        1 => any::<Index>().prop_map(Step::Session),
        1 => prop_oneof![6 => Just(Step::PeerClosed), 1 => Just(Step::CancelConnect), 1 => Just(Step::Broken),
            1 => Just(Step::Close)],
    ]
}

struct Model {
    conn: ClientConn,
    http: bool,
    now: Duration,
    /// Ids of requests and keys of POSTs, in the order they were sent.
    ids: Vec<u64>,
    aborted: BTreeSet<u64>,
    /// Operations that have begun and not ended, and whether they asked for progress.
    live: BTreeMap<u64, bool>,
    restarting: bool,
    ready: bool,
    connect_failed: bool,
    closed: bool,
}

/// The operations that one step ended.
#[derive(Default)]
struct Seen {
    results: BTreeSet<u64>,
    errors: BTreeMap<u64, String>,
}

impl Model {
    fn new(transport: Transport, era: EraPolicy) -> Model {
        let limits = Limits { in_flight: IN_FLIGHT, message_bytes: 2000, ..Limits::default() };
        let conn = ClientConn::new(ClientConfig { transport, era, limits, ..ClientConfig::default() });
        let mut model = Model {
            conn,
            http: transport == Transport::Http,
            now: Duration::ZERO,
            ids: Vec::new(),
            aborted: BTreeSet::new(),
            live: BTreeMap::new(),
            restarting: false,
            ready: false,
            connect_failed: false,
            closed: false,
        };
        model.conn.connect(model.now);
        model.drain();
        model
    }

    /// One of the last ids that were sent, or one that never was.
    fn pick(&self, index: Index) -> u64 {
        let recent = &self.ids[self.ids.len().saturating_sub(6)..];
        recent.get(index.index(recent.len() + 1)).copied().unwrap_or(u64::MAX)
    }

    fn drain(&mut self) -> Seen {
        let mut seen = Seen::default();
        while let Some(output) = self.conn.poll() {
            let refusal = matches!(&output, Output::Error { error, .. } if error.kind == "closed");
            assert!(!self.closed || refusal, "closing is the last output: {output:?}");
            match output {
                Output::Send { bytes, post } => {
                    let message: Value = serde_json::from_slice(&bytes).expect("a message is JSON");
                    assert_eq!(message["jsonrpc"], "2.0");
                    assert!(self.http || !bytes.contains(&b'\n'), "a message is one line");
                    assert_eq!(post.is_some(), self.http);
                    let request = message.get("method").and(message.get("id")).and_then(Value::as_u64);
                    let key = post.as_ref().map(|post| post.post).or(request);
                    if let Some(key) = key {
                        assert!(!self.ids.contains(&key), "an id is used once");
                        self.ids.push(key);
                    }
                    if let Some(post) = post {
                        assert_eq!(post.request, request.is_some());
                        assert!(request.is_none_or(|id| id == post.post));
                    }
                }
                Output::Open { head, .. } => {
                    assert!(self.http);
                    // The rest of a POST's stream comes under the POST's own key.
                    if !self.ids.contains(&head.post) {
                        self.ids.push(head.post);
                    }
                }
                Output::Told { op, .. } => assert!(self.live.contains_key(&op), "told to who listens"),
                Output::Ask { .. } | Output::Withdrawn { .. } | Output::AnswerRefused { .. } => {
                    panic!("nothing was declared that could be asked");
                }
                Output::StreamLost { .. } => {}
                Output::Abort { post } => {
                    assert!(self.http && self.ids.contains(&post), "what is aborted was sent");
                    assert!(self.aborted.insert(post), "a POST is aborted once");
                }
                Output::Restart => {
                    assert!(!std::mem::replace(&mut self.restarting, true), "a peer is started anew once");
                }
                Output::Ready(_) => {
                    assert!(!self.connect_failed && !std::mem::replace(&mut self.ready, true));
                }
                Output::ConnectFailed(_) => {
                    assert!(!self.ready && !std::mem::replace(&mut self.connect_failed, true));
                }
                Output::Result { op, .. } => {
                    assert!(self.ready, "no result before the connection is ready");
                    assert!(self.live.remove(&op).is_some() && seen.results.insert(op), "{op} ends once");
                }
                Output::Error { op, error } => {
                    assert!(self.live.remove(&op).is_some(), "{op} ends once");
                    seen.errors.insert(op, error.kind.to_owned());
                }
                Output::Progress { op, payload } => {
                    assert_eq!(self.live.get(&op), Some(&true), "progress for who asked and waits");
                    let payload: Value = serde_json::from_str(payload.as_str()).expect("JSON");
                    assert!(payload["progress"].is_number());
                }
                Output::Notification { event, params } => {
                    assert!(!event.is_empty());
                    assert!(serde_json::from_str::<Value>(params.as_str()).expect("JSON").is_object());
                }
                Output::ToolDropped { .. } | Output::EntryDropped { .. } => {}
                Output::Closed { .. } => {
                    assert!(self.live.is_empty(), "every operation ends before the connection does");
                    assert!(self.ready || self.connect_failed);
                    self.closed = true;
                }
            }
        }
        assert_eq!(self.conn.is_closed(), self.closed);
        assert!(!self.ready || self.conn.facts().is_some());
        let expected = self.ids.iter().filter(|id| self.conn.expects(**id)).count();
        assert!(expected <= self.live.len() + usize::from(!self.ready), "nobody waits for what is over");
        assert!(!self.closed || self.conn.next_deadline().is_none(), "no time limit outlives the connection");
        seen
    }

    fn recv(&mut self, post: Option<u64>, message: &Value) {
        self.conn.recv(self.now, post, Bytes::from(message.to_string()));
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Start { op, name, params, timeout, total, progress } => {
                let options = CallOptions {
                    timeout: Some(Duration::from_secs(*timeout)),
                    total: Some(Duration::from_secs(*total)),
                    progress: *progress,
                    meta: Json::default(),
                    ..CallOptions::default()
                };
                let row = methods::by_op(name).expect("an operation");
                self.live.entry(*op).or_insert(*progress);
                self.conn.start(self.now, *op, row, (*params).to_owned(), options);
            }
            Step::Cancel(op) => {
                let was_live = self.live.contains_key(op);
                assert_eq!(self.conn.cancel(*op, "x"), was_live);
                let seen = self.drain();
                assert_eq!(seen.errors.get(op).map(String::as_str), was_live.then_some("cancelled"));
            }
            Step::Pass(milliseconds) => self.pass(Duration::from_millis(*milliseconds)),
            Step::Answer(id, result) => {
                let message = json!({"jsonrpc": "2.0", "id": self.pick(*id), "result": result});
                self.recv(None, &message);
            }
            Step::Refuse(id, code) => {
                let data = json!({"supported": ["2026-07-28", "2025-11-25"], "uri": "test://x"});
                let error = json!({"code": code, "message": "no", "data": data});
                self.recv(None, &json!({"jsonrpc": "2.0", "id": self.pick(*id), "error": error}));
            }
            Step::Progress(id, progress) => {
                let params = json!({"progressToken": self.pick(*id), "progress": progress});
                let method = "notifications/progress";
                self.recv(None, &json!({"jsonrpc": "2.0", "method": method, "params": params}));
            }
            Step::Recv(post, frame) => {
                let post = post.map(|post| self.pick(post));
                self.conn.recv(self.now, post, Bytes::from(frame.0.clone()));
            }
            Step::Failed(post, failure) => {
                let failure = match failure {
                    Failure::Status(status, body) => TransportFailure::Status {
                        status: *status,
                        body: Bytes::from_static(body.as_bytes()),
                        asked: Vec::new(),
                    },
                    Failure::Connection => TransportFailure::Connection("reset".into()),
                    Failure::Limit => TransportFailure::Limit("too large".into()),
                };
                self.conn.failed(self.now, self.pick(*post), failure);
            }
            Step::StreamEnded(post) => self.conn.stream_ended(self.now, self.pick(*post)),
            Step::Restarted => self.conn.restarted(),
            Step::PeerClosed => self.conn.peer_closed("gone"),
            Step::Session(post) => self.conn.session_assigned(self.pick(*post), "s"),
            Step::CancelConnect => {
                let connecting = !self.ready && !self.closed;
                assert_eq!(self.conn.cancel_connect("x"), connecting);
            }
            Step::Broken => self.conn.broken(ClientError::local(kind::LIMIT, "a line is too long")),
            Step::Close => self.conn.close(),
        }
        let seen = self.drain();
        // An operation that cannot begin fails at once, so that never more than the limit are live.
        assert!(self.live.len() <= IN_FLIGHT, "after {step:?}: {:?}", seen.errors);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.conn.on_deadline(self.now);
        let seen = self.drain();
        assert!(seen.results.is_empty(), "time alone gives no result");
        let next = self.conn.next_deadline();
        assert!(next.is_none_or(|next| next > self.now), "what was due has been done");
    }

    /// The end of every conversation.
    fn close(&mut self) {
        self.conn.close();
        self.drain();
        assert!(self.closed && self.live.is_empty());
        assert!(self.ready != self.connect_failed, "it connected or failed to");
        assert!(self.ids.iter().all(|id| !self.conn.expects(*id)), "nothing more is wanted");
        let id = 1000;
        self.live.insert(id, false);
        let ping = methods::by_op("ping").expect("an operation");
        self.conn.start(self.now, id, ping, String::new(), CallOptions::default());
        let Some(Output::Error { op, error }) = self.conn.poll() else { panic!("it must fail at once") };
        assert_eq!((op, error.kind), (id, "closed"));
        assert!(self.conn.poll().is_none());
    }
}

fn transports() -> impl Strategy<Value = (Transport, EraPolicy)> {
    let stream = |restartable| Transport::Stream { restartable };
    let transports = vec![stream(false), stream(true), Transport::Http];
    let eras = vec![EraPolicy::Auto, EraPolicy::Only(Era::Legacy), EraPolicy::Only(Era::Modern)];
    (select(transports), select(eras))
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn in_any_order_every_operation_ends_once(
        (transport, era) in transports(),
        steps in prop::collection::vec(step(), 1..super::STEPS),
    ) {
        let mut model = Model::new(transport, era);
        for step in &steps {
            model.run(step);
        }
        model.close();
    }

    /// The same, from a connection that is ready: few random orders get that far by themselves.
    #[test]
    fn once_connected_every_operation_ends_once(
        transport in transports().prop_map(|(transport, _)| transport),
        legacy in any::<bool>(),
        steps in prop::collection::vec(step(), 1..super::STEPS),
    ) {
        let era = if legacy { Era::Legacy } else { Era::Modern };
        let mut model = Model::new(transport, EraPolicy::Only(era));
        let result = if legacy {
            json!({"protocolVersion": "2025-11-25", "capabilities": {}})
        } else {
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}})
        };
        model.recv(None, &json!({"jsonrpc": "2.0", "id": model.ids[0], "result": result}));
        model.drain();
        if legacy && model.http {
            model.conn.stream_ended(model.now, model.ids[1]);
            model.drain();
        }
        prop_assert!(model.ready);
        for step in &steps {
            model.run(step);
        }
        model.close();
    }
}
