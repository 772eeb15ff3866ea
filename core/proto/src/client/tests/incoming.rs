//! Requests and notifications of the server.

use super::*;

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
    assert_eq!(told, [r#"log {"level":"info","data":1}"#, "tools_changed {}"]);
}

#[test]
fn structured_content_is_held_against_the_schema_of_its_tool() {
    for mut rig in [modern(STREAM), legacy(STREAM)] {
        rig.start(1, "list_tools", json!({}));
        let (id, _) = rig.sent("tools/list");
        let output =
            json!({"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]});
        rig.answer(id, json!({"tools": [{"name": "add", "inputSchema": {}, "outputSchema": output}]}));
        rig.ended(1).expect("a list");
        let call = |rig: &mut Rig, name: &str, result: Value| {
            rig.start(2, "call_tool", json!({"name": name}));
            let (message, _) = rig.sent_message();
            rig.answer(message["id"].as_u64().expect("an id"), result);
            rig.ended(2)
        };
        let brings = |content: Value| json!({"content": [], "structuredContent": content});
        call(&mut rig, "add", brings(json!({"sum": 3}))).expect("it fits");
        let error = call(&mut rig, "add", brings(json!({"sum": "3"}))).expect_err("it does not fit");
        assert_eq!(error.kind, "protocol");
        for part in ["\"add\"", "outputSchema", "structuredContent.sum"] {
            assert!(error.message.contains(part), "{part} in {}", error.message);
        }
        let failed = json!({"content": [], "isError": true, "structuredContent": {"sum": "3"}});
        call(&mut rig, "add", failed).expect("what failed is not checked");
        call(&mut rig, "add", json!({"content": []})).expect("nothing to check");
        call(&mut rig, "other", brings(json!({"sum": "3"}))).expect("another tool");
        // The tool may be another one now.
        rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        rig.take();
        call(&mut rig, "add", brings(json!({"sum": "3"}))).expect("its schema is not known");
    }
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

#[test]
fn servers_of_2025_03_26_may_send_batches() {
    for transport in [STREAM, Transport::Http] {
        for (revision, taken) in [("2025-03-26", true), ("2025-06-18", false)] {
            let mut rig = rig(transport, EraPolicy::Only(Era::Legacy));
            let (id, _) = rig.sent("initialize");
            rig.answer(id, initialized(revision));
            rig.confirm();
            rig.take();
            rig.start(1, "list_tools", json!({}));
            let (id, _) = rig.sent("tools/list");
            let batch = json!([
                {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"},
                {"jsonrpc": "2.0", "id": "p", "method": "ping"},
                {"jsonrpc": "2.0", "id": id, "result": {"tools": []}},
            ]);
            for message in batch.as_array().expect("an array") {
                rig.said.heard(message.to_string().as_bytes());
            }
            rig.conn.recv(rig.now, None, batch.to_string().into());
            let outputs = rig.take();
            let told = outputs.iter().any(|output| matches!(output, Output::Notification { .. }));
            let ponged = outputs.iter().any(|output| matches!(output, Output::Send { .. }));
            let ended = outputs.iter().any(|output| matches!(output, Output::Result { op: 1, .. }));
            assert_eq!([told, ponged, ended], [taken; 3], "{revision} {outputs:?}");
        }
    }
}
