//! Hand-written protocol requests, so that no code of the SDK hides the behavior of the servers: one request
//! at a time, to any replica.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

const REVISION: &str = "2026-07-28";
const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Why there is no result.
#[derive(Debug)]
pub enum Trouble {
    /// No answer came: it is unknown whether the server has done it.
    Silence(String),
    /// The server refused.
    Refused {
        /// The error's code.
        code: i64,
        /// The error's message.
        message: String,
    },
}

/// Ways to the servers.
pub struct Wire {
    http: reqwest::Client,
    urls: Vec<String>,
    turn: AtomicUsize,
}

impl Wire {
    /// To any of these.
    pub fn new(urls: Vec<String>) -> Result<Wire, String> {
        // A connection of its own for each request: the proxy, if there is one, sends each to another replica.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build();
        Ok(Wire { http: http.map_err(|e| e.to_string())?, urls, turn: AtomicUsize::new(0) })
    }

    /// Ask, and wait for the result.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, Trouble> {
        let request = self.request(method, params).timeout(Duration::from_secs(10));
        let silence = |error: reqwest::Error| Trouble::Silence(error.to_string());
        let response = request.send().await.map_err(silence)?;
        let text = response.text().await.map_err(silence)?;
        // The error page of a proxy without a reachable server is no answer either.
        let answer: Value = serde_json::from_str(&text).map_err(|_| Trouble::Silence(text))?;
        if let Some(result) = answer.get("result") {
            return Ok(result.clone());
        }
        let error = &answer["error"];
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        match error["code"].as_i64() {
            // The store is unavailable: it may have happened, and may be retried.
            Some(-32603) | None => Err(Trouble::Silence(message)),
            Some(code) => Err(Trouble::Refused { code, message }),
        }
    }

    /// Subscribes to a task. The stream of events begins with the acknowledgement.
    pub async fn listen(&self, task: &str) -> Result<reqwest::Response, Trouble> {
        let params = json!({ "notifications": { "taskIds": [task] } });
        let response = self.request("subscriptions/listen", params).send().await;
        let response = response.map_err(|error| Trouble::Silence(error.to_string()))?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Ok(response);
        }
        Err(Trouble::Silence(response.text().await.unwrap_or_default()))
    }

    fn request(&self, method: &str, mut params: Value) -> reqwest::RequestBuilder {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let name =
            params.get("taskId").or_else(|| params.get("name")).and_then(Value::as_str).map(str::to_owned);
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientInfo": { "name": "chaos", "version": "1.0.0" },
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {}, "extensions": { EXTENSION: {} } },
        });
        let body = json!({ "jsonrpc": "2.0", "id": turn, "method": method, "params": params });
        let mut request = self
            .http
            .post(&self.urls[turn % self.urls.len()])
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", REVISION)
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        request.body(body.to_string())
    }
}
