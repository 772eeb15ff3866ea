//! The poll/complete host surface that the language bindings are built on.

use std::time::Duration;

/// A failure, as every language sees it. The kinds and codes are listed in `bindings/surface.toml`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// JSON-RPC code (negative, or the peer's own) or a local code (1 and up).
    pub code: i64,
    /// Stable machine-readable name, for example `invalid_params`.
    pub kind: &'static str,
    /// One sentence for a person.
    pub message: String,
    /// JSON text of the error's `data`, if any.
    pub data: Option<String>,
}

/// One thing that happened. See `[[event]]` in `bindings/surface.toml` for the kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Event kind.
    pub kind: u32,
    /// Exchange, operation or client handle.
    pub id: u64,
    /// The `target` given to `server_add` for server events, else 0.
    pub target: u64,
    /// JSON text.
    pub payload: String,
}

/// The answer to one exchange, for a batch. See `[[outcome]]` in `bindings/surface.toml`.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The exchange.
    pub id: u64,
    /// Outcome kind.
    pub outcome: u32,
    /// JSON or plain text, by outcome kind.
    pub payload: String,
}

/// One engine: one event queue, its servers, clients and connections. Cheap to clone.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Make an engine from options as JSON text (`{}` for the defaults; keys of scope `engine`).
    pub fn new(options: &str) -> Result<Self, Error> {
        todo!("{options}")
    }
    /// The descriptor to watch for readability, or -1 where the platform has none.
    pub fn fd(&self) -> i32 {
        todo!()
    }
    /// Apply `completions`, make one turn of the hosted reactor, return at most 256 queued events.
    /// Call again while it returns events; when more work is left, [`Engine::fd`] stays readable.
    pub fn drain(&self, completions: Vec<Completion>) -> Vec<Event> {
        todo!("{completions:?}")
    }
    /// [`Engine::drain`] in one JSON text each way: `[[id,outcome,payload text],…]` in,
    /// `[[kind,id,target,payload JSON],…]` out (the payload is embedded, not quoted).
    pub fn drain_json(&self, completions: &str) -> Result<String, Error> {
        todo!("{completions:?}")
    }
    /// Block until there is something to drain. `None`: no limit. Returns false when the time passed.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        todo!("{timeout:?}")
    }
    /// Set the callback of the empty-to-non-empty edge. It may run on any thread and must only signal.
    pub fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        let _ = wake;
    }
    /// Answer one exchange. False: it was answered or cancelled before.
    pub fn complete(&self, id: u64, outcome: u32, payload: &str) -> bool {
        todo!("{id} {outcome} {payload}")
    }
    /// Report progress of an exchange.
    pub fn progress(&self, id: u64, payload: &str) -> Result<bool, Error> {
        todo!("{id} {payload}")
    }
    /// Send a log message with an exchange.
    pub fn log(&self, id: u64, payload: &str) -> Result<bool, Error> {
        todo!("{id} {payload}")
    }
    /// What is known of an exchange as JSON text; `None` when it is over.
    pub fn context(&self, id: u64) -> Option<String> {
        todo!("{id}")
    }
    /// Give up an operation. False: it had ended.
    pub fn cancel(&self, id: u64, reason: &str) -> bool {
        todo!("{id} {reason}")
    }
    /// Stop everything within `deadline`. Idempotent.
    pub fn close(&self, deadline: Duration) {
        todo!("{deadline:?}")
    }
    /// Live-handle counters as JSON text.
    pub fn live(&self) -> String {
        todo!()
    }
    /// Register a server; returns its handle.
    pub fn server_new(&self, definition: &str) -> Result<u64, Error> {
        todo!("{definition}")
    }
    /// Add a `tool`, `resource`, `resource_template`, `prompt` or `completion`.
    ///
    /// `definition` is the protocol's object (`Tool`, `Resource`, `ResourceTemplate`, `Prompt`); for a
    /// completion it is `{"ref": {"type": "ref/prompt", "name": …} | {"type": "ref/resource", "uri": …}}`.
    pub fn server_add(
        &self,
        server: u64,
        item: &str,
        definition: &str,
        options: &str,
        target: u64,
    ) -> Result<(), Error> {
        todo!("{server} {item} {definition} {options} {target}")
    }
    /// Remove an item by its name, URI or template. False: there was none.
    pub fn server_remove(&self, server: u64, item: &str, key: &str) -> Result<bool, Error> {
        todo!("{server} {item} {key}")
    }
    /// Serve the process's standard streams; returns the operation.
    pub fn serve_stdio(&self, server: u64, options: &str) -> Result<u64, Error> {
        todo!("{server} {options}")
    }
    /// Serve Streamable HTTP; returns the operation.
    pub fn serve_http(&self, server: u64, options: &str) -> Result<u64, Error> {
        todo!("{server} {options}")
    }
    /// End every serve operation of a server and forget it.
    pub fn server_close(&self, server: u64) {
        todo!("{server}")
    }
    /// Connect to `{"url"}`, `{"command": […], "env"?, "cwd"?}` or `{"server": handle}`; returns the client.
    pub fn connect(&self, target: &str, options: &str) -> Result<u64, Error> {
        todo!("{target} {options}")
    }
    /// Ask the server one thing by its neutral name (`call_tool`, …); returns the operation.
    pub fn request(&self, client: u64, op: &str, params: &str, options: &str) -> Result<u64, Error> {
        todo!("{client} {op} {params} {options}")
    }
    /// Disconnect.
    pub fn client_close(&self, client: u64) {
        todo!("{client}")
    }
}
