//! Tasks of a modern server that the client follows.

mod hostile;
mod legacy;
mod own;
mod push;

use super::*;
use crate::RpcError;

const ALL: &str = r#"{"elicitation":{"form":{}},"sampling":{}}"#;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A connection whose server has no streams to tell on, unless `push`.
fn tasked(transport: Transport) -> Rig {
    let capabilities = Json::from_static(ALL);
    let roots = Some(Json::from_static(r#"[{"uri":"file:///a"}]"#));
    modern_of(ClientConfig { transport, capabilities, roots, ..ClientConfig::default() })
}

fn state(status: &str, more: Value) -> Value {
    let mut task = json!({"taskId": "t-1", "status": status, "createdAt": "2026-01-01T00:00:00Z",
        "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttlMs": null, "pollIntervalMs": 5000});
    for (key, value) in more.as_object().expect("members") {
        task[key] = value.clone();
    }
    task
}

fn created(more: Value) -> Value {
    let mut task = state("working", more);
    task["resultType"] = json!("task");
    task
}

fn looked(status: &str, more: Value) -> Value {
    let mut task = state(status, more);
    task["resultType"] = json!("complete");
    task
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

fn name_wanted() -> Value {
    json!({"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema":
        {"type": "object", "properties": {"name": {"type": "string"}}}}})
}

fn accepted(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

impl Rig {
    /// A call has become a task; the server has no streams.
    fn tasked_call(&mut self, op: u64, options: CallOptions, more: Value) {
        self.start_with(op, "call_tool", json!({"name": "slow"}), options);
        let (id, _) = self.sent("tools/call");
        self.answer(id, created(more));
        self.no_push();
    }

    fn no_push(&mut self) {
        if let Some(listen) = self.maybe_sent("subscriptions/listen") {
            self.refuse(listen, -32601, json!(null));
        }
    }

    /// The only output, if any, is this request.
    fn maybe_sent(&mut self, method: &str) -> Option<u64> {
        self.drain();
        (!self.seen.is_empty()).then(|| self.sent(method).0)
    }

    /// Passes the time up to the next deadline, which is a look at the task; how long that was, and its id.
    fn next_look(&mut self) -> (Duration, u64) {
        let before = self.now;
        // A time limit that was put off may call in between.
        while self.seen.is_empty() {
            let due = self.conn.next_deadline().expect("a look");
            self.pass(due.saturating_sub(self.now));
            self.drain();
        }
        let (id, params) = self.sent("tasks/get");
        assert_eq!(params["taskId"], "t-1");
        (self.now - before, id)
    }

    fn look(&mut self, status: &str, more: Value) -> Duration {
        let (waited, id) = self.next_look();
        self.answer(id, looked(status, more));
        waited
    }

    fn question(&mut self) -> (u64, Value) {
        match self.take().as_slice() {
            [Output::Ask { question, params, .. }] => {
                (*question, serde_json::from_str(params.as_str()).expect("JSON"))
            }
            other => panic!("expected a question, got {other:?}"),
        }
    }

    fn says(&mut self, question: u64, answer: Value) -> bool {
        self.conn.answer(self.now, question, Ok(answer.to_string()))
    }
}

/// With up to a quarter more.
fn about(waited: Duration, wanted: Duration) -> bool {
    waited >= wanted && waited <= wanted + wanted / 4
}

#[test]
fn a_call_waits_for_its_task_and_looks_at_it_as_often_as_the_server_wants() {
    let mut rig = tasked(Transport::Http);
    rig.start(1, "call_tool", json!({"name": "slow"}));
    let (id, params) = rig.sent("tools/call");
    let declared = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"];
    assert_eq!(declared, &json!({"io.modelcontextprotocol/tasks": {}}));
    rig.answer(id, created(json!({})));
    rig.no_push();
    assert!(about(rig.look("working", json!({})), ms(5000)));
    // The interval may change, and the way is told to those that route.
    let (waited, id) = {
        let due = rig.conn.next_deadline().expect("a look") - rig.now;
        rig.pass(due);
        let (message, post) = rig.sent_message();
        let post = post.expect("a POST");
        assert_eq!(
            (header_of(&post, "Mcp-Name"), header_of(&post, "Mcp-Method")),
            (Some("t-1"), Some("tasks/get"))
        );
        (due, message["id"].as_u64().expect("a number"))
    };
    assert!(about(waited, ms(5000)));
    rig.answer(id, looked("working", json!({"pollIntervalMs": 200})));
    assert!(about(rig.look("completed", json!({"result": text("done")})), ms(200)));
    assert_eq!(rig.ended(1).expect("a result").as_str(), text("done").to_string());
    assert_eq!(rig.conn.next_deadline(), None);
}

#[test]
fn nothing_new_makes_looks_rarer() {
    let mut rig = tasked(STREAM);
    let options = CallOptions { timeout: None, ..CallOptions::default() };
    rig.tasked_call(1, options, json!({}));
    for _ in 0..10 {
        assert!(about(rig.look("working", json!({})), ms(5000)));
    }
    assert!(about(rig.look("working", json!({})), ms(10_000)));
    assert!(about(rig.look("working", json!({"statusMessage": "half"})), ms(10_000)));
    assert!(about(rig.look("working", json!({"statusMessage": "half"})), ms(5000)), "something was new");
}

#[test]
fn ends_are_those_of_a_plain_call() {
    let error = json!({"code": -32603, "message": "boom", "data": {"k": 1}});
    let cases = [
        ("failed", json!({"error": error}), "internal_error", "boom"),
        ("failed", json!({"statusMessage": "why"}), "protocol", "why"),
        ("failed", json!({"error": 3}), "protocol", "does not say"),
        ("cancelled", json!({"statusMessage": "by the admin"}), "cancelled", "by the admin"),
        ("completed", json!({}), "protocol", "no result"),
        ("completed", json!({"result": []}), "protocol", "no result"),
        ("completed", json!({"result": {"resultType": "task"}}), "protocol", "task"),
        ("completed", json!({"result": {"resultType": "input_required"}}), "protocol", "input_required"),
    ];
    for (status, more, kind, part) in cases {
        let mut rig = tasked(STREAM);
        rig.tasked_call(1, CallOptions::default(), json!({}));
        rig.look(status, more);
        let error = rig.ended(1).expect_err("an error");
        assert_eq!(error.kind, kind, "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
    }
    let mut rig = tasked(STREAM);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    let (_, id) = rig.next_look();
    rig.refuse(id, -32602, json!(null));
    let error = rig.ended(1).expect_err("an error");
    assert!(
        error.kind == "invalid_params" && error.message.contains("keeps it no longer"),
        "{}",
        error.message
    );
}

#[test]
fn a_task_is_an_answer_to_a_call_only_and_only_where_it_was_allowed() {
    let mut rig = tasked(STREAM);
    for (op, name) in [(1, "list_tools"), (2, "read_resource"), (3, "get_prompt")] {
        rig.start(op, name, json!({"name": "t", "uri": "test://r"}));
        let (message, _) = rig.sent_message();
        rig.answer(message["id"].as_u64().expect("an id"), created(json!({})));
        let error = rig.ended(op).expect_err("not an answer to that");
        assert!(error.kind == "protocol" && error.message.contains("task"), "{}", error.message);
    }
    let mut rig = modern_of(ClientConfig { transport: STREAM, tasks: false, ..ClientConfig::default() });
    rig.start(1, "call_tool", json!({"name": "t"}));
    let (id, params) = rig.sent("tools/call");
    assert_eq!(params["_meta"]["io.modelcontextprotocol/clientCapabilities"], json!({}));
    rig.answer(id, created(json!({})));
    assert_eq!(rig.failed_as(1), "protocol");
}

#[test]
fn what_a_task_asks_is_asked_once_and_answered_as_it_comes() {
    let mut rig = tasked(STREAM);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    let requests = json!({"a": name_wanted(), "r": {"method": "roots/list"}, "b": name_wanted()});
    rig.look("input_required", json!({"inputRequests": requests}));
    let outputs = rig.take();
    let questions: Vec<u64> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Ask { question, .. } => Some(*question),
            _ => None,
        })
        .collect();
    let [a, b] = questions[..] else { panic!("{outputs:?}") };
    let Some(Output::Send { bytes, .. }) = outputs.last() else { panic!("{outputs:?}") };
    let update: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!(update["method"], "tasks/update");
    let roots = json!({"r": {"roots": [{"uri": "file:///a"}]}});
    assert_eq!(update["params"]["inputResponses"], roots, "what the engine knows waits for nobody");
    // Looked at again while the user thinks: not asked again.
    rig.look("input_required", json!({"inputRequests": requests}));
    assert!(rig.take().is_empty());
    // One request at a time: what is answered meanwhile goes together.
    assert!(rig.says(a, accepted("Ann")));
    assert!(rig.take().is_empty());
    rig.answer(update["id"].as_u64().expect("an id"), json!({"resultType": "complete"}));
    let (id, params) = rig.sent("tasks/update");
    assert_eq!(params["inputResponses"], json!({"a": accepted("Ann")}));
    rig.answer(id, json!({"resultType": "complete"}));
    // The server is slow to show it.
    rig.look("input_required", json!({"inputRequests": requests}));
    assert!(rig.take().is_empty());
    assert!(rig.says(b, accepted("Bob")));
    let (id, params) = rig.sent("tasks/update");
    assert_eq!(
        (&params["taskId"], &params["inputResponses"]),
        (&json!("t-1"), &json!({"b": accepted("Bob")}))
    );
    rig.answer(id, json!({"resultType": "complete"}));
    rig.look("completed", json!({"result": text("both")}));
    assert!(rig.ended(1).is_ok());
}

#[test]
fn answers_that_did_not_arrive_are_sent_again() {
    let mut rig = tasked(Transport::Http);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    rig.look("input_required", json!({"inputRequests": {"a": name_wanted()}}));
    let (question, _) = rig.question();
    rig.says(question, accepted("Ann"));
    let (id, _) = rig.sent("tasks/update");
    rig.conn.failed(rig.now, id, TransportFailure::Connection("reset".into()));
    assert!(rig.take().is_empty());
    let mut sent = Vec::new();
    while sent.is_empty() {
        let due = rig.conn.next_deadline().expect("another try") - rig.now;
        rig.pass(due);
        for output in rig.take() {
            let Output::Send { bytes, .. } = output else { panic!("{output:?}") };
            let message: Value = serde_json::from_slice(&bytes).expect("JSON");
            if message["method"] == "tasks/update" {
                sent.push(message);
            }
        }
    }
    assert_eq!(sent[0]["params"]["inputResponses"], json!({"a": accepted("Ann")}));
    rig.answer(sent[0]["id"].as_u64().expect("an id"), json!({"resultType": "complete"}));
    assert!(rig.take().is_empty());
}

#[test]
fn a_question_that_the_server_takes_back_is_withdrawn() {
    let mut rig = tasked(STREAM);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    rig.look("input_required", json!({"inputRequests": {"a": name_wanted()}}));
    let (question, _) = rig.question();
    rig.look("working", json!({}));
    assert!(matches!(rig.take().as_slice(), [Output::Withdrawn { question: gone, .. }] if *gone == question));
    assert!(!rig.says(question, accepted("late")));
    rig.look("completed", json!({"result": text("alone")}));
    assert!(rig.ended(1).is_ok());
}

#[test]
fn a_refusal_of_the_user_ends_the_call_and_gives_the_task_up() {
    let mut rig = tasked(STREAM);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    let sample = json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}});
    rig.look("input_required", json!({"inputRequests": {"s": sample}}));
    let (question, _) = rig.question();
    let no = RpcError { code: -1, message: "no".into(), data: None };
    rig.conn.answer(rig.now, question, Err(no));
    let outputs = rig.take();
    let [Output::Send { bytes, .. }, Output::Error { op: 1, error }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let cancel: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!((&cancel["method"], &cancel["params"]["taskId"]), (&json!("tasks/cancel"), &json!("t-1")));
    assert_eq!(error.message, "no");
}

