//! Cancellation, time limits and progress.

use super::*;

#[test]
fn cancelling_says_so_in_the_way_of_transport_and_era() {
    let cancelled = |rig: &mut Rig| {
        rig.start(1, "list_tools", json!({}));
        let (id, _) = rig.sent("tools/list");
        assert!(rig.conn.cancel(1, "enough"));
        assert!(!rig.conn.cancel(1, "enough"));
        let mut outputs = rig.take();
        let Some(Output::Error { op: 1, error }) = outputs.pop() else { panic!("{outputs:?}") };
        assert_eq!((error.kind, error.message.as_str()), ("cancelled", "enough"));
        rig.answer(id, json!({"tools": []}));
        assert!(rig.take().is_empty());
        let notified = |output: &Output| {
            let Output::Send { bytes, .. } = output else { return false };
            let message: Value = serde_json::from_slice(bytes).expect("JSON");
            message["method"] == "notifications/cancelled"
                && message["params"] == json!({"requestId": id, "reason": "enough"})
        };
        let aborted = |output: &Output| matches!(output, Output::Abort { post } if *post == id);
        (outputs.iter().any(notified), outputs.iter().any(aborted))
    };
    assert_eq!(cancelled(&mut modern(STREAM)), (true, false));
    assert_eq!(cancelled(&mut modern(Transport::Http)), (false, true));
    assert_eq!(cancelled(&mut legacy(STREAM)), (true, false));
    assert_eq!(cancelled(&mut legacy(Transport::Http)), (true, true));
}

#[test]
fn waiting_calls_can_be_cancelled_too() {
    let mut rig = rig(STREAM, EraPolicy::Auto);
    let (probe, _) = rig.sent("server/discover");
    rig.start(1, "list_tools", json!({}));
    assert!(rig.conn.cancel(1, ""));
    assert_eq!(rig.failed_as(1), "cancelled");
    rig.answer(probe, discovered());
    assert!(matches!(rig.take().as_slice(), [Output::Ready(_)]));
}

#[test]
fn progress_restarts_the_limit_but_not_the_cap() {
    let mut rig = modern(STREAM);
    let seconds = Duration::from_secs;
    let options = CallOptions {
        timeout: Some(seconds(10)),
        total: Some(seconds(25)),
        progress: true,
        ..CallOptions::default()
    };
    rig.start_with(1, "call_tool", json!({"name": "slow"}), options);
    let (id, params) = rig.sent("tools/call");
    assert_eq!(params["_meta"]["progressToken"], id);
    for step in 1..=2 {
        rig.pass(seconds(8));
        assert!(rig.take().is_empty());
        rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": id, "progress": step, "total": 3, "message": "é", "_meta": {}}}));
        let outputs = rig.take();
        let [Output::Progress { op: 1, payload }] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(payload.as_str(), format!(r#"{{"progress":{step},"total":3,"message":"é"}}"#));
    }
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": id + 1, "progress": 1}}));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": id, "progress": "x"}}));
    assert!(rig.take().is_empty());
    while rig.conn.next_deadline().is_some_and(|deadline| deadline < seconds(25)) {
        let until = rig.conn.next_deadline().expect("a deadline") - rig.now;
        rig.pass(until);
        assert!(rig.take().is_empty());
    }
    assert_eq!(rig.conn.next_deadline(), Some(seconds(25)));
    rig.pass(seconds(9));
    let outputs = rig.take();
    assert!(
        matches!(&outputs[..], [Output::Send { .. }, Output::Error { op: 1, error }] if error.kind == "timeout"),
        "{outputs:?}"
    );
    assert_eq!(rig.conn.next_deadline(), None);
}

#[test]
fn zero_is_no_time_limit() {
    let config =
        ClientConfig { transport: STREAM, connect_timeout: Duration::ZERO, ..ClientConfig::default() };
    let mut conn = ClientConn::new(config);
    conn.connect(Duration::ZERO);
    assert_eq!(conn.next_deadline(), Some(Duration::from_secs(3)), "of the probe");
    let mut rig = modern(STREAM);
    let (zero, most) = (Some(Duration::ZERO), Some(Duration::MAX));
    let options = CallOptions { timeout: most, total: most, ..CallOptions::default() };
    rig.pass(Duration::from_secs(1));
    rig.start_with(1, "list_tools", json!({}), options);
    rig.take();
    assert!(rig.conn.cancel(1, ""));
    rig.take();
    let options = CallOptions { timeout: zero, total: zero, ..CallOptions::default() };
    rig.start_with(1, "list_tools", json!({}), options);
    let (id, _) = rig.sent("tools/list");
    assert_eq!(rig.conn.next_deadline(), None);
    assert!(rig.conn.expects(id) && !rig.conn.expects(id + 1));
    rig.answer(id, json!({"tools": []}));
    assert!(rig.ended(1).is_ok() && !rig.conn.expects(id));
}

#[test]
fn the_end_of_the_peer_fails_every_call() {
    let mut rig = modern(CHILD);
    for op in 1..=3 {
        rig.start(op, "list_tools", json!({}));
    }
    rig.take();
    rig.conn.peer_closed("the server's process ended (exit status: 3)");
    let outputs = rig.take();
    assert_eq!(outputs.len(), 4);
    for output in &outputs[..3] {
        let Output::Error { error, .. } = output else { panic!("{output:?}") };
        assert_eq!(error.kind, "transport");
        assert!(error.message.contains("exit status: 3"));
    }
    assert!(matches!(&outputs[3], Output::Closed { .. }));
    rig.conn.close();
    assert!(rig.take().is_empty());
}
