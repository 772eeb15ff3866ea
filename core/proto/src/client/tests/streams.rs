//! Streams of a legacy HTTP server: opened, broken, resumed; sessions that end; the older transport.

use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn mark(id: &str, retry: Option<u64>) -> StreamMark {
    StreamMark {
        last_event_id: Some(id).filter(|id| !id.is_empty()).map(str::to_owned),
        retry: retry.map(ms),
    }
}

/// The only output is this GET.
fn opened(rig: &mut Rig) -> PostHead {
    match rig.take().as_slice() {
        [Output::Open { head, endpoint: false }] => (**head).clone(),
        other => panic!("expected a GET, got {other:?}"),
    }
}

fn broken(rig: &mut Rig, post: u64) {
    rig.conn.failed(rig.now, post, TransportFailure::Connection("reset".into()));
}

/// Passes the time up to the next deadline.
fn wait(rig: &mut Rig) -> Duration {
    let due = rig.conn.next_deadline().expect("a deadline");
    let time = due - rig.now;
    if !time.is_zero() {
        rig.pass(time - Duration::from_nanos(1));
        assert!(rig.take().is_empty(), "nothing before its time");
        rig.pass(Duration::from_nanos(1));
    } else {
        rig.pass(time);
    }
    time
}

fn call(rig: &mut Rig, op: u64) -> u64 {
    rig.start(op, "call_tool", json!({"name": "t"}));
    rig.sent("tools/call").0
}

#[test]
fn the_standalone_stream_belongs_to_a_session() {
    let mut rig = rig(Transport::Http, EraPolicy::Only(Era::Legacy));
    let (id, _) = rig.sent("initialize");
    rig.answer(id, initialized("2025-06-18"));
    rig.confirm();
    assert!(matches!(rig.take().as_slice(), [Output::Ready(_)]), "no session, no stream");

    let mut rig = legacy(Transport::Http);
    let get = rig.standalone;
    assert!(rig.conn.expects(get));
    rig.conn.stream_marked(get, StreamMark::default());
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    rig.conn.recv(rig.now, Some(get), Bytes::from(changed.to_string()));
    assert!(matches!(rig.take().as_slice(), [Output::Notification { event: "tools_changed", .. }]));
    rig.conn.recv(rig.now, Some(get), Bytes::from_static(b"{nonsense"));
    assert!(rig.take().is_empty());
    rig.conn.stream_marked(get, mark("7", Some(300)));
    rig.conn.stream_ended(rig.now, get);
    assert!(rig.take().is_empty() && !rig.conn.expects(get));
    assert_eq!(wait(&mut rig), ms(300));
    let head = opened(&mut rig);
    assert_eq!(header_of(&head, "Last-Event-ID"), Some("7"));
    assert_eq!(header_of(&head, header::SESSION_ID), Some("s-1"));
    assert_eq!(header_of(&head, header::PROTOCOL_VERSION), Some("2025-11-25"));
    // An id that was taken back is not sent again.
    rig.conn.stream_marked(head.post, StreamMark { last_event_id: Some(String::new()), retry: None });
    rig.conn.stream_ended(rig.now, head.post);
    assert_eq!(wait(&mut rig), ms(300), "the reconnection time stays");
    assert_eq!(header_of(&opened(&mut rig), "Last-Event-ID"), None);
}

#[test]
fn a_server_without_the_standalone_stream_is_left_alone() {
    for status in [400, 401, 403, 404, 405, 406, 204] {
        let mut rig = legacy(Transport::Http);
        rig.status(rig.standalone, status, "");
        assert!(rig.take().is_empty());
        assert_eq!(rig.conn.next_deadline(), None, "{status}");
    }
    let mut rig = legacy(Transport::Http);
    rig.conn.failed(rig.now, rig.standalone, TransportFailure::NoStream);
    assert!(rig.take().is_empty() && rig.conn.next_deadline().is_none());
}

