//! The catalog as clients of each revision receive it, checked against the official schema of that revision.

use bytes::Bytes;
use serde_json::{Value, json};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{Behaviour, Catalog, Dispatch, Item, Offer};
use trunnion_proto::server::{Output, ServerConn, Settings, Stamp};
use trunnion_proto::tasks::{TaskBehaviour, TaskSupport};

use crate::schema;

const REVISIONS: [&str; 5] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];

/// A server whose handlers are what they answer.
fn catalog() -> Catalog<Outcome> {
    let stamp = Stamp::new(r#"{"name":"s","version":"1"}"#, 0, "private");
    Catalog::new(Settings::default(), Offer { stamp, instructions: None, page_size: 10 })
}

/// A client of one revision.
struct Client<'a> {
    catalog: &'a Catalog<Outcome>,
    conn: ServerConn,
    revision: &'static str,
    said: schema::Conversation,
}

impl Client<'_> {
    fn new<'a>(catalog: &'a Catalog<Outcome>, revision: &'static str) -> Client<'a> {
        let conn = ServerConn::new(catalog.settings().clone());
        let mut client =
            Client { catalog, conn, revision, said: schema::Conversation::new(schema::End::Server) };
        if revision != "2026-07-28" {
            let hello = json!({"protocolVersion": revision, "capabilities": {},
                "clientInfo": {"name": "c", "version": "1"}});
            assert_eq!(client.ask("initialize", hello)["result"]["protocolVersion"], revision);
        }
        client
    }

    fn ask(&mut self, method: &str, mut params: Value) -> Value {
        if self.revision == "2026-07-28" {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.revision,
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let frame = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        self.said.heard(frame.as_bytes());
        self.conn.recv(Bytes::from(frame));
        loop {
            match self.conn.poll().expect("an answer") {
                Output::Request(key, request) => {
                    let outcome = match self.catalog.dispatch(&request, None) {
                        Dispatch::Answer(outcome) => outcome,
                        Dispatch::Run { entry, .. } => {
                            let exchange = self.conn.exchange_mut(key).expect("live");
                            exchange.answered_by(&entry, &request);
                            entry.handler.clone()
                        }
                        _ => panic!("nothing here is a task or a stream"),
                    };
                    assert!(self.conn.complete(key, outcome, self.catalog.stamp()));
                }
                Output::Send(message) => {
                    let message = serde_json::from_slice(&message).expect("a message is JSON");
                    self.said.sent(&message).expect("what the schema allows");
                    return message;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn tools(&mut self) -> Vec<Value> {
        self.ask("tools/list", json!({}))["result"]["tools"].as_array().expect("a list").clone()
    }
}

fn add_tool(catalog: &Catalog<Outcome>, tool: Value, behaviour: Behaviour, outcome: Outcome) {
    catalog.add(Item::Tool, &tool.to_string(), behaviour, outcome).expect("valid");
}

#[test]
fn an_output_schema_is_shown_only_where_structured_results_are_sent() {
    let catalog = catalog();
    for (name, schema, outcome, support) in [
        ("object", json!({"type": "object", "required": ["sum"]}), r#"{"sum":1}"#, TaskSupport::Never),
        ("array", json!({"type": "array"}), "[1]", TaskSupport::Never),
        ("either", json!({"anyOf": [{"type": "object"}, {"type": "null"}]}), "null", TaskSupport::Never),
        ("array_task", json!({"type": "array"}), "[1]", TaskSupport::Optional),
    ] {
        let tool = json!({"name": name, "inputSchema": {"type": "object"}, "outputSchema": schema});
        let behaviour =
            Behaviour { task: TaskBehaviour { support, ..TaskBehaviour::default() }, ..Behaviour::default() };
        add_tool(&catalog, tool, behaviour, Outcome::Value(outcome.into()));
    }
    for revision in REVISIONS {
        let mut client = Client::new(&catalog, revision);
        for tool in client.tools() {
            let name = tool["name"].as_str().expect("a name");
            let shown = revision == "2026-07-28" || (name == "object" && revision >= "2025-06-18");
            assert_eq!(tool["inputSchema"]["type"], "object");
            assert_eq!(tool.get("outputSchema").is_some(), shown, "{name} {revision}");
            let is_task = name == "array_task" && revision == "2025-11-25";
            assert_eq!(tool.get("execution").is_some(), is_task, "{name} {revision}");
            let result = &client.ask("tools/call", json!({ "name": name }))["result"];
            assert_eq!(result.get("structuredContent").is_some(), shown, "{name} {revision}");
        }
    }
}

#[test]
fn schemas_that_are_unions_of_objects_say_that_they_are_objects() {
    let catalog = catalog();
    let union = json!({"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
        {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]},
    ]});
    let tool = json!({"name": "union", "inputSchema": union, "outputSchema": union});
    add_tool(&catalog, tool, Behaviour::default(), Outcome::Value("{\"kind\":\"a\"}".into()));
    for revision in REVISIONS {
        let mut client = Client::new(&catalog, revision);
        let tools = client.tools();
        assert_eq!(tools[0]["inputSchema"]["type"], "object", "{revision}");
        assert_eq!(tools[0]["inputSchema"]["oneOf"], union["oneOf"], "{revision}");
        let called = |arguments| json!({"name": "union", "arguments": arguments});
        let result = client.ask("tools/call", called(json!({"kind": "b"})));
        assert_ne!(result["result"]["isError"], true, "{revision} {result}");
        assert!(result["result"]["content"].is_array(), "{revision} {result}");
        let result = client.ask("tools/call", called(json!({"kind": "c"})));
        assert_eq!(result["result"]["isError"], true, "{revision} {result}");
    }
}

#[test]
fn what_was_offered_once_has_a_list() {
    let catalog = catalog();
    let mut clients = REVISIONS.map(|revision| Client::new(&catalog, revision));
    for client in &mut clients {
        assert_eq!(client.ask("tools/list", json!({}))["error"]["code"], -32601, "{}", client.revision);
    }
    add_tool(&catalog, json!({"name": "t"}), Behaviour::default(), Outcome::Text("here".into()));
    for client in &mut clients {
        assert_eq!(client.tools().len(), 1);
    }
    assert!(catalog.remove(Item::Tool, "t"));
    for client in &mut clients {
        assert_eq!(client.tools().len(), 0, "{}", client.revision);
        assert_eq!(client.ask("tools/call", json!({"name": "t"}))["error"]["code"], -32602);
        assert_eq!(client.ask("prompts/list", json!({}))["error"]["code"], -32601);
    }
    let discovered = Client::new(&catalog, "2026-07-28").ask("server/discover", json!({}));
    assert_eq!(discovered["result"]["capabilities"]["tools"], json!({"listChanged": true}));
}

#[test]
fn content_is_what_the_revision_has() {
    let catalog = catalog();
    let blocks = json!([
        {"type": "text", "text": "plain"},
        {"type": "image", "data": "aQ==", "mimeType": "image/png"},
        {"type": "audio", "data": "YQ==", "mimeType": "audio/wav", "annotations": {"audience": ["user"]}},
        {"type": "resource", "resource": {"uri": "test://a", "text": "a"}},
        {"type": "resource_link", "uri": "test://b", "name": "b", "description": "the second"},
        {"type": "resource_link", "uri": "test://c", "name": "c", "title": "C"},
    ]);
    let said = Outcome::Result(json!({ "content": blocks }).to_string());
    add_tool(&catalog, json!({"name": "all"}), Behaviour::default(), said);
    let messages: Vec<Value> = blocks
        .as_array()
        .expect("blocks")
        .iter()
        .map(|block| json!({"role": "user", "content": block}))
        .collect();
    let said = Outcome::Result(json!({ "messages": messages }).to_string());
    catalog.add(Item::Prompt, r#"{"name":"all"}"#, Behaviour::default(), said).expect("valid");
    for revision in REVISIONS {
        let mut client = Client::new(&catalog, revision);
        let mut expected = blocks.clone();
        if revision < "2025-03-26" {
            let text = "[audio of type audio/wav]";
            expected[2] = json!({"type": "text", "text": text, "annotations": {"audience": ["user"]}});
        }
        if revision < "2025-06-18" {
            expected[4] = json!({"type": "text", "text": "b\nthe second\ntest://b"});
            expected[5] = json!({"type": "text", "text": "C\ntest://c"});
        }
        let result = client.ask("tools/call", json!({"name": "all"}))["result"].clone();
        assert_eq!(result["content"], expected, "{revision}");
        let result = client.ask("prompts/get", json!({"name": "all"}))["result"].clone();
        let contents =
            result["messages"].as_array().expect("messages").iter().map(|message| message["content"].clone());
        assert_eq!(Value::Array(contents.collect()), expected, "{revision}");
    }
}

#[test]
fn members_that_no_definition_has_are_refused_by_name() {
    let catalog = catalog();
    let add = |item, definition: Value| {
        let added =
            catalog.add(item, &definition.to_string(), Behaviour::default(), Outcome::Text("".into()));
        added.map_err(|invalid| invalid.0)
    };
    for (item, definition, name) in [
        (Item::Tool, json!({"name": "add", "descripton": "x"}), "descripton"),
        (Item::Tool, json!({"name": "a", "annotations": {"readonlyHint": true}}), "annotations.readonlyHint"),
        (Item::Tool, json!({"name": "a", "icons": [{"src": "a:"}, {"source": "a:"}]}), "icons[1].source"),
        (Item::Resource, json!({"uri": "a://b", "mimetype": "x"}), "mimetype"),
        (Item::Resource, json!({"uri": "a://b", "annotations": {"prio": 1}}), "annotations.prio"),
        (Item::ResourceTemplate, json!({"uriTemplate": "a://{b}", "uri": "x"}), "uri"),
        (
            Item::Prompt,
            json!({"name": "p", "arguments": [{"name": "a", "require": true}]}),
            "arguments[0].require",
        ),
        (Item::Completion, json!({"ref": {"type": "ref/prompt", "nam": "p"}}), "ref.nam"),
    ] {
        let refused = add(item, definition.clone()).expect_err("refused");
        assert!(
            refused.starts_with(&format!("the definition has an unknown member {name:?}; known are ")),
            "{refused}"
        );
    }
    let extended =
        json!({"name": "x", "x-mine": 1, "_meta": {"a": 1}, "annotations": {"x-mine": 2, "title": "t"}});
    assert_eq!(add(Item::Tool, extended), Ok(()));
    let mut client = Client::new(&catalog, "2026-07-28");
    assert_eq!(client.tools()[0]["x-mine"], 1);
}

#[test]
fn members_are_listed_in_the_order_they_were_declared_in() {
    let catalog = catalog();
    let properties = r#"{"b":{"type":"string","title":"B"},"a":{"type":"string"},"c":{"type":"string"}}"#;
    let schema = format!(r#"{{"type":"object","properties":{properties},"required":["b"]}}"#);
    let tool = format!(
        r#"{{"title":"T","name":"t","outputSchema":{schema},"inputSchema":{schema},"description":"d","execution":{{}},"_meta":{{}}}}"#
    );
    let outcome = || Outcome::Text("".into());
    catalog.add(Item::Tool, &tool, Behaviour::default(), outcome()).expect("valid");
    let arguments = r#"[{"required":true,"name":"z"},{"name":"a","description":"d"}]"#;
    let prompt = format!(r#"{{"description":"d","name":"p","arguments":{arguments}}}"#);
    catalog.add(Item::Prompt, &prompt, Behaviour::default(), outcome()).expect("valid");
    for revision in ["2026-07-28", "2025-03-26"] {
        let mut client = Client::new(&catalog, revision);
        let tools = client.ask("tools/list", json!({}))["result"]["tools"].to_string();
        assert!(tools.contains(&schema), "{tools}");
        assert!(tools.starts_with(r#"[{"title":"T","name":"t","#), "{tools}");
        assert!(tools.ends_with(r#","description":"d","_meta":{}}]"#), "{tools}");
        assert_eq!(
            client.ask("prompts/list", json!({}))["result"]["prompts"].to_string(),
            format!("[{prompt}]")
        );
    }
}
