//! Tests of the Rust server through its public API, mostly with the Rust client of the same process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use trunnion::client::{CallResult, Client};
use trunnion::model::{CompletionReference, Content, PromptMessage, ResourceContents};
use trunnion::server::{
    Args, Completion, Context, FromCall, Json, LogLevel, Outcome, Partial, Parts, Prompt, Resource,
    ResourceTemplate, Server, State, Tool, ToolError, Uri,
};
use trunnion::{Era, Error};

#[derive(Debug, Deserialize, JsonSchema)]
struct Terms {
    /// the first
    a: i64,
    b: i64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, PartialEq)]
struct Sum {
    sum: i64,
}

async fn add(Args(terms): Args<Terms>) -> Json<Sum> {
    Json(Sum { sum: terms.a + terms.b })
}

fn server(tool: Tool) -> Server {
    Server::builder("test", "1.0").tool(tool).build().expect("valid")
}

async fn connect(server: &Server) -> Client {
    Client::builder().connect(server).await.expect("connected")
}

/// Returns the result of a tool without arguments.
async fn brings(tool: Tool) -> Result<CallResult, Error> {
    let client = connect(&server(tool)).await;
    client.call_tool("t", ()).await
}

#[tokio::test]
async fn a_typed_tool_publishes_its_schemas() {
    let server = server(Tool::new("add", add).description("Add.").title("Sum"));
    for era in [Era::Modern, Era::Legacy] {
        let client = Client::builder().era(era).connect(&server).await.expect("connected");
        let tools = client.list_all_tools().await.expect("a list");
        assert_eq!(tools.len(), 1);
        assert_eq!((tools[0].description.as_deref(), tools[0].title.as_deref()), (Some("Add."), Some("Sum")));
        assert_eq!(tools[0].input_schema["properties"]["a"]["description"], "the first");
        assert_eq!(tools[0].input_schema["required"], json!(["a", "b"]));
        let output = tools[0].output_schema.as_ref().expect("an output schema");
        assert_eq!(
            (&output["type"], &output["properties"]["sum"]["type"]),
            (&json!("object"), &json!("integer"))
        );
        let result = client.call_tool("add", json!({"a": 2, "b": 3})).await.expect("a result");
        assert_eq!(result.structured::<Sum>().expect("fits"), Sum { sum: 5 });
        assert_eq!(result.text(), r#"{"sum":5}"#);
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_a_tool_error_that_names_them() {
    let client = connect(&server(Tool::new("add", add))).await;
    for (arguments, part) in [
        (json!({"a": "x", "b": 1}), "arguments.a"),
        (json!({"a": 1}), "\"b\""),
        // The schema takes it, the type does not.
        (json!({"a": 1e300, "b": 1}), "invalid arguments"),
    ] {
        let result = client.call_tool("add", arguments).await.expect("a result");
        assert!(result.is_error && result.text().contains(part), "{}", result.text());
    }
}

#[tokio::test]
async fn what_tools_return() {
    let text = |result: Result<CallResult, Error>| result.expect("a result").text();
    assert_eq!(text(brings(Tool::new("t", async || "text")).await), "text");
    assert_eq!(text(brings(Tool::new("t", async || "text".to_owned())).await), "text");
    assert_eq!(
        text(brings(Tool::new("t", async || vec![Content::text("a"), Content::text("b")])).await),
        "a\nb"
    );
    assert_eq!(brings(Tool::new("t", async || ())).await.expect("a result").content, []);
    let value = brings(Tool::new("t", async || json!({"k": [1]}))).await.expect("a result");
    assert_eq!(value.structured, Some(json!({"k": [1]})));
    let whole = Outcome::Result(r#"{"content":[],"structuredContent":{"x":1},"_meta":{"m":2}}"#.into());
    let whole = brings(Tool::new("t", move || std::future::ready(whole.clone()))).await.expect("a result");
    assert!(whole.raw.as_str().contains(r#""m":2"#));
}

#[tokio::test]
async fn results_that_do_not_fit_the_output_schema_are_failures_of_the_handler() {
    let declares = |handler: fn() -> Outcome| {
        Tool::new("t", move || std::future::ready(handler())).with(|tool| {
            let sum =
                json!({"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]});
            tool.output_schema = Some(sum);
        })
    };
    let unfit: [fn() -> Outcome; 4] = [
        || Outcome::Value(r#"{"sum":"x"}"#.into()),
        || Outcome::Result(r#"{"content":[],"structuredContent":{}}"#.into()),
        || Outcome::Result(r#"{"content":[]}"#.into()),
        || Outcome::Text("5".into()),
    ];
    for handler in unfit {
        let error = brings(declares(handler)).await.expect_err("refused");
        assert_eq!(error.kind, "internal_error");
        assert!(error.message.contains("outputSchema"), "{}", error.message);
    }
    let fit: [fn() -> Outcome; 4] = [
        || Outcome::Value(r#"{"sum":1.5}"#.into()),
        || Outcome::Result(r#"{"content":[],"structuredContent":{"sum":1,"more":2}}"#.into()),
        || Outcome::Result(r#"{"content":[],"isError":true}"#.into()),
        || Outcome::ToolError("no luck".into()),
    ];
    for handler in fit {
        brings(declares(handler)).await.expect("a result");
    }
}

#[tokio::test]
async fn reading_a_failed_result_as_a_type_tells_what_the_tool_said() {
    let client = connect(&server(Tool::new("add", add))).await;
    let fits = client.call_tool("add", json!({"a": 1})).await.expect("a result");
    let error = fits.structured::<Sum>().expect_err("it failed");
    assert_eq!((error.kind, error.message.as_str()), ("internal_error", fits.text().as_str()));

    let failed = |result: &'static str| Tool::new("t", async move || Outcome::Result(result.into()));
    // A failed result need not fit, but may.
    let with_content = r#"{"isError":true,"content":[{"type":"text","text":"no"},{"type":"text","text":"luck"}],
        "structuredContent":{"sum":5}}"#;
    let result = brings(failed(with_content)).await.expect("a result");
    assert_eq!(result.structured::<Sum>().expect_err("it failed").message, "no\nluck");
    assert_eq!(result.structured, Some(json!({"sum": 5})));

    let result = brings(failed(r#"{"isError":true,"content":[]}"#)).await.expect("a result");
    assert_eq!(
        result.structured::<Sum>().expect_err("it failed").message,
        "the tool failed and did not say why"
    );

    let text = brings(Tool::new("t", async || "5")).await.expect("a result");
    let error = text.structured::<Sum>().expect_err("there is none");
    assert_eq!((error.kind, error.message.as_str()), ("protocol", "the tool brought no structured content"));
}

#[tokio::test]
async fn how_tools_fail() {
    let failed = brings(Tool::new("t", async || Err::<String, _>(ToolError::new("no luck")))).await;
    let failed = failed.expect("a result");
    assert_eq!((failed.text().as_str(), failed.is_error), ("no luck", true));

    async fn with_question_mark() -> Result<String, ToolError> {
        Ok("x".parse::<u32>()?.to_string())
    }
    let failed = brings(Tool::new("t", with_question_mark)).await.expect("a result");
    assert_eq!((failed.text().as_str(), failed.is_error), ("invalid digit found in string", true));

    let own = async || Err::<String, _>(Error::custom(-7, "mine").with_data(json!({"k": 1})));
    let own = brings(Tool::new("t", own)).await.expect_err("a protocol error");
    assert_eq!((own.code, own.message.as_str(), own.data.as_deref()), (-7, "mine", Some(r#"{"k":1}"#)));

    for tool in [
        Tool::new("t", async || -> String { panic!("before it waits: expected in this test") }),
        Tool::new("t", async || -> String {
            tokio::task::yield_now().await;
            panic!("after it has waited: expected in this test")
        }),
        Tool::blocking("t", || -> String { panic!("on a thread: expected in this test") }),
    ] {
        let server = server(tool);
        let client = connect(&server).await;
        let error = client.call_tool("t", ()).await.expect_err("a protocol error");
        assert_eq!((error.kind, error.message.as_str()), ("internal_error", "the handler failed"));
        client.ping().await.expect("it serves on");
    }
}

#[tokio::test]
async fn blocking_handlers_do_not_hold_up_the_connection() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let wait = move |Args(Terms { a, .. }): Args<Terms>| {
        gate.lock().expect("one caller").recv().expect("the test goes on");
        a.to_string()
    };
    let server = server(Tool::blocking("wait", wait));
    let client = connect(&server).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call_tool("wait", json!({"a": 7, "b": 0})).await.map(|result| result.text()) }
    });
    client.ping().await.expect("an answer meanwhile");
    go.send(()).expect("the handler waits");
    assert_eq!(waiting.await.expect("no panic").expect("a result"), "7");
}

#[tokio::test]
async fn a_time_limit_ends_the_call_and_drops_the_handler() {
    let dropped = Arc::new(Notify::new());
    let tool = {
        let dropped = dropped.clone();
        Tool::new("t", move || {
            let guard = NotifyOnDrop(dropped.clone());
            async move {
                std::future::pending::<()>().await;
                drop(guard);
            }
        })
    };
    let result = brings(tool.timeout(Duration::from_millis(5))).await.expect("a result");
    assert!(result.is_error && result.text().contains("time limit"), "{}", result.text());
    dropped.notified().await;
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn cancelling_drops_async_handlers_and_tells_blocking_ones() {
    let (dropped, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let asynchronous = {
        let dropped = dropped.clone();
        move |context: Context| {
            let guard = NotifyOnDrop(dropped.clone());
            async move {
                context.progress(1.0, None, None);
                std::future::pending::<()>().await;
                drop(guard);
            }
        }
    };
    let blocking = {
        let told = told.clone();
        move |context: Context| {
            context.progress(1.0, None, None);
            while !context.is_cancelled() {
                std::thread::yield_now();
            }
            told.notify_one();
        }
    };
    let server = Server::builder("test", "1.0")
        .tool(Tool::new("async", asynchronous))
        .tool(Tool::blocking("blocking", blocking))
        .build()
        .expect("valid");
    let client = connect(&server).await;
    for (name, end) in [("async", dropped), ("blocking", told)] {
        let (report, mut reports) = mpsc::unbounded_channel();
        let call = client.call_tool(name, ()).with_progress(move |step| {
            let _ = report.send(step.progress);
        });
        tokio::select! {
            _ = call => panic!("it never ends"),
            step = reports.recv() => assert_eq!(step, Some(1.0)),
        }
        end.notified().await;
    }
}

#[tokio::test]
async fn progress_and_logs_come_before_the_answer() {
    async fn steps(context: Context) -> &'static str {
        for step in 1..=3 {
            assert!(context.progress(step.into(), Some(3.0), Some("on")));
        }
        context.log(LogLevel::Warning, json!({"w": 1})).expect("JSON");
        "done"
    }
    let server = server(Tool::new("steps", steps));
    let serving = server.http().bind("127.0.0.1:0").await.expect("listening");
    for target in [None, Some(serving.url())] {
        let connecting = Client::builder();
        let client = match target {
            None => connecting.connect(&server).await,
            Some(url) => connecting.connect(url).await,
        };
        let client = client.expect("connected");
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let call = client.call_tool("steps", ()).with_progress({
            let seen = seen.clone();
            move |step| seen.lock().expect("no panic").push((step.progress, step.total, step.message))
        });
        assert_eq!(call.await.expect("a result").text(), "done");
        let expected = [1.0, 2.0, 3.0].map(|step| (step, Some(3.0), Some("on".to_owned())));
        assert_eq!(*seen.lock().expect("no panic"), expected);
    }
    serving.close().await;
}

#[tokio::test]
async fn log_messages_reach_the_client() {
    async fn say(context: Context) -> Result<(), Error> {
        context.log(LogLevel::Debug, "below the level")?;
        context.log(LogLevel::Warning, json!({"w": 1}))?;
        context.log_as("disk", LogLevel::Error, "full")
    }
    let server = server(Tool::new("say", say));
    let (tell, mut told) = mpsc::unbounded_channel();
    let connecting = Client::builder().era(Era::Legacy).on_notification(move |event, params| {
        let _ = tell.send((event.to_owned(), params));
    });
    let client = connecting.connect(&server).await.expect("connected");
    client.call_tool("say", ()).await.expect("a result");
    for expected in [
        json!({"level": "warning", "data": {"w": 1}}),
        json!({"level": "error", "data": "full", "logger": "disk"}),
    ] {
        assert_eq!(told.recv().await, Some(("log".to_owned(), expected)));
    }
}

#[tokio::test]
async fn what_a_handler_knows_of_its_call() {
    async fn who(context: Context) -> Value {
        json!({
            "era": context.era().as_str(), "transport": context.transport(), "id": context.request_id().is_empty(),
            "client": context.client_info().map(|info| info.name), "meta": context.meta().get("example.org/k"),
        })
    }
    let server = server(Tool::new("who", who));
    for era in [Era::Modern, Era::Legacy] {
        let info =
            trunnion::model::Implementation { name: "me".into(), version: "2".into(), ..Default::default() };
        let client = Client::builder().client_info(&info).era(era).connect(&server).await.expect("connected");
        let meta = json!({"example.org/k": 5}).as_object().expect("an object").clone();
        let seen = client.call_tool("who", ()).meta(&meta).await.expect("a result").structured;
        let expected =
            json!({"era": era.as_str(), "transport": "memory", "id": false, "client": "me", "meta": 5});
        assert_eq!(seen, Some(expected));
    }
}

struct Counter(std::sync::atomic::AtomicU64);

/// A parameter of one's own.
struct Caller(String);

impl FromCall for Caller {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        match parts.context().client_info() {
            Some(info) => Ok(Caller(info.name)),
            None => Err(Outcome::Error(trunnion_proto::error::RpcError::new(
                trunnion_proto::error::ErrorKind::InvalidRequest,
                "who are you?",
            ))),
        }
    }
}

#[tokio::test]
async fn state_and_parameters_of_ones_own() {
    async fn count(counter: State<Counter>, Caller(name): Caller) -> String {
        format!("{name} {}", counter.0.0.fetch_add(1, Ordering::Relaxed))
    }
    let server = Server::builder("test", "1.0")
        .state(Counter(5.into()))
        .tool(Tool::new("count", count))
        .build()
        .expect("valid");
    let client = connect(&server).await;
    let texts = [client.call_tool("count", ()).await, client.call_tool("count", ()).await];
    assert_eq!(texts.map(|result| result.expect("a result").text()), ["trunnion 5", "trunnion 6"]);

    let missing =
        Server::builder("test", "1.0").tool(Tool::new("count", count)).build().expect_err("no state");
    assert_eq!(missing.kind, "usage");
    assert!(missing.message.contains("count") && missing.message.contains("Counter"), "{}", missing.message);
}

#[derive(Deserialize, JsonSchema)]
struct Id {
    id: u32,
}

#[tokio::test]
async fn resources_and_templates() {
    async fn item(Uri(uri): Uri, Args(named): Args<BTreeMap<String, String>>) -> Result<String, Error> {
        if named["id"] == "0" {
            Err(Error::resource_not_found(&uri))
        } else {
            Ok(format!("{uri} {}", named["id"]))
        }
    }
    async fn typed(Args(Id { id }): Args<Id>) -> Json<Sum> {
        Json(Sum { sum: id.into() })
    }
    let server = Server::builder("test", "1.0")
        .resource(Resource::new("test://text", async || "hello").name("text").mime_type("text/x"))
        .resource(Resource::blocking("test://bytes", || vec![0u8, 255]))
        .resource(Resource::new("test://whole", async || ResourceContents::text("test://whole", "a/b", "w")))
        .resource_template(ResourceTemplate::new("test://item/{id}", item).name("item"))
        .resource_template(ResourceTemplate::new("test://typed/{id}", typed))
        .build()
        .expect("valid");
    let client = connect(&server).await;
    let read = async |uri: &str| client.read_resource(uri).await.map(|mut read| read.contents.remove(0));
    assert_eq!(
        read("test://text").await.expect("there"),
        ResourceContents::text("test://text", "text/x", "hello")
    );
    let bytes = read("test://bytes").await.expect("there");
    assert_eq!(bytes, ResourceContents::blob("test://bytes", "application/octet-stream", "AP8="));
    assert_eq!(read("test://whole").await.expect("there").text.as_deref(), Some("w"));
    assert_eq!(
        read("test://item/a%20b").await.expect("there").text.as_deref(),
        Some("test://item/a%20b a b")
    );
    let missing = read("test://item/0").await.expect_err("not there");
    assert_eq!(
        (missing.kind, missing.data.as_deref()),
        ("resource_not_found", Some(r#"{"uri":"test://item/0"}"#))
    );
    // A handler that names no item: the engine knows the requested one.
    server
        .add(Resource::new("test://gone", async || {
            Err::<String, _>(Error { data: None, ..Error::resource_not_found("") })
        }))
        .expect("valid");
    for era in [Era::Modern, Era::Legacy] {
        let client = Client::builder().era(era).connect(&server).await.expect("connected");
        let gone = client.read_resource("test://gone").await.expect_err("gone");
        let expected = ("resource_not_found", Some(r#"{"uri":"test://gone"}"#));
        assert_eq!((gone.kind, gone.data.as_deref()), expected);
    }
    let unfit = read("test://typed/x").await.expect_err("no number");
    assert_eq!(unfit.kind, "invalid_params");
    let templates = client.list_resource_templates().await.expect("a list").items;
    assert_eq!(
        templates.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(),
        ["item", "test://typed/{id}"]
    );
}

#[derive(Deserialize, JsonSchema)]
struct Greeting {
    /// whom to greet
    name: String,
    tone: Option<String>,
}

#[tokio::test]
async fn prompts_and_completions() {
    async fn greet(Args(Greeting { name, tone }): Args<Greeting>) -> Vec<PromptMessage> {
        let tone = tone.unwrap_or_else(|| "kindly".into());
        vec![Content::text(format!("Greet {name} {tone}")).into()]
    }
    async fn names(partial: Partial) -> Vec<String> {
        let fits = |name: &&str| partial.name == "name" && name.starts_with(&partial.value);
        ["ada", "alan", "grace"].into_iter().filter(fits).map(str::to_owned).collect()
    }
    let server = Server::builder("test", "1.0")
        .prompt(Prompt::new("greet", greet).description("Greet someone."))
        .completion(Completion::prompt("greet", names))
        .build()
        .expect("valid");
    let client = connect(&server).await;
    let prompts = client.list_prompts().await.expect("a list").items;
    let mut arguments: Vec<_> = prompts[0].arguments.clone().expect("arguments");
    arguments.sort_by(|a, b| a.name.cmp(&b.name));
    let shape: Vec<_> = arguments
        .iter()
        .map(|argument| (argument.name.as_str(), argument.description.as_deref(), argument.required))
        .collect();
    assert_eq!(shape, [("name", Some("whom to greet"), Some(true)), ("tone", None, Some(false))]);
    let prompt = client.get_prompt("greet", json!({"name": "Ada"})).await.expect("a prompt");
    assert_eq!(prompt.messages[0].content.as_text(), Some("Greet Ada kindly"));
    let missing = client.get_prompt("greet", ()).await.expect_err("no name");
    assert_eq!(missing.kind, "invalid_params");
    let of = CompletionReference::Prompt { name: "greet".into() };
    assert_eq!(client.complete(&of, "name", "a").await.expect("values").values, ["ada", "alan"]);
}

#[tokio::test]
async fn items_come_and_go_while_it_serves() {
    let server = Server::builder("test", "1.0").build().expect("valid");
    let client = connect(&server).await;
    server.add(Tool::new("late", async || "here")).expect("valid");
    assert_eq!(client.call_tool("late", ()).await.expect("a result").text(), "here");
    let twice = server.add(Tool::new("late", async || "again")).expect_err("there already");
    assert_eq!(twice.kind, "usage");
    assert!(server.remove_tool("late") && !server.remove_tool("late"));
    // A kind of item that was offered once stays declared; its list may be empty (2026-07-28, tools,
    // "Capabilities").
    assert_eq!(client.call_tool("late", ()).await.expect_err("gone").kind, "invalid_params");
    assert_eq!(client.list_tools().await.expect("a list").items.len(), 0);
    assert_eq!(client.list_prompts().await.expect_err("there were none ever").kind, "method_not_found");
}

#[tokio::test]
async fn lists_come_whole_or_a_page_at_a_time() {
    let mut builder = Server::builder("test", "1.0").page_size(2);
    for at in 0..5 {
        builder = builder
            .tool(Tool::new(format!("t{at}"), async || ()))
            .resource(Resource::new(format!("a://{at}"), async || ""))
            .resource_template(ResourceTemplate::new(format!("b{at}://{{x}}"), async || ""))
            .prompt(Prompt::new(format!("p{at}"), async || ""));
    }
    let client = connect(&builder.build().expect("valid")).await;
    let tools = client.list_all_tools().await.expect("tools");
    let resources = client.list_all_resources().await.expect("resources");
    let templates = client.list_all_resource_templates().await.expect("templates");
    let prompts = client.list_all_prompts().await.expect("prompts");
    for at in 0..5 {
        assert_eq!(tools[at].name, format!("t{at}"));
        assert_eq!(resources[at].uri, format!("a://{at}"));
        assert_eq!(templates[at].uri_template, format!("b{at}://{{x}}"));
        assert_eq!(prompts[at].name, format!("p{at}"));
    }
    assert_eq!((tools.len(), resources.len(), templates.len(), prompts.len()), (5, 5, 5, 5));
    let first = client.list_prompts().await.expect("a page");
    let second = client.list_prompts().cursor(&first.next_cursor.expect("more")).await.expect("a page");
    assert_eq!((first.items.len(), second.items[0].name.as_str()), (2, "p2"));
}

#[tokio::test]
async fn what_build_refuses() {
    let kind = |built: Result<Server, Error>| built.expect_err("refused").kind;
    let builder = || Server::builder("test", "1.0");
    assert_eq!(kind(builder().eras([]).build()), "usage");
    assert_eq!(kind(builder().page_size(0).build()), "usage");
    assert_eq!(kind(builder().tool(Tool::new("no spaces", async || ())).build()), "usage");
    for (keyword, value) in [
        ("properties", json!(3)),
        ("properties", json!({"a": {"type": "strin"}})),
        ("properties", json!({"a": 5})),
        ("properties", json!({"a": {"minimum": "5"}})),
        ("properties", json!({"a": {"minLength": -1}})),
        ("properties", json!({"a": {"pattern": "("}})),
        ("properties", json!({"a": {"enum": "x"}})),
        ("properties", json!({"a": {"items": 1}})),
        ("properties", json!({"a": {"$ref": "#/$defs/none"}})),
        ("properties", json!({"a": {"$ref": "https://example.com/schema.json"}})),
        ("required", json!("a")),
        ("anyOf", json!({})),
        ("$schema", json!("http://json-schema.org/draft-07/schema#")),
    ] {
        let mut schema = json!({"type": "object"});
        schema[keyword] = value;
        let refused = builder().tool(Tool::new("t", async || ()).input_schema(schema.clone())).build();
        assert!(refused.is_err(), "{schema}");
        let error = refused.expect_err("refused");
        assert!(error.kind == "usage" && error.message.contains("inputSchema"), "{}", error.message);
    }
}

#[tokio::test]
async fn http_has_an_end() {
    let begun = Arc::new(Notify::new());
    let go = Arc::new(Notify::new());
    let tool = {
        let (begun, go) = (begun.clone(), go.clone());
        Tool::new("wait", move || {
            let (begun, go) = (begun.clone(), go.clone());
            async move {
                begun.notify_one();
                go.notified().await;
                "answered"
            }
        })
    };
    let server = server(tool);
    let serving = server.http().path("/other").bind("127.0.0.1:0").await.expect("listening");
    assert!(serving.url().ends_with("/other") && serving.address().is_some_and(|address| address.port() > 0));
    let url = serving.url().to_owned();
    let client = Client::connect(url.as_str()).await.expect("connected");
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call_tool("wait", ()).await.map(|result| result.text()) }
    });
    begun.notified().await;
    let closing = tokio::spawn(serving.close());
    // No new connection is taken while the call in flight is answered.
    while tokio::net::TcpStream::connect(url.split('/').nth(2).expect("an authority")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    assert_eq!(waiting.await.expect("no panic").expect("a result"), "answered");
    closing.await.expect("no panic");
    assert_eq!(server.connections(), 0);
    assert_eq!(client.call_tool("wait", ()).await.expect_err("it is gone").kind, "transport");

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("bound");
    assert_eq!(server.http().bind(address).await.expect_err("taken").kind, "transport");
    assert_eq!(server.http().path("mcp").bind("127.0.0.1:0").await.expect_err("no /").kind, "usage");
}

#[tokio::test]
async fn connections_are_counted_until_the_client_leaves() {
    let server = server(Tool::new("t", async || ()));
    let client = connect(&server).await;
    assert_eq!(server.connections(), 1);
    client.close().await;
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_time_limit_may_be_for_ever() {
    let tool = Tool::new("t", async || {
        tokio::task::yield_now().await;
        "done"
    });
    let result = brings(tool.timeout(Duration::MAX)).await.expect("a result");
    assert_eq!(result.text(), "done");
}

/// Returns the response of a server to the beginning of a POST with these headers, followed by `more` bytes,
/// one at a time, each after `pause`.
async fn posted(headers: &str, more: usize, pause: Duration) -> String {
    let listening = server(Tool::new("add", add)).http().bind("127.0.0.1:0").await.expect("listening");
    let stream = tokio::net::TcpStream::connect(listening.address().expect("TCP")).await.expect("connected");
    let (mut reading, mut writing) = stream.into_split();
    let head = format!("POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\n{headers}\r\n{{");
    writing.write_all(head.as_bytes()).await.expect("written");
    let trickle = tokio::spawn(async move {
        for _ in 0..more {
            tokio::time::sleep(pause).await;
            if writing.write_all(b" ").await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(600), reading.read_to_end(&mut answer));
    let _ = end.await.expect("the server closes the connection");
    trickle.abort();
    String::from_utf8(answer).expect("UTF-8")
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_frees_its_connection() {
    for more in [0, 1000] {
        let headers = "Host: localhost\r\nContent-Length: 2000\r\n";
        let answer = posted(headers, more, Duration::from_secs(1)).await;
        // Bytes that a client sends after the close can discard the response.
        let lost = more > 0 && answer.is_empty();
        assert!(lost || answer.starts_with("HTTP/1.1 408 "), "{more}: {answer}");
    }
}

#[tokio::test]
async fn a_request_that_is_sent_early_keeps_no_event_back() {
    let go = Arc::new(Notify::new());
    let tool = {
        let go = go.clone();
        Tool::new("t", move |context: Context| {
            let go = go.clone();
            async move {
                context.progress(1.0, None, None);
                go.notified().await;
                "answered"
            }
        })
    };
    let listening = server(tool).http().bind("127.0.0.1:0").await.expect("listening");
    let meta = json!({"progressToken": 7, "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let params = json!({"name": "t", "arguments": {}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: t\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let address = listening.address().expect("TCP");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.repeat(2).as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    for part in ["notifications/progress", "answered"] {
        while !String::from_utf8_lossy(&answer).contains(part) {
            assert!(stream.read_buf(&mut answer).await.expect("more") > 0, "{part}");
        }
        go.notify_one();
    }
}

#[tokio::test]
async fn every_host_and_origin_must_be_allowed() {
    for headers in ["Host: localhost\r\nHost: evil.example\r\n", "Host: [::1].evil.example\r\n"] {
        let answer =
            posted(&format!("{headers}Connection: close\r\nContent-Length: 1\r\n"), 0, Duration::ZERO).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let headers = "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n";
    let answer =
        posted(&format!("{headers}Connection: close\r\nContent-Length: 1\r\n"), 0, Duration::ZERO).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn an_answered_call_is_not_cancelled() {
    let (keep, mut kept) = mpsc::unbounded_channel();
    let tool = Tool::new("t", move |context: Context| {
        let _ = keep.send(context);
        std::future::ready("at once")
    });
    let server = server(tool);
    let serving = server.http().bind("127.0.0.1:0").await.expect("listening");
    let over_http = Client::connect(serving.url()).await.expect("connected");
    for client in [over_http, connect(&server).await] {
        client.call_tool("t", ()).await.expect("a result");
        let context = kept.recv().await.expect("the handler ran");
        assert!(!context.is_cancelled(), "{}", context.transport());
    }
}

#[test]
fn a_program_may_end_with_its_client_idle_or_a_call_in_flight() {
    for in_flight in [false, true] {
        let dropped = Arc::new(Notify::new());
        let tool = {
            let dropped = dropped.clone();
            Tool::new("t", move |context: Context| {
                let guard = NotifyOnDrop(dropped.clone());
                async move {
                    context.progress(1.0, None, None);
                    std::future::pending::<()>().await;
                    drop(guard);
                }
            })
        };
        let server = server(tool);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let left = runtime.block_on(async {
            let serving = server.http().bind("127.0.0.1:0").await.expect("listening");
            let client = Client::connect(serving.url()).await.expect("connected");
            if in_flight {
                let (report, mut reports) = mpsc::unbounded_channel();
                let call = client.call_tool("t", ()).with_progress(move |step| {
                    let _ = report.send(step.progress);
                });
                tokio::spawn(async move { call.await.map(drop) });
                reports.recv().await.expect("it runs");
            }
            (serving, client)
        });
        drop(runtime);
        assert_eq!(server.connections(), 0);
        drop(left);
        if in_flight {
            let ended = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            ended.block_on(dropped.notified());
        }
    }
}

#[tokio::test]
async fn closing_twice_is_closing_once() {
    let server = server(Tool::new("t", async || ()));
    let client = connect(&server).await;
    client.close().await;
    client.close().await;
    assert_eq!(client.call_tool("t", ()).await.expect_err("closed").kind, "closed");
}
