//! The client side of one connection, in both eras.
//!
//! [`ClientConn`] detects the era of the server, sends requests, matches responses, enforces time limits, and
//! retries if the protocol requires it. It performs no I/O: a driver passes frames and time to it and
//! executes the [`Output`]s. Time is a [`Duration`] since any fixed moment of a monotonic clock.
//!
//! The contract: mutate, then drain [`ClientConn::poll`] until `None`, then read
//! [`ClientConn::next_deadline`].

mod answers;
mod cache;
mod channel;
mod conn;
mod connecting;
mod declared;
mod error;
mod form;
mod incoming;
mod listen;
mod lists;
mod lower;
mod outputs;
mod questions;
mod streams;
mod tasks;
#[cfg(test)]
mod tests;
mod tools;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

pub use conn::ClientConn;
pub use error::{ClientError, kind};
pub use streams::StreamMark;

use crate::auth::challenge::Asked;
use crate::json::Json;
use crate::limits::Limits;
use crate::revision::{Era, Revision};
use crate::server::LogLevel;

/// The transport of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One channel of frames both ways: standard streams of a child, or memory.
    Stream {
        /// The driver can start the peer anew ([`Output::Restart`]).
        restartable: bool,
    },
    /// Each message of the client is a POST of its own.
    Http,
}

/// Permitted HTTP transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpTransport {
    /// Streamable HTTP; the older one where a server refuses that.
    #[default]
    Auto,
    /// Streamable HTTP (2025-03-26 and later).
    Http,
    /// HTTP+SSE (2024-11-05): one stream from the server, one endpoint for messages to it.
    Sse,
}

impl HttpTransport {
    /// Reads `auto`, `http` or `sse`.
    pub fn parse(text: &str) -> Option<HttpTransport> {
        match text {
            "auto" => Some(HttpTransport::Auto),
            "http" => Some(HttpTransport::Http),
            "sse" => Some(HttpTransport::Sse),
            _ => None,
        }
    }
}

/// Permitted eras.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EraPolicy {
    /// Probe for the modern era, fall back to the legacy one.
    #[default]
    Auto,
    /// One era only.
    Only(Era),
}

impl EraPolicy {
    /// Reads `auto`, `modern` or `legacy`.
    pub fn parse(text: &str) -> Option<EraPolicy> {
        match text {
            "auto" => Some(EraPolicy::Auto),
            "modern" => Some(EraPolicy::Only(Era::Modern)),
            "legacy" => Some(EraPolicy::Only(Era::Legacy)),
            _ => None,
        }
    }
}

/// Configuration of a connection.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The transport of messages.
    pub transport: Transport,
    /// Permitted HTTP transports, with [`Transport::Http`].
    pub http: HttpTransport,
    /// Permitted eras.
    pub era: EraPolicy,
    /// `Implementation` object as JSON text.
    pub client_info: Json,
    /// `ClientCapabilities` object as JSON text.
    pub capabilities: Json,
    /// The roots as the text of a JSON array of `{uri, name?}`; `Some` declares the capability.
    pub roots: Option<Json>,
    /// The minimum log level.
    pub log_level: Option<LogLevel>,
    /// Results may be cached for as long as the server permits.
    pub cache: bool,
    /// The revision that the server is thought to speak. A wrong one costs a round trip.
    pub prior: Option<Revision>,
    /// Time limit of connecting, the probe included. Zero: no limit.
    pub connect_timeout: Duration,
    /// Longest silence of a peer during the probe; after it the peer counts as a legacy one.
    pub probe_timeout: Duration,
    /// Calls may become tasks, and legacy servers may create tasks for their questions.
    pub tasks: bool,
    /// The time since 1970 at the machine's time zero.
    pub since_epoch: Duration,
    /// Limits for the peer.
    pub limits: Limits,
    /// Any number that differs between clients: it spreads out when they come back to a server that was away.
    pub seed: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            transport: Transport::Http,
            http: HttpTransport::Auto,
            era: EraPolicy::Auto,
            client_info: Json::from_static(concat!(
                r#"{"name":"trunnion","version":""#,
                env!("CARGO_PKG_VERSION"),
                r#""}"#
            )),
            capabilities: Json::from_static("{}"),
            roots: None,
            log_level: None,
            cache: true,
            prior: None,
            connect_timeout: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(3),
            tasks: true,
            since_epoch: Duration::ZERO,
            limits: Limits::default(),
            seed: 0,
        }
    }
}

/// Options of one request.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// Time limit; progress restarts it. `None` or zero: no limit.
    pub timeout: Option<Duration>,
    /// Time limit that progress does not restart. `None` or zero: no limit.
    pub total: Option<Duration>,
    /// Ask for progress.
    pub progress: bool,
    /// Entries added to `_meta`: a JSON object, or empty.
    pub meta: Json,
    /// Send the request even if a cached result is fresh.
    pub fresh: bool,
    /// Of a tool call: end with the task that the server makes of it, `{task}`, instead of following it; or with
    /// `{result}` where it makes none. A legacy server is asked for a task where the tool allows it.
    pub task: bool,
    /// The requested retention time of a task on a legacy server, in milliseconds.
    pub task_ttl: Option<u64>,
    /// For following a task: its questions do not reach the host, which answers them by `update_task`.
    pub unasked: bool,
    /// Of a list: all of its pages as one result without a cursor. The time limit is of each page, the total one of all. What
    /// was had when it fails is in the error's data.
    pub all: bool,
}

/// The kinds of questions from a server to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionKind {
    /// To ask the user.
    Elicit,
    /// To ask a model.
    Sample,
}

