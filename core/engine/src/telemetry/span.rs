//! One request, from when it came or was sent until it was answered.

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
use crate::Error;

/// Longest name or URI that is told, in characters: a peer writes some of them.
const MAX_NAME: usize = 256;

/// Who looks at the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Server,
    Client,
}

/// How a request failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// `error.type`: the JSON-RPC code, `tool_error`, or the kind of a failure that never travelled.
    pub kind: String,
    /// `rpc.response.status_code`, where the response had one.
    pub code: Option<i64>,
}

impl Failure {
    pub fn code(code: i64) -> Failure {
        Failure { kind: code.to_string(), code: Some(code) }
    }

    pub fn named(kind: &str) -> Failure {
        Failure { kind: kind.to_owned(), code: None }
    }

    /// Of what a handler answered.
    pub fn of_outcome(method: &Method, outcome: &Outcome) -> Option<Failure> {
        match outcome {
            Outcome::Error(error) => Some(Failure::code(error.code)),
            Outcome::ToolError(_) if method.role == Role::CallTool => Some(Failure::named("tool_error")),
            Outcome::ToolError(_) => Some(Failure::code(-32603)),
            Outcome::Result(result) => Failure::of_result(method, result),
            _ => None,
        }
    }

    /// A tool can fail within its result.
    pub fn of_result(method: &Method, result: &str) -> Option<Failure> {
        if method.role != Role::CallTool || !result.contains("isError") {
            return None;
        }
        let members = json::members(result)?;
        let failed = members.iter().any(|(key, value)| key == "isError" && value.get() == "true");
        failed.then(|| Failure::named("tool_error"))
    }

    /// Of an error that a client's caller gets: codes above 0 are local.
    pub fn of_error(error: &Error) -> Failure {
        if error.code < 0 || error.kind == "remote" {
            return Failure::code(error.code);
        }
        Failure::named(error.kind)
    }
}

/// A request under way. Dropped without an end, nothing is told of it.
pub(crate) struct Span {
    telemetry: Telemetry,
    began: Instant,
    ended: Ended,
}

/// What is told of a request.
pub(super) struct Ended {
    pub side: Side,
    pub context: TraceContext,
    pub parent: Option<[u8; 8]>,
    pub method: &'static Method,
    /// The name or URI that it is about.
    pub about: Option<String>,
    /// There is such a thing, so its name is one of not too many.
    pub known: bool,
    /// As JSON; empty where unknown.
    pub id: String,
    pub revision: Option<Revision>,
    pub transport: &'static str,
    pub session: Option<String>,
    /// Since 1970.
    pub at: Duration,
    pub took: Duration,
    pub failure: Option<Failure>,
}

impl Telemetry {
    /// A request has come in.
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

    /// A request is about to be sent.
    pub(super) fn send(
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
    /// The row of the request's method.
    pub fn method(&self) -> &'static Method {
        self.ended.method
    }

    /// A handler was found: its name may be counted by. Returns the `_meta` it sees: what it calls is part of this span.
    pub fn enter(&mut self, meta: &Json) -> Json {
        self.ended.known = true;
        self.carry(meta.as_str())
    }

    /// A `_meta` that names this span.
    pub fn carry(&self, meta: &str) -> Json {
        Json::from(trace::with_context(meta, &self.ended.context))
    }

    /// What became known after it began.
    pub(super) fn spoken(&mut self, revision: Option<Revision>, transport: &'static str) {
        (self.ended.revision, self.ended.transport) = (revision, transport);
    }

    /// The request is answered, or given up.
    pub fn end(self, failure: Option<Failure>) {
        let Span { telemetry, began, mut ended } = self;
        ended.took = began.elapsed();
        ended.failure = failure;
        telemetry.take(ended);
    }
}

impl Ended {
    /// Whether the span itself is told: where the caller says that it does not record the trace, we do not either.
    pub fn sampled(&self) -> bool {
        self.context.parent.sampled()
    }

    pub fn series(&self) -> Series {
        Series {
            side: self.side,
            method: self.method.name,
            // URIs are too many.
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

/// Never all zero.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without a source of entropy nothing else works either; an id that is not random still names a span.
    let _ = SystemRandom::new().fill(&mut bytes);
    if bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}
