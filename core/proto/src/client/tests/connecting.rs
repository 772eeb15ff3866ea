//! Detection of a server's era.

use super::*;

#[test]
fn a_modern_server_is_ready_after_one_probe() {
    let mut rig = rig(Transport::Http, EraPolicy::Auto);
    let (message, post) = rig.sent_message();
    let post = post.expect("a POST");
    assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"], "trunnion");
    assert_eq!(header_of(&post, header::PROTOCOL_VERSION), Some("2026-07-28"));
    assert_eq!(header_of(&post, header::METHOD), Some("server/discover"));
    rig.conn.session_assigned(post.post, "stray");
    rig.answer(post.post, discovered());
    let [Output::Ready(facts)] = &rig.take()[..] else { panic!("ready") };
    assert_eq!(
        facts.to_json(),
        r#"{"era":"modern","revision":"2026-07-28","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"},"instructions":"be kind"}"#
    );
    assert_eq!(rig.conn.next_deadline(), None);
    rig.start(1, "ping", json!({}));
    let (message, post) = rig.sent_message();
    assert_eq!(message["method"], "server/discover", "what stands for ping in the modern era");
    assert_eq!(header_of(&post.expect("a POST"), header::SESSION_ID), None);
    rig.answer(message["id"].as_u64().expect("id"), discovered());
    assert_eq!(rig.ended(1).expect("a result").as_str(), "{}");
}

#[test]
fn servers_that_answer_the_probe_wrongly_get_the_handshake() {
    type Answer = fn(&mut Rig, u64);
    let http: &[Answer] = &[
        |rig, id| rig.answer(id, json!({})),
        |rig, id| rig.refuse(id, -32601, Value::Null),
        |rig, id| rig.refuse(id, -32602, Value::Null),
        |rig, id| rig.status(id, 400, ""),
        |rig, id| rig.status(id, 404, "<html>"),
        |rig, id| rig.status(id, 405, ""),
        |rig, id| {
            rig.status(
                id,
                400,
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#,
            );
        },
        |rig, id| rig.conn.stream_ended(rig.now, id),
        |rig, id| rig.refuse(id, -32022, json!({"supported": ["2025-11-25", "2025-06-18"]})),
        |rig, id| rig.answer(id, json!({"supportedVersions": ["2025-11-25"]})),
    ];
    for (index, answer) in http.iter().enumerate() {
        let mut rig = rig(Transport::Http, EraPolicy::Auto);
        let (id, _) = rig.sent("server/discover");
        answer(&mut rig, id);
        let (message, post) = rig.sent_message();
        assert_eq!(message["method"], "initialize", "case {index}");
        assert_eq!(message["params"]["protocolVersion"], "2025-11-25");
        assert!(message["params"].get("_meta").is_none());
        let post = post.expect("a POST");
        assert!(post.headers.is_empty());
        rig.conn.session_assigned(post.post, "abc");
        rig.answer(post.post, initialized("2025-06-18"));
        rig.start(9, "list_tools", json!({}));
        rig.drain();
        assert_eq!(rig.seen.len(), 1, "requests wait until the server knows");
        rig.confirm();
        let outputs = rig.take();
        let [Output::Ready(facts), Output::Open { .. }, Output::Send { post: Some(post), bytes }] =
            &outputs[..]
        else {
            panic!("{outputs:?}")
        };
        assert_eq!(facts.revision, Revision::V2025_06_18);
        assert!(!bytes.windows(5).any(|window| window == b"_meta"));
        assert_eq!(header_of(post, header::PROTOCOL_VERSION), Some("2025-06-18"));
        assert_eq!(header_of(post, header::SESSION_ID), Some("abc"));
        let farewell = rig.conn.session_end().expect("a session");
        assert_eq!(header_of(&farewell, header::SESSION_ID), Some("abc"));
        assert!(rig.conn.session_end().is_none());
    }
}

#[test]
fn what_says_nothing_of_the_era_fails() {
    for status in [401, 402, 403, 407, 408, 425, 429, 500, 502, 503, 301] {
        let mut rig = rig(Transport::Http, EraPolicy::Auto);
        let (id, _) = rig.sent("server/discover");
        rig.status(id, status, "");
        let error = rig.connect_failure();
        assert_eq!(error.kind, if status == 401 { "unauthorized" } else { "transport" });
        assert!(error.message.contains(&status.to_string()), "{}", error.message);
    }
    let mut rig = rig(Transport::Http, EraPolicy::Auto);
    let (id, _) = rig.sent("server/discover");
    rig.conn.failed(rig.now, id, TransportFailure::Connection("connection refused".into()));
    assert_eq!(rig.connect_failure().message, "connection refused");
}