#[test]
fn attempts_that_bring_nothing_get_rarer_and_end() {
    for status in [None, Some(503), Some(429)] {
        let mut rig = legacy(Transport::Http);
        let mut get = rig.standalone;
        let mut waits = Vec::new();
        for round in 1..=8 {
            match status {
                Some(status) => rig.status(get, status, ""),
                None => broken(&mut rig, get),
            }
            if round == 8 {
                break;
            }
            waits.push(wait(&mut rig));
            get = opened(&mut rig).post;
        }
        for (round, waited) in waits.iter().enumerate() {
            let least = ms(1000 << round).min(ms(30_000));
            assert!((least..=least * 5 / 4).contains(waited), "round {round}: {waited:?}");
        }
        assert!(matches!(rig.take().as_slice(), [Output::StreamLost { .. }]));
        assert_eq!(rig.conn.next_deadline(), None);
    }
}

#[test]
fn a_stream_that_was_open_for_a_while_is_opened_again_for_ever() {
    let mut rig = legacy(Transport::Http);
    let mut get = rig.standalone;
    for _ in 0..50 {
        rig.pass(ms(60_000));
        rig.conn.stream_ended(rig.now, get);
        assert_eq!(wait(&mut rig), ms(1000));
        get = opened(&mut rig).post;
    }
}

#[test]
fn clients_of_one_server_do_not_come_back_together() {
    let waits = |seed| {
        let config = ClientConfig { era: EraPolicy::Only(Era::Legacy), seed, ..ClientConfig::default() };
        let mut rig = rig_of(config);
        let (id, _) = rig.sent("initialize");
        rig.conn.session_assigned(id, "s");
        rig.answer(id, initialized("2025-11-25"));
        rig.confirm();
        let get = match rig.take().as_slice() {
            [Output::Ready(_), Output::Open { head, .. }] => head.post,
            other => panic!("{other:?}"),
        };
        broken(&mut rig, get);
        wait(&mut rig)
    };
    assert_ne!(waits(1), waits(2));
}

#[test]
fn a_response_that_breaks_off_is_resumed_after_just_the_time_the_server_asks_for() {
    // Or up to a quarter more where it was lost: so were those of all other clients, if the server was restarted.
    for (retry, waited) in [(Some(500), 500), (None, 1000), (Some(0), 10)] {
        for ends in [true, false] {
            let mut rig = legacy(Transport::Http);
            let post = call(&mut rig, 1);
            rig.conn.stream_marked(post, mark("e 1é", retry));
            if ends {
                rig.conn.stream_ended(rig.now, post);
            } else {
                broken(&mut rig, post);
            }
            assert!(rig.take().is_empty());
            let spread = if ends { ms(0) } else { ms(waited) / 4 };
            let waits = wait(&mut rig);
            assert!(ms(waited) <= waits && waits <= ms(waited) + spread, "{waits:?}");
            let head = opened(&mut rig);
            assert_eq!(header_of(&head, "Last-Event-ID"), Some("e 1é"));
            assert!(rig.conn.expects(head.post));
            rig.answer(post, json!({"content": []}));
            let outputs = rig.take();
            let [Output::Result { op: 1, .. }, Output::Abort { post: aborted }] = &outputs[..] else {
                panic!("{outputs:?}")
            };
            assert_eq!(*aborted, head.post, "nothing more is wanted of it");
            assert!(!rig.conn.expects(head.post));
        }
    }
}

#[test]
fn clients_of_a_server_that_was_restarted_come_back_at_different_times() {
    let waits = |seed| {
        let config = ClientConfig { transport: Transport::Http, seed, ..ClientConfig::default() };
        let mut rig = legacy_of(config, json!({}));
        let get = rig.standalone;
        rig.conn.stream_marked(get, mark("1", Some(1000)));
        broken(&mut rig, get);
        wait(&mut rig)
    };
    assert_ne!(waits(1), waits(2));
}

