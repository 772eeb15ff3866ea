//! Tasks of a server of 2025-11-25.

use super::*;

fn session(transport: Transport) -> Rig {
    let capabilities = Json::from_static(ALL);
    let offered = json!({"tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}});
    legacy_of(ClientConfig { transport, capabilities, ..ClientConfig::default() }, offered)
}

fn old(status: &str, more: Value) -> Value {
    let mut task = json!({"taskId": "t-1", "status": status, "createdAt": "2026-01-01T00:00:00Z",
        "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttl": 60_000, "pollInterval": 500});
    for (key, value) in more.as_object().expect("members") {
        task[key] = value.clone();
    }
    task
}

fn tools() -> Value {
    let tool = |name: &str, support: &str| json!({"name": name, "inputSchema": {"type": "object"}, "execution": {"taskSupport": support}});
    json!({"tools": [tool("must", "required"), tool("may", "optional"), tool("not", "forbidden")]})
}

fn know_tools(rig: &mut Rig) {
    rig.start(100, "list_tools", json!({}));
    let (id, _) = rig.sent("tools/list");
    rig.answer(id, tools());
    assert!(rig.ended(100).is_ok());
}

#[test]
fn a_tool_that_makes_tasks_only_is_asked_for_one() {
    let mut rig = session(STREAM);
    know_tools(&mut rig);
    rig.start(1, "call_tool", json!({"name": "must", "arguments": {"a": 1}}));
    let (id, params) = rig.sent("tools/call");
    assert_eq!(params, json!({"task": {}, "name": "must", "arguments": {"a": 1}}));
    rig.answer(id, json!({"task": old("working", json!({}))}));
    assert!(about(rig.conn.next_deadline().expect("a look") - rig.now, ms(500)));
    let (_, id) = rig.next_look();
    rig.answer(id, old("completed", json!({})));
    let (id, params) = rig.sent("tasks/result");
    assert_eq!(params, json!({"taskId": "t-1"}));
    rig.answer(id, text("done"));
    assert_eq!(rig.ended(1).expect("a result").as_str(), text("done").to_string());
    for name in ["may", "not"] {
        rig.start(2, "call_tool", json!({"name": name}));
        let (id, params) = rig.sent("tools/call");
        assert!(params.get("task").is_none());
        rig.answer(id, text("now"));
        assert!(rig.ended(2).is_ok());
    }
}

#[test]
fn a_refusal_shows_that_a_tool_makes_tasks_only() {
    let mut rig = session(STREAM);
    rig.start(1, "call_tool", json!({"name": "must"}));
    let (id, params) = rig.sent("tools/call");
    assert!(params.get("task").is_none());
    rig.refuse(id, -32601, json!(null));
    let (id, params) = rig.sent("tools/call");
    assert_eq!(params["task"], json!({}));
    rig.refuse(id, -32601, json!(null));
    assert_eq!(rig.failed_as(1), "method_not_found");
}

#[test]
fn who_wants_a_task_gets_one_where_the_tool_allows_it() {
    let mut rig = session(STREAM);
    let options = CallOptions { task: true, task_ttl: Some(7000), ..CallOptions::default() };
    rig.start_with(1, "call_tool", json!({"name": "may"}), options.clone());
    let (id, _) = rig.sent("tools/list");
    let mut page = tools();
    page["nextCursor"] = json!("more");
    rig.answer(id, page);
    let (id, params) = rig.sent("tools/list");
    assert_eq!(params["cursor"], "more");
    rig.answer(id, json!({"tools": []}));
    let (id, params) = rig.sent("tools/call");
    assert_eq!(params["task"], json!({"ttl": 7000}));
    rig.answer(id, json!({"task": old("working", json!({})), "_meta": {"k": 1}}));
    let made: Value = serde_json::from_str(rig.ended(1).expect("a task").as_str()).expect("JSON");
    let task = &made["task"];
    assert_eq!(
        (&task["ttlMs"], &task["pollIntervalMs"], &task["_meta"]),
        (&json!(60_000), &json!(500), &json!({"k": 1}))
    );
    assert!(task.get("ttl").is_none());
    rig.start_with(2, "call_tool", json!({"name": "not"}), options);
    let (id, params) = rig.sent("tools/call");
    assert!(params.get("task").is_none(), "the tools are known now");
    rig.answer(id, text("now"));
    assert!(rig.ended(2).expect("a result").as_str().starts_with("{\"result\":"));
    // A server that answers at once all the same.
    rig.start(3, "call_tool", json!({"name": "must"}));
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, text("now"));
    assert_eq!(rig.ended(3).expect("a result").as_str(), text("now").to_string());
}

#[test]
fn without_the_capability_nobody_is_asked_for_a_task() {
    for (offered, allowed) in
        [(json!({}), true), (json!({"tasks": {"requests": {"tools": {"call": {}}}}}), false)]
    {
        let config = ClientConfig { transport: STREAM, tasks: allowed, ..ClientConfig::default() };
        let mut rig = legacy_of(config, offered);
        know_tools(&mut rig);
        rig.start_with(
            1,
            "call_tool",
            json!({"name": "must"}),
            CallOptions { task: true, ..CallOptions::default() },
        );
        let (id, params) = rig.sent("tools/call");
        assert!(params.get("task").is_none());
        rig.refuse(id, -32601, json!(null));
        assert_eq!(rig.failed_as(1), "method_not_found");
    }
}

#[test]
fn what_a_task_asks_comes_as_requests_while_its_result_is_waited_for() {
    let mut rig = session(STREAM);
    know_tools(&mut rig);
    rig.start_with(
        1,
        "call_tool",
        json!({"name": "must"}),
        CallOptions { timeout: Some(ms(5000)), ..CallOptions::default() },
    );
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, json!({"task": old("working", json!({}))}));
    let status = old("input_required", json!({}));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": status}));
    let (fetch, _) = rig.sent("tasks/result");
    let mut params = name_wanted()["params"].clone();
    params["_meta"] = json!({"io.modelcontextprotocol/related-task": {"taskId": "t-1"}});
    rig.recv(json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": params}));
    let (question, _) = rig.question();
    // The user may take their time.
    for _ in 0..20 {
        let (_, id) = rig.next_look();
        rig.answer(id, old("input_required", json!({})));
        assert!(rig.take().is_empty());
    }
    rig.says(question, accepted("Ann"));
    let (reply, _) = rig.sent_message();
    let meta = json!({"io.modelcontextprotocol/related-task": {"taskId": "t-1"}});
    assert_eq!((&reply["id"], &reply["result"]["_meta"]), (&json!("q"), &meta));
    let mut result = text("hello Ann");
    result["_meta"] = meta;
    rig.answer(fetch, result.clone());
    assert_eq!(rig.ended(1).expect("a result").as_str(), result.to_string());
}

#[test]
fn a_failed_task_fails_as_its_call_would_have() {
    let mut rig = session(STREAM);
    know_tools(&mut rig);
    for (status, answer) in [("failed", Err(-32603)), ("failed", Ok(json!({"content": [], "isError": true})))]
    {
        rig.start(1, "call_tool", json!({"name": "must"}));
        let (id, _) = rig.sent("tools/call");
        rig.answer(id, json!({"task": old("working", json!({}))}));
        let (_, id) = rig.next_look();
        rig.answer(id, old(status, json!({})));
        let (id, _) = rig.sent("tasks/result");
        match answer {
            Err(code) => {
                rig.refuse(id, code, json!(null));
                assert_eq!(rig.failed_as(1), "internal_error");
            }
            Ok(result) => {
                rig.answer(id, result.clone());
                assert_eq!(rig.ended(1).expect("a result").as_str(), result.to_string());
            }
        }
    }
}

#[test]
fn a_server_that_fails_while_a_result_is_waited_for_is_asked_again() {
    let mut rig = session(STREAM);
    know_tools(&mut rig);
    rig.start(1, "call_tool", json!({"name": "must"}));
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, json!({"task": old("input_required", json!({}))}));
    for _ in 0..4 {
        let (fetch, _) = rig.sent("tasks/result");
        rig.refuse(fetch, -32603, json!(null));
        let (_, id) = rig.next_look();
        rig.answer(id, old("input_required", json!({})));
    }
    let (fetch, _) = rig.sent("tasks/result");
    rig.answer(fetch, text("done"));
    assert!(rig.ended(1).is_ok());
}

