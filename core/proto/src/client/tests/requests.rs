//! Requests and their answers.

use super::*;

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
    let tasks = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], tasks);
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
        (json!({"a": {"resultType": "complete"}, "b": 1, "resultType": "novel"}), Some("novel")),
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

/// All pages of a list are wanted; the answers to what is asked, in order, are these. What came of it.
fn whole_list(rig: &mut Rig, pages: &[Value]) -> Result<Value, ClientError> {
    rig.start_with(1, "list_tools", json!({}), CallOptions { all: true, ..CallOptions::default() });
    let mut cursor = Value::Null;
    for page in pages {
        let (id, params) = rig.sent("tools/list");
        assert_eq!(params["cursor"], cursor);
        cursor = page["nextCursor"].clone();
        rig.answer(id, page.clone());
    }
    rig.ended(1).map(|result| serde_json::from_str(result.as_str()).expect("JSON"))
}

fn page_of(names: &[&str], next: Option<&str>) -> Value {
    let tools: Vec<Value> = names.iter().map(|name| json!({"name": name, "inputSchema": {}})).collect();
    json!({"tools": tools, "nextCursor": next, "resultType": "complete"})
}

fn names_in(result: &Value) -> Vec<&str> {
    let tools = result["tools"].as_array().expect("a list");
    tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect()
}

#[test]
fn the_pages_of_a_whole_list_are_put_together() {
    for mut rig in [modern(STREAM), legacy(STREAM)] {
        let pages = [page_of(&["a", "b"], Some("x")), page_of(&[], Some("y")), page_of(&["c"], None)];
        let whole = whole_list(&mut rig, &pages).expect("a list");
        assert_eq!(names_in(&whole), ["a", "b", "c"]);
        // Some write an empty cursor where they mean none.
        let whole = whole_list(&mut rig, &[page_of(&["a"], Some(""))]).expect("a list");
        assert_eq!(names_in(&whole), ["a"]);
        assert_eq!(whole.get("nextCursor"), None);
    }
}