#[test]
fn what_has_no_usable_event_id_is_not_resumed() {
    let long = "x".repeat(5000);
    for id in ["", "a\u{7}b", &long] {
        let mut rig = legacy(Transport::Http);
        let post = call(&mut rig, 1);
        rig.conn.stream_marked(post, mark(id, Some(5)));
        rig.conn.stream_ended(rig.now, post);
        assert_eq!(rig.failed_as(1), "transport");
    }
    let mut rig = modern(Transport::Http);
    let post = call(&mut rig, 1);
    rig.conn.stream_marked(post, mark("1", None));
    rig.conn.stream_ended(rig.now, post);
    assert_eq!(rig.failed_as(1), "transport", "modern streams are never resumed");
}

#[test]
fn polling_goes_on_while_it_brings_something() {
    let mut rig = legacy(Transport::Http);
    let post = call(&mut rig, 1);
    rig.conn.stream_marked(post, mark("0", Some(200)));
    rig.conn.stream_ended(rig.now, post);
    for round in 1..=40 {
        assert_eq!(wait(&mut rig), ms(200));
        let head = opened(&mut rig);
        assert_eq!(header_of(&head, "Last-Event-ID"), Some((round - 1).to_string().as_str()));
        rig.conn.stream_marked(head.post, mark(&round.to_string(), None));
        rig.conn.stream_ended(rig.now, head.post);
    }
    for round in 0..8 {
        wait(&mut rig);
        let get = opened(&mut rig).post;
        rig.conn.stream_ended(rig.now, get);
        assert!(round == 7 || rig.take().is_empty());
    }
    let error = rig.ended(1).expect_err("given up");
    assert!(error.kind == "transport" && error.message.contains("cannot be resumed"), "{error}");
}

#[test]
fn a_resumption_that_is_refused_fails_the_call() {
    for status in [400, 404, 405] {
        let mut rig = legacy(Transport::Http);
        let post = call(&mut rig, 1);
        rig.conn.stream_marked(post, mark("1", None));
        rig.conn.stream_ended(rig.now, post);
        wait(&mut rig);
        let get = opened(&mut rig).post;
        rig.status(get, status, "");
        assert_eq!(rig.failed_as(1), "transport", "{status}");
    }
    let mut rig = legacy(Transport::Http);
    let post = call(&mut rig, 1);
    rig.conn.stream_marked(post, mark("1", None));
    rig.conn.stream_ended(rig.now, post);
    wait(&mut rig);
    let get = opened(&mut rig).post;
    rig.conn.recv(rig.now, Some(get), Bytes::from_static(b"{nonsense"));
    assert!(rig.take().is_empty(), "an event that is no message is skipped");
    let nonsense = format!(r#"{{"jsonrpc":"2.0","id":{post},"result":nonsense}}"#);
    rig.conn.recv(rig.now, Some(get), Bytes::from(nonsense));
    let outputs = rig.take();
    assert!(
        matches!(&outputs[..], [Output::Error { op: 1, error }, Output::Abort { .. }] if error.kind == "protocol"),
        "{outputs:?}"
    );
}

#[test]
fn what_waits_for_its_resumption_can_time_out_and_be_cancelled() {
    for (open, cancel) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut rig = legacy(Transport::Http);
        let options = CallOptions { timeout: Some(ms(5000)), ..CallOptions::default() };
        rig.start_with(1, "call_tool", json!({"name": "t"}), options);
        let (post, _) = rig.sent("tools/call");
        rig.conn.stream_marked(post, mark("1", Some(if open { 100 } else { 60_000 })));
        rig.conn.stream_ended(rig.now, post);
        let get = open.then(|| {
            wait(&mut rig);
            opened(&mut rig).post
        });
        if cancel {
            assert!(rig.conn.cancel(1, "enough"));
        } else {
            rig.pass(ms(5000));
        }
        let outputs = rig.take();
        let kind = if cancel { "cancelled" } else { "timeout" };
        assert!(
            outputs
                .iter()
                .any(|output| matches!(output, Output::Error { op: 1, error } if error.kind == kind))
        );
        let aborted =
            |get| outputs.iter().any(|output| matches!(output, Output::Abort { post } if *post == get));
        assert!(get.is_none_or(aborted), "{outputs:?}");
        assert_eq!(rig.conn.next_deadline(), None);
    }
}