#[test]
fn an_answer_that_the_end_has_overtaken_is_no_news() {
    let mut rig = session(STREAM);
    rig.start(1, "task_result", json!({"taskId": "t-1"}));
    let (id, _) = rig.sent("tasks/get");
    rig.answer(id, old("working", json!({})));
    rig.take();
    let (_, look) = rig.next_look();
    let status = old("completed", json!({}));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": status}));
    let outputs = rig.take();
    let [Output::Told { op: 1, params, .. }, Output::Send { bytes, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert!(params.as_str().contains("completed"));
    let fetch: Value = serde_json::from_slice(bytes).expect("JSON");
    rig.answer(look, old("working", json!({})));
    assert!(rig.take().is_empty());
    rig.answer(fetch["id"].as_u64().expect("an id"), text("done"));
    assert!(rig.ended(1).is_ok());
}

#[test]
fn progress_goes_on_with_the_token_of_the_call() {
    let mut rig = session(STREAM);
    know_tools(&mut rig);
    rig.start_with(
        1,
        "call_tool",
        json!({"name": "must"}),
        CallOptions { progress: true, ..CallOptions::default() },
    );
    let (id, params) = rig.sent("tools/call");
    assert_eq!(params["_meta"]["progressToken"], id);
    rig.answer(id, json!({"task": old("working", json!({}))}));
    let progress = json!({"progressToken": id, "progress": 3, "total": 4});
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}));
    assert!(matches!(rig.take().as_slice(), [Output::Progress { op: 1, .. }]));
    let status = old("working", json!({"statusMessage": "three of four"}));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": status}));
    assert!(rig.take().is_empty(), "the server counts itself");
}

