//! Properties of [`ServerConn`]: a request is answered once or cancelled, never both, and its state is then
//! removed.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use trunnion_proto::jsonrpc::{self, Message};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::{LogEntry, LogLevel, Output, Progress, ServerConn, Settings, Stamp};
use trunnion_proto::{ErrorKind, Limits, RpcError};

use super::frames::{self, Frame};

const IN_FLIGHT: usize = 4;
const MESSAGE_BYTES: usize = 600;

#[derive(Debug, Clone)]
enum Step {
    Recv(Frame),
    Oversized(Frame),
    Complete(Index, Answer),
    Progress(Index, f64),
    Log(Index, LogLevel),
    Deadline(Index, u64),
    Pass(u64),
    Close,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Whole,
    NoObject,
    Text,
    Value,
    NoJson,
    Base64,
    ToolError,
    Error,
}

impl Answer {
    fn outcome(self) -> Outcome {
        match self {
            Answer::Whole => Outcome::Result("{\n\"content\": []}".into()),
            Answer::NoObject => Outcome::Result("[".into()),
            Answer::Text => Outcome::Text("one\ntwo".into()),
            Answer::Value => Outcome::Value("[\"a\"]".into()),
            Answer::NoJson => Outcome::Value("{\"a\":".into()),
            Answer::Base64 => Outcome::Base64("AA==".into()),
            Answer::ToolError => Outcome::ToolError("no\n".into()),
            Answer::Error => Outcome::Error(RpcError::new(ErrorKind::ResourceNotFound, "no\nsuch")),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let answers = vec![
        Answer::Whole,
        Answer::NoObject,
        Answer::Text,
        Answer::Value,
        Answer::NoJson,
        Answer::Base64,
        Answer::ToolError,
        Answer::Error,
    ];
    let levels = vec![LogLevel::Debug, LogLevel::Info, LogLevel::Warning, LogLevel::Emergency];
    let steps = prop_oneof![Just(f64::NAN), Just(f64::NEG_INFINITY), (0..9_u8).prop_map(f64::from)];
    prop_oneof![
        12 => frames::frame(frames::request()).prop_map(Step::Recv),
        1 => frames::frame(frames::request()).prop_map(Step::Oversized),
        6 => (any::<Index>(), select(answers)).prop_map(|(key, answer)| Step::Complete(key, answer)),
        3 => (any::<Index>(), steps).prop_map(|(key, step)| Step::Progress(key, step)),
        3 => (any::<Index>(), select(levels)).prop_map(|(key, level)| Step::Log(key, level)),
        3 => (any::<Index>(), 0..50_u64).prop_map(|(key, within)| Step::Deadline(key, within)),
        3 => (0..40_u64).prop_map(Step::Pass),
        1 => Just(Step::Close),
    ]
}

/// A model of the required behavior, as simple as possible.
struct Model {
    conn: ServerConn,
    stamp: Stamp,
    now: Duration,
    /// Every key that was ever given out.
    keys: Vec<u64>,
    live: BTreeMap<u64, Live>,
}

struct Live {
    id: String,
    deadline: Option<Duration>,
    progress: f64,
}

/// Outputs of one step.
#[derive(Default)]
struct Seen {
    sent: Vec<Value>,
    requests: usize,
    cancelled: Vec<u64>,
}

impl Model {
    fn new(modern: bool, legacy: bool) -> Model {
        let limits = Limits { in_flight: IN_FLIGHT, message_bytes: MESSAGE_BYTES, ..Limits::default() };
        Model {
            conn: ServerConn::new(Settings { limits, modern, legacy }),
            stamp: Stamp::new(r#"{"name":"s","version":"1"}"#, 0, "private"),
            now: Duration::ZERO,
            keys: Vec::new(),
            live: BTreeMap::new(),
        }
    }

    /// A key that was given out, or one that never was.
    fn pick(&self, index: Index) -> u64 {
        let at = index.index(self.keys.len() + 1);
        self.keys.get(at).copied().unwrap_or(u64::MAX)
    }

    fn drain(&mut self) -> Seen {
        let mut seen = Seen::default();
        while let Some(output) = self.conn.poll() {
            match output {
                Output::Send(bytes) => {
                    assert!(!bytes.contains(&b'\n'), "a message is one line");
                    let message: Value = serde_json::from_slice(&bytes).expect("a message is JSON");
                    assert_eq!(message["jsonrpc"], "2.0");
                    seen.sent.push(message);
                }
                Output::Request(key, request) => {
                    assert!(!self.keys.contains(&key), "keys are used once");
                    let id = request.id.as_json().to_owned();
                    assert!(self.live.values().all(|live| live.id != id), "an id is live once");
                    self.keys.push(key);
                    self.live.insert(key, Live { id, deadline: None, progress: f64::NEG_INFINITY });
                    seen.requests += 1;
                }
                Output::Cancelled(key, _) => seen.cancelled.push(key),
                Output::RootsChanged => {}
                Output::Answered(..) | Output::Withdrawn(_) => panic!("nothing was asked"),
            }
        }
        seen
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Recv(frame) => self.recv(frame),
            Step::Oversized(Frame(bytes)) => {
                self.conn.oversized(bytes);
                let seen = self.drain();
                assert_eq!((seen.sent.len(), seen.requests, seen.cancelled.len()), (1, 0, 0));
                assert!(seen.sent[0]["error"].is_object());
            }
            Step::Complete(index, answer) => {
                let key = self.pick(*index);
                let accepted = self.conn.complete(key, answer.outcome(), &self.stamp);
                self.answered(key, accepted);
            }
            Step::Progress(index, value) => self.progress(self.pick(*index), *value),
            Step::Log(index, level) => {
                let key = self.pick(*index);
                let data = serde_json::value::to_raw_value("x").expect("JSON");
                let sent = self.conn.log(key, &LogEntry { level: *level, data, logger: None });
                let seen = self.drain();
                assert_eq!(seen.sent.len(), usize::from(sent));
                assert!(!sent || self.live.contains_key(&key), "nothing is logged for what is over");
            }
            Step::Deadline(index, within) => {
                let (key, at) = (self.pick(*index), self.now + Duration::from_secs(*within));
                self.conn.set_deadline(key, at);
                if let Some(live) = self.live.get_mut(&key) {
                    live.deadline = Some(at);
                }
            }
            Step::Pass(seconds) => self.pass(Duration::from_secs(*seconds)),
            Step::Close => self.close(),
        }
        let deadline = self.live.values().filter_map(|live| live.deadline).min();
        let next = self.conn.next_deadline();
        assert!(
            deadline.is_none_or(|deadline| next.is_some_and(|next| next <= deadline)),
            "no time limit is missed"
        );
        assert!(next.is_none() || !self.live.is_empty(), "no time limit outlives the last request");
        assert_eq!(self.conn.in_flight(), self.live.len());
        assert!(self.live.len() <= IN_FLIGHT);
    }

    fn recv(&mut self, frame: &Frame) {
        let limits = Limits { message_bytes: MESSAGE_BYTES, ..Limits::default() };
        let (mut silent, mut id) = (false, None);
        match jsonrpc::parse(&frame.0, &limits) {
            Ok(Message::Request { id: asked, .. }) => id = Some(asked),
            Ok(Message::Notification { .. } | Message::Response { .. }) => silent = true,
            Err(malformed) => id = malformed.id,
        }
        self.conn.recv(Bytes::from(frame.0.clone()));
        let seen = self.drain();
        for key in &seen.cancelled {
            assert!(self.live.remove(key).is_some(), "what is cancelled was live");
        }
        if silent {
            assert_eq!((seen.sent.len(), seen.requests), (0, 0));
            assert!(seen.cancelled.len() <= 1);
            return;
        }
        // A request that needs an answer is never lost: it is refused at once, or passed on as an event.
        assert_eq!((seen.sent.len() + seen.requests, seen.cancelled.len()), (1, 0));
        if let [refusal] = &seen.sent[..] {
            assert!(refusal["error"]["code"].is_i64() && refusal["error"]["message"].is_string());
            let echoed = id.map(|id| serde_json::from_str::<Value>(id.as_json()).expect("JSON"));
            assert_eq!(refusal.get("id"), echoed.as_ref());
        }
    }

    /// The machine took, or refused, an answer.
    fn answered(&mut self, key: u64, accepted: bool) {
        let seen = self.drain();
        let live = self.live.remove(&key);
        assert_eq!(accepted, live.is_some(), "answered once, and never when cancelled");
        assert_eq!((seen.sent.len(), seen.requests, seen.cancelled.len()), (usize::from(accepted), 0, 0));
        if let (Some(live), [answer]) = (live, &seen.sent[..]) {
            assert_eq!(answer["id"].to_string(), live.id);
            assert!(answer["result"].is_object() != answer["error"].is_object());
        }
    }

    fn progress(&mut self, key: u64, value: f64) {
        let step = Progress { progress: value, total: Some(value), message: None };
        let sent = self.conn.progress(key, &step);
        let seen = self.drain();
        assert_eq!(seen.sent.len(), usize::from(sent));
        if sent {
            let live = self.live.get_mut(&key).expect("no progress for what is over");
            assert!(value.is_finite() && value > live.progress, "progress grows");
            live.progress = value;
            assert_eq!(seen.sent[0]["params"]["progress"].as_f64(), Some(value));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.conn.on_deadline(self.now, &self.stamp);
        let mut seen = self.drain();
        let due = |live: &Live| live.deadline.is_some_and(|at| at <= self.now);
        let due: Vec<u64> = self.live.iter().filter(|(_, live)| due(live)).map(|(key, _)| *key).collect();
        seen.cancelled.sort_unstable();
        assert_eq!(seen.cancelled, due, "a handler is told that its time is over");
        let ids: Vec<String> =
            due.iter().filter_map(|key| self.live.remove(key)).map(|live| live.id).collect();
        let answered: Vec<String> = seen.sent.iter().map(|answer| answer["id"].to_string()).collect();
        assert_eq!(answered, ids, "and so is the caller, once");
    }

    fn close(&mut self) {
        self.conn.peer_closed();
        let seen = self.drain();
        let live: Vec<u64> = std::mem::take(&mut self.live).into_keys().collect();
        assert_eq!(seen.cancelled, live, "every handler is told");
        assert_eq!((seen.sent.len(), seen.requests), (0, 0), "nothing is sent to a peer that is gone");
    }
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_request_is_answered_once_or_cancelled(
        (modern, legacy) in select(vec![(true, true), (true, false), (false, true)]),
        steps in prop::collection::vec(step(), 1..super::STEPS),
    ) {
        let mut model = Model::new(modern, legacy);
        for step in &steps {
            model.run(step);
        }
        model.run(&Step::Close);
        assert_eq!((model.conn.in_flight(), model.conn.next_deadline()), (0, None));
        for key in model.keys.clone() {
            let accepted = model.conn.complete(key, Outcome::Text("late".into()), &model.stamp);
            model.answered(key, accepted);
        }
    }

    /// The numbers are low on purpose: the limit is reached, and given back.
    #[test]
    fn the_limit_of_requests_in_flight_is_given_back(
        count in 1..3 * IN_FLIGHT,
        finish in prop::collection::vec(any::<Index>(), 0..3 * IN_FLIGHT),
    ) {
        let mut model = Model::new(true, true);
        let ask = |model: &mut Model, id: usize| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{"_meta":{{
                "io.modelcontextprotocol/protocolVersion":"2026-07-28",
                "io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#);
            model.run(&Step::Recv(Frame(text.into_bytes())));
        };
        (0..count).for_each(|id| ask(&mut model, id));
        prop_assert_eq!(model.live.len(), count.min(IN_FLIGHT));
        for index in finish {
            model.run(&Step::Complete(index, Answer::Error));
        }
        let free = IN_FLIGHT - model.live.len();
        (100..100 + free).for_each(|id| ask(&mut model, id));
        prop_assert_eq!(model.live.len(), IN_FLIGHT);
    }
}
