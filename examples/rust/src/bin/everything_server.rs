//! A server with one of everything: the fixture of the conformance suite and of the interop matrix.
//!
//! ```sh
//! everything_server --stdio
//! everything_server --http 8000
//! ```

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trunnion::Error;
use trunnion::model::{Content, PromptMessage, ResourceContents};
use trunnion::server::{
    Args, Completion, Context, Json, LogLevel, Partial, Prompt, Resource, ResourceTemplate, Server, Tool,
    ToolError,
};

#[path = "everything_server/asking.rs"]
mod asking;
#[path = "everything_server/tasks.rs"]
mod tasks;

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==";

#[derive(Deserialize, JsonSchema)]
struct Terms {
    /// the first number
    a: f64,
    /// the second number
    b: f64,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: f64,
}

#[derive(Deserialize, JsonSchema)]
struct Text {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    #[schemars(extend("x-mcp-header" = "Region"))]
    region: String,
}

#[derive(Deserialize, JsonSchema)]
struct Failure {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Steps {
    steps: u32,
    delay_ms: u64,
}

async fn test_simple_text() -> &'static str {
    "This is a simple text response for testing."
}

async fn add(Args(terms): Args<Terms>) -> Json<Sum> {
    Json(Sum { sum: terms.a + terms.b })
}

async fn echo(Args(Text { text }): Args<Text>) -> String {
    text
}

async fn test_x_mcp_header(Args(Place { region }): Args<Place>) -> String {
    region
}

async fn slow(Args(Steps { steps, delay_ms }): Args<Steps>, context: Context) -> &'static str {
    for step in 1..=steps {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        context.progress(step.into(), Some(steps.into()), Some(&format!("step {step} of {steps}")));
    }
    "done"
}

async fn fail(Args(Failure { message }): Args<Failure>) -> Result<String, ToolError> {
    Err(ToolError::new(message))
}

async fn crash(Args(Failure { message }): Args<Failure>) -> String {
    panic!("{message}")
}

async fn test_image_content() -> Content {
    Content::image(PNG, "image/png")
}

async fn test_audio_content() -> Content {
    Content::audio(WAV, "audio/wav")
}

async fn test_embedded_resource() -> Content {
    Content::resource(ResourceContents::text(
        "test://embedded-resource",
        "text/plain",
        "This is an embedded resource content.",
    ))
}

async fn test_multiple_content_types() -> Vec<Content> {
    vec![
        Content::text("Multiple content types test:"),
        Content::image(PNG, "image/png"),
        Content::resource(ResourceContents::text(
            "test://mixed-content-resource",
            "application/json",
            r#"{"test":"data","value":123}"#,
        )),
    ]
}

async fn test_error_handling() -> Result<String, ToolError> {
    Err(ToolError::new("This tool intentionally returns an error for testing"))
}

async fn test_tool_with_progress(context: Context) -> &'static str {
    for done in [0, 50, 100] {
        context.progress(done.into(), Some(100.0), Some(&format!("{done} of 100")));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    "done"
}

async fn test_tool_with_logging(context: Context) -> Result<&'static str, Error> {
    for step in ["started", "processing", "completed"] {
        context.log(LogLevel::Info, format!("Tool execution {step}"))?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok("done")
}

async fn test_logging_tool(context: Context) -> Result<&'static str, Error> {
    context.log(LogLevel::Info, "for those who asked for it")?;
    Ok("done")
}

async fn test_reconnection(context: Context) -> &'static str {
    context.close_stream();
    tokio::time::sleep(Duration::from_millis(100)).await;
    "Reconnection test completed."
}

#[derive(Deserialize, JsonSchema)]
struct Anything {}

async fn json_schema_2020_12_tool(Args(Anything {}): Args<Anything>) -> &'static str {
    "done"
}

fn full_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}}
        }},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"}
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false
    })
}

async fn static_text() -> &'static str {
    "This is the content of the static text resource."
}

async fn static_binary() -> ResourceContents {
    ResourceContents::blob("test://static-binary", "image/png", PNG)
}

#[derive(Deserialize, JsonSchema)]
struct Item {
    id: String,
}

async fn template(Args(Item { id }): Args<Item>) -> serde_json::Value {
    serde_json::json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")})
}

async fn test_simple_prompt() -> &'static str {
    "This is a simple prompt for testing."
}

#[derive(Deserialize, JsonSchema)]
struct TwoArguments {
    /// first test argument
    arg1: String,
    /// second test argument
    arg2: String,
}

async fn test_prompt_with_arguments(Args(TwoArguments { arg1, arg2 }): Args<TwoArguments>) -> String {
    format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")
}

async fn complete_arg1(partial: Partial) -> Vec<&'static str> {
    let words = if partial.name == "arg1" { &["paris", "park", "party"][..] } else { &[] };
    words.iter().copied().filter(|word| word.starts_with(&partial.value)).collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Embedded {
    /// URI of the resource to embed
    resource_uri: String,
}