#[test]
fn recognised_modern_errors_never_fall_back() {
    for code in [-32020, -32021] {
        let mut rig = rig(Transport::Http, EraPolicy::Auto);
        let (id, _) = rig.sent("server/discover");
        let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no"}}).to_string();
        rig.status(id, 400, &body);
        assert_eq!(rig.connect_failure().code, code);
    }
    let mut rig = rig(STREAM, EraPolicy::Auto);
    let (id, _) = rig.sent("server/discover");
    rig.refuse(id, -32022, json!({"supported": ["2027-01-01"]}));
    assert_eq!(rig.connect_failure().kind, "unsupported_version");
}

#[test]
fn a_refused_version_is_tried_again_once() {
    let mut rig = rig(Transport::Http, EraPolicy::Auto);
    let (first, _) = rig.sent("server/discover");
    let refusal = |id| {
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32022, "message": "no",
            "data": {"supported": ["2026-07-28"]}}})
        .to_string()
    };
    rig.status(first, 400, &refusal(first));
    let (second, _) = rig.sent("server/discover");
    assert_ne!(first, second);
    rig.status(second, 400, &refusal(second));
    assert_eq!(rig.connect_failure().kind, "unsupported_version");

    let mut rig = modern(Transport::Http);
    rig.start(1, "call_tool", json!({"name": "t"}));
    let (first, _) = rig.sent("tools/call");
    rig.status(first, 400, &refusal(first));
    let (second, _) = rig.sent("tools/call");
    rig.refuse(second, -32022, json!({"supported": ["2026-07-28"]}));
    assert_eq!(rig.failed_as(1), "unsupported_version");
}

#[test]
fn one_era_only_means_it() {
    let mut only_modern = rig(STREAM, EraPolicy::Only(Era::Modern));
    let (id, _) = only_modern.sent("server/discover");
    only_modern.refuse(id, -32601, Value::Null);
    assert_eq!(only_modern.connect_failure().kind, "method_not_found");

    let mut silent = rig(CHILD, EraPolicy::Only(Era::Modern));
    silent.sent("server/discover");
    silent.pass(Duration::from_secs(9));
    assert!(silent.take().is_empty());
    silent.pass(Duration::from_secs(1));
    assert_eq!(silent.connect_failure().kind, "timeout");

    let mut legacy = rig(STREAM, EraPolicy::Only(Era::Legacy));
    let (id, _) = legacy.sent("initialize");
    legacy.answer(id, initialized("2026-07-28"));
    assert_eq!(legacy.connect_failure().kind, "unsupported_version");
}

#[test]
fn silence_and_death_restart_a_child_once() {
    for death in [false, true] {
        let mut rig = rig(CHILD, EraPolicy::Auto);
        let (probe, _) = rig.sent("server/discover");
        if death {
            rig.conn.peer_closed("exit status: 1");
        } else {
            assert_eq!(rig.conn.next_deadline(), Some(Duration::from_secs(3)));
            rig.pass(Duration::from_secs(3));
        }
        assert!(matches!(rig.take().as_slice(), [Output::Restart]));
        rig.start(1, "list_tools", json!({}));
        rig.conn.restarted();
        let (id, _) = rig.sent("initialize");
        rig.answer(probe, discovered());
        assert!(rig.take().is_empty(), "a late answer means nothing");
        if death {
            rig.conn.peer_closed("exit status: 2");
            let outputs = rig.take();
            let [Output::Error { op: 1, error }, Output::ConnectFailed(_), Output::Closed { reason }] =
                &outputs[..]
            else {
                panic!("{outputs:?}")
            };
            assert_eq!((error.kind, reason.as_str()), ("transport", "exit status: 2"));
        } else {
            rig.answer(id, initialized("2024-11-05"));
            rig.confirm();
            assert!(matches!(rig.take().as_slice(), [Output::Ready(_), Output::Send { .. }]));
        }
    }
}