#[test]
fn the_standalone_stream_waits_for_the_resumption() {
    let mut rig = legacy(Transport::Http);
    let post = call(&mut rig, 1);
    rig.conn.stream_marked(rig.standalone, mark("s", Some(100)));
    rig.conn.stream_ended(rig.now, rig.standalone);
    rig.conn.stream_marked(post, mark("p", Some(500)));
    rig.conn.stream_ended(rig.now, post);
    assert_eq!(wait(&mut rig), ms(500));
    let outputs = rig.take();
    let [Output::Open { head: first, .. }, Output::Open { head: second, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(header_of(first, "Last-Event-ID"), Some("p"));
    assert_eq!(header_of(second, "Last-Event-ID"), Some("s"));
}

// ------------------------------------------------------------------------------------------ sessions

/// The handshake of a new session goes well; what follows its stream for what belongs to no request.
fn renewed(rig: &mut Rig, session: &str) -> Vec<Output> {
    let (message, post) = rig.sent_message();
    assert_eq!(message["method"], "initialize");
    let post = post.expect("a POST");
    assert_eq!(header_of(&post, header::SESSION_ID), None);
    rig.conn.session_assigned(post.post, session);
    rig.answer(post.post, initialized("2025-11-25"));
    rig.confirm();
    let mut outputs = rig.take();
    assert!(matches!(outputs.remove(0), Output::Open { .. }), "and no second Ready");
    outputs
}

#[test]
fn requests_of_a_session_that_is_over_are_sent_again_in_a_new_one() {
    let mut rig = legacy(Transport::Http);
    let (first, second, third) = (call(&mut rig, 1), call(&mut rig, 2), call(&mut rig, 3));
    rig.status(rig.standalone, 405, "");
    rig.status(first, 404, "");
    rig.drain();
    assert_eq!(rig.seen.len(), 1, "one handshake");
    rig.status(second, 404, "");
    rig.drain();
    assert_eq!(rig.seen.len(), 1, "for all of them");
    assert!(!rig.conn.cancel_connect(""), "the host knows it as connected");
    rig.start(4, "list_tools", json!({}));
    let outputs = renewed(&mut rig, "s-2");
    let heads: Vec<&PostHead> = outputs
        .iter()
        .map(|output| match output {
            Output::Send { post: Some(post), .. } => &**post,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heads.len(), 3);
    assert!(heads.iter().all(|head| header_of(head, header::SESSION_ID) == Some("s-2")));
    // One that was slow to be refused.
    rig.status(third, 404, "");
    let (again, _) = rig.sent("tools/call");
    rig.answer(again, json!({"content": []}));
    assert!(rig.ended(3).is_ok());
    // A second refusal is the last.
    let post = heads[0].post;
    rig.status(post, 404, "");
    assert_eq!(rig.failed_as(1), "transport");
    assert_eq!(header_of(&rig.conn.session_end().expect("a session"), header::SESSION_ID), Some("s-2"));
}

#[test]
fn what_was_being_answered_in_a_session_that_is_over_fails() {
    let mut rig = legacy(Transport::Http);
    rig.status(rig.standalone, 405, "");
    let (refused, streaming, waiting) = (call(&mut rig, 1), call(&mut rig, 2), call(&mut rig, 3));
    for post in [streaming, waiting] {
        rig.conn.stream_marked(post, mark("1", Some(5000)));
    }
    rig.conn.stream_ended(rig.now, waiting);
    rig.status(refused, 404, "");
    let error = rig.take_first();
    assert!(matches!(error, Output::Error { op: 3, error } if error.kind == "transport"));
    let outputs = renewed(&mut rig, "s-2");
    assert_eq!(outputs.len(), 1);
    rig.conn.stream_ended(rig.now, streaming);
    assert_eq!(rig.failed_as(2), "transport", "a stream of the old session is not resumed in the new one");
}

#[test]
fn a_session_that_cannot_be_replaced_fails_what_waits_for_it() {
    type Failure = fn(&mut Rig, u64);
    let failures: [(Failure, &str); 3] = [
        (|rig, id| rig.status(id, 503, ""), "transport"),
        (|rig, id| rig.refuse(id, -32603, Value::Null), "internal_error"),
        (|rig, _| rig.pass(ms(10_000)), "timeout"),
    ];
    for (fail, kind) in failures {
        let mut rig = legacy(Transport::Http);
        rig.status(rig.standalone, 405, "");
        let post = call(&mut rig, 1);
        rig.status(post, 404, "");
        let (id, _) = rig.sent("initialize");
        fail(&mut rig, id);
        let outputs = rig.take();
        assert!(
            matches!(outputs.last(), Some(Output::Error { op: 1, error }) if error.kind == kind),
            "{outputs:?}"
        );
        assert!(!rig.conn.is_closed());
        // The next request tries once more.
        let post = call(&mut rig, 2);
        rig.status(post, 404, "");
        assert_eq!(renewed(&mut rig, "s-3").len(), 1);
    }
}

#[test]
fn a_client_that_only_listens_notices_the_end_of_its_session() {
    let mut rig = legacy(Transport::Http);
    rig.conn.stream_marked(rig.standalone, StreamMark::default());
    let get = rig.standalone;
    broken(&mut rig, get);
    wait(&mut rig);
    let get = opened(&mut rig).post;
    rig.status(get, 404, "");
    assert!(renewed(&mut rig, "s-2").is_empty());

    // A request is refused while the stream is open: the stream goes with the session.
    let mut rig = legacy(Transport::Http);
    let post = call(&mut rig, 1);
    rig.status(post, 404, "");
    assert!(matches!(rig.take_first(), Output::Abort { post } if post == rig.standalone));
    assert_eq!(renewed(&mut rig, "s-2").len(), 1);
}

// ------------------------------------------------------------------------------------- HTTP+SSE

fn channel(rig: &mut Rig) -> u64 {
    match rig.take().as_slice() {
        [Output::Open { head, endpoint: true }] => {
            assert!(head.headers.is_empty());
            head.post
        }
        other => panic!("expected a GET, got {other:?}"),
    }
}

fn http(http: HttpTransport, era: EraPolicy) -> Rig {
    let config = ClientConfig { http, era, ..ClientConfig::default() };
    rig_of(config)
}

fn over_channel() -> (Rig, u64) {
    let mut rig = http(HttpTransport::Sse, EraPolicy::Auto);
    let get = channel(&mut rig);
    rig.conn.endpoint_found(get);
    let (id, _) = rig.sent("initialize");
    rig.conn.recv(rig.now, Some(id), Bytes::from_static(b"Accepted"));
    rig.conn.stream_ended(rig.now, id);
    assert!(rig.take().is_empty(), "that it was taken is no answer");
    rig.conn.session_assigned(id, "stray");
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": initialized("2024-11-05")});
    rig.conn.recv(rig.now, Some(get), Bytes::from(answer.to_string()));
    rig.confirm();
    assert!(matches!(rig.take().as_slice(), [Output::Ready(_)]));
    (rig, get)
}

#[test]
fn the_older_transport_answers_on_its_one_stream() {
    let (mut rig, get) = over_channel();
    let post = call(&mut rig, 1);
    rig.conn.stream_ended(rig.now, post);
    assert!(rig.take().is_empty() && rig.conn.expects(get));
    let answer = json!({"jsonrpc": "2.0", "id": post, "result": {"content": []}});
    rig.conn.recv(rig.now, Some(get), Bytes::from(answer.to_string()));
    assert!(rig.ended(1).is_ok());
    let post = call(&mut rig, 2);
    rig.status(post, 404, "");
    assert_eq!(rig.failed_as(2), "transport", "there is no session to replace");
    call(&mut rig, 3);
    rig.conn.stream_ended(rig.now, get);
    assert!(matches!(rig.take().as_slice(), [Output::Error { op: 3, .. }, Output::Closed { .. }]));
    assert!(rig.conn.session_end().is_none());
}

#[test]
fn a_revision_known_beforehand_is_asked_for_over_the_older_transport_too() {
    let begun = |prior| {
        let config = ClientConfig { http: HttpTransport::Sse, prior: Some(prior), ..ClientConfig::default() };
        let mut rig = rig_of(config);
        let get = channel(&mut rig);
        rig.conn.endpoint_found(get);
        let (id, params) = rig.sent("initialize");
        (rig, get, id, params["protocolVersion"].clone())
    };
    assert_eq!(begun(Revision::V2026_07_28).3, "2025-11-25", "the modern era is not spoken there");
    let (mut rig, get, id, asked) = begun(Revision::V2024_11_05);
    assert_eq!(asked, "2024-11-05");
    // A wrong one costs a round trip, and the modern era is not looked for.
    let no = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "no"}});
    rig.conn.recv(rig.now, Some(get), Bytes::from(no.to_string()));
    let (id, params) = rig.sent("initialize");
    assert_eq!(params["protocolVersion"], "2025-11-25");
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": initialized("2025-06-18")});
    rig.conn.recv(rig.now, Some(get), Bytes::from(answer.to_string()));
    rig.confirm();
    assert!(
        matches!(rig.take().as_slice(), [Output::Ready(facts)] if facts.revision == Revision::V2025_06_18)
    );
}