/// Reason for a POST without an answer, or a GET without a stream.
#[derive(Debug, Clone)]
pub enum TransportFailure {
    /// The server answered with a status outside 2xx.
    Status {
        /// The status.
        status: u16,
        /// The response's body, which may hold a JSON-RPC error.
        body: Bytes,
        /// The challenges of a 401 or 403 (`WWW-Authenticate`); otherwise empty.
        asked: Vec<Asked>,
    },
    /// The exchange broke: refused, reset, timed out, not HTTP.
    Connection(String),
    /// The response exceeds a limit; the text names the option key.
    Limit(String),
    /// A GET returned no event stream, or one of another kind.
    NoStream,
    /// The server requires authorization, and the client has none.
    Unauthorized {
        /// Stable name of the reason, such as that of an [`AuthError`](crate::auth::AuthError::name).
        reason: &'static str,
        /// For a person; holds no secret.
        message: String,
    },
}

/// The head of a POST or GET: everything but URL and the headers that are always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostHead {
    /// Key of the exchange in [`ClientConn::failed`], [`ClientConn::stream_ended`] and [`Output::Abort`].
    pub post: u64,
    /// True if an answer is expected (a request), false if only a status is.
    pub request: bool,
    /// True where the answer is a stream of changes that goes on for ever: its silence means something.
    pub listens: bool,
    /// Header names (as registered, in mixed case) and values that are safe as they stand.
    pub headers: Vec<(Cow<'static, str>, String)>,
}

/// Information about a connected server.
#[derive(Debug, Clone)]
pub struct ServerFacts {
    /// The revision spoken.
    pub revision: Revision,
    /// `Implementation` object, or empty if the server sent none.
    pub server_info: Json,
    /// `ServerCapabilities` object.
    pub capabilities: Json,
    /// JSON string, or empty.
    pub instructions: Json,
}

impl ServerFacts {
    /// As one JSON object: `{era, revision, serverInfo?, capabilities, instructions?}`.
    pub fn to_json(&self) -> String {
        let mut out = format!(
            r#"{{"era":"{}","revision":"{}","capabilities":{}"#,
            self.revision.era().as_str(),
            self.revision,
            self.capabilities.as_str()
        );
        for (key, value) in [("serverInfo", &self.server_info), ("instructions", &self.instructions)] {
            if !value.is_empty() {
                out.push_str(",\"");
                out.push_str(key);
                out.push_str("\":");
                out.push_str(value.as_str());
            }
        }
        out.push('}');
        out
    }
}

/// Actions for the driver, and events for the host.
#[derive(Debug)]
pub enum Output {
    /// Send a message: a frame of a stream (without its newline), or the body of a POST.
    Send {
        /// The JSON text; it holds no raw newline.
        bytes: Vec<u8>,
        /// With [`Transport::Http`], the head of the POST.
        post: Option<Box<PostHead>>,
    },
    /// Open an event stream: a GET of the connected URL. Its frames, marks and end are passed with its key.
    Open {
        /// The head of the GET.
        head: Box<PostHead>,
        /// The first event must have the type `endpoint`: call [`ClientConn::endpoint_found`] once messages
        /// go to the URL in its data, or fail the GET if they cannot.
        endpoint: bool,
    },
    /// A stream was abandoned; unsolicited messages of the server no longer arrive. Worth a warning in the
    /// log.
    StreamLost {
        /// Why, for a person.
        reason: String,
    },
    /// Close the response stream of a POST or GET; nothing more is needed from it.
    Abort {
        /// Number of the POST.
        post: u64,
    },
    /// End the peer's process and start it again, then call [`ClientConn::restarted`].
    Restart,
    /// Connected.
    Ready(Box<ServerFacts>),
    /// Could not connect; [`Output::Closed`] follows.
    ConnectFailed(ClientError),
    /// An operation ended well.
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
        /// The error.
        error: ClientError,
    },
    /// An operation that asked for it made progress.
    Progress {
        /// The operation.
        op: u64,
        /// `{progress, total?, message?}`
        payload: Json,
    },
    /// A change for an operation that listens to it.
    Told {
        /// The operation.
        op: u64,
        /// `listening` first, then the neutral name of the notification.
        event: &'static str,
        /// Its parameters; of `listening`: the granted subscriptions, in the form of the request.
        params: Json,
    },
    /// The server asks something: [`ClientConn::answer`] it.
    Ask {
        /// Its key.
        question: u64,
        /// Kind of the question.
        kind: QuestionKind,
        /// The request's parameters; those of an elicitation always have their `mode`.
        params: Json,
    },
    /// An answer is no longer needed.
    Withdrawn {
        /// Of this question.
        question: u64,
        /// Why, for a person.
        reason: String,
    },
    /// The host's answer does not fit its question; the server was informed. Worth a warning in the log.
    AnswerRefused {
        /// The question.
        question: u64,
        /// The fault, without the answer itself.
        reason: String,
    },
    /// A notification of the server.
    Notification {
        /// The neutral name of the notification ([`crate::methods::Method::op`]).
        event: &'static str,
        /// Its parameters.
        params: Json,
    },
    /// An entry of a list was dropped because it lacks a required member. Worth a warning in the log.
    EntryDropped {
        /// The list: `tools`, `resources`, `resourceTemplates` or `prompts`.
        list: &'static str,
        /// Its name, or its place in the page.
        entry: String,
        /// The fault.
        reason: String,
    },
    /// A listed tool was left out because its header annotations are invalid. Worth a warning in the log.
    ToolDropped {
        /// Its name.
        tool: String,
        /// The fault.
        reason: String,
    },
    /// The connection has ended; this is the last output. End the transport.
    Closed {
        /// Why, for a person.
        reason: String,
    },
}
