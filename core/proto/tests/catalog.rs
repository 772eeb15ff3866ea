//! What a catalog tells of itself, by revision.

use bytes::Bytes;
use serde_json::{Value, json};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{Catalog, Dispatch, Item, Offer};
use trunnion_proto::server::{Output, ServerConn, Settings, Stamp};

/// The first tool of a list that is asked for in a session of this revision.
fn listed(catalog: &Catalog<()>, revision: &str) -> Value {
    let mut conn = ServerConn::new(catalog.settings().clone());
    let ask = |method: &str, params: Value| {
        Bytes::from(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string())
    };
    let hello =
        json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    for frame in [ask("initialize", hello), ask("tools/list", json!({}))] {
        conn.recv(frame);
        let Some(Output::Request(key, request)) = conn.poll() else { panic!("a good request") };
        let Dispatch::Answer(outcome) = catalog.dispatch(&request, None) else {
            panic!("the engine answers")
        };
        if let (Outcome::Prepared(page), "tools/list") = (&outcome, request.method.name) {
            return serde_json::from_str::<Value>(page.as_str()).expect("JSON")["tools"][0].clone();
        }
        assert!(conn.complete(key, outcome, catalog.stamp()));
        while conn.poll().is_some() {}
    }
    panic!("no list")
}

#[test]
fn an_output_schema_is_shown_only_where_structured_results_are_sent() {
    let stamp = Stamp::new(r#"{"name":"s","version":"1"}"#, 0, "private");
    let offer = Offer { stamp, instructions: None, page_size: 10 };
    let catalog = Catalog::new(Settings::default(), offer);
    let schema = json!({"type": "object", "properties": {"sum": {"type": "number"}}});
    let tool = json!({"name": "add", "inputSchema": {"type": "object"}, "outputSchema": schema});
    catalog.add(Item::Tool, &tool.to_string(), Default::default(), ()).expect("valid");
    for revision in ["2025-06-18", "2025-03-26", "2025-11-25", "2024-11-05"] {
        let tool = listed(&catalog, revision);
        assert_eq!(tool["inputSchema"]["type"], "object");
        assert_eq!(tool.get("outputSchema").is_some(), revision >= "2025-06-18", "{revision}");
    }
}
