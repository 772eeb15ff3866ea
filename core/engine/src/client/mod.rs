//! Clients: the driver of [`trunnion_proto::client::ClientConn`] over real transports.

pub mod auth;
mod child;
mod command;
mod exchange;
mod guarded;
mod reply;
mod run;
mod stages;
mod tracer;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use trunnion_proto::client::{
    CallOptions, ClientError, EraPolicy, HttpTransport, QuestionKind, ServerFacts, kind,
};
use trunnion_proto::error::RpcError;
use trunnion_proto::json::{self, Json};
pub use trunnion_proto::limits::Limits;
use trunnion_proto::methods::{Method, Role};
use trunnion_proto::revision::Revision;
pub use trunnion_proto::server::LogLevel;

use crate::telemetry::Telemetry;
use tracer::Tracer;

pub use crate::driver::in_process::{MemoryEnd, memory_pair};
pub use command::{ChildCommand, Stderr, Target};
pub use reply::Reply;

/// Options of a connection; see the options of scope `connect` in `bindings/surface.toml`.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// `Implementation` object as JSON text; empty: the engine's own name.
    pub client_info: Json,
    /// `ClientCapabilities` object as JSON text; empty: none.
    pub capabilities: Json,
    /// The roots as the text of a JSON array of `{uri, name?}`; `Some` declares the capability.
    pub roots: Option<Json>,
    /// The minimum level of log messages; `None`: the server's default.
    pub log_level: Option<LogLevel>,
    /// True to cache results for as long as the server allows.
    pub cache: bool,
    /// True if calls, and requests from legacy servers, may become tasks.
    pub tasks: bool,
    /// The revision that the server is known to support; a wrong one costs a round trip.
    pub revision: Option<Revision>,
    /// The eras that the client may use.
    pub era: EraPolicy,
    /// Default time limit of a request; progress restarts it. Zero: no limit.
    pub timeout: Duration,
    /// Default time limit of a request that progress does not restart. Zero: no limit.
    pub total: Duration,
    /// Time limit of connecting, the era probe included. Zero: no limit.
    pub connect_timeout: Duration,
    /// The HTTP transports that the client may use.
    pub transport: HttpTransport,
    /// HTTP headers added to every request.
    pub headers: Vec<(String, String)>,
    /// The sign-in for HTTP servers that require authorization. `None`: no sign-in.
    pub auth: Option<auth::Auth>,
    /// The limits for the server's messages.
    pub limits: Limits,
    /// The telemetry that requests are exported to; `None`: no export.
    pub telemetry: Option<Telemetry>,
}

/// Options of one request.
#[derive(Debug, Clone, Default)]
pub struct RequestOptions {
    /// Time limit; `None`: the client's. Zero: no limit.
    pub timeout: Option<Duration>,
    /// Time limit that progress does not restart; `None`: the client's. Zero: no limit.
    pub total: Option<Duration>,
    /// True to request progress.
    pub progress: bool,
    /// Entries added to `_meta`: a JSON object, or empty.
    pub meta: Json,
    /// True to send the request even if a cached result is fresh.
    pub fresh: bool,
    /// For a tool call: its result is `{task}` if the server makes a task of it, else `{result}`.
    pub task: bool,
    /// The lifetime that the request to a legacy server proposes for that task.
    pub task_ttl: Option<Duration>,
    /// True if the task's input requests are not reported as [`ClientEvent::Ask`].
    pub unasked: bool,
    /// For a list: all of its pages as one result; see [`CallOptions::all`].
    pub all: bool,
}

/// An event of a client. Every operation ends with one `Result` or one `Error`; connecting ends with one
/// `Ready` or one `ConnectFailed`; `Closed` is the last event.
#[derive(Debug)]
pub enum ClientEvent {
    /// Connected. [`ServerFacts::to_json`] is the payload for hosts.
    Ready(Box<ServerFacts>),
    /// The connection failed.
    ConnectFailed(ClientError),
    /// An operation succeeded.
    Result {
        /// The operation.
        op: u64,
        /// The result object.
        result: Json,
    },
    /// An operation failed.
    Error {
        /// The operation.
        op: u64,
        /// The failure.
        error: ClientError,
    },
    /// An operation made progress: `{progress, total?, message?}`.
    Progress {
        /// The operation.
        op: u64,
        /// The payload.
        payload: Json,
    },
    /// The server sent a notification that belongs to an operation.
    Told {
        /// The operation.
        op: u64,
        /// `listening` first, then neutral names.
        event: &'static str,
        /// Its parameters; for `listening`: the granted part.
        params: Json,
    },
    /// The server sent an input request.
    Ask {
        /// Its number.
        question: u64,
        /// Its kind.
        kind: QuestionKind,
        /// The request's parameters.
        params: Json,
        /// The handle for the answer.
        reply: Reply,
    },
    /// The server withdrew an input request.
    Withdrawn {
        /// The number of the request.
        question: u64,
        /// The reason, for a person.
        reason: String,
    },
    /// The server sent a notification.
    Notification {
        /// The neutral name.
        event: &'static str,
        /// Its parameters.
        params: Json,
    },
    /// The connection is closed.
    Closed {
        /// The reason, for a person.
        reason: String,
    },
}

