//! Properties of tasks that a client follows, whatever the server does: every operation ends once, no
//! question is open twice, and no state is left when the client follows no task any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use trunnion_proto::client::{
    CallOptions, ClientConfig, ClientConn, EraPolicy, Output, Transport, TransportFailure,
};
use trunnion_proto::json::Json;
use trunnion_proto::{Era, methods};

#[derive(Debug, Clone)]
enum Step {
    Call {
        op: u64,
        task: bool,
    },
    Follow {
        op: u64,
        task: &'static str,
        asks: bool,
    },
    Other {
        op: u64,
        name: &'static str,
        task: &'static str,
    },
    Cancel(u64),
    Pass(u64),
    /// The next deadline comes.
    Wait,
    Answer(Index, Value),
    Refuse(Index, i64),
    Tell(&'static str, Value),
    Acknowledge(Index, bool),
    Fail(Index, u16),
    Reply(Index, bool),
}

const TASKS: [&str; 2] = ["t-1", "t-2"];

fn state() -> impl Strategy<Value = Value> {
    let status = select(vec!["working", "input_required", "completed", "failed", "cancelled", "novel"]);
    let keys = prop::collection::btree_set(select(vec!["a", "b", "c"]), 0..3);
    let interval = select(vec![json!(null), json!(0), json!(-1), json!(500), json!(1e300), json!("x")]);
    let ttl = select(vec![json!(null), json!(0), json!(2000), json!(-5)]);
    let wrong = prop::bool::weighted(0.1);
    (select(TASKS.to_vec()), status, keys, interval, ttl, 0..3_u8, wrong).prop_map(
        |(task, status, keys, interval, ttl, updated, wrong)| {
            let asked = json!({"method": "elicitation/create", "params": {"message": "m",
                "requestedSchema": {"type": "object", "properties": {}}}});
            let requests: serde_json::Map<String, Value> =
                keys.into_iter().map(|key| (key.to_owned(), asked.clone())).collect();
            let mut state = json!({"taskId": task, "status": status, "lastUpdatedAt": updated.to_string(),
                "pollIntervalMs": interval, "ttlMs": ttl, "statusMessage": updated.to_string()});
            match status {
                "input_required" if wrong => state["inputRequests"] = json!([3]),
                "input_required" => state["inputRequests"] = Value::Object(requests),
                "completed" if !wrong => state["result"] = json!({"content": []}),
                "failed" if !wrong => state["error"] = json!({"code": -1, "message": "no"}),
                _ => {}
            }
            state
        },
    )
}

fn result() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => state(),
        4 => state().prop_map(|mut state| { state["resultType"] = json!("task"); state }),
        2 => state().prop_map(|state| json!({"task": state})),
        2 => Just(json!({"resultType": "complete"})),
        1 => Just(json!({"content": []})),
        1 => Just(json!([])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (op, task) = (0..6_u64, || select(TASKS.to_vec()));
    prop_oneof![
        5 => (op.clone(), any::<bool>()).prop_map(|(op, task)| Step::Call { op, task }),
        3 => (op.clone(), task(), any::<bool>()).prop_map(|(op, task, asks)| Step::Follow { op, task, asks }),
        1 => (op.clone(), select(vec!["get_task", "cancel_task", "update_task", "list_tasks"]), task())
            .prop_map(|(op, name, task)| Step::Other { op, name, task }),
        2 => op.prop_map(Step::Cancel),
        2 => (0..40_000_u64).prop_map(Step::Pass),
        8 => Just(Step::Wait),
        12 => (any::<Index>(), result()).prop_map(|(id, result)| Step::Answer(id, result)),
        2 => (any::<Index>(), select(vec![-32601, -32602, -32603, -32000])).prop_map(|(id, code)| Step::Refuse(id, code)),
        4 => (select(vec!["notifications/tasks", "notifications/tasks/status"]), state())
            .prop_map(|(method, state)| Step::Tell(method, state)),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(id, granted)| Step::Acknowledge(id, granted)),
        2 => (any::<Index>(), select(vec![0, 404, 503])).prop_map(|(id, status)| Step::Fail(id, status)),
        4 => (any::<Index>(), any::<bool>()).prop_map(|(question, well)| Step::Reply(question, well)),
    ]
}

