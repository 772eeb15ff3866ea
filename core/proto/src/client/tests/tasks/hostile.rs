//! Servers that violate the rules of tasks.

use super::*;

#[test]
fn an_id_that_cannot_be_sent_back_is_refused() {
    for id in ["x".repeat(4097), "y".repeat(3 << 20), String::new()] {
        let mut rig = tasked(STREAM);
        rig.start(1, "call_tool", json!({"name": "t"}));
        let (request, _) = rig.sent("tools/call");
        rig.answer(request, created(json!({"taskId": id})));
        let error = rig.ended(1).expect_err("no task");
        assert!(error.kind == "protocol" && error.message.len() < 200, "{}", error.message.len());
    }
}

#[test]
fn the_answer_is_about_the_task_that_was_asked_for() {
    for answer in [
        looked("working", json!({"taskId": "t-2"})),
        json!({"status": "working"}),
        json!([]),
        json!({"taskId": "t-1", "status": "asleep"}),
        json!({"resultType": "input_required", "requestState": "s"}),
        json!({"resultType": "novel"}),
    ] {
        let mut rig = tasked(STREAM);
        rig.tasked_call(1, CallOptions::default(), json!({}));
        let (_, id) = rig.next_look();
        rig.answer(id, answer);
        let outputs = rig.take();
        let Some(Output::Error { op: 1, error }) = outputs.last() else { panic!("{outputs:?}") };
        assert_eq!(error.kind, "protocol", "{}", error.message);
    }
}

#[test]
fn intervals_of_any_size_are_kept_within_bounds() {
    for (interval, wanted) in [
        (json!(0), 100),
        (json!(-5000), 100),
        (json!(1e300), 3_600_000),
        (json!("soon"), 1000),
        (json!(null), 1000),
    ] {
        let mut rig = tasked(STREAM);
        rig.start_with(1, "call_tool", json!({"name": "t"}), CallOptions::default());
        let (id, _) = rig.sent("tools/call");
        rig.answer(id, created(json!({"pollIntervalMs": interval})));
        rig.no_push();
        let due = rig.conn.next_deadline().expect("a look") - rig.now;
        assert!(about(due, ms(wanted)), "{interval}: {due:?}");
    }
}

#[test]
fn questions_have_an_end() {
    let mut rig = tasked(STREAM);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    let roots = json!({"method": "roots/list"});
    for round in 0..256 {
        rig.look("input_required", json!({"inputRequests": {round.to_string(): roots}}));
        let (id, _) = rig.sent("tasks/update");
        rig.answer(id, json!({"resultType": "complete"}));
    }
    rig.look("input_required", json!({"inputRequests": {"one more": roots}}));
    let outputs = rig.take();
    let Some(Output::Error { op: 1, error }) = outputs.last() else { panic!("{outputs:?}") };
    assert_eq!(error.kind, "limit");

    let many: serde_json::Map<String, Value> = (0..65).map(|key| (key.to_string(), name_wanted())).collect();
    let long = json!({"k".repeat(1025): name_wanted()});
    let cases = [
        (Value::Object(many), "limit"),
        (long, "protocol"),
        (json!([]), "protocol"),
        (json!({"a": {"method": "tools/list"}}), "protocol"),
        (json!({"a": 3}), "protocol"),
    ];
    for (requests, kind) in cases {
        let mut rig = tasked(STREAM);
        rig.tasked_call(1, CallOptions::default(), json!({}));
        rig.look("input_required", json!({"inputRequests": requests}));
        let outputs = rig.take();
        let Some(Output::Error { op: 1, error }) = outputs.last() else { panic!("{outputs:?}") };
        assert_eq!(error.kind, kind, "{}", error.message);
        let asked = outputs.iter().filter(|output| matches!(output, Output::Ask { .. })).count();
        let withdrawn = outputs.iter().filter(|output| matches!(output, Output::Withdrawn { .. })).count();
        assert_eq!(asked, withdrawn);
    }
}

#[test]
fn what_is_over_stays_over_and_a_key_is_used_once() {
    let mut rig = tasked(STREAM);
    rig.tasked_call(1, CallOptions::default(), json!({}));
    let requests = json!({"inputRequests": {"a": name_wanted()}});
    rig.look("input_required", requests.clone());
    let (question, _) = rig.question();
    rig.says(question, accepted("Ann"));
    let (id, _) = rig.sent("tasks/update");
    rig.answer(id, json!({"resultType": "complete"}));
    // Back and forth.
    rig.look("working", json!({}));
    rig.look("input_required", requests);
    assert!(rig.take().is_empty(), "that was answered");
    let (_, id) = rig.next_look();
    rig.answer(id, looked("completed", json!({"result": text("x")})));
    rig.answer(id, looked("working", json!({})));
    assert!(rig.ended(1).is_ok());
    assert_eq!(rig.conn.next_deadline(), None);
}

#[test]
fn tasks_that_nobody_follows_are_forgotten_in_time() {
    let mut rig = tasked(STREAM);
    for count in 0..200_u64 {
        let options = CallOptions { task: true, ..CallOptions::default() };
        rig.start_with(count, "call_tool", json!({"name": "t"}), options);
        let (id, _) = rig.sent("tools/call");
        rig.answer(id, created(json!({"taskId": format!("t-{count}")})));
        assert!(rig.ended(count).is_ok());
    }
    let known = |rig: &mut Rig, task: u64| {
        rig.start(1000 + task, "task_result", json!({"taskId": format!("t-{task}")}));
        let told = rig.take().iter().any(|output| matches!(output, Output::Told { .. }));
        assert!(rig.conn.cancel(1000 + task, ""));
        rig.take();
        told
    };
    assert!(!known(&mut rig, 100) && known(&mut rig, 199), "64 are remembered");
}
