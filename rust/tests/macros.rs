//! Servers made with the attribute macros, through the client of the same process.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trunnion::model::{CompletionReference, PromptMessage, Root, ToolAnnotations};
use trunnion::server::auth::{Auth, StaticTokens, Visibility};
use trunnion::server::{
    Args, Ask, Context, FromCall, Json, Outcome, Partial, Parts, Server, ServerBuilder, State, TaskSupport,
    Tool, ToolError, Uri, completion, items, prompt, resource, tool,
};
use trunnion::{Client, Error};

type Prices = BTreeMap<String, f64>;

#[derive(Serialize, Deserialize, JsonSchema, PartialEq, Debug)]
struct Bill {
    total: f64,
}

/// Order something.
///
/// It is brought at once.
#[tool(title = "Order", annotations(idempotent_hint = false, destructive_hint, title = "Orders"))]
async fn order(
    /// what to order
    item: String,
    context: Context,
    /// how many
    #[arg(default = 1)]
    #[schemars(range(min = 1, max = 99))]
    mut count: u32,
    prices: State<Prices>,
    #[serde(rename = "for")] whom: Option<String>,
) -> Result<Json<Bill>, ToolError> {
    context.progress(1.0, None, None);
    if whom.as_deref() == Some("the house") {
        count = 0;
    }
    let price = prices.get(&item).ok_or_else(|| ToolError::new(format!("there is no {item}")))?;
    Ok(Json(Bill { total: price * f64::from(count) }))
}

async fn connect(builder: ServerBuilder) -> Client {
    let server = builder.build().expect("valid");
    Client::builder().roots(&[Root::new("file:///srv")]).connect(&server).await.expect("connected")
}

fn builder() -> ServerBuilder {
    Server::builder("test", "1.0").state(Prices::from([("tea".into(), 3.0), ("cake".into(), 5.0)]))
}

#[tokio::test]
async fn a_function_of_plain_parameters_is_a_tool_with_a_schema() {
    let client = connect(builder().items(items![order])).await;
    let tools = client.list_all_tools().await.expect("a list");
    let [listed] = &tools[..] else { panic!("{tools:?}") };
    assert_eq!((listed.name.as_str(), listed.title.as_deref()), ("order", Some("Order")));
    assert_eq!(listed.description.as_deref(), Some("Order something.\n\nIt is brought at once."));
    let annotations = ToolAnnotations {
        title: Some("Orders".into()),
        destructive_hint: Some(true),
        idempotent_hint: Some(false),
        ..ToolAnnotations::default()
    };
    assert_eq!(listed.annotations, Some(annotations));
    let schema = &listed.input_schema;
    assert_eq!(schema["required"], json!(["item"]));
    assert_eq!(schema["properties"]["item"], json!({"type": "string", "description": "what to order"}));
    let count = &schema["properties"]["count"];
    assert_eq!(
        (&count["default"], &count["maximum"], &count["description"]),
        (&json!(1), &json!(99), &json!("how many"))
    );
    let names: Vec<&String> = schema["properties"].as_object().expect("an object").keys().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(schema["properties"]["for"].is_object() && schema.get("title").is_none(), "{schema}");
    assert!(listed.output_schema.as_ref().expect("one")["properties"]["total"].is_object());

    let total = async |arguments: Value| -> Result<f64, Error> {
        Ok(client.call_tool("order", arguments).await?.structured::<Bill>()?.total)
    };
    assert_eq!(total(json!({"item": "tea"})).await.expect("a bill"), 3.0);
    assert_eq!(total(json!({"item": "cake", "count": 2})).await.expect("a bill"), 10.0);
    assert_eq!(total(json!({"item": "cake", "for": "the house"})).await.expect("a bill"), 0.0);
    let error = total(json!({"item": "gold"})).await.expect_err("a failure");
    assert_eq!(error.message, "there is no gold");
    for wrong in [json!({"item": "tea", "count": 100}), json!({"item": 1}), json!({})] {
        let result = client.call_tool("order", wrong).await.expect("a result");
        assert!(result.is_error && result.text().contains("argument"), "{}", result.text());
    }
}