#[test]
fn a_server_that_refuses_the_handshake_may_speak_the_older_transport() {
    for (status, body) in [
        (400, ""),
        (404, ""),
        (405, "<html>"),
        (400, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}"#),
    ] {
        let mut rig = http(HttpTransport::Auto, EraPolicy::Only(Era::Legacy));
        let (id, _) = rig.sent("initialize");
        rig.status(id, status, body);
        let get = channel(&mut rig);
        rig.conn.endpoint_found(get);
        let (id, _) = rig.sent("initialize");
        rig.status(id, status, body);
        assert!(matches!(rig.take().as_slice(), [Output::ConnectFailed(_), Output::Closed { .. }]));
    }
    for (status, transport) in
        [(401, HttpTransport::Auto), (500, HttpTransport::Auto), (405, HttpTransport::Http)]
    {
        let mut rig = http(transport, EraPolicy::Only(Era::Legacy));
        let (id, _) = rig.sent("initialize");
        rig.status(id, status, "");
        assert!(rig.connect_failure().message.contains(&status.to_string()));
    }
}

#[test]
fn a_server_without_either_transport_is_told_of_as_it_refused_the_first() {
    type Failure = fn(&mut Rig, u64);
    let failures: [(Failure, &str); 4] = [
        (|rig, get| rig.status(get, 405, ""), "404"),
        (|rig, get| rig.conn.failed(rig.now, get, TransportFailure::NoStream), "404"),
        (|rig, get| rig.conn.stream_ended(rig.now, get), "404"),
        (
            |rig, get| rig.conn.failed(rig.now, get, TransportFailure::Connection("other origin".into())),
            "origin",
        ),
    ];
    for (fail, part) in failures {
        let mut rig = http(HttpTransport::Auto, EraPolicy::Only(Era::Legacy));
        let (id, _) = rig.sent("initialize");
        rig.status(id, 404, "");
        let get = channel(&mut rig);
        fail(&mut rig, get);
        assert!(rig.connect_failure().message.contains(part));
    }
    let mut rig = http(HttpTransport::Sse, EraPolicy::Only(Era::Modern));
    assert_eq!(rig.connect_failure().kind, "usage");
    let mut rig = http(HttpTransport::Sse, EraPolicy::Auto);
    let get = channel(&mut rig);
    rig.conn.failed(rig.now, get, TransportFailure::NoStream);
    assert!(rig.connect_failure().message.contains("no such event stream"));
}