#[test]
fn a_list_whose_cursors_come_again_ends_with_what_there_is() {
    let mut rig = modern(STREAM);
    let pages = [page_of(&["a"], Some("x")), page_of(&["b"], Some("y")), page_of(&["c"], Some("x"))];
    let error = whole_list(&mut rig, &pages).expect_err("it has no end");
    assert_eq!(error.kind, "protocol");
    assert!(error.message.contains(r#"the cursor "x" twice"#), "{}", error.message);
    let data: Value = serde_json::from_str(error.data.expect("what there is").get()).expect("JSON");
    assert_eq!(names_in(&data), ["a", "b", "c"]);
}

#[test]
fn a_whole_list_is_bounded_in_pages_bytes_and_time() {
    let mut rig = modern(STREAM);
    let cursors: Vec<String> = (0..1000).map(|page| page.to_string()).collect();
    let pages: Vec<Value> = cursors.iter().map(|cursor| page_of(&["a"], Some(cursor))).collect();
    let error = whole_list(&mut rig, &pages).expect_err("too many");
    assert_eq!(error.kind, "limit");
    assert!(error.message.contains("1000 pages"), "{}", error.message);

    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let mut rig = modern_of(ClientConfig { transport: STREAM, limits, ..ClientConfig::default() });
    let name = "n".repeat(800);
    let pages: Vec<Value> = (0..20).map(|page| page_of(&[&name], Some(&cursors[page]))).collect();
    let error = whole_list(&mut rig, &pages).expect_err("too much");
    assert!(error.message.contains("16000 bytes (16 times maxMessageBytes)"), "{}", error.message);

    let mut rig = modern(STREAM);
    let second = Duration::from_secs(1);
    let options = CallOptions {
        all: true,
        timeout: Some(2 * second),
        total: Some(3 * second),
        ..CallOptions::default()
    };
    rig.start_with(1, "list_tools", json!({}), options);
    for cursor in cursors.iter().take(2) {
        let (id, _) = rig.sent("tools/list");
        rig.pass(second);
        rig.answer(id, page_of(&["a"], Some(cursor)));
    }
    rig.sent("tools/list");
    rig.pass(second);
    let outputs = rig.take();
    let Some(Output::Error { op: 1, error }) = outputs.last() else { panic!("{outputs:?}") };
    assert_eq!(error.kind, "timeout");
    let data: Value = serde_json::from_str(error.data.as_ref().expect("what there is").get()).expect("JSON");
    assert_eq!(names_in(&data), ["a", "a"]);
}

#[test]
fn an_entry_that_is_none_hides_no_others() {
    let cases = [
        ("list_tools", "tools", json!({"name": "odd"}), json!({"name": "fine", "inputSchema": {}})),
        ("list_resources", "resources", json!({"name": "odd"}), json!({"name": "fine", "uri": "a://b"})),
        (
            "list_resource_templates",
            "resourceTemplates",
            json!({"name": "odd"}),
            json!({"name": "fine", "uriTemplate": "a"}),
        ),
        ("list_prompts", "prompts", json!(7), json!({"name": "fine"})),
    ];
    for mut rig in [modern(STREAM), modern(Transport::Http), legacy(STREAM)] {
        for (op, list, odd, fine) in &cases {
            rig.start(1, op, json!({}));
            let (message, _) = rig.sent_message();
            rig.answer(message["id"].as_u64().expect("an id"), json!({*list: [odd, fine], "ttlMs": 1}));
            let outputs = rig.take();
            let [Output::EntryDropped { list: of, entry, .. }, Output::Result { result, .. }] = &outputs[..]
            else {
                panic!("{outputs:?}")
            };
            assert_eq!((*of, entry.as_str()), (*list, if odd.is_object() { "odd" } else { "#0" }));
            let result: Value = serde_json::from_str(result.as_str()).expect("JSON");
            assert_eq!(result, json!({*list: [fine], "ttlMs": 1}));
        }
    }
}

#[test]
fn an_answer_that_is_no_json_fails_its_call_at_once() {
    let nan = |id: u64| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"a":NaN}}}}"#).into_bytes();
    let latin = |id: u64| {
        let mut frame = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"a":"caf"#).into_bytes();
        frame.extend_from_slice(b"\xe9\"}}");
        frame
    };
    /// A frame by the id that it answers, and what is said of it.
    type Odd<'a> = (&'a dyn Fn(u64) -> Vec<u8>, &'a str);
    for transport in [STREAM, Transport::Http] {
        let mut rig = modern(transport);
        let frames: [Odd<'_>; 2] = [(&nan, "not valid JSON near \"NaN}}\""), (&latin, "not UTF-8")];
        for (frame, complaint) in frames {
            rig.start(1, "call_tool", json!({"name": "t"}));
            let (id, _) = rig.sent("tools/call");
            let post = (transport == Transport::Http).then_some(id);
            rig.conn.recv(rig.now, post, Bytes::from(frame(id)));
            let error = rig.ended(1).expect_err("no JSON");
            assert_eq!(error.kind, "protocol");
            assert!(error.message.contains(complaint), "{}", error.message);
        }
        // The connection lives.
        rig.start(2, "call_tool", json!({"name": "t"}));
        let (id, _) = rig.sent("tools/call");
        rig.answer(id, json!({"content": []}));
        rig.ended(2).expect("a result");
    }
    // So does the probe not wait for its time limit.
    let mut rig = rig(STREAM, EraPolicy::Auto);
    let (id, _) = rig.sent("server/discover");
    rig.conn.recv(rig.now, None, Bytes::from(nan(id)));
    assert_eq!(rig.connect_failure().kind, "protocol");
}

