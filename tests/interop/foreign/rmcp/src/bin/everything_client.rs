//! The everything client on rmcp, the official Rust SDK: makes the interop tour, prints one line of JSON.

use std::sync::Mutex;

use rmcp::model::*;
use rmcp::service::RunningService;
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions, RequestHandle,
};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{
    ClientHandler, RoleClient, ServiceError,
    serde_json::{Value, json},
};
use tokio::process::Command;
use tokio::sync::Notify;

type Client = RunningService<RoleClient, Everything>;
type Failure = Box<dyn std::error::Error>;

/// Notes every progress notification: a request's token is known only when it has been sent.
struct Everything {
    info: ClientConfig,
    steps: Mutex<Vec<(ProgressToken, f64)>>,
    moved: Notify,
}

impl Everything {
    fn steps_of(&self, token: &ProgressToken) -> Vec<f64> {
        let steps = self.steps.lock().expect("nobody panics");
        steps.iter().filter(|(of, _)| of == token).map(|(_, step)| *step).collect()
    }
}

impl ClientHandler for Everything {
    fn get_info(&self) -> ClientConfig {
        self.info.clone()
    }

    async fn on_progress(&self, step: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.steps.lock().expect("nobody panics").push((step.progress_token, step.progress));
        self.moved.notify_one();
    }
}

fn params(name: &'static str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(arguments.as_object().cloned().unwrap_or_default())
}

fn text(result: &CallToolResult) -> Option<&str> {
    Some(result.content.first()?.as_text()?.text.as_str())
}

fn text_of(result: ReadResourceResult) -> Option<String> {
    match result.contents.into_iter().next()? {
        ResourceContents::TextResourceContents { text, .. } => Some(text),
        _ => None,
    }
}

async fn outcome(client: &Client, name: &'static str, arguments: Value) -> Result<Value, ServiceError> {
    match client.call_tool(params(name, arguments)).await {
        Ok(result) if result.is_error == Some(true) => Ok(json!("isError")),
        Ok(_) => Ok(json!("ok")),
        Err(ServiceError::McpError(error)) => Ok(json!(error.code.0)),
        Err(error) => Err(error),
    }
}

/// Starts the slow tool; the handle knows its progress token, and can cancel it.
async fn slow(client: &Client, steps: u32, delay: u32) -> Result<RequestHandle<RoleClient>, ServiceError> {
    let call = CallToolRequest::new(params("slow", json!({ "steps": steps, "delayMs": delay })));
    client.send_cancellable_request(call.into(), PeerRequestOptions::no_options()).await
}

async fn cancelled(client: &Client) -> Result<&'static str, ServiceError> {
    let call = slow(client, 100_000, 1).await?;
    while client.service().steps_of(&call.progress_token).is_empty() {
        client.service().moved.notified().await;
    }
    call.cancel(None).await?;
    Ok("cancelled")
}

async fn tour(client: &Client) -> Result<Value, Failure> {
    let names: Vec<_> = client.list_all_tools().await?.into_iter().map(|tool| tool.name).collect();
    let tools = ["add", "echo", "slow", "fail"].iter().all(|wanted| names.iter().any(|name| name == wanted));
    let added = client.call_tool(params("add", json!({ "a": 2, "b": 3 }))).await?;
    // Before 2025-06-18 there is only the text.
    let sum = match &added.structured_content {
        Some(structured) => structured.clone(),
        None => rmcp::serde_json::from_str(text(&added).unwrap_or_default())?,
    };
    let echo = client.call_tool(params("echo", json!({ "text": "héllo ✓ 😀\n\"q\"" }))).await?;
    let call = slow(client, 3, 5).await?;
    let token = call.progress_token.clone();
    let ServerResult::CallToolResult(slow) = call.await_response().await? else {
        return Err("slow had no result".into());
    };
    let progress = client.service().steps_of(&token);
    let fail = client.call_tool(params("fail", json!({ "message": "boom" }))).await?;
    if fail.is_error != Some(true) {
        return Err("fail did not fail".into());
    }
    let unknown = outcome(client, "nope", json!({})).await?;
    let invalid = outcome(client, "add", json!({ "a": "x" })).await?;
    let cancel = cancelled(client).await?;
    let resource = client.read_resource(ReadResourceRequestParams::new("test://static-text")).await?;
    let template = client.read_resource(ReadResourceRequestParams::new("test://template/42/data")).await?;
    let words = json!({ "arg1": "hello", "arg2": "world" }).as_object().cloned().unwrap_or_default();
    let prompt = GetPromptRequestParams::new("test_prompt_with_arguments").with_arguments(words);
    let prompt = client.get_prompt(prompt).await?;
    let completion = client.complete_prompt_simple("test_prompt_with_arguments", "arg1", "pa").await?;
    let after = client.call_tool(params("echo", json!({ "text": "still here" }))).await?;
    Ok(json!({
        "revision": client.peer_info().map(|server| server.protocol_version.clone()),
        "tools": tools,
        "sum": sum["sum"],
        "echo": text(&echo),
        "progress": progress,
        "slow": text(&slow),
        "fail": text(&fail),
        "unknown": unknown,
        "invalid": invalid,
        "cancel": cancel,
        "resource": text_of(resource),
        "template": text_of(template),
        "prompt": prompt.messages.first().and_then(|message| Some(&message.content.as_text()?.text)),
        "completion": completion,
        "after": text(&after),
    }))
}

// One thread: rmcp handles each notification in a task of its own, and only so they keep their order.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let target = std::env::args().next_back().unwrap_or_default();
    let mut info = ClientConfig::new(
        ClientCapabilities::default(),
        Implementation::new("everything-rmcp-official", "1.0.0"),
    );
    let mode = match std::env::var("MCP_INTEROP_REVISION") {
        Ok(revision) => {
            let known = ProtocolVersion::KNOWN_VERSIONS.iter().find(|known| known.as_str() == revision);
            info = info.with_protocol_version(known.ok_or("no such revision")?.clone());
            ClientLifecycleMode::Initialize
        }
        Err(_) => ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: None,
        },
    };
    let client = Everything { info, steps: Mutex::default(), moved: Notify::new() };
    let client = if let Some(command) = target.strip_prefix("stdio:") {
        let mut words = command.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        client.serve_with_lifecycle(TokioChildProcess::new(command)?, mode).await?
    } else {
        client.serve_with_lifecycle(StreamableHttpClientTransport::from_uri(target), mode).await?
    };
    println!("{}", tour(&client).await?);
    client.cancel().await?;
    Ok(())
}
