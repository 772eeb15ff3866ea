//! A test client that exposes every header and event.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;
use trunnion::server::{Context, Listening, Server, State};

/// One endpoint and who talks to it.
pub struct Peer {
    http: reqwest::Client,
    pub listening: Listening,
    pub session: Option<String>,
    pub revision: &'static str,
}

/// One event of a stream.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Event {
    pub id: Option<String>,
    pub retry: Option<String>,
    pub data: String,
}

impl Event {
    pub fn message(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|_| panic!("no message: {self:?}"))
    }
}

/// A stream of events.
pub struct Stream {
    response: reqwest::Response,
    buffer: String,
}

impl Stream {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                let mut event = Event::default();
                let mut comment = true;
                for line in block.lines() {
                    match line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")) {
                        ("id", id) => event.id = Some(id.to_owned()),
                        ("retry", retry) => event.retry = Some(retry.to_owned()),
                        ("data", data) => event.data = data.to_owned(),
                        _ => continue,
                    }
                    comment = false;
                }
                if !comment {
                    return Some(event);
                }
                continue;
            }
            let chunk = self.response.chunk().await.expect("the stream goes on")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        self.next().await.expect("a message").message()
    }
}

/// An answer to a POST or GET.
pub enum Answer {
    Json(u16, Value),
    Stream(Stream),
}

impl Answer {
    pub fn json(self) -> Value {
        match self {
            Answer::Json(_, value) => value,
            Answer::Stream(_) => panic!("an event stream"),
        }
    }

    pub fn status(&self) -> u16 {
        match self {
            Answer::Json(status, _) => *status,
            Answer::Stream(_) => 200,
        }
    }

    pub fn stream(self) -> Stream {
        match self {
            Answer::Stream(stream) => stream,
            Answer::Json(status, value) => panic!("status {status}: {value}"),
        }
    }
}

impl Peer {
    /// Serve, and talk in the modern era.
    pub async fn modern(server: &Server) -> Peer {
        Peer::of(server.http().bind("127.0.0.1:0").await.expect("an address"), "2026-07-28")
    }

    pub fn of(listening: Listening, revision: &'static str) -> Peer {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Peer { http, listening, session: None, revision }
    }

    /// Serve, and shake hands as a legacy client with these capabilities.
    pub async fn legacy(server: &Server, revision: &'static str, capabilities: Value) -> Peer {
        let mut peer = Peer::of(server.http().bind("127.0.0.1:0").await.expect("an address"), revision);
        peer.initialize(capabilities).await.expect("a session");
        peer
    }

    /// Begins a session; returns the status if it is refused.
    pub async fn initialize(&mut self, capabilities: Value) -> Result<(), u16> {
        let params = json!({"protocolVersion": self.revision, "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let response = self.request(reqwest::Method::POST).body(body.to_string()).send().await.expect("sent");
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        let id = response.headers().get("mcp-session-id").expect("a session id");
        self.session = Some(id.to_str().expect("ASCII").to_owned());
        assert_eq!(self.notify("notifications/initialized", json!({})).await, 202);
        Ok(())
    }

    pub fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        let mut request = self
            .http
            .request(method, self.listening.url())
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", self.revision);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        request
    }

    pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("sent");
        let status = response.status().as_u16();
        let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if media_type == Some("text/event-stream") {
            return Answer::Stream(Stream { response, buffer: String::new() });
        }
        let text = response.text().await.expect("a body");
        Answer::Json(status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Sends any body.
    pub async fn post(&self, body: &Value) -> Answer {
        Peer::answer(self.request(reqwest::Method::POST).body(body.to_string())).await
    }

    /// Sends a request.
    pub async fn ask(&self, id: u64, method: &str, mut params: Value) -> Answer {
        let mut request = self.request(reqwest::Method::POST);
        if self.revision == "2026-07-28" {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!(self.revision);
            if meta["io.modelcontextprotocol/clientCapabilities"].is_null() {
                meta["io.modelcontextprotocol/clientCapabilities"] =
                    json!({"elicitation": {}, "sampling": {}, "roots": {}});
            }
            request = request.header("mcp-method", method);
            let named = ["name", "uri", "taskId"].iter().find_map(|key| params[*key].as_str());
            if let Some(name) = named {
                request = request.header("mcp-name", name);
            }
        }
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        Peer::answer(request.body(body.to_string())).await
    }

    /// Calls a tool.
    pub async fn call(&self, id: u64, name: &str, arguments: Value) -> Answer {
        self.ask(id, "tools/call", json!({"name": name, "arguments": arguments})).await
    }

    /// Sends a notification; returns the status.
    pub async fn notify(&self, method: &str, params: Value) -> u16 {
        self.post(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await.status()
    }

    /// Answers the server's request and returns the status.
    pub async fn respond(&self, asked: &Value, result: Value) -> u16 {
        self.post(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})).await.status()
    }

    /// Opens the stream of the session, or resumes the rest of a stream.
    pub async fn get(&self, last: Option<&str>) -> Answer {
        let mut request = self.request(reqwest::Method::GET);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Peer::answer(request).await
    }
}

/// Lets tools wait for the test, and the test for tools.
#[derive(Default, Clone)]
pub struct Gate {
    pub go: Arc<Notify>,
    pub dropped: Arc<Notify>,
}

/// Notifies the gate when it is dropped.
pub struct Told(pub Gate);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.dropped.notify_one();
    }
}

pub async fn hello() -> &'static str {
    "hello"
}

/// A tool that lets its stream go, and answers when the gate opens.
pub async fn later(context: Context, gate: State<Gate>) -> String {
    let closed = context.close_stream();
    gate.go.notified().await;
    format!("closed: {closed}")
}

/// The text of a tool's result.
pub fn text(message: &Value) -> &str {
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {message}"))
}

/// Returns the parameters of a call with a progress token.
pub fn with_progress(name: &str) -> Value {
    json!({"name": name, "_meta": {"progressToken": 7}})
}