struct Model {
    conn: ClientConn,
    http: bool,
    now: Duration,
    /// Requests, and the tasks that they are about.
    sent: Vec<(u64, String, Option<String>)>,
    live: BTreeSet<u64>,
    /// Open questions.
    asked: BTreeSet<u64>,
    /// Most that were open at a time.
    most: usize,
}

impl Model {
    fn new(http: bool, era: Era) -> Model {
        let transport = if http { Transport::Http } else { Transport::Stream { restartable: false } };
        let capabilities = Json::from_static(r#"{"elicitation":{}}"#);
        let era_policy = EraPolicy::Only(era);
        let config = ClientConfig { transport, era: era_policy, capabilities, ..ClientConfig::default() };
        let mut model = Model {
            conn: ClientConn::new(config),
            http,
            now: Duration::ZERO,
            sent: Vec::new(),
            live: BTreeSet::new(),
            asked: BTreeSet::new(),
            most: 0,
        };
        model.conn.connect(model.now);
        model.drain();
        let id = model.sent[0].0;
        let capabilities = json!({"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}}});
        model.recv(&json!({"jsonrpc": "2.0", "id": id, "result": match era {
            Era::Modern => json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}),
            Era::Legacy => json!({"protocolVersion": "2025-11-25", "capabilities": capabilities}),
        }}));
        let confirmation = id + 1;
        model.conn.stream_ended(model.now, confirmation);
        model.drain();
        assert!(model.conn.is_ready());
        model
    }

    fn recv(&mut self, message: &Value) {
        self.conn.recv(self.now, None, Bytes::from(message.to_string()));
    }

    fn drain(&mut self) {
        while let Some(output) = self.conn.poll() {
            match output {
                Output::Send { bytes, .. } => {
                    let message: Value = serde_json::from_slice(&bytes).expect("JSON");
                    let (Some(id), Some(method)) = (message["id"].as_u64(), message["method"].as_str())
                    else {
                        continue;
                    };
                    assert!(!self.sent.iter().any(|(sent, _, _)| *sent == id), "an id is used once");
                    let task = message["params"]["taskId"].as_str().map(str::to_owned);
                    self.sent.push((id, method.to_owned(), task));
                }
                Output::Result { op, .. } | Output::Error { op, .. } => {
                    assert!(self.live.remove(&op), "{op} ends once");
                }
                Output::Told { op, .. } | Output::Progress { op, .. } => assert!(self.live.contains(&op)),
                Output::Ask { question, .. } => {
                    assert!(self.asked.insert(question), "a question has a number of its own");
                    self.most = self.most.max(self.asked.len());
                }
                Output::Withdrawn { question, .. } => {
                    assert!(self.asked.remove(&question), "what is withdrawn was open");
                }
                Output::Abort { post } => assert!(self.http && post > 0),
                _ => {}
            }
        }
        // Two tasks, three keys each.
        assert!(self.asked.len() <= 6, "no question is open twice");
    }

    fn pick(&self, index: Index, method: Option<&str>) -> Option<u64> {
        let of = |sent: &&(u64, String, Option<String>)| method.is_none_or(|method| sent.1 == method);
        let recent: Vec<u64> = self.sent.iter().rev().filter(of).take(5).map(|(id, _, _)| *id).collect();
        (!recent.is_empty()).then(|| recent[index.index(recent.len())])
    }

    fn start(&mut self, op: u64, name: &str, params: &Value, options: CallOptions) {
        if self.live.insert(op) {
            let row = methods::by_op(name).expect("an operation");
            self.conn.start(self.now, op, row, params.to_string(), options);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.conn.on_deadline(self.now);
        assert!(self.conn.next_deadline().is_none_or(|next| next > self.now), "no time is due twice");
    }

    fn run(&mut self, step: &Step) {
        let limits =
            CallOptions { timeout: Some(Duration::from_secs(60)), progress: true, ..CallOptions::default() };
        match step {
            Step::Call { op, task } => {
                let options = CallOptions { task: *task, ..limits };
                self.start(*op, "call_tool", &json!({"name": "t"}), options);
            }
            Step::Follow { op, task, asks } => {
                let options = CallOptions { unasked: !asks, ..limits };
                self.start(*op, "task_result", &json!({"taskId": task}), options);
            }
            Step::Other { op, name, task } => {
                let params = json!({"taskId": task, "inputResponses": {"a": {"action": "cancel"}}});
                self.start(*op, name, &params, limits);
            }
            Step::Cancel(op) => {
                let live = self.live.contains(op);
                assert_eq!(self.conn.cancel(*op, "x"), live);
            }
            Step::Pass(ms) => self.pass(Duration::from_millis(*ms)),
            Step::Wait => {
                if let Some(due) = self.conn.next_deadline() {
                    self.pass(due.saturating_sub(self.now));
                }
            }
            Step::Answer(index, result) => {
                if let Some(id) = self.pick(*index, None) {
                    self.recv(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
                }
            }
            Step::Refuse(index, code) => {
                if let Some(id) = self.pick(*index, None) {
                    let error = json!({"code": code, "message": "m"});
                    self.recv(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
                }
            }
            Step::Tell(method, state) => {
                self.recv(&json!({"jsonrpc": "2.0", "method": method, "params": state}));
            }
            Step::Acknowledge(index, granted) => {
                if let Some(id) = self.pick(*index, Some("subscriptions/listen")) {
                    let tasks = if *granted { json!(TASKS) } else { json!([]) };
                    let params = json!({"notifications": {"taskIds": tasks},
                        "_meta": {"io.modelcontextprotocol/subscriptionId": id}});
                    let method = "notifications/subscriptions/acknowledged";
                    self.recv(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
                }
            }
            Step::Fail(index, status) => {
                let Some(id) = self.pick(*index, None).filter(|_| self.http) else { return };
                let failure = match status {
                    0 => TransportFailure::Connection("reset".into()),
                    status => {
                        TransportFailure::Status { status: *status, body: Bytes::new(), asked: Vec::new() }
                    }
                };
                self.conn.failed(self.now, id, failure);
            }
            Step::Reply(index, well) => {
                let open: Vec<u64> = self.asked.iter().copied().collect();
                if open.is_empty() {
                    return;
                }
                let question = open[index.index(open.len())];
                self.asked.remove(&question);
                let answer = if *well { r#"{"action":"accept","content":{}}"# } else { "[]" };
                assert!(self.conn.answer(self.now, question, Ok(answer.into())));
            }
        }
    }
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn whatever_a_server_does_with_tasks_every_operation_ends_once(
        steps in prop::collection::vec(step(), 1..super::STEPS),
        http in any::<bool>(),
        era in select(vec![Era::Modern, Era::Legacy]),
    ) {
        let mut model = Model::new(http, era);
        for step in &steps {
            model.run(step);
            model.drain();
        }
        for op in model.live.clone() {
            assert!(model.conn.cancel(op, "the end"));
            model.drain();
        }
        assert!(model.live.is_empty());
        assert!(model.asked.is_empty(), "nobody waits for the answers");
        // The only remaining messages are cancellations of tasks; nothing waits for their answers.
        let kept: BTreeMap<u64, &str> =
            model.sent.iter().filter(|sent| model.conn.expects(sent.0)).map(|sent| (sent.0, sent.1.as_str())).collect();
        assert!(kept.values().all(|method| *method == "tasks/cancel"), "{kept:?}");
        let due = model.conn.next_deadline();
        assert!(due.is_none() || due <= Some(model.now + Duration::from_secs(60)), "{due:?}");
        // A server that does not answer receives it a limited number of times.
        let before = model.sent.len();
        for _ in 0..1000 {
            let Some(due) = model.conn.next_deadline() else { break };
            model.pass(due.saturating_sub(model.now));
            model.drain();
        }
        assert_eq!(model.conn.next_deadline(), None, "nobody looks any more");
        assert!(model.sent.iter().skip(before).all(|(_, method, _)| method == "tasks/cancel"));
    }
}