#[test]
fn events_that_are_no_messages_are_skipped() {
    let mut rig = modern(Transport::Http);
    rig.start(1, "call_tool", json!({"name": "t"}));
    let (id, _) = rig.sent("tools/call");
    for odd in [
        r#"{"type":"heartbeat"}"#,
        r#"{"level":"info","msg":"x"}"#,
        " ",
        "ping",
        "[]",
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":null}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":[ ]}"#,
    ] {
        rig.conn.recv(rig.now, Some(id), Bytes::from(odd.to_owned()));
    }
    let events: Vec<&str> = rig
        .take()
        .iter()
        .map(|output| match output {
            Output::Notification { event, .. } => *event,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(events, ["log", "tools_changed"]);
    rig.conn.recv(rig.now, Some(id), Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)));
    rig.ended(1).expect("a result");

    // Where nothing else comes, that is what is told.
    rig.start(1, "call_tool", json!({"name": "t"}));
    let (id, _) = rig.sent("tools/call");
    rig.conn.recv(rig.now, Some(id), Bytes::from_static(b"<html>"));
    rig.conn.stream_ended(rig.now, id);
    let error = rig.ended(1).expect_err("no answer");
    assert_eq!(error.kind, "protocol");
    assert!(error.message.contains("near \"<html>\""), "{}", error.message);
}

#[test]
fn odd_spellings_of_an_answer_are_understood() {
    let mut rig = modern(STREAM);
    let mut call = |frame: &dyn Fn(u64) -> String| {
        rig.start(1, "call_tool", json!({"name": "t"}));
        let (id, _) = rig.sent("tools/call");
        rig.conn.recv(rig.now, None, Bytes::from(frame(id)));
        rig.ended(1)
    };
    call(&|id| format!(r#"{{"jsonrpc":"2.0","id":{id}.0,"result":{{}}}}"#)).expect("a result");
    call(&|id| format!(r#"{{"jsonrpc":"2.0","id":"{id}","result":{{}}}}"#)).expect("a result");
    call(&|id| format!("\u{feff}{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}")).expect("a result");
    for result in ["null", "{}"] {
        let error = call(&|id| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{result},"error":{{"code":-32602,"message":"no"}}}}"#
            )
        });
        assert_eq!(error.expect_err("the error counts").kind, "invalid_params");
    }
    call(&|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}},"error":null}}"#)).expect("a result");
}

