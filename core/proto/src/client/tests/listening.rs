//! Subscriptions and log levels.

use super::*;

/// The only output is what this operation is told.
fn told(rig: &mut Rig, op: u64) -> (&'static str, Value) {
    match &rig.take()[..] {
        [Output::Told { op: own, event, params }] if *own == op => {
            (event, serde_json::from_str(params.as_str()).expect("JSON"))
        }
        other => panic!("{other:?}"),
    }
}

fn changed(rig: &mut Rig, method: &str, subscription: Option<u64>, params: Value) {
    let mut params = params;
    if let Some(id) = subscription {
        params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": id});
    }
    rig.recv(json!({"jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": params}));
}

#[test]
fn a_modern_stream_is_acknowledged_and_filtered() {
    let mut rig = modern(STREAM);
    let options = CallOptions { timeout: Some(Duration::from_secs(5)), ..CallOptions::default() };
    rig.start_with(
        1,
        "listen",
        json!({"tools": true, "resources": true, "resourceUris": ["test://a", "test://b"]}),
        options,
    );
    let (id, params) = rig.sent("subscriptions/listen");
    assert_eq!(
        params["notifications"],
        json!({"toolsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["test://a", "test://b"]})
    );
    let granted = json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["test://a", "test://z"]});
    changed(&mut rig, "subscriptions/acknowledged", Some(id), json!({"notifications": granted}));
    assert_eq!(told(&mut rig, 1), ("listening", json!({"tools": true, "resourceUris": ["test://a"]})));
    rig.pass(Duration::from_secs(1000));
    changed(&mut rig, "resources/updated", Some(id), json!({"uri": "test://a/b"}));
    assert_eq!(told(&mut rig, 1).0, "resource_updated");
    changed(&mut rig, "prompts/list_changed", Some(id), json!({}));
    changed(&mut rig, "resources/updated", Some(id), json!({"uri": "test://other"}));
    assert!(rig.take().is_empty(), "was not asked for");
    changed(&mut rig, "tools/list_changed", Some(id + 1), json!({}));
    assert!(matches!(rig.take()[..], [Output::Notification { event: "tools_changed", .. }]));

    rig.answer(
        id,
        json!({"resultType": "complete", "_meta": {"io.modelcontextprotocol/subscriptionId": id}}),
    );
    assert_eq!(rig.ended(1).expect("ended well").as_str(), "{}");
    rig.start(2, "listen", json!({"tools": true}));
    let (id, _) = rig.sent("subscriptions/listen");
    changed(&mut rig, "tools/list_changed", Some(id), json!({}));
    assert!(matches!(
        rig.take()[..],
        [Output::Told { event: "listening", .. }, Output::Told { event: "tools_changed", .. }]
    ));
    changed(&mut rig, "cancelled", None, json!({"requestId": id}));
    assert!(rig.ended(2).is_ok());
    rig.start(3, "listen", json!({"toolz": true}));
    assert_eq!(rig.failed_as(3), "usage");
    rig.start(4, "call_tool", json!({"name": "t"}));
    let (id, _) = rig.sent("tools/call");
    changed(&mut rig, "cancelled", None, json!({"requestId": id}));
    assert!(rig.take().is_empty(), "servers may cancel nothing else");
}

#[test]
fn over_http_the_stream_says_whose_it_is() {
    let mut rig = modern(Transport::Http);
    rig.start(1, "listen", json!({"prompts": true}));
    let (id, _) = rig.sent("subscriptions/listen");
    let told_on = |rig: &mut Rig, method: &str, params: Value| {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string();
        rig.conn.recv(rig.now, Some(id), Bytes::from(message));
    };
    told_on(
        &mut rig,
        "notifications/subscriptions/acknowledged",
        json!({"notifications": {"promptsListChanged": true}}),
    );
    assert_eq!(told(&mut rig, 1), ("listening", json!({"prompts": true})));
    told_on(&mut rig, "notifications/prompts/list_changed", json!({}));
    assert_eq!(told(&mut rig, 1).0, "prompts_changed");
    assert!(rig.conn.cancel(1, ""));
    assert!(matches!(rig.take()[..], [Output::Abort { post }, Output::Error { .. }] if post == id));
    rig.start(2, "listen", json!({"prompts": true}));
    let (id, _) = rig.sent("subscriptions/listen");
    rig.conn.stream_ended(rig.now, id);
    assert_eq!(rig.failed_as(2), "transport");
}