#[tokio::test]
async fn a_macro_makes_what_the_builder_makes() {
    #[derive(Deserialize, JsonSchema)]
    struct Terms {
        /// the first
        a: i64,
        b: Option<i64>,
    }

    /// Add.
    #[tool(annotations(read_only_hint))]
    async fn add(Args(terms): Args<Terms>) -> String {
        (terms.a + terms.b.unwrap_or_default()).to_string()
    }

    mod plain {
        /// Add.
        #[super::tool(annotations(read_only_hint))]
        pub async fn add(
            /** the first */
            a: i64,
            b: Option<i64>,
        ) -> String {
            (a + b.unwrap_or_default()).to_string()
        }
    }

    let annotations = ToolAnnotations { read_only_hint: Some(true), ..ToolAnnotations::default() };
    let by_hand = Tool::new("add", add).description("Add.").annotations(annotations);
    let mut seen = Vec::new();
    for tool in [by_hand, add::item(), plain::add::item()] {
        let client = connect(builder().tool(tool)).await;
        let listed = client.list_tools().await.expect("a list").items;
        seen.push((
            listed,
            client.call_tool("add", json!({"a": 1, "b": 2})).await.expect("a result").raw.as_str().to_owned(),
            client.call_tool("add", json!({"a": "x"})).await.expect("a result").raw.as_str().to_owned(),
            client.call_tool("add", json!({"a": 1e300})).await.expect("a result").raw.as_str().to_owned(),
        ));
    }
    assert_eq!((&seen[0], &seen[0]), (&seen[1], &seen[2]));
    // The function itself is unchanged.
    assert_eq!(plain::add(1, None).await, "1");
    assert_eq!(add(Args(Terms { a: 1, b: None })).await, "1");
}

/// A parameter that reads no arguments and has its own rule of extraction from the call.
struct Era(trunnion::Era);

impl FromCall for Era {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        Ok(Era(parts.context().era()))
    }
}

const NAME: &str = "named-otherwise";

#[tool(name = NAME, description = format!("{} words", 2), timeout = Duration::from_millis(1))]
async fn slow(#[from_call] era: Era) -> String {
    if era.0 == trunnion::Era::Modern {
        std::future::pending::<()>().await;
    }
    "fast".into()
}

/// What it is called with has the name of what is taken from the call.
#[tool]
fn blocking(#[arg] uri: other::Uri, r#type: Vec<u8>, blocking: bool) -> String {
    // Panics where it would stop the task of a connection.
    tokio::runtime::Handle::current().block_on(tokio::task::yield_now());
    format!("{}{type:?}{blocking}", uri.0)
}

mod other {
    /// Not that of the SDK.
    #[derive(trunnion::serde::Deserialize, trunnion::schemars::JsonSchema)]
    #[serde(crate = "trunnion::serde")]
    #[schemars(crate = "trunnion::schemars")]
    pub struct Uri(pub String);
}

mod aliased {
    use super::other::Uri;
    use trunnion as sdk;

    #[sdk::server::tool(crate = sdk, input_schema(serde_json::json!({"type": "object", "minProperties": 1})))]
    #[allow(clippy::unused_async)]
    pub(crate) async fn free(#[arg] uri: Uri) -> String {
        uri.0
    }
}

#[tool(
    asks("roots", Ask::roots()),
    asks("more", Ask::roots()),
    with = |tool| tool.meta = Some([("k".to_owned(), json!(1))].into_iter().collect()),
)]
async fn greet(context: Context) -> Result<String, Error> {
    let answers = context.answers();
    Ok(format!("{} {}", answers.roots("roots")?.len(), answers.roots("more")?.len()))
}

#[doc = concat!("Made of ", "pieces.")]
#[tool]
async fn nothing() {}

