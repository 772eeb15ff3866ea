//! The everything server on rmcp, the official Rust SDK: the foreign side of the interop matrix.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt, prompt, prompt_handler, prompt_router, tool,
    tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
const WITH_ARGUMENTS: &str = "test_prompt_with_arguments";

#[derive(Deserialize, JsonSchema)]
struct Numbers {
    a: f64,
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
#[serde(rename_all = "camelCase")]
struct Work {
    steps: u32,
    delay_ms: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Failure {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Words {
    arg1: String,
    arg2: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Embedded {
    resource_uri: String,
}

#[derive(Clone)]
struct Everything;

fn image() -> ContentBlock {
    ContentBlock::image(PNG, "image/png")
}

fn embedded(uri: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(text, uri))
}

fn user(content: ContentBlock) -> PromptMessage {
    PromptMessage::new(Role::User, content)
}

fn missing(uri: &str) -> ErrorData {
    ErrorData::resource_not_found("no such resource", Some(json!({ "uri": uri })))
}

async fn progress(context: &RequestContext<RoleServer>, done: u32, total: u32, message: String) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let step =
        ProgressNotificationParam::new(token, done.into()).with_total(total.into()).with_message(message);
    // The client may have disconnected; the end of the request will show that.
    let _ = context.peer.notify_progress(step).await;
}

#[tool_router]
impl Everything {
    #[tool(description = "Returns one text.")]
    async fn test_simple_text(&self) -> String {
        "This is a simple text response for testing.".into()
    }

    #[tool(description = "Adds two numbers.")]
    async fn add(&self, Parameters(Numbers { a, b }): Parameters<Numbers>) -> Json<Sum> {
        Json(Sum { sum: a + b })
    }

    #[tool(description = "Returns the text it was given.")]
    async fn echo(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        text
    }

    #[tool(description = "Works in steps and reports progress.")]
    async fn slow(
        &self,
        Parameters(Work { steps, delay_ms }): Parameters<Work>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        for step in 1..=steps {
            tokio::select! {
                () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
                () = tokio::time::sleep(Duration::from_millis(delay_ms)) => {}
            }
            progress(&context, step, steps, format!("step {step} of {steps}")).await;
        }
        Ok("done".into())
    }

    #[tool(description = "Fails as a tool.")]
    async fn fail(&self, Parameters(Failure { message }): Parameters<Failure>) -> Result<String, String> {
        Err(message)
    }

    #[tool(description = "Fails in an unexpected way.")]
    async fn crash(&self, Parameters(Failure { message }): Parameters<Failure>) -> Result<String, ErrorData> {
        Err(ErrorData::internal_error(message, None))
    }

    #[tool(description = "Returns an image.")]
    async fn test_image_content(&self) -> CallToolResult {
        CallToolResult::success(vec![image()])
    }

    #[tool(description = "Returns a sound.")]
    async fn test_audio_content(&self) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::audio(WAV, "audio/wav")])
    }

    #[tool(description = "Returns a resource inside the result.")]
    async fn test_embedded_resource(&self) -> CallToolResult {
        CallToolResult::success(vec![embedded(
            "test://embedded-resource",
            "This is an embedded resource content.",
        )])
    }

    #[tool(description = "Returns text, an image and a resource.")]
    async fn test_multiple_content_types(&self) -> CallToolResult {
        let text = ContentBlock::text("Multiple content types test:");
        CallToolResult::success(vec![text, image(), embedded("test://mixed-content-resource", "mixed")])
    }

    #[tool(description = "Returns an error result.")]
    async fn test_error_handling(&self) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text(
            "This tool intentionally returns an error for testing",
        )])
    }

    #[tool(description = "Reports 0, 50 and 100 of 100.")]
    async fn test_tool_with_progress(&self, context: RequestContext<RoleServer>) -> String {
        for done in [0, 50, 100] {
            progress(&context, done, 100, format!("{done} of 100")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        "done".into()
    }
}

#[prompt_router]
impl Everything {
    #[prompt(description = "A prompt without arguments.")]
    async fn test_simple_prompt(&self) -> Vec<PromptMessage> {
        vec![user(ContentBlock::text("This is a simple prompt for testing."))]
    }

    #[prompt(description = "A prompt with two arguments.")]
    async fn test_prompt_with_arguments(
        &self,
        Parameters(Words { arg1, arg2 }): Parameters<Words>,
    ) -> Vec<PromptMessage> {
        vec![user(ContentBlock::text(format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")))]
    }

    #[prompt(description = "A prompt with a resource inside.")]
    async fn test_prompt_with_embedded_resource(
        &self,
        Parameters(Embedded { resource_uri }): Parameters<Embedded>,
    ) -> Vec<PromptMessage> {
        vec![user(embedded(&resource_uri, "embedded")), user(ContentBlock::text("Please process it."))]
    }

    #[prompt(description = "A prompt with an image.")]
    async fn test_prompt_with_image(&self) -> Vec<PromptMessage> {
        vec![user(image())]
    }
}

#[tool_handler(router = Self::tool_router())]
#[prompt_handler(router = Self::prompt_router())]
impl ServerHandler for Everything {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .enable_completions()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("everything-rmcp-official", "1.0.0"))
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(vec![
            Resource::new("test://static-text", "static-text").with_mime_type("text/plain"),
            Resource::new("test://static-binary", "static-binary").with_mime_type("image/png"),
        ]))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new("test://template/{id}/data", "template");
        Ok(ListResourceTemplatesResult::with_all_items(vec![template.with_mime_type("application/json")]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let contents = match uri {
            "test://static-text" => {
                ResourceContents::text("This is the content of the static text resource.", uri)
            }
            "test://static-binary" => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
            _ => {
                let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
                let id = id.filter(|id| !id.is_empty() && !id.contains('/')).ok_or_else(|| missing(uri))?;
                let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
                ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
            }
        };
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let prompt = request.r#ref.as_prompt_name().filter(|name| Self::prompt_router().has_route(name));
        let prompt = prompt.ok_or_else(|| ErrorData::invalid_params("no such prompt", None))?;
        let known = prompt == WITH_ARGUMENTS && request.argument.name == "arg1";
        let values = ["paris", "park", "party"].map(str::to_owned).into_iter().filter(|_| known);
        let values = values.filter(|value| value.starts_with(&request.argument.value)).collect();
        let values = CompletionInfo::new(values).map_err(|why| ErrorData::internal_error(why, None))?;
        Ok(CompleteResult::new(values))
    }
}

async fn http(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Everything), sessions, Default::default());
    let service = TowerToHyperService::new(service);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // The first event of a stream and the answer are two writes: without this the second waits 40 ms.
        stream.set_nodelay(true)?;
        // A client that goes in the middle of a response is no error.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--stdio"] => {
            Everything.serve(rmcp::transport::stdio()).await?.waiting().await?;
            Ok(())
        }
        ["--http", port] => http(port.parse()?).await,
        _ => Err("usage: everything_server --stdio | --http PORT".into()),
    }
}
