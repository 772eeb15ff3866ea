#![no_main]
//! URI templates, as a server's clients can reach them. The input is a template and, after the first newline, a URI.

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use trunnion_proto::server::catalog::{Behaviour, Catalog, Dispatch, Input, Item, Offer};
use trunnion_proto::server::{Output, ServerConn, Settings, Stamp};

fuzz_target!(|input: &str| {
    let Some((template, uri)) = input.split_once('\n') else { return };
    let stamp = Stamp::new(r#"{"name":"s","version":"1"}"#, 0, "private");
    let offer = Offer { stamp, instructions: None, page_size: 10 };
    let catalog = Catalog::new(Settings::default(), offer);
    let definition = json!({ "uriTemplate": template }).to_string();
    if catalog.add(Item::ResourceTemplate, &definition, Behaviour::default(), ()).is_err() {
        return;
    }
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let request =
        json!({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": uri, "_meta": meta}});
    let mut conn = ServerConn::new(Settings::default());
    conn.recv(Bytes::from(request.to_string()));
    let Some(Output::Request(_, request)) = conn.poll() else { panic!("a good request") };
    let Dispatch::Run { input, .. } = catalog.dispatch(&request, None) else { return };
    let Input::Resource { uri: asked, params } = input else { panic!("a resource") };
    assert_eq!(asked, uri);
    for (name, value) in params {
        assert!(template.contains(&name), "{name:?} is a variable of the template");
        assert!(!value.contains('\0'));
        assert!(!value.split(['/', '\\']).any(|segment| segment == ".."), "{value:?} climbs");
    }
});