/// The receiver of events. Called from the client's task; must not block.
pub type Sink = Box<dyn Fn(ClientEvent) + Send + Sync>;

/// A connection, or the attempt to make one. No method blocks. Dropping it closes the connection.
pub struct ClientHandle {
    commands: mpsc::UnboundedSender<Command>,
    sink: Arc<Sink>,
    timeout: Duration,
    total: Duration,
    has_roots: bool,
    tracer: Option<Arc<Tracer>>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Start { op: u64, method: &'static Method, params: String, options: CallOptions },
    Cancel { op: u64, reason: String },
    Answer { question: u64, answer: Result<String, RpcError> },
    Roots(Json),
    CancelConnect { reason: String },
    Close,
}

impl ClientHandle {
    /// Begins to connect; `Ready` or `ConnectFailed` follows at the sink. All I/O runs on `runtime`, which
    /// must have its I/O and time drivers enabled. While `full` is true, the client reads nothing from the
    /// server, because the receiver of events lags behind.
    pub fn connect(
        runtime: &tokio::runtime::Handle,
        target: Target,
        options: ConnectOptions,
        sink: Sink,
        full: Option<watch::Receiver<bool>>,
    ) -> ClientHandle {
        let (commands, receiver) = mpsc::unbounded_channel();
        let tracer = options.telemetry.clone().map(|telemetry| Tracer::new(telemetry, target.transport()));
        let sink = Arc::new(match &tracer {
            Some(tracer) => tracer.watch(sink),
            None => sink,
        });
        let (timeout, total) = (options.timeout, options.total);
        let declared = json::members(options.capabilities.as_str()).unwrap_or_default();
        let has_roots = options.roots.is_some() || declared.iter().any(|(key, _)| key == "roots");
        let questions = commands.downgrade();
        runtime.spawn(run::run(target, options, receiver, questions, Arc::clone(&sink), full));
        ClientHandle { commands, sink, timeout, total, has_roots, tracer }
    }

    /// Starts one operation; its `Result` or `Error` follows at the sink, also when the client is closed.
    /// `params` is the text of a JSON object, empty for `{}`. `op` must not be in use.
    pub fn start(&self, op: u64, method: &'static Method, params: String, options: RequestOptions) {
        // Subscriptions and waiting for a task are long-lived; only limits of their own end them.
        let (timeout, total) = match method.role {
            Role::Listen => (self.timeout, Duration::ZERO),
            Role::TaskResult => (Duration::ZERO, Duration::ZERO),
            _ => (self.timeout, self.total),
        };
        let meta = match &self.tracer {
            Some(tracer) => tracer.begin(op, method, &params, &options.meta),
            None => options.meta,
        };
        let options = CallOptions {
            timeout: Some(options.timeout.unwrap_or(timeout)),
            total: Some(options.total.unwrap_or(total)),
            progress: options.progress,
            meta,
            fresh: options.fresh,
            task: options.task,
            task_ttl: options.task_ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            unasked: options.unasked,
            all: options.all,
        };
        if self.commands.send(Command::Start { op, method, params, options }).is_err() {
            (self.sink)(closed(op));
        }
    }

    /// Cancels an operation: its `Error` of kind `cancelled` follows, unless it ended meanwhile. Returns
    /// false if the client is closed.
    pub fn cancel(&self, op: u64, reason: &str) -> bool {
        self.commands.send(Command::Cancel { op, reason: reason.to_owned() }).is_ok()
    }

    /// Replaces the roots, the text of a JSON array of `{uri, name?}`. Returns false if the client has not
    /// declared roots or is closed.
    pub fn set_roots(&self, roots: Json) -> bool {
        self.has_roots && self.commands.send(Command::Roots(roots)).is_ok()
    }

    /// Cancels connecting: `ConnectFailed` of kind `cancelled` follows, unless it is connected already.
    /// Returns false if the client is closed.
    pub fn cancel_connect(&self, reason: &str) -> bool {
        self.commands.send(Command::CancelConnect { reason: reason.to_owned() }).is_ok()
    }

    /// Disconnects: pending operations fail with kind `closed`, then `Closed` follows. Idempotent.
    pub fn close(&self) {
        let _ = self.commands.send(Command::Close);
    }
}

impl std::fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHandle").field("closed", &self.commands.is_closed()).finish_non_exhaustive()
    }
}

fn closed(op: u64) -> ClientEvent {
    ClientEvent::Error { op, error: ClientError::local(kind::CLOSED, "the client is closed") }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            client_info: Json::default(),
            capabilities: Json::default(),
            roots: None,
            log_level: None,
            cache: true,
            tasks: true,
            revision: None,
            era: EraPolicy::Auto,
            timeout: Duration::from_secs(60),
            total: Duration::ZERO,
            connect_timeout: Duration::from_secs(10),
            transport: HttpTransport::Auto,
            headers: Vec::new(),
            auth: None,
            limits: Limits::default(),
            telemetry: None,
        }
    }
}
