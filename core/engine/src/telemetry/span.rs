//! The span of one request, from its arrival or sending until its answer.

use std::time::{Duration, Instant, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};
use trunnion_proto::json::{self, Json};
use trunnion_proto::methods::{Method, Role};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::Revision;
use trunnion_proto::server::Request;
use trunnion_proto::trace::{self, TraceContext, TraceParent};

use super::Telemetry;
use super::otlp::Series;
use crate::error::Error;

/// Maximum length of an exported name or URI, in characters: peers write some of them.
const MAX_NAME: usize = 256;

/// The side that records the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Server,
    Client,
}

/// The failure of a request.
#[derive(Debug, Clone)]
pub struct Failure {
    /// `error.type`: the JSON-RPC code, `tool_error`, or the kind of a failure that was not sent to a peer.
    pub kind: String,
    /// `rpc.response.status_code`, if the response had one.
    pub code: Option<i64>,
}

impl Failure {
    pub fn code(code: i64) -> Failure {
        Failure { kind: code.to_string(), code: Some(code) }
    }

    pub fn named(kind: &str) -> Failure {
        Failure { kind: kind.to_owned(), code: None }
    }

    /// Returns the failure in the answer of a handler, if any.
    pub fn of_outcome(method: &Method, outcome: &Outcome) -> Option<Failure> {
        match outcome {
            Outcome::Error(error) => Some(Failure::code(error.code)),
            Outcome::ToolError(_) if method.role == Role::CallTool => Some(Failure::named("tool_error")),
            Outcome::ToolError(_) => Some(Failure::code(-32603)),
            Outcome::Result(result) => Failure::of_result(method, result),
            _ => None,
        }
    }

    /// Returns the failure of a tool, which may be in its result.
    pub fn of_result(method: &Method, result: &str) -> Option<Failure> {
        if method.role != Role::CallTool || !result.contains("isError") {
            return None;
        }
        let members = json::members(result)?;
        let failed = members.iter().any(|(key, value)| key == "isError" && value.get() == "true");
        failed.then(|| Failure::named("tool_error"))
    }

    /// Returns the failure for an error that a client's caller receives: codes above 0 are local.
    pub fn of_error(error: &Error) -> Failure {
        if error.code < 0 || error.kind == "remote" {
            return Failure::code(error.code);
        }
        Failure::named(error.kind)
    }
}

/// A request in progress. If it is dropped without an end, it is not exported.
pub struct Span {
    telemetry: Telemetry,
    began: Instant,
    ended: Ended,
}

/// The exported data of a request.
pub(super) struct Ended {
    pub side: Side,
    pub context: TraceContext,
    pub parent: Option<[u8; 8]>,
    pub method: &'static Method,
    /// The name or URI in the request.
    pub about: Option<String>,
    /// True if the name exists, which bounds the number of different names.
    pub known: bool,
    /// The request id as JSON; empty if unknown.
    pub id: String,
    pub revision: Option<Revision>,
    pub transport: &'static str,
    pub session: Option<String>,
    /// The start time, since 1970.
    pub at: Duration,
    pub took: Duration,
    pub failure: Option<Failure>,
}

impl Telemetry {
    /// Begins the span of a received request.
    pub(crate) fn serve(&self, request: &Request, transport: &'static str, session: Option<&str>) -> Span {
        let from = TraceContext::of_meta(request.meta.as_str());
        let about = request.method.name_source.is_some().then(|| shorten(&request.name));
        let mut span = self.begin(Side::Server, from, request.method, about);
        span.ended.known = false;
        span.ended.id = request.id.as_json().trim_matches('"').to_owned();
        span.ended.revision = Some(request.revision);
        span.ended.transport = transport;
        span.ended.session = session.map(str::to_owned);
        span
    }

    /// Begins the span of a request that is about to be sent.
    pub(crate) fn send(
        &self,
        from: Option<TraceContext>,
        method: &'static Method,
        about: Option<&str>,
    ) -> Span {
        self.begin(Side::Client, from, method, about.map(shorten))
    }

    fn begin(
        &self,
        side: Side,
        from: Option<TraceContext>,
        method: &'static Method,
        about: Option<String>,
    ) -> Span {
        let parent = from.as_ref().map(|from| from.parent.span_id);
        let context = match from {
            Some(TraceContext { parent, state }) => {
                TraceContext { parent: TraceParent { span_id: random(), ..parent }, state }
            }
            None => TraceContext {
                parent: TraceParent { trace_id: random(), span_id: random(), flags: 1 },
                state: String::new(),
            },
        };
        let ended = Ended {
            side,
            context,
            parent,
            method,
            about,
            known: true,
            id: String::new(),
            revision: None,
            transport: "",
            session: None,
            at: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            took: Duration::ZERO,
            failure: None,
        };
        Span { telemetry: self.clone(), began: Instant::now(), ended }
    }
}

impl Span {
    /// Returns the row of the request's method.
    pub fn method(&self) -> &'static Method {
        self.ended.method
    }

    /// Records that a handler exists, so that durations may be grouped by its name. Returns the `_meta` for
    /// the handler, which makes its calls part of this span.
    pub fn enter(&mut self, meta: &Json) -> Json {
        self.ended.known = true;
        self.carry(meta.as_str())
    }

    /// Returns a `_meta` that names this span.
    pub fn carry(&self, meta: &str) -> Json {
        Json::from(trace::with_context(meta, &self.ended.context))
    }

    /// Records facts that were determined after the span began.
    pub(crate) fn spoken(&mut self, revision: Option<Revision>, transport: &'static str) {
        (self.ended.revision, self.ended.transport) = (revision, transport);
    }

    /// Ends the span: the request is answered or cancelled.
    pub fn end(self, failure: Option<Failure>) {
        let Span { telemetry, began, mut ended } = self;
        ended.took = began.elapsed();
        ended.failure = failure;
        telemetry.take(ended);
    }
}

impl Ended {
    /// Returns true if the span itself is exported: if the caller states that it does not record the trace,
    /// it is not.
    pub fn sampled(&self) -> bool {
        self.context.parent.sampled()
    }

    pub fn series(&self) -> Series {
        Series {
            side: self.side,
            method: self.method.name,
            // There are too many different URIs.
            about: self.about.clone().filter(|_| self.known && self.method.role != Role::ReadResource),
            role: Some(self.method.role),
            failure: self.failure.as_ref().map(|failure| failure.kind.clone()),
            revision: self.revision,
            transport: self.transport,
        }
    }
}

fn shorten(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// Returns random bytes, never all zero.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without a source of entropy nothing else works either; an id that is not random still identifies a
    // span.
    let _ = SystemRandom::new().fill(&mut bytes);
    if bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}
