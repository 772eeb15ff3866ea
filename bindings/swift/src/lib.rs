//! The Swift binding: the facade as one UniFFI object, with JSON as text in both directions.
//!
//! Every function is synchronous and throws, so that even a panic in the engine reaches Swift as an error.
//! There is one way to wait: a thread of the host blocks in [`Engine::wait`] and then calls
//! [`Engine::drain`]. Rust never calls Swift.

use std::sync::Arc;
use std::time::Duration;

use trunnion_facade as facade;

uniffi::setup_scaffolding!("trunnion_swift");

/// A failure; kinds and codes are those of `bindings/surface.toml`.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum EngineError {
    /// The call failed.
    #[error("{message}")]
    Failed {
        /// JSON-RPC code (negative, or the peer's own) or a local code (1 and up).
        code: i64,
        /// Stable machine-readable name.
        kind: String,
        /// One sentence for a person.
        message: String,
        /// JSON text of the error's data, if any.
        data: Option<String>,
    },
}

impl From<facade::Error> for EngineError {
    fn from(error: facade::Error) -> Self {
        let facade::Error { code, kind, message, data } = error;
        Self::Failed { code, kind: kind.into(), message, data }
    }
}

type Result<T> = std::result::Result<T, EngineError>;

/// One thing that happened.
#[derive(uniffi::Record)]
pub struct Event {
    /// Event kind.
    pub kind: u32,
    /// Exchange, operation or client handle.
    pub id: u64,
    /// The target given to `server_add`, else 0.
    pub target: u64,
    /// JSON text.
    pub payload: String,
}

/// The answer to one exchange.
#[derive(uniffi::Record)]
pub struct Completion {
    /// The exchange.
    pub id: u64,
    /// Outcome kind.
    pub outcome: u32,
    /// JSON or plain text, by outcome kind.
    pub payload: String,
}

/// One engine: one event queue, its servers, clients and connections.
#[derive(uniffi::Object)]
pub struct Engine(facade::Engine);

/// The engine's version.
#[uniffi::export]
pub fn version() -> Result<String> {
    Ok(facade::version().into())
}

#[uniffi::export]
impl Engine {
    /// Make an engine from options as JSON text.
    #[uniffi::constructor]
    pub fn new(options: String) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(facade::Engine::new(&options)?)))
    }

    /// The descriptor to watch for readability, or -1 where the platform has none.
    pub fn fd(&self) -> Result<i32> {
        Ok(self.0.fd())
    }

    /// Apply completions and return the queued events.
    pub fn drain(&self, completions: Vec<Completion>) -> Result<Vec<Event>> {
        let completions = completions
            .into_iter()
            .map(|Completion { id, outcome, payload }| facade::Completion { id, outcome, payload })
            .collect();
        let events = self.0.drain(completions).into_iter();
        Ok(events
            .map(|facade::Event { kind, id, target, payload }| Event { kind, id, target, payload })
            .collect())
    }

    /// Block until there is something to drain (true), or the time has passed. Negative: no limit.
    pub fn wait(&self, timeout_ms: i64) -> Result<bool> {
        Ok(self.0.wait(u64::try_from(timeout_ms).ok().map(Duration::from_millis)))
    }

    /// Answer one exchange. False: it was answered or cancelled before.
    pub fn complete(&self, id: u64, outcome: u32, payload: String) -> Result<bool> {
        Ok(self.0.complete(id, outcome, &payload))
    }

    /// Report progress of an exchange.
    pub fn progress(&self, id: u64, payload: String) -> Result<bool> {
        Ok(self.0.progress(id, &payload)?)
    }

    /// Send a log message with an exchange.
    pub fn log(&self, id: u64, payload: String) -> Result<bool> {
        Ok(self.0.log(id, &payload)?)
    }

    /// Store a JSON value with an exchange. False: it is over.
    pub fn remember(&self, id: u64, key: String, value: String) -> Result<bool> {
        Ok(self.0.remember(id, &key, &value)?)
    }

    /// Close the response stream of an exchange; the call goes on. False: it has none.
    pub fn close_stream(&self, id: u64) -> Result<bool> {
        Ok(self.0.close_stream(id))
    }

    /// What is known of an exchange as JSON text; nil when it is over.
    pub fn context(&self, id: u64) -> Result<Option<String>> {
        Ok(self.0.context(id))
    }

    /// Give up an operation. False: it had ended.
    pub fn cancel(&self, id: u64, reason: String) -> Result<bool> {
        Ok(self.0.cancel(id, &reason))
    }

    /// Stop everything within the deadline. Idempotent. Blocks.
    pub fn close(&self, deadline_ms: u64) -> Result<()> {
        self.0.close(Duration::from_millis(deadline_ms));
        Ok(())
    }

    /// Live-handle counters as JSON text.
    pub fn live(&self) -> Result<String> {
        Ok(self.0.live())
    }

    /// Register a server; returns its handle.
    pub fn server_new(&self, definition: String) -> Result<u64> {
        Ok(self.0.server_new(&definition)?)
    }

    /// Add a tool, resource, resource_template, prompt or completion.
    pub fn server_add(
        &self,
        server: u64,
        item: String,
        definition: String,
        options: String,
        target: u64,
    ) -> Result<()> {
        Ok(self.0.server_add(server, &item, &definition, &options, target)?)
    }

    /// Remove an item by its name, URI or template. False: there was none.
    pub fn server_remove(&self, server: u64, item: String, key: String) -> Result<bool> {
        Ok(self.0.server_remove(server, &item, &key)?)
    }

    /// Serve the process's standard streams; returns the operation.
    pub fn serve_stdio(&self, server: u64, options: String) -> Result<u64> {
        Ok(self.0.serve_stdio(server, &options)?)
    }

    /// Serve Streamable HTTP; returns the operation.
    pub fn serve_http(&self, server: u64, options: String) -> Result<u64> {
        Ok(self.0.serve_http(server, &options)?)
    }

    /// Hand a request to an endpoint that the host carries; returns the operation.
    pub fn http_request(&self, endpoint: u64, head: String, body: Vec<u8>) -> Result<u64> {
        Ok(self.0.http_request(endpoint, &head, &body)?)
    }

    /// Tell the peers of a server or a client that something has changed. False: there is none of that id.
    pub fn notify(&self, id: u64, event: String, params: String) -> Result<bool> {
        Ok(self.0.notify(id, &event, &params)?)
    }

    /// End every serve operation of a server and forget it.
    pub fn server_close(&self, server: u64) -> Result<()> {
        self.0.server_close(server);
        Ok(())
    }

    /// Connect to a target; returns the client.
    pub fn connect(&self, target: String, options: String) -> Result<u64> {
        Ok(self.0.connect(&target, &options)?)
    }

    /// Ask the server one thing by its neutral name; returns the operation.
    pub fn request(&self, client: u64, op: String, params: String, options: String) -> Result<u64> {
        Ok(self.0.request(client, &op, &params, &options)?)
    }

    /// Disconnect.
    pub fn client_close(&self, client: u64) -> Result<()> {
        self.0.client_close(client);
        Ok(())
    }
}
