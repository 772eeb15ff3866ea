//! Cached results, and the remembered revision of a server.

use super::*;

fn page(ttl: Value) -> Value {
    json!({"resultType": "complete", "prompts": [], "ttlMs": ttl, "cacheScope": "private"})
}

impl Rig {
    /// Calls a list; returns true if the server was asked. It answers with this time to live.
    fn lists(&mut self, params: Value, options: CallOptions, ttl: Value) -> bool {
        self.start_with(1, "list_prompts", params, options);
        self.drain();
        let asked = matches!(self.seen[..], [Output::Send { .. }]);
        if asked {
            let (id, _) = self.sent("prompts/list");
            self.answer(id, page(ttl));
        }
        assert!(self.ended(1).is_ok());
        asked
    }
}

#[test]
fn fresh_results_are_not_asked_for_again() {
    let mut rig = modern(STREAM);
    let usual = CallOptions::default;
    let second = Duration::from_secs(1);
    assert!(rig.lists(json!({}), usual(), json!(1000)));
    assert!(!rig.lists(json!({}), usual(), json!(1000)));
    assert!(rig.lists(json!({"cursor": "2"}), usual(), json!(1000)), "other parameters");
    let meta = CallOptions { meta: Json::from_static(r#"{"k":1}"#), ..usual() };
    assert!(rig.lists(json!({}), meta, json!(0)), "other metadata");
    assert!(rig.lists(json!({}), CallOptions { fresh: true, ..usual() }, json!(1000)));
    rig.pass(second);
    assert!(rig.lists(json!({}), usual(), json!(1000)), "stale");
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    rig.take();
    assert!(!rig.lists(json!({}), usual(), json!(0)));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}));
    rig.take();
    for ttl in [json!(0), json!(-1), json!("x"), json!(null), json!(u64::MAX)] {
        assert!(rig.lists(json!({}), usual(), ttl));
    }
    assert!(!rig.lists(json!({}), usual(), json!(0)), "for ever");

    // What was on its way when it changed may be what it was before.
    rig.start_with(2, "list_prompts", json!({}), CallOptions { fresh: true, ..usual() });
    let (id, _) = rig.sent("prompts/list");
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}));
    rig.take();
    rig.answer(id, page(json!(1000)));
    assert!(rig.ended(2).is_ok());
    assert!(rig.lists(json!({}), usual(), json!(0)));

    // Another token is another authorization context.
    assert!(rig.lists(json!({}), CallOptions { fresh: true, ..usual() }, json!(1000)));
    rig.start_with(2, "list_prompts", json!({"cursor": "2"}), usual());
    let (id, _) = rig.sent("prompts/list");
    rig.conn.token_changed();
    rig.answer(id, page(json!(1000)));
    assert!(rig.ended(2).is_ok());
    assert!(rig.lists(json!({}), usual(), json!(1000)));
    assert!(rig.lists(json!({"cursor": "2"}), usual(), json!(0)), "it was on its way");

    let mut off = modern_of(ClientConfig { transport: STREAM, cache: false, ..ClientConfig::default() });
    assert!(off.lists(json!({}), usual(), json!(1000)) && off.lists(json!({}), usual(), json!(1000)));
    let mut old = legacy(STREAM);
    assert!(old.lists(json!({}), usual(), json!(1000)) && old.lists(json!({}), usual(), json!(1000)));
}

#[test]
fn an_updated_resource_is_read_again() {
    let mut rig = modern(STREAM);
    let reads = |rig: &mut Rig, uri: &str| {
        rig.start(1, "read_resource", json!({"uri": uri}));
        rig.drain();
        let asked = matches!(rig.seen[..], [Output::Send { .. }]);
        if asked {
            let (id, _) = rig.sent("resources/read");
            rig.answer(
                id,
                json!({"resultType": "complete", "contents": [], "ttlMs": 1000, "cacheScope": "public"}),
            );
        }
        assert!(rig.ended(1).is_ok());
        asked
    };
    assert!(reads(&mut rig, "test://a") && reads(&mut rig, "test://ab"));
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "test://a/x"}}));
    rig.take();
    assert!(reads(&mut rig, "test://a") && !reads(&mut rig, "test://ab"));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut rig = modern(STREAM);
    for index in 0..257 {
        assert!(rig.lists(json!({"cursor": index.to_string()}), CallOptions::default(), json!(1000)));
        assert!(!rig.lists(json!({"cursor": "0"}), CallOptions::default(), json!(1000)));
    }
    assert!(
        rig.lists(json!({"cursor": "1"}), CallOptions::default(), json!(1000)),
        "the least recently used went"
    );
    let large = |rig: &mut Rig, index: u32| {
        rig.start(1, "read_resource", json!({"uri": format!("test://{index}")}));
        rig.drain();
        let asked = matches!(rig.seen[..], [Output::Send { .. }]);
        if asked {
            let (id, _) = rig.sent("resources/read");
            let text = "x".repeat(1 << 20);
            rig.answer(id, json!({"resultType": "complete", "contents": [{"text": text}], "ttlMs": 1000}));
        }
        assert!(rig.ended(1).is_ok());
        asked
    };
    for index in 0..4 {
        assert!(large(&mut rig, index));
    }
    assert!(large(&mut rig, 0) && !large(&mut rig, 3), "4 MiB in all");
}

#[test]
fn a_prior_saves_the_probe_and_may_be_wrong() {
    let prior = |revision, transport| {
        rig_of(ClientConfig { transport, prior: Some(revision), ..ClientConfig::default() })
    };
    let mut rig = prior(Revision::V2025_06_18, STREAM);
    let (id, params) = rig.sent("initialize");
    assert_eq!(params["protocolVersion"], "2025-06-18");
    rig.answer(id, initialized("2025-06-18"));
    rig.confirm();
    assert!(matches!(rig.take()[..], [Output::Ready(_)]));

    type Refuse = fn(&mut Rig, u64);
    let refusals: &[Refuse] = &[
        |rig, id| rig.refuse(id, -32601, Value::Null),
        |rig, id| rig.refuse(id, -32022, json!({"supported": ["2026-07-28"]})),
        |rig, id| rig.answer(id, json!({})),
        |rig, id| rig.answer(id, initialized("2030-01-01")),
        |rig, id| rig.status(id, 404, ""),
        |rig, id| rig.conn.stream_ended(rig.now, id),
    ];
    for refuse in refusals {
        let mut rig = prior(Revision::V2025_11_25, Transport::Http);
        let (id, _) = rig.sent("initialize");
        refuse(&mut rig, id);
        let (id, _) = rig.sent("server/discover");
        rig.answer(id, discovered());
        assert!(matches!(rig.take()[..], [Output::Ready(_)]));
    }
    let mut rig = prior(Revision::V2025_11_25, CHILD);
    rig.sent("initialize");
    rig.conn.peer_closed("exit status: 1");
    assert!(matches!(rig.take()[..], [Output::Restart]));
    rig.conn.restarted();
    rig.sent("server/discover");
    assert_eq!(prior(Revision::V2026_07_28, STREAM).sent("server/discover").0, 1);
}