#[test]
fn legacy_subscriptions_are_counted() {
    let capabilities =
        json!({"tools": {"listChanged": true}, "prompts": {}, "resources": {"subscribe": true}});
    let config = ClientConfig { transport: STREAM, ..ClientConfig::default() };
    let mut rig = legacy_of(config, capabilities);
    rig.start(1, "listen", json!({"tools": true, "prompts": true, "resourceUris": ["test://a", "test://b"]}));
    let sent: Vec<Value> = rig
        .take()
        .iter()
        .map(|output| match output {
            Output::Send { bytes, .. } => serde_json::from_slice(bytes).expect("JSON"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(sent.iter().all(|message| message["method"] == "resources/subscribe"));
    rig.refuse(sent[1]["id"].as_u64().expect("an id"), -32602, Value::Null);
    assert!(rig.take().is_empty());
    rig.answer(sent[0]["id"].as_u64().expect("an id"), json!({}));
    assert_eq!(told(&mut rig, 1), ("listening", json!({"tools": true, "resourceUris": ["test://a"]})));
    rig.start(2, "listen", json!({"resourceUris": ["test://a"]}));
    assert_eq!(told(&mut rig, 2).0, "listening");

    changed(&mut rig, "resources/updated", None, json!({"uri": "test://a"}));
    assert!(matches!(rig.take()[..], [Output::Told { op: 1, .. }, Output::Told { op: 2, .. }]));
    changed(&mut rig, "tools/list_changed", None, json!({}));
    assert_eq!(told(&mut rig, 1), ("tools_changed", json!({})));
    changed(&mut rig, "prompts/list_changed", None, json!({}));
    assert!(matches!(rig.take()[..], [Output::Notification { event: "prompts_changed", .. }]), "unsolicited");

    assert!(rig.conn.cancel(1, ""));
    assert_eq!(rig.failed_as(1), "cancelled");
    assert!(rig.conn.cancel(2, ""));
    let outputs = rig.take();
    let [Output::Send { bytes, .. }, Output::Error { op: 2, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let message: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!(
        (&message["method"], &message["params"]),
        (&json!("resources/unsubscribe"), &json!({"uri": "test://a"}))
    );

    // Asked for again before the server has answered: only then is it asked.
    rig.start(3, "listen", json!({"resourceUris": ["test://a"]}));
    assert!(rig.take().is_empty());
    rig.answer(message["id"].as_u64().expect("an id"), json!({}));
    let (id, _) = rig.sent("resources/subscribe");
    rig.answer(id, json!({}));
    assert_eq!(told(&mut rig, 3).0, "listening");
}

#[test]
fn log_levels_are_set_in_the_way_of_the_era() {
    let config =
        || ClientConfig { transport: STREAM, log_level: Some(LogLevel::Warning), ..ClientConfig::default() };
    let level = |params: &Value| params["_meta"]["io.modelcontextprotocol/logLevel"].clone();
    let mut rig = modern_of(config());
    rig.start(1, "call_tool", json!({"name": "t"}));
    assert_eq!(level(&rig.sent("tools/call").1), "warning");
    rig.start(2, "set_log_level", json!({"level": "debug"}));
    assert!(rig.ended(2).is_ok());
    rig.start(3, "call_tool", json!({"name": "t"}));
    assert_eq!(level(&rig.sent("tools/call").1), "debug");
    rig.start(4, "set_log_level", json!({"level": "loud"}));
    assert_eq!(rig.failed_as(4), "usage");

    let mut rig = rig_of(ClientConfig { era: EraPolicy::Only(Era::Legacy), ..config() });
    let (id, _) = rig.sent("initialize");
    let mut said = initialized("2025-11-25");
    said["capabilities"] = json!({"logging": {}});
    rig.answer(id, said);
    rig.confirm();
    rig.drain();
    assert!(matches!(rig.seen.remove(0), Output::Ready(_)));
    let (id, params) = rig.sent("logging/setLevel");
    assert_eq!(params, json!({"level": "warning"}));
    rig.refuse(id, -32601, Value::Null);
    rig.start(1, "set_log_level", json!({"level": "info"}));
    let (id, params) = rig.sent("logging/setLevel");
    assert_eq!(params, json!({"level": "info"}));
    rig.answer(id, json!({}));
    assert!(rig.ended(1).is_ok());
}