#[test]
fn tasks_are_listed_and_given_up() {
    let mut rig = session(STREAM);
    rig.start(1, "list_tasks", json!({}));
    let (id, _) = rig.sent("tasks/list");
    rig.answer(id, json!({"tasks": [old("working", json!({}))], "nextCursor": "c"}));
    let page: Value = serde_json::from_str(rig.ended(1).expect("a page").as_str()).expect("JSON");
    assert_eq!((&page["tasks"][0]["ttlMs"], &page["nextCursor"]), (&json!(60_000), &json!("c")));
    rig.start(2, "cancel_task", json!({"taskId": "t-1"}));
    let (id, _) = rig.sent("tasks/cancel");
    rig.answer(id, old("cancelled", json!({})));
    let task: Value = serde_json::from_str(rig.ended(2).expect("a task").as_str()).expect("JSON");
    assert_eq!((&task["status"], &task["ttlMs"]), (&json!("cancelled"), &json!(60_000)));
    rig.start(3, "update_task", json!({"taskId": "t-1", "inputResponses": {}}));
    assert_eq!(rig.failed_as(3), "method_not_found");
    rig.start(4, "task_result", json!({"taskId": "t-1"}));
    let (id, _) = rig.sent("tasks/get");
    rig.answer(id, old("cancelled", json!({"statusMessage": "by hand"})));
    assert!(matches!(rig.take_first(), Output::Told { op: 4, .. }));
    let error = rig.ended(4).expect_err("no result");
    assert!(error.kind == "cancelled" && error.message.contains("by hand"));
}
