//! The server of `tests/vectors/README.md`, for `tests/vectors.rs`: its definition is the first argument.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunnion::model::ElicitAction;
use trunnion::server::{
    Args, Completion, Context, Partial, Prompt, Resource, ResourceTemplate, Server, State, Tool, ToolError,
};
use trunnion::{Era, Error};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Definition {
    name: String,
    version: String,
    #[serde(default)]
    ttl_ms: u64,
    #[serde(default)]
    cache_scope: String,
    page_size: Option<usize>,
    eras: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
struct Terms {
    a: f64,
    b: f64,
}

#[derive(Serialize)]
struct Sum {
    sum: f64,
}

#[derive(Deserialize, JsonSchema)]
struct Text {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Message {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Steps {
    n: i64,
}

#[derive(Deserialize, JsonSchema)]
struct Item {
    id: String,
}

#[derive(Deserialize, JsonSchema)]
struct Name {
    name: String,
}

async fn add(Args(Terms { a, b }): Args<Terms>) -> serde_json::Value {
    serde_json::json!(Sum { sum: a + b })
}

async fn echo(Args(Text { text }): Args<Text>) -> String {
    text
}

async fn fail(Args(Message { message }): Args<Message>) -> Result<(), ToolError> {
    Err(ToolError::new(message))
}

async fn steps(Args(Steps { n }): Args<Steps>, context: Context) -> &'static str {
    for step in 1..=n {
        context.progress(step as f64, Some(n as f64), None);
    }
    "done"
}

async fn hang() {
    struct Tell;
    impl Drop for Tell {
        fn drop(&mut self) {
            eprintln!("hang cancelled");
        }
    }
    let _tell = Tell;
    std::future::pending::<()>().await;
}

/// The server that tells of visits: it is there when the first call is.
type Served = Arc<OnceLock<Server>>;

async fn visit(
    Args(Item { id }): Args<Item>,
    context: Context,
    State(served): State<Served>,
) -> Result<&'static str, Error> {
    let action = context.elicit_url_as(&id, "Sign in", "https://example.com/sign-in").await?;
    served.get().expect("it is served").elicitation_complete(id);
    Ok(match action {
        ElicitAction::Accept => "accept",
        ElicitAction::Decline => "decline",
        ElicitAction::Cancel => "cancel",
    })
}

async fn item(Args(Item { id }): Args<Item>) -> String {
    format!("item {id}")
}

async fn greet(Args(Name { name }): Args<Name>) -> String {
    format!("Greet {name}")
}

async fn names(partial: Partial) -> Vec<&'static str> {
    ["ada", "alan", "grace"].into_iter().filter(|name| name.starts_with(&partial.value)).collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let definition: Definition = serde_json::from_str(&std::env::args().nth(1).unwrap_or_default())?;
    let eras = definition.eras.unwrap_or_else(|| vec!["modern".into(), "legacy".into()]);
    let eras =
        [Era::Modern, Era::Legacy].into_iter().filter(|era| eras.iter().any(|name| name == era.as_str()));
    let served = Served::default();
    let server = Server::builder(definition.name, definition.version)
        .cache(Duration::from_millis(definition.ttl_ms), definition.cache_scope == "public")
        .page_size(definition.page_size.unwrap_or(1000))
        .eras(eras)
        .tool(Tool::new("add", add))
        .tool(Tool::new("echo", echo))
        .tool(Tool::new("fail", fail))
        .tool(Tool::new("steps", steps))
        .tool(Tool::new("hang", hang))
        .tool(Tool::new("visit", visit))
        .resource(Resource::new("test://text", async || "hello").mime_type("text/plain"))
        .resource_template(ResourceTemplate::new("test://item/{id}", item))
        .prompt(Prompt::new("greet", greet))
        .completion(Completion::prompt("greet", names))
        .state(served.clone())
        .build()?;
    let _ = served.set(server.clone());
    server.serve_stdio().await?;
    Ok(())
}
