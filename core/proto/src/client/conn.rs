//! The machine: operations, answers, time limits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::connecting::State;
use super::error::{ClientError, kind};
use super::lower::{self, Headers, Salient};
use super::streams::Streams;
use super::tools::{self, Annotations};
use super::{CallOptions, ClientConfig, Output, PostHead, ServerFacts, Transport, TransportFailure};
use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::jsonrpc::{self, Id, Message};
use crate::methods::{self, Direction, Kind, Method, Role};
use crate::revision::{Era, Revision};

/// Pages of a list that are looked through for one tool before giving up.
const REFRESH_PAGES: u32 = 100;

/// The client side of one connection. See the [module](super).
#[derive(Debug)]
pub struct ClientConn {
    pub(super) config: ClientConfig,
    pub(super) state: State,
    pub(super) revision: Revision,
    pub(super) facts: Option<Box<ServerFacts>>,
    pub(super) session: Option<String>,
    pub(super) streams: Streams,
    pub(super) restarted: bool,
    pub(super) probe_was_silent: bool,
    pub(super) connect_deadline: Option<Duration>,
    pub(super) probe_deadline: Option<Duration>,
    /// [`lower::modern_meta`] of `revision`; empty in the legacy era.
    pub(super) entries: String,
    next_id: u64,
    ops: BTreeMap<u64, Op>,
    waiting: VecDeque<u64>,
    pending: BTreeMap<u64, Purpose>,
    annotations: Annotations,
    outputs: VecDeque<Output>,
    /// No operation is due before this.
    earliest: Option<Duration>,
}

#[derive(Debug)]
struct Op {
    method: &'static Method,
    params: String,
    options: CallOptions,
    stage: Stage,
    due: Option<Duration>,
    cap: Option<Duration>,
    reversioned: bool,
    refreshed: bool,
    /// Sent again in a new session already.
    renewed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Sent(u64),
}

#[derive(Debug)]
enum Purpose {
    Op(u64),
    /// Listing the tools again for an operation whose headers were refused with this.
    Refresh {
        op: u64,
        page: u32,
        refusal: RpcError,
    },
}

impl Op {
    fn due(&self) -> Option<Duration> {
        [self.due, self.cap].into_iter().flatten().min()
    }
}

impl ClientConn {
    /// A connection that has not begun. [`ClientConn::connect`] begins it.
    pub fn new(config: ClientConfig) -> ClientConn {
        ClientConn {
            streams: Streams::new(config.seed),
            config,
            state: State::Idle,
            revision: Revision::LATEST,
            facts: None,
            session: None,
            restarted: false,
            probe_was_silent: false,
            connect_deadline: None,
            probe_deadline: None,
            entries: String::new(),
            next_id: 0,
            ops: BTreeMap::new(),
            waiting: VecDeque::new(),
            pending: BTreeMap::new(),
            annotations: Annotations::new(),
            outputs: VecDeque::new(),
            earliest: None,
        }
    }