async fn test_prompt_with_embedded_resource(
    Args(Embedded { resource_uri }): Args<Embedded>,
) -> Vec<PromptMessage> {
    let text = "Embedded resource content for testing.";
    vec![
        Content::resource(ResourceContents::text(resource_uri, "text/plain", text)).into(),
        Content::text("Please process the embedded resource above.").into(),
    ]
}

async fn test_prompt_with_image() -> Vec<PromptMessage> {
    vec![Content::image(PNG, "image/png").into(), Content::text("Please analyze the image above.").into()]
}

fn server() -> Result<Server, Error> {
    let server = Server::builder("everything", "0.1.0")
        .instructions("One of everything, for tests.")
        .tool(Tool::new("test_simple_text", test_simple_text).description("Answer with a simple text."))
        .tool(Tool::new("add", add).description("Add two numbers."))
        .tool(Tool::new("echo", echo).description("Give the text back as it is."))
        .tool(
            Tool::new("test_x_mcp_header", test_x_mcp_header).description(
                "Answer with the region, which proxies can read in the header Mcp-Param-Region.",
            ),
        )
        .tool(
            Tool::new("slow", slow)
                .description("Take some steps with a pause before each, reporting progress."),
        )
        .tool(Tool::new("fail", fail).description("Fail with a message for the model."))
        .tool(Tool::new("crash", crash).description("Fail in a way nobody expected."))
        .tool(Tool::new("test_image_content", test_image_content).description("Answer with an image."))
        .tool(Tool::new("test_audio_content", test_audio_content).description("Answer with a sound."))
        .tool(
            Tool::new("test_embedded_resource", test_embedded_resource)
                .description("Answer with a resource."),
        )
        .tool(
            Tool::new("test_multiple_content_types", test_multiple_content_types)
                .description("Answer with a text, an image and a resource."),
        )
        .tool(Tool::new("test_error_handling", test_error_handling).description("Answer with a tool error."))
        .tool(
            Tool::new("test_tool_with_progress", test_tool_with_progress)
                .description("Report progress 0, 50 and 100 of 100."),
        )
        .tool(
            Tool::new("test_tool_with_logging", test_tool_with_logging)
                .description("Send three log messages on the way."),
        )
        .tool(
            Tool::new("test_logging_tool", test_logging_tool)
                .description("Send a log message to those who asked for it."),
        )
        .tool(
            Tool::new("test_reconnection", test_reconnection)
                .description("Close the stream before the answer is there."),
        )
        .tool(
            Tool::new("json_schema_2020_12_tool", json_schema_2020_12_tool)
                .description("A schema with everything that JSON Schema 2020-12 has.")
                .input_schema(full_schema()),
        )
        .resource(
            Resource::new("test://watched-resource", static_text)
                .name("watched-resource")
                .description("A text that can be watched.")
                .mime_type("text/plain"),
        )
        .resource(
            Resource::new("test://static-text", static_text)
                .name("static-text")
                .description("A text that never changes.")
                .mime_type("text/plain"),
        )
        .resource(
            Resource::new("test://static-binary", static_binary)
                .name("static-binary")
                .description("An image that never changes.")
                .mime_type("image/png"),
        )
        .resource_template(
            ResourceTemplate::new("test://template/{id}/data", template)
                .name("template")
                .description("Data by id.")
                .mime_type("application/json"),
        )
        .prompt(
            Prompt::new("test_simple_prompt", test_simple_prompt).description("A prompt without arguments."),
        )
        .prompt(
            Prompt::new("test_prompt_with_arguments", test_prompt_with_arguments)
                .description("A prompt with two arguments."),
        )
        .completion(Completion::prompt("test_prompt_with_arguments", complete_arg1))
        .prompt(
            Prompt::new("test_prompt_with_embedded_resource", test_prompt_with_embedded_resource)
                .description("A prompt that carries a resource."),
        )
        .prompt(
            Prompt::new("test_prompt_with_image", test_prompt_with_image)
                .description("A prompt that carries an image."),
        )
        .build()?;
    asking::add(&server)?;
    tasks::add(&server)?;
    changing(&server)?;
    Ok(server)
}

/// Tools that change what the server offers, each by something that comes and goes.
fn changing(server: &Server) -> Result<(), Error> {
    let own = server.clone();
    let tool = move || {
        let own = own.clone();
        async move {
            if !own.remove_tool("test_changed_tool") {
                own.add(Tool::new("test_changed_tool", test_simple_text).description("It comes and goes."))?;
            }
            Ok::<_, Error>("changed")
        }
    };
    server.add(Tool::new("test_trigger_tool_change", tool).description("Change the list of tools."))?;
    let own = server.clone();
    let prompt = move || {
        let own = own.clone();
        async move {
            if !own.remove_prompt("test_changed_prompt") {
                own.add(
                    Prompt::new("test_changed_prompt", test_simple_prompt).description("It comes and goes."),
                )?;
            }
            Ok::<_, Error>("changed")
        }
    };
    server.add(Tool::new("test_trigger_prompt_change", prompt).description("Change the list of prompts."))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    trunnion_examples::serve(&server()?, &arguments).await
}
