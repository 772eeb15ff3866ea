//! A client of the docsearch server.
//!
//! ```sh
//! docsearch_client URL index PATH
//! docsearch_client URL search "some words" [LIMIT]
//! ```
//!
//! `search` prints one line of JSON: `{"hits": [{"path", "line", "snippet"}, …]}`. `index` shows its progress on standard
//! error as lines `progress <n> <total> <message>`.

use serde_json::{Value, json};
use trunnion::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let usage = || Error::invalid_params("usage: docsearch_client URL index PATH | URL search WORDS [LIMIT]");
    let (target, tool, input) = match arguments[..] {
        [target, "index", path] => (target, "index", json!({"path": path})),
        [target, "search", query] => (target, "search", json!({"query": query, "limit": 5})),
        [target, "search", query, limit] => {
            let limit: u32 = limit.parse().map_err(|_| usage())?;
            (target, "search", json!({"query": query, "limit": limit}))
        }
        _ => return Err(usage()),
    };
    let client = trunnion_examples::connect(Client::builder(), target).await?;
    let result = client.call_tool(tool, input).with_progress(|step| {
        let (total, message) = (step.total.unwrap_or(0.0), step.message.unwrap_or_default());
        eprintln!("{}", format!("progress {} {total} {message}", step.progress).trim_end());
    });
    let result = result.await?;
    if result.is_error {
        eprintln!("{}", result.text());
        std::process::exit(1);
    }
    println!("{}", result.structured::<Value>()?);
    client.close().await;
    Ok(())
}