    /// The next thing to do or to tell.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.tidy_streams())
    }

    /// When [`ClientConn::on_deadline`] wants to be called; sooner does no harm.
    pub fn next_deadline(&self) -> Option<Duration> {
        let due = [self.connect_deadline, self.probe_deadline, self.earliest, self.streams.next_deadline()];
        due.into_iter().flatten().min()
    }

    /// What is known of the server, once connected.
    pub fn facts(&self) -> Option<&ServerFacts> {
        self.facts.as_deref()
    }

    /// The head of the DELETE that ends the session of a legacy HTTP server, if it assigned one
    /// (2025-11-25, Streamable HTTP, "Session Management"). Send it after [`Output::Closed`].
    pub fn session_end(&mut self) -> Option<PostHead> {
        let headers = self.session.is_some().then(|| self.legacy_headers())?;
        self.session = None;
        Some(PostHead { post: self.fresh_id(), request: false, headers })
    }

    /// Whether [`Output::Closed`] was given.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether something more is wanted of a POST. A server may leave a response stream open after its answer.
    pub fn expects(&self, post: u64) -> bool {
        self.is_pending(post) || self.connecting_expects(post) || self.streams_expect(post)
    }

    /// Begin an operation. It ends with one [`Output::Result`] or one [`Output::Error`]. An `op` that
    /// is in use is ignored; `params` is the text of an object, empty for `{}`. Before the connection is ready it waits.
    pub fn start(
        &mut self,
        now: Duration,
        op: u64,
        method: &'static Method,
        params: String,
        options: CallOptions,
    ) {
        if self.ops.contains_key(&op) {
            return;
        }
        let refusal = if self.state == State::Closed {
            Some(ClientError::local(kind::CLOSED, "the client is closed"))
        } else if self.ops.len() >= self.config.limits.in_flight {
            let message =
                format!("more than {} requests in flight (maxInFlight)", self.config.limits.in_flight);
            Some(ClientError::local(kind::LIMIT, message))
        } else {
            check_meta(&options.meta).err()
        };
        if let Some(error) = refusal {
            self.outputs.push_back(Output::Error { op, error });
            return;
        }
        let (mut params, mut options) = (params, options);
        options.timeout = options.timeout.filter(|limit| !limit.is_zero());
        options.total = options.total.filter(|limit| !limit.is_zero());
        if params.trim().len() != params.len() {
            params = params.trim().to_owned();
        }
        if params.is_empty() {
            params.push_str("{}");
        }
        let entry = Op {
            due: options.timeout.map(|limit| now.saturating_add(limit)),
            cap: options.total.map(|limit| now.saturating_add(limit)),
            method,
            params,
            options,
            stage: Stage::Waiting,
            reversioned: false,
            refreshed: false,
            renewed: false,
        };
        self.note_due(entry.due());
        self.ops.insert(op, entry);
        if self.state == State::Ready {
            self.send_op(op);
        } else {
            self.waiting.push_back(op);
        }
    }

    /// Give up an operation: it ends with kind `cancelled`. False: it had ended.
    pub fn cancel(&mut self, op: u64, reason: &str) -> bool {
        let message = if reason.is_empty() { "cancelled by the caller" } else { reason };
        self.give_up(op, reason, ClientError::local(kind::CANCELLED, message))
    }

    /// A frame came. `post` is the exchange it came with, if messages are POSTs.
    pub fn recv(&mut self, now: Duration, post: Option<u64>, frame: Bytes) {
        if self.state == State::Closed {
            return;
        }
        let Some(post) = self.on_stream_frame(post) else { return };
        match jsonrpc::parse(&frame, &self.config.limits) {
            Ok(Message::Response { id, result }) => {
                // A server that could not read the id of what was posted answers with none.
                let Some(id) = id.map_or(post, |id| id.as_number()) else { return };
                let result = result.map(|raw| Json::share(&frame, raw));
                self.on_response(now, id, result);
            }
            Ok(Message::Notification { method, params }) => {
                let params = params.map(|raw| Json::share(&frame, raw));
                self.on_notification(now, &method, params);
            }
            Ok(Message::Request { id, method, .. }) => self.on_request(&id, &method),
            Err(malformed) => {
                let Some(id) = malformed.id.and_then(|id| id.as_number()).or(post) else { return };
                let what = &malformed.error.message;
                let error = if frame.len() > self.config.limits.message_bytes {
                    ClientError::local(kind::LIMIT, format!("the server's {what} (maxMessageBytes)"))
                } else {
                    ClientError::local(
                        kind::PROTOCOL,
                        format!("the server's answer is no valid message: {what}"),
                    )
                };
                self.fail_exchange(id, error);
            }
        }
    }

    /// A POST failed.
    pub fn failed(&mut self, now: Duration, post: u64, failure: TransportFailure) {
        if self.on_stream_end(now, post, Some(&failure)) || self.on_connecting_failure(now, post, &failure) {
            return;
        }
        let said = match &failure {
            TransportFailure::Status { body, .. } => self.error_in(body),
            _ => None,
        };
        match said {
            Some(error) => self.on_response(now, post, Err(error)),
            None => self.fail_exchange(post, failure.error()),
        }
    }

    /// The response of a POST is over. Whatever it did not answer fails.
    pub fn stream_ended(&mut self, now: Duration, post: u64) {
        if !self.on_stream_end(now, post, None) && !self.on_connecting_end(now, post) {
            let message = "the response ended without an answer";
            self.fail_exchange(post, ClientError::local(kind::TRANSPORT, message));
        }
    }

    /// Time has passed.
    pub fn on_deadline(&mut self, now: Duration) {
        self.on_connecting_deadline(now);
        self.on_stream_deadline(now);
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        let due: Vec<u64> = self
            .ops
            .iter()
            .filter(|(_, op)| op.due().is_some_and(|due| due <= now))
            .map(|(id, _)| *id)
            .collect();
        for op in due {
            let message = "no answer within the time limit";
            self.give_up(op, message, ClientError::local(kind::TIMEOUT, message));
        }
        self.earliest = self.ops.values().filter_map(Op::due).min();
    }

    /// The host is done: pending operations end with kind `closed`.
    pub fn close(&mut self) {
        self.shut(ClientError::local(kind::CLOSED, "the client was closed"));
    }

    /// The peer is gone: pending operations end with `error`.
    pub(super) fn shut(&mut self, error: ClientError) {
        if self.state == State::Closed {
            return;
        }
        let connecting = !matches!(self.state, State::Ready) && !self.streams.renewing();
        self.state = State::Closed;
        self.streams = Streams::new(0);
        (self.connect_deadline, self.probe_deadline, self.earliest) = (None, None, None);
        self.waiting.clear();
        self.pending.clear();
        for op in std::mem::take(&mut self.ops).into_keys() {
            self.outputs.push_back(Output::Error { op, error: error.clone() });
        }
        let reason = error.message.clone();
        if connecting {
            self.outputs.push_back(Output::ConnectFailed(error));
        }
        self.outputs.push_back(Output::Closed { reason });
    }

    pub(super) fn become_ready(&mut self, facts: ServerFacts) {
        self.state = State::Ready;
        (self.connect_deadline, self.probe_deadline) = (None, None);
        self.facts = Some(Box::new(facts.clone()));
        if !self.streams.renewed() {
            self.outputs.push_back(Output::Ready(Box::new(facts)));
        }
        self.open_standalone();
        self.send_waiting();
    }

    pub(super) fn send_waiting(&mut self) {
        for op in std::mem::take(&mut self.waiting) {
            self.send_op(op);
        }
    }

    /// What waits to be sent ends with this.
    pub(super) fn fail_waiting(&mut self, error: &ClientError) {
        for op in std::mem::take(&mut self.waiting) {
            self.end(op, Err(error.clone()));
        }
    }

    /// Take back a request that was sent in a session that is over; it waits to be sent again. False: it has had
    /// its second chance, or is no operation's own.
    pub(super) fn hold_back(&mut self, post: u64) -> bool {
        let Some(Purpose::Op(op)) = self.pending.get(&post) else { return false };
        let op = *op;
        let Some(entry) = self.ops.get_mut(&op).filter(|entry| !entry.renewed) else { return false };
        (entry.renewed, entry.stage) = (true, Stage::Waiting);
        self.pending.remove(&post);
        self.waiting.push_back(op);
        true
    }

    pub(super) fn is_pending(&self, id: u64) -> bool {
        self.pending.contains_key(&id)
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn is_http(&self) -> bool {
        self.config.transport == Transport::Http
    }

    /// Send a request; returns its id, which is also the key of its POST.
    pub(super) fn send_request(&mut self, id: u64, method: &str, params: &str, headers: Headers) {
        let bytes = jsonrpc::request(&Id::number(id), method, params);
        self.send(bytes, PostHead { post: id, request: true, headers });
    }

    /// Send what is not answered; returns the key of its POST.
    pub(super) fn send_other(&mut self, bytes: Vec<u8>) -> u64 {
        let post = self.fresh_id();
        let headers = self.legacy_headers();
        self.send(bytes, PostHead { post, request: false, headers });
        post
    }

    pub(super) fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn error_in(&self, body: &Bytes) -> Option<RpcError> {
        match jsonrpc::parse(body, &self.config.limits) {
            Ok(Message::Response { result: Err(error), .. }) => Some(error),
            _ => None,
        }
    }

    fn send(&mut self, mut bytes: Vec<u8>, head: PostHead) {
        let post = if self.is_http() {
            Some(Box::new(head))
        } else {
            // What the host gave may be spread over lines. Raw line ends stand only between JSON tokens.
            for byte in &mut bytes {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            None
        };
        self.outputs.push_back(Output::Send { bytes, post });
    }

    pub(super) fn legacy_headers(&self) -> Headers {
        let mut headers: Headers = vec![("MCP-Protocol-Version".into(), self.revision.as_str().to_owned())];
        if let Some(session) = &self.session {
            headers.push(("Mcp-Session-Id".into(), session.clone()));
        }
        headers
    }

    fn send_op(&mut self, op: u64) {
        let id = self.fresh_id();
        let Some(entry) = self.ops.get_mut(&op) else { return };
        let mut method = entry.method;
        if self.revision.era() == Era::Modern && method.role == Role::Ping {
            // The modern era has no ping; what every server must answer shows the same.
            method = methods::by_role(Role::Discover);
        }
        let built = if method.exists_in(self.revision) {
            Salient::of(&entry.params).map(|salient| {
                let token = entry.options.progress.then_some(id);
                let params =
                    lower::with_meta(&entry.params, &salient, &self.entries, token, &entry.options.meta);
                let headers = match (self.config.transport, self.revision.era()) {
                    (Transport::Http, Era::Modern) => {
                        lower::modern_headers(self.revision, method, &salient, &self.annotations)
                    }
                    _ => Vec::new(),
                };
                (params, headers)
            })
        } else {
            let message = format!("{} does not exist in revision {}", method.name, self.revision);
            Err(RpcError::new(ErrorKind::MethodNotFound, message).into())
        };
        match built {
            Err(error) => self.end(op, Err(error)),
            Ok((params, _)) if params.len() > self.config.limits.message_bytes => {
                let limit = self.config.limits.message_bytes;
                let message = format!("the request exceeds {limit} bytes (maxMessageBytes)");
                self.end(op, Err(ClientError::local(kind::LIMIT, message)));
            }
            Ok((params, mut headers)) => {
                entry.stage = Stage::Sent(id);
                self.pending.insert(id, Purpose::Op(op));
                if self.is_http() && self.revision.era() == Era::Legacy {
                    headers = self.legacy_headers();
                }
                self.send_request(id, method.name, &params, headers);
            }
        }
    }

    fn note_due(&mut self, due: Option<Duration>) {
        self.earliest = [self.earliest, due].into_iter().flatten().min();
    }

    /// The one place where an operation ends.
    fn end(&mut self, op: u64, result: Result<Json, ClientError>) {
        if self.ops.remove(&op).is_none() {
            return;
        }
        if self.ops.is_empty() {
            self.earliest = None;
        }
        self.outputs.push_back(match result {
            Ok(result) => Output::Result { op, result },
            Err(error) => Output::Error { op, error },
        });
    }

    fn give_up(&mut self, op: u64, reason: &str, error: ClientError) -> bool {
        let Some(entry) = self.ops.get(&op) else { return false };
        if let Stage::Sent(id) = entry.stage {
            self.pending.remove(&id);
            let modern_http = self.is_http() && self.revision.era() == Era::Modern;
            if !modern_http {
                let params = format!(r#"{{"requestId":{id},"reason":{}}}"#, json::string(reason));
                let name = methods::by_role(Role::Cancelled).name;
                self.send_other(jsonrpc::notification(name, &params));
            }
            if self.is_http() {
                self.outputs.push_back(Output::Abort { post: id });
            }
        } else {
            self.waiting.retain(|waiting| *waiting != op);
        }
        self.end(op, Err(error));
        true
    }

    pub(super) fn fail_exchange(&mut self, id: u64, error: ClientError) {
        match self.pending.remove(&id) {
            None => {}
            Some(Purpose::Op(op)) => self.end(op, Err(error)),
            Some(Purpose::Refresh { op, refusal, .. }) => self.end(op, Err(refusal.into())),
        }
    }

    fn on_response(&mut self, now: Duration, id: u64, result: Result<Json, RpcError>) {
        let result = match self.on_connecting_response(now, id, result) {
            Some(result) => result,
            None => return,
        };
        match self.pending.remove(&id) {
            None => {}
            Some(Purpose::Op(op)) => self.on_answer(op, result),
            Some(Purpose::Refresh { op, page, refusal }) => self.on_refresh(op, page, refusal, result),
        }
    }

    fn on_answer(&mut self, op: u64, result: Result<Json, RpcError>) {
        let Some(entry) = self.ops.get_mut(&op) else { return };
        let modern = self.revision.era() == Era::Modern;
        match result {
            Ok(result) => {
                let role = entry.method.role;
                let result = if modern { complete_only(result) } else { Ok(result) };
                let result = result.and_then(|result| match result.as_bytes().first() {
                    Some(b'{') => Ok(result),
                    _ => Err(ClientError::local(kind::PROTOCOL, "the result is no object")),
                });
                let result = result.map(|result| match role {
                    Role::Ping => Json::from_static("{}"),
                    Role::ListTools if modern && self.is_http() => self.screen(result),
                    _ => result,
                });
                self.end(op, result);
            }
            Err(error) if modern && error.kind() == ErrorKind::UnsupportedVersion && !entry.reversioned => {
                entry.reversioned = true;
                match newest_mutual(&error, Era::Modern) {
                    Some(revision) => {
                        self.speak(revision);
                        self.send_op(op);
                    }
                    None => self.end(op, Err(error.into())),
                }
            }
            Err(error)
                if modern
                    && error.kind() == ErrorKind::HeaderMismatch
                    && entry.method.role == Role::CallTool
                    && !entry.refreshed
                    && self.config.transport == Transport::Http =>
            {
                entry.refreshed = true;
                self.refresh(op, 0, None, error);
            }
            Err(error) if entry.method.role == Role::ReadResource && names_a_uri(&error) => {
                let kind = ErrorKind::ResourceNotFound.as_str();
                self.end(op, Err(ClientError { kind, ..error.into() }));
            }
            Err(error) => self.end(op, Err(error.into())),
        }
    }

    /// Write requests in `revision` from now on.
    pub(super) fn speak(&mut self, revision: Revision) {
        self.revision = revision;
        self.entries = match revision.era() {
            Era::Modern => lower::modern_meta(revision, &self.config.client_info, &self.config.capabilities),
            Era::Legacy => String::new(),
        };
    }

    fn screen(&mut self, page: Json) -> Json {
        let outputs = &mut self.outputs;
        tools::screen(page, &mut self.annotations, |tool, reason| {
            outputs.push_back(Output::ToolDropped { tool: tool.to_owned(), reason });
        })
    }

    fn refresh(&mut self, op: u64, page: u32, cursor: Option<String>, refusal: RpcError) {
        let id = self.fresh_id();
        let params = match cursor {
            Some(cursor) => format!(r#"{{"cursor":{}}}"#, json::string(&cursor)),
            None => "{}".to_owned(),
        };
        let salient = Salient::default();
        let params = lower::with_meta(&params, &salient, &self.entries, None, &Json::default());
        let method = methods::by_role(Role::ListTools);
        let headers = lower::modern_headers(self.revision, method, &salient, &self.annotations);
        if let Some(entry) = self.ops.get_mut(&op) {
            entry.stage = Stage::Sent(id);
        }
        self.pending.insert(id, Purpose::Refresh { op, page, refusal });
        self.send_request(id, method.name, &params, headers);
    }

    fn on_refresh(&mut self, op: u64, page: u32, refusal: RpcError, result: Result<Json, RpcError>) {
        let Ok(list) = result else { return self.end(op, Err(refusal.into())) };
        let list = self.screen(list);
        match tools::next_cursor(&list) {
            Some(cursor) if page < REFRESH_PAGES => self.refresh(op, page + 1, Some(cursor), refusal),
            _ => self.send_op(op),
        }
    }

    fn on_notification(&mut self, now: Duration, method: &str, params: Option<Json>) {
        let Some(row) = methods::by_name(method) else { return };
        if row.kind != Kind::Notification || row.direction == Direction::ToServer {
            return;
        }
        match row.role {
            Role::Progress => {
                if let Some(params) = params {
                    self.on_progress(now, &params);
                }
            }
            _ if row.op.is_empty() => {}
            _ => self.outputs.push_back(Output::Notification {
                event: row.op,
                params: params.unwrap_or(Json::from_static("{}")),
            }),
        }
    }

    fn on_progress(&mut self, now: Duration, params: &Json) {
        #[derive(Deserialize)]
        struct Progress<'a> {
            #[serde(rename = "progressToken", borrow)]
            token: &'a RawValue,
            #[serde(borrow)]
            progress: &'a RawValue,
            #[serde(borrow, default)]
            total: Option<&'a RawValue>,
            #[serde(borrow, default)]
            message: Option<&'a RawValue>,
        }
        let Ok(said) = serde_json::from_str::<Progress<'_>>(params.as_str()) else { return };
        let Some(Purpose::Op(op)) = said.token.get().parse().ok().and_then(|id: u64| self.pending.get(&id))
        else {
            return;
        };
        let op = *op;
        let Some(entry) = self.ops.get_mut(&op) else { return };
        let number =
            |raw: &RawValue| raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !entry.options.progress || !number(said.progress) {
            return;
        }
        entry.due = entry.options.timeout.map(|limit| now.saturating_add(limit));
        let mut payload = format!(r#"{{"progress":{}"#, said.progress.get());
        if let Some(total) = said.total.filter(|total| number(total)) {
            payload.push_str(",\"total\":");
            payload.push_str(total.get());
        }
        if let Some(message) = said.message.filter(|message| message.get().starts_with('"')) {
            payload.push_str(",\"message\":");
            payload.push_str(message.get());
        }
        payload.push('}');
        self.outputs.push_back(Output::Progress { op, payload: Json::from(payload) });
    }

    /// Servers may ask only in the legacy era; in the modern one a client never writes responses.
    fn on_request(&mut self, id: &Id, method: &str) {
        if self.revision.era() == Era::Modern {
            return;
        }
        let reply = if methods::by_name(method).is_some_and(|row| row.role == Role::Ping) {
            let mut reply = jsonrpc::response_start(id, 2);
            reply.extend_from_slice(b"{}");
            reply.extend_from_slice(jsonrpc::RESPONSE_END);
            reply
        } else {
            let message = format!("this client does not serve {method}");
            jsonrpc::error(Some(id), &RpcError::new(ErrorKind::MethodNotFound, message))
        };
        self.send_other(reply);
    }
}

/// The newest revision of an era that an unsupported-version error says the server speaks and so do we.
pub(super) fn newest_mutual(error: &RpcError, era: Era) -> Option<Revision> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(default)]
        supported: Vec<String>,
    }
    let data: Data = serde_json::from_str(error.data.as_ref()?.get()).ok()?;
    Revision::of_era(era).find(|revision| data.supported.iter().any(|text| text == revision.as_str()))
}

