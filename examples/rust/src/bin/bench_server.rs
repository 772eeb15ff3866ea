//! The benchmark's server: echo, add, more tools from the file `BENCH_TOOLS`, and the text of `BENCH_BIG`.
//!
//! ```sh
//! BENCH_TOOLS=tools.json BENCH_BIG=big.txt bench_server --http 8000
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunnion::server::{Args, Json, Resource, Server, Tool};

#[derive(Deserialize, JsonSchema)]
struct Text {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Terms {
    a: f64,
    b: f64,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct More {
    name: String,
    description: String,
    input_schema: Value,
}

async fn echo(Args(Text { text }): Args<Text>) -> String {
    text
}

async fn add(Args(Terms { a, b }): Args<Terms>) -> Json<Sum> {
    Json(Sum { sum: a + b })
}

fn server() -> Result<Server, Box<dyn std::error::Error>> {
    let mut server = Server::builder("bench", "0.1.0")
        .tool(Tool::new("echo", echo).description("Give the text back."))
        .tool(Tool::new("add", add).description("Add two numbers."));
    if let Ok(file) = std::env::var("BENCH_TOOLS") {
        let tools: Vec<More> = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        for More { name, description, input_schema } in tools {
            let tool = Tool::new(name, async || "ok").description(description).input_schema(input_schema);
            server = server.tool(tool);
        }
    }
    if let Ok(file) = std::env::var("BENCH_BIG") {
        let text = std::fs::read_to_string(file)?;
        let big = Resource::new("bench://big", move || {
            let text = text.clone();
            async move { text }
        });
        server = server.resource(big.name("big").mime_type("text/plain"));
    }
    Ok(server.build()?)
}

// One thread, as the other languages' servers have for their handlers.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    Ok(trunnion_examples::serve(&server()?, &arguments).await?)
}
