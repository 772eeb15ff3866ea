//! The benchmark server on rmcp, with its lean API: a tool table built once, JSON responses, no sessions.

use std::sync::Arc;

use rmcp::handler::server::ServerHandler;
use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServiceExt};
use serde_json::{Value, json};

struct Tables {
    tools: Vec<Tool>,
    big: String,
}

#[derive(Clone)]
struct Bench(Arc<Tables>);

impl ServerHandler for Bench {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.tools.clone()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let result = match request.name.as_ref() {
            "echo" => {
                let text = arguments.get("text").and_then(Value::as_str);
                let text = text.ok_or_else(|| ErrorData::invalid_params("text is missing", None))?;
                CallToolResult::success(vec![ContentBlock::text(text)])
            }
            "add" => {
                let number = |key: &str| arguments.get(key).and_then(Value::as_f64);
                let (Some(a), Some(b)) = (number("a"), number("b")) else {
                    return Err(ErrorData::invalid_params("a and b are numbers", None));
                };
                CallToolResult::structured(json!({ "sum": a + b }))
            }
            name if self.0.tools.iter().any(|tool| tool.name == name) => {
                CallToolResult::success(vec![ContentBlock::text("ok")])
            }
            name => return Err(ErrorData::invalid_params(format!("unknown tool {name}"), None)),
        };
        Ok(result.into())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        Ok(ReadResourceResult::new(vec![ResourceContents::text(self.0.big.clone(), request.uri)]).into())
    }
}

fn tables() -> Result<Tables, Box<dyn std::error::Error>> {
    let mut tools = vec![
        json!({"name": "echo", "description": "Returns the text.",
               "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}),
        json!({"name": "add", "description": "Adds two numbers.",
               "inputSchema": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                               "required": ["a", "b"]}}),
    ];
    tools.extend(serde_json::from_str::<Vec<Value>>(&std::fs::read_to_string(std::env::var("BENCH_TOOLS")?)?)?);
    let tools = tools.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
    Ok(Tables { tools, big: std::fs::read_to_string(std::env::var("BENCH_BIG")?)? })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Bench(Arc::new(tables()?));
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--stdio"] => {
            server.serve(rmcp::transport::stdio()).await?.waiting().await?;
        }
        ["--http", port] => {
            let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
            let service: StreamableHttpService<Bench, LocalSessionManager> =
                StreamableHttpService::new(move || Ok(server.clone()), Default::default(), config);
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
            axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await?;
        }
        _ => return Err("usage: bench-peer-rmcp --stdio | --http PORT".into()),
    }
    Ok(())
}