/// Only complete results are understood; one without a `resultType` is complete (2026-07-28, basic, "Results").
fn complete_only(result: Json) -> Result<Json, ClientError> {
    const COMPLETE: &str = r#""resultType":"complete""#;
    let text = result.as_str();
    // Such a text cannot stand inside a string, and at these places it can only be a member of the top level.
    let plain = text.strip_prefix('{').is_some_and(|inner| inner.starts_with(COMPLETE))
        || text.strip_suffix('}').is_some_and(|inner| inner.ends_with(COMPLETE));
    if plain {
        return Ok(result);
    }
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "resultType", borrow, default)]
        result_type: Option<std::borrow::Cow<'a, str>>,
    }
    let complaint = if !text.starts_with('{') {
        "the result is no object".to_owned()
    } else {
        match serde_json::from_str::<Typed<'_>>(text).map(|typed| typed.result_type) {
            Ok(None) => return Ok(result),
            Ok(Some(result_type)) if result_type == "complete" => return Ok(result),
            Ok(Some(result_type)) => {
                format!(
                    "the server answered with a result of type {result_type:?}, which this client cannot take"
                )
            }
            Err(_) => "the result's resultType is no string".to_owned(),
        }
    };
    Err(ClientError::local(kind::PROTOCOL, complaint))
}

fn check_meta(meta: &Json) -> Result<(), ClientError> {
    if meta.is_empty() || json::members(meta.as_str().trim()).is_some() {
        return Ok(());
    }
    Err(ClientError::local(kind::USAGE, "meta must be a JSON object"))
}

/// The modern form of "no such resource": invalid params whose data hold the URI (2026-07-28, resources, "Error
/// Handling"). Hosts get one kind for it in every era.
fn names_a_uri(error: &RpcError) -> bool {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow, rename = "uri")]
        _uri: std::borrow::Cow<'a, str>,
    }
    let data = error.data.as_ref().map(|data| serde_json::from_str::<Data<'_>>(data.get()));
    error.kind() == ErrorKind::InvalidParams && data.is_some_and(|data| data.is_ok())
}