#[test]
fn progress_is_matched_by_odd_spellings_of_its_token_too() {
    let mut rig = modern(STREAM);
    rig.start_with(
        1,
        "call_tool",
        json!({"name": "t"}),
        CallOptions { progress: true, ..CallOptions::default() },
    );
    let (id, _) = rig.sent("tools/call");
    for token in [format!("{id}"), format!("\"{id}\""), format!("{id}.0")] {
        let params = format!(r#"{{"progressToken":{token},"progress":1}}"#);
        let frame = format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#);
        rig.conn.recv(rig.now, None, Bytes::from(frame));
        assert!(matches!(rig.take().as_slice(), [Output::Progress { op: 1, .. }]), "{token}");
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
fn what_exceeds_a_limit_fails_its_own_call() {
    let mut rig = modern(STREAM);
    rig.conn.config.limits.message_bytes = 1000;
    rig.start(1, "call_tool", json!({"name": "t", "arguments": {"text": "x".repeat(1000)}}));
    assert_eq!(rig.failed_as(1), "limit");
    rig.start(2, "list_tools", json!({}));
    let (id, _) = rig.sent("tools/list");
    rig.answer(id, json!({"tools": ["x".repeat(1000)]}));
    let error = rig.ended(2).expect_err("too large");
    assert_eq!(error.kind, "limit");
    assert!(error.message.contains("maxMessageBytes"), "{}", error.message);
    rig.conn.config.limits.depth = 5;
    rig.start(3, "list_tools", json!({}));
    let (id, _) = rig.sent("tools/list");
    rig.answer(id, json!({"tools": [[[[[[1]]]]]]}));
    assert_eq!(rig.failed_as(3), "protocol");
}

#[test]
fn a_missing_resource_is_one_kind_in_every_era() {
    for (mut rig, code) in [(modern(STREAM), -32602), (legacy(STREAM), -32002)] {
        rig.start(1, "read_resource", json!({"uri": "test://x"}));
        let (id, _) = rig.sent("resources/read");
        rig.refuse(id, code, json!({"uri": "test://x"}));
        let error = rig.ended(1).expect_err("not there");
        assert_eq!((error.kind, error.code), ("resource_not_found", code));
        rig.start(2, "read_resource", json!({"uri": ""}));
        let (id, _) = rig.sent("resources/read");
        rig.refuse(id, -32602, json!({"why": "empty"}));
        assert_eq!(rig.failed_as(2), "invalid_params");
    }
}

#[test]
fn stray_answers_mean_nothing() {
    let mut rig = modern(STREAM);
    rig.start(1, "list_tools", json!({}));
    let (id, _) = rig.sent("tools/list");
    rig.answer(id + 7, json!({}));
    rig.recv(json!({"jsonrpc": "2.0", "id": format!("x{id}"), "result": {}}));
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
fn an_answer_of_the_wrong_shape_ends_its_call() {
    let mut rig = modern(STREAM);
    for error in [
        json!({"code": "E1", "message": "x"}),
        json!({"code": 1.0, "message": "x"}),
        json!({"code": 1, "message": null}),
    ] {
        rig.start(1, "list_tools", json!({}));
        let (id, _) = rig.sent("tools/list");
        rig.recv(json!({"jsonrpc": "2.0", "id": id, "error": error}));
        assert_eq!(rig.failed_as(1), "protocol", "{error}");
    }
}

#[test]
fn a_refusal_says_what_the_server_asked_for() {
    let mut rig = modern(Transport::Http);
    let header =
        r#"Bearer error="insufficient_scope", error_description="read only", scope="a:read a:write""#;
    let said = "insufficient_scope: read only; scope: a:read a:write";
    for (status, header, wanted) in [
        (401, "Bearer", "401: the server wants authorization".to_owned()),
        (401, header, format!("401: the server wants authorization ({said})")),
        (403, header, format!("403: the server refuses access ({said})")),
    ] {
        rig.start(1, "list_tools", json!({}));
        let (id, _) = rig.sent("tools/list");
        let asked = crate::auth::challenge::read([header.as_bytes()]);
        rig.conn.failed(rig.now, id, TransportFailure::Status { status, body: Bytes::new(), asked });
        let error = rig.ended(1).expect_err("refused");
        assert_eq!(error.message, format!("the server answered with HTTP status {wanted}"));
        assert_eq!(error.kind, "unauthorized");
    }
}

/// Whatever code the server gives its refusal, a program asks for one kind.
#[test]
fn a_refusal_is_one_kind_whatever_its_body_says() {
    let mut rig = modern(Transport::Http);
    let reasoned = json!({"code": -32600, "message": "a token is required", "data": {"reason": "no_token"}});
    let bare = json!({"code": -32001, "message": "not today"});
    for (status, header, error, kind, data) in [
        (401, "Bearer", &reasoned, "unauthorized", Some(r#"{"reason":"no_token"}"#)),
        (401, "Bearer", &bare, "unauthorized", Some(r#"{"reason":"unauthorized"}"#)),
        (
            403,
            "Bearer error=\"insufficient_scope\"",
            &bare,
            "unauthorized",
            Some(r#"{"reason":"forbidden"}"#),
        ),
        // Nothing says that tokens would change it.
        (403, "", &reasoned, "invalid_request", Some(r#"{"reason":"no_token"}"#)),
    ] {
        rig.start(1, "list_tools", json!({}));
        let (id, _) = rig.sent("tools/list");
        let body = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string().into();
        let asked = crate::auth::challenge::read([header.as_bytes()]);
        rig.conn.failed(rig.now, id, TransportFailure::Status { status, body, asked });
        let refused = rig.ended(1).expect_err("refused");
        let said = error["message"].as_str().expect("a text");
        assert_eq!(refused.message.matches(said).count(), 1, "{}", refused.message);
        assert_eq!(
            (refused.kind, refused.data.as_deref().map(|data| data.get())),
            (kind, data),
            "{status} {header}"
        );
    }
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
        (
            |rig, id| {
                rig.conn.recv(rig.now, Some(id), Bytes::from_static(b"{"));
                rig.conn.stream_ended(rig.now, id);
            },
            "protocol",
        ),
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