#[tokio::test]
async fn every_option_is_the_builders() {
    let client = connect(builder().items(items![slow, aliased::free, greet, nothing])).await;
    let tools = client.list_all_tools().await.expect("a list");
    let descriptions: Vec<_> =
        tools.iter().map(|tool| (tool.name.as_str(), tool.description.as_deref())).collect();
    assert_eq!(
        descriptions,
        [
            ("named-otherwise", Some("2 words")),
            ("free", None),
            ("greet", None),
            ("nothing", Some("Made of pieces."))
        ]
    );
    assert_eq!(tools[1].input_schema, json!({"type": "object", "minProperties": 1}));
    assert_eq!(tools[2].meta.as_ref().map(|meta| &meta["k"]), Some(&json!(1)));
    assert_eq!(tools[3].input_schema, json!({"type": "object"}));

    let late = client.call_tool(NAME, ()).await.expect("a result");
    assert!(late.is_error && late.text().contains("time limit"), "{}", late.text());
    assert_eq!(client.call_tool("free", json!({"uri": "x"})).await.expect("a result").text(), "x");
    assert!(client.call_tool("free", json!({})).await.expect("a result").is_error);
    assert_eq!(client.call_tool("greet", ()).await.expect("a result").text(), "1 1");
    assert_eq!(client.call_tool("nothing", ()).await.expect("a result").content, []);
}

#[tool(scopes(["write"]))]
async fn delete() {}

#[tool(visible_to = Visibility::claim("groups", "staff"))]
async fn audit() {}

#[resource("secret://all", scopes = ["read", "secret"], visible_to(Visibility::scope("secret")))]
async fn secret() -> &'static str {
    "…"
}

#[prompt(scopes(["write"]))]
async fn confess() -> &'static str {
    "…"
}

#[tokio::test]
async fn who_may_and_who_sees_is_an_option_too() {
    let tokens = StaticTokens::new()
        .token("ann", json!({"sub": "ann", "groups": ["staff"], "scope": "write secret read"}))
        .token("bob", json!({"sub": "bob", "scope": "secret"}));
    let items = items![delete, audit, secret, confess];
    let server = builder().auth(Auth::new().tokens(tokens)).items(items).build().expect("valid");
    let listening = server.http().bind("127.0.0.1:0").await.expect("bound");
    let client = async |token: &str| {
        let client = Client::builder().header("authorization", format!("Bearer {token}"));
        client.connect(listening.url()).await.expect("connected")
    };
    let (ann, bob) = (client("ann").await, client("bob").await);
    for (client, tools) in [(&ann, 2), (&bob, 1)] {
        assert_eq!(client.list_all_tools().await.expect("a list").len(), tools);
        assert_eq!(client.list_resources().await.expect("a page").items.len(), 1);
    }
    ann.call_tool("delete", ()).await.expect("she may");
    ann.read_resource("secret://all").await.expect("she may");
    ann.get_prompt("confess", ()).await.expect("she may");
    let refusals = [
        bob.call_tool("delete", ()).await.expect_err("no write"),
        bob.read_resource("secret://all").await.map(|_| ()).expect_err("no read"),
        bob.get_prompt("confess", ()).await.map(|_| ()).expect_err("no write"),
    ];
    for (refused, scopes) in
        refusals.iter().zip([json!(["write"]), json!(["read", "secret"]), json!(["write"])])
    {
        assert_eq!(refused.kind, "unauthorized", "{refused}");
        let data: Value = serde_json::from_str(refused.data.as_ref().expect("why")).expect("JSON");
        assert_eq!(data["scopes"], scopes);
    }
}

#[tool(task = TaskSupport::Required, resumable, task_concurrency = 2, task_ttl = Duration::from_secs(60))]
async fn long() {}

#[tokio::test]
async fn so_are_those_of_tasks() {
    let client = connect(builder().tool(long::item())).await;
    let task = client.call_tool("long", ()).task().await.expect("a task");
    assert_eq!(task.created().expect("made now").ttl_ms, Some(60_000));
    assert!(!task.result().await.expect("a result").is_error);
}

#[tokio::test]
async fn a_function_that_is_not_async_may_block() {
    let client = connect(builder().tool(blocking::item())).await;
    let result = client.call_tool("blocking", json!({"uri": "x", "type": [1], "blocking": true}));
    assert_eq!(result.await.expect("a result").text(), "x[1]true");
}

/// The library.
#[resource("book://about", mime_type = "text/plain", title = "About")]
async fn about(Uri(uri): Uri) -> String {
    format!("A library at {uri}.")
}

