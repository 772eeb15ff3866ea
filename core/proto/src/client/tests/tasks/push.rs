//! Servers that send task updates by themselves.

use super::*;

fn acknowledged(listen: u64, tasks: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
        "notifications": {"taskIds": tasks},
        "_meta": {"io.modelcontextprotocol/subscriptionId": listen}}})
}

fn told(listen: u64, status: &str, more: Value) -> Value {
    let mut params = state(status, more);
    params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": listen});
    json!({"jsonrpc": "2.0", "method": "notifications/tasks", "params": params})
}

/// A call whose task the server tells of.
fn pushed(rig: &mut Rig) -> u64 {
    rig.start(1, "call_tool", json!({"name": "slow"}));
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, created(json!({})));
    let (listen, params) = rig.sent("subscriptions/listen");
    assert_eq!(params["notifications"], json!({"taskIds": ["t-1"]}));
    rig.recv(acknowledged(listen, json!(["t-1"])));
    // It may have changed before.
    let (id, _) = rig.sent("tasks/get");
    rig.answer(id, looked("working", json!({})));
    listen
}

#[test]
fn what_is_told_needs_no_look() {
    let mut rig = tasked(STREAM);
    let listen = pushed(&mut rig);
    let due = rig.conn.next_deadline().expect("a look") - rig.now;
    assert!(about(due, ms(30_000)), "as a safety net only: {due:?}");
    rig.recv(told(listen, "input_required", json!({"inputRequests": {"a": name_wanted()}})));
    let (question, _) = rig.question();
    // Told twice, and looked at: asked once.
    rig.recv(told(listen, "input_required", json!({"inputRequests": {"a": name_wanted()}})));
    rig.look("input_required", json!({"inputRequests": {"a": name_wanted()}}));
    assert!(rig.take().is_empty());
    rig.says(question, accepted("Ann"));
    let (id, _) = rig.sent("tasks/update");
    rig.answer(id, json!({"resultType": "complete"}));
    rig.recv(told(listen, "completed", json!({"result": text("hello Ann")})));
    let outputs = rig.take();
    let [Output::Send { bytes, .. }, Output::Result { op: 1, result }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let end: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!(
        (&end["method"], &end["params"]["requestId"]),
        (&json!("notifications/cancelled"), &json!(listen))
    );
    assert_eq!(result.as_str(), text("hello Ann").to_string());
    assert_eq!(rig.conn.next_deadline(), None);
    // Nobody follows it any more: the host may be interested.
    rig.recv(told(listen, "working", json!({})));
    let outputs = rig.take();
    assert!(matches!(&outputs[..], [Output::Notification { event: "task_changed", .. }]), "{outputs:?}");
}

#[test]
fn over_http_the_stream_is_closed_with_the_task() {
    let mut rig = tasked(Transport::Http);
    let listen = pushed(&mut rig);
    assert!(rig.conn.expects(listen));
    rig.look("completed", json!({"result": text("x")}));
    let outputs = rig.take();
    let [Output::Abort { post }, Output::Result { op: 1, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(*post, listen);
    assert!(!rig.conn.expects(listen));
}

#[test]
fn a_stream_that_does_not_cover_the_task_is_closed() {
    let mut rig = tasked(Transport::Http);
    rig.start(1, "call_tool", json!({"name": "slow"}));
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, created(json!({})));
    let (listen, _) = rig.sent("subscriptions/listen");
    rig.recv(acknowledged(listen, json!(["t-2"])));
    assert!(matches!(rig.take().as_slice(), [Output::Abort { post }] if *post == listen));
    assert!(about(rig.look("working", json!({})), ms(5000)));
}

#[test]
fn a_stream_that_ends_is_opened_again_a_few_times() {
    let mut rig = tasked(Transport::Http);
    let mut listen = pushed(&mut rig);
    for round in 0..3 {
        rig.conn.stream_ended(rig.now, listen);
        let (id, _) = rig.sent("tasks/get");
        rig.answer(id, looked("working", json!({})));
        if round == 2 {
            break;
        }
        listen = rig.sent("subscriptions/listen").0;
        rig.recv(acknowledged(listen, json!(["t-1"])));
        let (id, _) = rig.sent("tasks/get");
        rig.answer(id, looked("working", json!({})));
    }
    assert!(rig.take().is_empty());
    assert!(about(rig.look("working", json!({})), ms(5000)), "by looking, then");
}

#[test]
fn streams_for_tasks_are_limited_and_a_server_without_any_is_asked_once() {
    let mut rig = tasked(STREAM);
    let mut streams = Vec::new();
    for op in 0..10 {
        rig.start(op, "call_tool", json!({"name": "slow"}));
        let (id, _) = rig.sent("tools/call");
        rig.answer(id, created(json!({"taskId": format!("t-{op}")})));
        streams.extend(rig.maybe_sent("subscriptions/listen"));
    }
    assert_eq!(streams.len(), 8);
    rig.refuse(streams[0], -32601, json!(null));
    rig.start(20, "call_tool", json!({"name": "slow"}));
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, created(json!({"taskId": "t-20"})));
    assert!(rig.take().is_empty());
}
