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