/// A text.
#[resource("book://{title}/text{?page}", name = "book", mime_type = "text/markdown")]
async fn text(
    title: String,
    Uri(uri): Uri,
    page: Option<String>,
    prices: State<Prices>,
) -> Result<String, Error> {
    if !prices.contains_key(&title) {
        return Err(Error::resource_not_found(&uri));
    }
    Ok(format!("{title} {page:?}"))
}

const ELSEWHERE: &str = "note://{+path}";

#[resource(uri_template = ELSEWHERE)]
fn note(path: String) -> Vec<u8> {
    path.into_bytes()
}

/// Ask for a review.
#[prompt(title = "Review")]
async fn review(
    /// title of the book
    title: String,
    tone: Option<String>,
) -> Vec<PromptMessage> {
    let tone = tone.unwrap_or_else(|| "kindly".into());
    vec![trunnion::model::Content::text(format!("Review {title} {tone}.")).into()]
}

#[completion(prompt = "review")]
async fn titles(partial: Partial, prices: State<Prices>) -> Vec<String> {
    prices.keys().filter(|title| title.starts_with(&partial.value)).cloned().collect()
}

#[completion(resource_template = ELSEWHERE)]
async fn paths() -> Vec<&'static str> {
    vec!["a/b"]
}

#[tokio::test]
async fn resources_prompts_and_completions() {
    let client = connect(builder().items(items![about, text, note, review, titles, paths])).await;
    let resources = client.list_resources().await.expect("a list").items;
    let [listed] = &resources[..] else { panic!("{resources:?}") };
    assert_eq!((listed.uri.as_str(), listed.name.as_str()), ("book://about", "about"));
    assert_eq!((listed.title.as_deref(), listed.mime_type.as_deref()), (Some("About"), Some("text/plain")));
    assert_eq!(listed.description.as_deref(), Some("The library."));
    let templates = client.list_resource_templates().await.expect("a list").items;
    let names: Vec<_> =
        templates.iter().map(|template| (template.name.as_str(), template.uri_template.as_str())).collect();
    assert_eq!(names, [("book", "book://{title}/text{?page}"), ("note", ELSEWHERE)]);

    let read = async |uri: &str| client.read_resource(uri).await.map(|read| read.contents[0].clone());
    let text = async |uri: &str| read(uri).await.map(|contents| contents.text.expect("a text"));
    assert_eq!(text("book://about").await.expect("a text"), "A library at book://about.");
    assert_eq!(text("book://tea/text?page=2").await.expect("a text"), "tea Some(\"2\")");
    assert_eq!(text("book://tea/text").await.expect("a text"), "tea None");
    assert_eq!(text("book://gold/text").await.expect_err("none").kind, "resource_not_found");
    assert_eq!(read("note://a/b").await.expect("bytes").blob.as_deref(), Some("YS9i"));

    let prompts = client.list_prompts().await.expect("a list").items;
    assert_eq!((prompts[0].name.as_str(), prompts[0].title.as_deref()), ("review", Some("Review")));
    let arguments = prompts[0].arguments.as_ref().expect("arguments");
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| (argument.name.as_str(), argument.description.as_deref(), argument.required))
        .collect();
    assert_eq!(arguments, [("title", Some("title of the book"), Some(true)), ("tone", None, Some(false))]);
    let filled = client.get_prompt("review", json!({"title": "Emma"})).await.expect("a prompt");
    assert_eq!(filled.messages[0].content.as_text(), Some("Review Emma kindly."));
    assert_eq!(client.get_prompt("review", ()).await.expect_err("no title").kind, "invalid_params");

    let of = CompletionReference::Prompt { name: "review".into() };
    assert_eq!(client.complete(&of, "title", "t").await.expect("values").values, ["tea"]);
    let of = CompletionReference::Resource { uri: ELSEWHERE.into() };
    assert_eq!(client.complete(&of, "path", "").await.expect("values").values, ["a/b"]);
}

#[tokio::test]
async fn what_the_builder_refuses_is_refused() {
    let error = Server::builder("test", "1.0").items(items![order]).build().expect_err("no prices");
    assert!(error.message.contains("no state of type"), "{}", error.message);
    let server = builder().items(items![]).build().expect("valid");
    server.add(order::item()).expect("a tool");
    let error = server.add(order::item()).expect_err("there is one");
    assert_eq!(error.kind, "usage");
}