#[test]
fn a_silent_stream_gets_the_handshake_and_then_the_time_limit() {
    let mut rig = rig(STREAM, EraPolicy::Auto);
    rig.sent("server/discover");
    rig.pass(Duration::from_secs(3));
    rig.sent("initialize");
    rig.start(1, "list_tools", json!({}));
    assert_eq!(rig.conn.next_deadline(), Some(Duration::from_secs(10)));
    rig.pass(Duration::from_secs(7));
    let outputs = rig.take();
    assert!(
        matches!(&outputs[..], [Output::Error { op: 1, .. }, Output::ConnectFailed(error), Output::Closed { .. }] if error.kind == "timeout")
    );
}

#[test]
fn a_silent_http_server_gets_the_handshake_too() {
    let mut rig = rig(Transport::Http, EraPolicy::Auto);
    let (probe, _) = rig.sent("server/discover");
    assert_eq!(rig.conn.next_deadline(), Some(Duration::from_secs(3)));
    rig.pass(Duration::from_secs(3));
    let Output::Abort { post } = rig.take_first() else { panic!("the probe is given up") };
    assert_eq!(post, probe);
    let (id, _) = rig.sent("initialize");
    rig.conn.stream_ended(rig.now, probe);
    rig.answer(id, initialized("2025-06-18"));
    rig.confirm();
    assert!(matches!(rig.take().as_slice(), [Output::Ready(_)]));

    let mut only_modern = self::rig(Transport::Http, EraPolicy::Only(Era::Modern));
    only_modern.sent("server/discover");
    assert_eq!(only_modern.conn.next_deadline(), Some(Duration::from_secs(10)), "nothing to fall back to");
}

#[test]
fn connecting_has_its_time_and_the_probe_half_of_it() {
    let mut rig = rig_of(ClientConfig {
        transport: STREAM,
        connect_timeout: Duration::from_secs(4),
        ..ClientConfig::default()
    });
    rig.sent("server/discover");
    assert_eq!(rig.conn.next_deadline(), Some(Duration::from_secs(2)));
    rig.pass(Duration::from_secs(2));
    rig.sent("initialize");
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.connect_failure().kind, "timeout");
}

#[test]
fn a_modern_server_that_was_slow_to_wake_up_is_probed_again() {
    let mut rig = rig(Transport::Http, EraPolicy::Auto);
    rig.sent("server/discover");
    rig.pass(Duration::from_secs(3));
    rig.take_first();
    let refusal = |id: u64| {
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32022, "message": "no",
            "data": {"supported": ["2026-07-28"]}}})
        .to_string()
    };
    let (id, _) = rig.sent("initialize");
    rig.status(id, 400, &refusal(id));
    let (id, _) = rig.sent("server/discover");
    rig.answer(id, discovered());
    let [Output::Ready(facts)] = &rig.take()[..] else { panic!("ready") };
    assert_eq!(facts.revision, Revision::LATEST);
}

#[test]
fn a_modern_server_that_was_started_again_for_its_silence_is_probed_again() {
    let supported = json!({"supported": ["2026-07-28"]});
    for (code, data) in [(-32022, supported.clone()), (-32602, supported), (-32022, json!(null))] {
        let mut rig = rig(CHILD, EraPolicy::Auto);
        rig.sent("server/discover");
        rig.pass(Duration::from_secs(3));
        assert!(matches!(rig.take_first(), Output::Restart));
        rig.conn.restarted();
        let (id, _) = rig.sent("initialize");
        assert!(rig.conn.is_guess());
        rig.refuse(id, code, data);
        let (id, _) = rig.sent("server/discover");
        rig.answer(id, discovered());
        assert!(matches!(&rig.take()[..], [Output::Ready(facts)] if facts.revision == Revision::LATEST));
        assert!(!rig.conn.is_guess());
    }
}

#[test]
fn connecting_can_be_given_up() {
    let mut rig = rig(STREAM, EraPolicy::Auto);
    rig.sent("server/discover");
    assert!(rig.conn.cancel_connect(""));
    assert_eq!(rig.connect_failure().kind, "cancelled");
    assert!(!rig.conn.cancel_connect(""));
    rig.conn.close();
    rig.start(1, "list_tools", json!({}));
    assert_eq!(rig.failed_as(1), "closed");
}