#[test]
fn giving_up_a_call_gives_up_its_task_but_not_one_that_was_picked_up() {
    let mut rig = tasked(STREAM);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    rig.start(2, "task_result", json!({"taskId": "t-1"}));
    assert!(matches!(rig.take_first(), Output::Told { op: 2, event: "task_changed", .. }), "what is known");
    rig.sent("tasks/get");
    assert!(rig.conn.cancel(2, "enough"));
    assert_eq!(rig.failed_as(2), "cancelled");
    assert!(rig.conn.cancel(1, "enough"));
    let outputs = rig.take();
    let [Output::Send { bytes, .. }, Output::Error { op: 1, error }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let cancel: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!((cancel["method"].as_str(), error.kind), (Some("tasks/cancel"), "cancelled"));
    rig.answer(cancel["id"].as_u64().expect("an id"), json!({"resultType": "complete"}));
    assert_eq!(rig.conn.next_deadline(), None, "nobody looks any more");
    assert!(rig.take().is_empty());
}

#[test]
fn a_server_that_was_away_hears_that_a_task_is_not_wanted() {
    let mut rig = tasked(Transport::Http);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    assert!(rig.conn.cancel(1, "enough"));
    let outputs = rig.take();
    let [Output::Send { bytes, .. }, Output::Error { op: 1, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let cancel: Value = serde_json::from_slice(bytes).expect("JSON");
    let mut id = cancel["id"].as_u64().expect("an id");
    for (round, wait) in [1, 2, 4, 8, 16, 30, 30, 30, 30].into_iter().enumerate() {
        match round % 4 {
            0 => rig.conn.failed(rig.now, id, TransportFailure::Connection("refused".into())),
            1 => rig.status(id, 503, ""),
            2 => rig.refuse(id, -32603, json!(null)),
            _ => {
                rig.pass(ms(30_000));
                assert!(
                    matches!(rig.take().as_slice(), [Output::Abort { post }] if *post == id),
                    "no answer"
                );
            }
        }
        let due = rig.conn.next_deadline().expect("another try") - rig.now;
        assert_eq!(due, Duration::from_secs(wait));
        rig.pass(due);
        let (again, params) = rig.sent("tasks/cancel");
        assert_eq!(params["taskId"], "t-1");
        id = again;
    }
    rig.status(id, 503, "");
    assert_eq!(rig.conn.next_deadline(), None, "it never comes back");
    assert!(rig.take().is_empty());
}

#[test]
fn what_the_server_tells_restarts_the_limit_but_not_the_cap_and_is_progress() {
    let mut rig = tasked(STREAM);
    let options = CallOptions {
        timeout: Some(ms(8000)),
        total: Some(ms(30_000)),
        progress: true,
        ..CallOptions::default()
    };
    rig.tasked_call(1, options, json!({}));
    for (count, message) in ["one", "two", "two", "three"].into_iter().enumerate() {
        let before = rig.now;
        let (_, id) = rig.next_look();
        if rig.now - before >= ms(8000) {
            panic!("within the limit");
        }
        rig.answer(
            id,
            looked("working", json!({"statusMessage": message, "lastUpdatedAt": count.to_string()})),
        );
        let outputs = rig.take();
        let [Output::Progress { op: 1, payload }] = &outputs[..] else { panic!("{outputs:?}") };
        let payload: Value = serde_json::from_str(payload.as_str()).expect("JSON");
        assert_eq!(payload, json!({"progress": count + 1, "message": message}));
    }
    rig.pass(ms(30_000) - rig.now);
    let outputs = rig.take();
    assert!(
        matches!(outputs.last(), Some(Output::Error { op: 1, error }) if error.kind == "timeout"),
        "{outputs:?}"
    );
}

#[test]
fn a_task_is_waited_for_as_long_as_the_server_answers_for_it() {
    let mut rig = tasked(STREAM);
    let options = CallOptions { timeout: Some(ms(8000)), ..CallOptions::default() };
    rig.tasked_call(1, options.clone(), json!({}));
    for _ in 0..1000 {
        rig.look("working", json!({}));
        assert!(rig.take().is_empty(), "nothing new, and no end");
    }
    // The limit is that of an answer which is due.
    let (_, id) = rig.next_look();
    rig.pass(ms(7999));
    assert!(rig.take().is_empty());
    rig.answer(id, looked("working", json!({})));
    rig.next_look();
    rig.pass(ms(8000));
    let outputs = rig.take();
    assert!(
        matches!(outputs.last(), Some(Output::Error { op: 1, error }) if error.kind == "timeout"),
        "{outputs:?}"
    );

    // A server that wants to be asked once an hour.
    let mut rig = tasked(STREAM);
    let rarely = json!({"pollIntervalMs": 3_600_000});
    rig.tasked_call(1, options, rarely.clone());
    assert!(about(rig.look("working", rarely), ms(3_600_000)));
    rig.look("completed", json!({"result": text("x")}));
    assert!(rig.ended(1).is_ok());
}

#[test]
fn time_limits_stand_still_while_the_user_is_asked() {
    let mut rig = tasked(STREAM);
    rig.tasked_call(1, CallOptions { timeout: Some(ms(10_000)), ..CallOptions::default() }, json!({}));
    let requests = json!({"inputRequests": {"a": name_wanted()}});
    rig.look("input_required", requests.clone());
    let (question, _) = rig.question();
    for _ in 0..10 {
        rig.look("input_required", requests.clone());
        assert!(rig.take().is_empty());
    }
    rig.says(question, accepted("Ann"));
    rig.sent("tasks/update");
}

#[test]
fn failures_that_pass_are_waited_out_and_others_are_not() {
    let mut rig = tasked(Transport::Http);
    rig.tasked_call(1, CallOptions::default(), json!({"pollIntervalMs": 100}));
    let mut waits = Vec::new();
    for round in 0..6 {
        let (waited, id) = rig.next_look();
        waits.push(waited);
        match round % 3 {
            0 => rig.conn.failed(rig.now, id, TransportFailure::Connection("reset".into())),
            1 => rig.status(id, 503, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"busy"}}"#),
            _ => rig.conn.stream_ended(rig.now, id),
        }
        assert!(rig.take().is_empty());
    }
    for (waited, wanted) in waits.iter().zip([100, 1000, 2000, 4000, 8000, 16_000]) {
        assert!(about(*waited, ms(wanted)), "{waits:?}");
    }
    rig.look("working", json!({"pollIntervalMs": 100}));
    let (waited, id) = rig.next_look();
    assert!(about(waited, ms(100)), "it is there again");
    rig.status(id, 404, "");
    assert_eq!(rig.failed_as(1), "transport");
}

#[test]
fn a_server_that_never_comes_back_is_given_up() {
    let mut rig = tasked(Transport::Http);
    rig.start(1, "task_result", json!({"taskId": "t-1"}));
    let (mut id, _) = rig.sent("tasks/get");
    for _ in 0..32 {
        rig.conn.failed(rig.now, id, TransportFailure::Connection("refused".into()));
        id = rig.next_look().1;
    }
    rig.conn.failed(rig.now, id, TransportFailure::Connection("refused".into()));
    assert_eq!(rig.failed_as(1), "transport");
    // And one that says each time that it has failed itself, sooner.
    rig.start(2, "task_result", json!({"taskId": "t-1"}));
    let (mut id, _) = rig.sent("tasks/get");
    for _ in 0..5 {
        rig.refuse(id, -32603, json!(null));
        id = rig.next_look().1;
    }
    rig.refuse(id, -32603, json!(null));
    assert_eq!(rig.failed_as(2), "internal_error");
}

#[test]
fn a_look_that_is_not_answered_is_given_up() {
    let mut rig = tasked(Transport::Http);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    let (_, id) = rig.next_look();
    rig.pass(ms(30_000));
    assert!(matches!(rig.take().as_slice(), [Output::Abort { post }] if *post == id));
    assert!(about(rig.look("completed", json!({"result": text("x")})), ms(5000)));
    assert!(rig.ended(1).is_ok());
}

#[test]
fn after_its_time_to_live_a_task_is_looked_at_once_more() {
    let mut rig = tasked(STREAM);
    let ttl = |ms: u64| json!({"ttlMs": ms, "pollIntervalMs": 3_600_000});
    rig.tasked_call(1, CallOptions::default(), ttl(60_000));
    let (waited, id) = rig.next_look();
    assert_eq!(waited, ms(60_000));
    rig.answer(id, looked("working", ttl(90_000)));
    assert!(rig.take().is_empty(), "it has got more time");
    let (waited, id) = rig.next_look();
    assert_eq!(waited, ms(30_000));
    rig.answer(id, looked("working", ttl(90_000)));
    let outputs = rig.take();
    let Some(Output::Error { op: 1, error }) = outputs.last() else { panic!("{outputs:?}") };
    assert!(error.kind == "timeout" && error.message.contains("90000 ms"), "{}", error.message);
}

#[test]
fn who_wants_the_task_gets_it_and_picks_it_up_later() {
    let mut rig = tasked(STREAM);
    let options = CallOptions { task: true, ..CallOptions::default() };
    rig.start_with(1, "call_tool", json!({"name": "slow"}), options.clone());
    let (id, params) = rig.sent("tools/call");
    assert!(params.get("task").is_none(), "modern servers decide themselves");
    rig.answer(id, created(json!({"statusMessage": "begun"})));
    let made: Value = serde_json::from_str(rig.ended(1).expect("a task").as_str()).expect("JSON");
    assert_eq!(made, json!({"task": state("working", json!({"statusMessage": "begun"}))}));
    assert_eq!(rig.conn.next_deadline(), None, "nobody waits");
    rig.start_with(2, "call_tool", json!({"name": "quick"}), options);
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, text("now"));
    let made: Value = serde_json::from_str(rig.ended(2).expect("a result").as_str()).expect("JSON");
    assert_eq!(made, json!({"result": text("now")}));

    // Followed by two at once: looked at once, told to both, asked once.
    let unasked = CallOptions { unasked: true, ..CallOptions::default() };
    rig.start_with(3, "task_result", json!({"taskId": "t-1"}), unasked);
    assert!(matches!(rig.take_first(), Output::Told { op: 3, .. }));
    let (id, _) = rig.sent("tasks/get");
    rig.start(4, "task_result", json!({"taskId": "t-1"}));
    assert!(matches!(rig.take().as_slice(), [Output::Told { op: 4, .. }]));
    rig.answer(id, looked("input_required", json!({"inputRequests": {"a": name_wanted()}})));
    let outputs = rig.take();
    let [Output::Told { op: 3, params, .. }, Output::Told { op: 4, .. }, Output::Ask { question, .. }, ..] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    let params: Value = serde_json::from_str(params.as_str()).expect("JSON");
    assert_eq!(params["inputRequests"]["a"]["method"], "elicitation/create");
    // Answered by hand, so not by the handler.
    let listen = rig.conn.expects(0);
    assert!(!listen);
    rig.start(5, "update_task", json!({"taskId": "t-1", "inputResponses": {"a": accepted("Ann")}}));
    let (id, params) = rig.sent("tasks/update");
    assert_eq!(params["inputResponses"], json!({"a": accepted("Ann")}));
    rig.answer(id, json!({"resultType": "complete"}));
    let outputs = rig.take();
    assert!(
        matches!(&outputs[0], Output::Withdrawn { question: gone, .. } if gone == question),
        "{outputs:?}"
    );
    assert!(matches!(outputs.last(), Some(Output::Result { op: 5, result }) if result.as_str() == "{}"));
}

#[test]
fn requests_about_tasks_bring_them_in_one_shape() {
    let mut rig = tasked(STREAM);
    rig.start(1, "get_task", json!({"taskId": "t-1"}));
    let (id, _) = rig.sent("tasks/get");
    rig.answer(id, looked("completed", json!({"result": text("x")})));
    let seen: Value = serde_json::from_str(rig.ended(1).expect("a task").as_str()).expect("JSON");
    assert_eq!(seen, state("completed", json!({"result": text("x")})));
    rig.start(2, "get_task", json!({"taskId": "t-1"}));
    let (id, _) = rig.sent("tasks/get");
    rig.answer(id, looked("working", json!({"taskId": "t-2"})));
    assert_eq!(rig.failed_as(2), "protocol");
    rig.start(3, "cancel_task", json!({"taskId": "t-1"}));
    let (id, _) = rig.sent("tasks/cancel");
    rig.answer(id, json!({"resultType": "complete"}));
    assert_eq!(rig.ended(3).expect("done").as_str(), "{}");
    rig.start(4, "list_tasks", json!({}));
    assert_eq!(rig.failed_as(4), "method_not_found");
    for params in [json!({}), json!({"taskId": 3}), json!({"taskId": ""})] {
        rig.start(5, "task_result", params);
        assert_eq!(rig.failed_as(5), "usage");
    }
}
