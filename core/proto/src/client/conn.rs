//! The client state machine: operations, results, time limits.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::answers::check_meta;
use super::cache::Cache;
use super::connecting::State;
use super::declared::Declared;
use super::error::{ClientError, kind};
use super::listen::{self, Filter, Listening, Subscriptions};
use super::lists::Gathered;
use super::lower::{self, Headers, Salient};
use super::outputs::Outputs;
use super::questions::{Question, Rounds};
use super::streams::Streams;
use super::tasks::{self, Errand, Followed, Tasks};
use super::tools::Annotations;
use super::{CallOptions, ClientConfig, Output, PostHead, ServerFacts, Transport, TransportFailure};
use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::jsonrpc::{self, Id, Malformed, Message};
use crate::methods::{self, Method, Role};
use crate::revision::{Era, Revision};
use crate::server::LogLevel;

/// The client side of one connection. See the [module](super).
#[derive(Debug)]
pub struct ClientConn {
    pub(super) config: ClientConfig,
    pub(super) declared: Declared,
    /// The latest time that the driver passed.
    pub(super) now: Duration,
    pub(super) state: State,
    pub(super) revision: Revision,
    pub(super) facts: Option<Box<ServerFacts>>,
    pub(super) session: Option<String>,
    pub(super) streams: Streams,
    pub(super) restarted: bool,
    pub(super) probe_was_silent: bool,
    /// True while the client uses the expected revision and the server has not confirmed it.
    pub(super) on_prior: bool,
    pub(super) connect_deadline: Option<Duration>,
    pub(super) probe_deadline: Option<Duration>,
    /// [`lower::modern_meta`] of `revision`; empty in the legacy era.
    pub(super) entries: String,
    /// The minimum log level.
    log_level: Option<LogLevel>,
    next_id: u64,
    pub(super) ops: BTreeMap<u64, Op>,
    waiting: VecDeque<u64>,
    pub(super) pending: BTreeMap<u64, Purpose>,
    pub(super) annotations: Annotations,
    pub(super) cache: Cache,
    pub(super) outputs_of_tools: Outputs,
    pub(super) questions: BTreeMap<u64, Question>,
    pub(super) subscriptions: Subscriptions,
    pub(super) tasks: Tasks,
    pub(super) outputs: VecDeque<Output>,
    /// No operation is due before this.
    earliest: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Op {
    pub(super) method: &'static Method,
    pub(super) params: String,
    pub(super) options: CallOptions,
    pub(super) stage: Stage,
    pub(super) due: Option<Duration>,
    cap: Option<Duration>,
    /// Questions to the host that it waits for, and since when: its time limits stand still meanwhile.
    pub(super) held: u32,
    held_since: Duration,
    pub(super) reversioned: bool,
    pub(super) refreshed: bool,
    /// Sent again in a new session already.
    renewed: bool,
    /// [`Cache::epoch`] when it was sent.
    pub(super) epoch: u64,
    pub(super) rounds: Option<Box<Rounds>>,
    pub(super) listening: Option<Box<Listening>>,
    /// The call asks for a task (2025-11-25).
    pub(super) augmented: bool,
    /// It follows a task to its end.
    pub(super) followed: Option<Box<Followed>>,
    /// The entries collected so far, if the whole list is wanted.
    pub(super) gathered: Option<Box<Gathered>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    Sent(u64),
    /// The host is asked; nothing is in flight.
    Asking,
    /// To notifications of a legacy session; nothing is in flight.
    Listening,
    /// The operation follows a task; its requests belong to the task.
    Following,
}

#[derive(Debug)]
pub(super) enum Purpose {
    Op(u64),
    /// Subscribes to a resource for the listeners, or unsubscribes.
    Subscribe(String),
    Unsubscribe(String),
    /// The answer does not matter.
    Nothing,
    /// Lists the tools again for an operation whose headers were refused with this error.
    Refresh {
        op: u64,
        page: u32,
        refusal: RpcError,
    },
    /// Listing the tools to learn whether the one of this operation makes tasks.
    Survey {
        op: u64,
        page: u32,
    },
    /// On behalf of a task that is followed.
    Errand {
        task: String,
        errand: Errand,
    },
    /// Cancels this task at the server.
    Cancel(String),
}

impl Op {
    pub(super) fn due(&self) -> Option<Duration> {
        if self.held > 0 {
            return None;
        }
        [self.due, self.cap].into_iter().flatten().min()
    }
}

impl ClientConn {
    /// A connection that has not begun. [`ClientConn::connect`] begins it.
    pub fn new(config: ClientConfig) -> ClientConn {
        ClientConn {
            streams: Streams::new(config.seed),
            declared: Declared::new(&config.capabilities, config.roots.is_some(), config.tasks),
            tasks: Tasks::new(config.seed),
            now: Duration::ZERO,
            log_level: config.log_level,
            config,
            state: State::Idle,
            revision: Revision::LATEST,
            facts: None,
            session: None,
            restarted: false,
            probe_was_silent: false,
            on_prior: false,
            connect_deadline: None,
            probe_deadline: None,
            entries: String::new(),
            next_id: 0,
            ops: BTreeMap::new(),
            waiting: VecDeque::new(),
            pending: BTreeMap::new(),
            annotations: Annotations::new(),
            cache: Cache::default(),
            outputs_of_tools: Outputs::default(),
            questions: BTreeMap::new(),
            subscriptions: Subscriptions::new(),
            outputs: VecDeque::new(),
            earliest: None,
        }
    }

    /// The next action or event.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.tidy_streams())
    }

    /// The time of the next call of [`ClientConn::on_deadline`]; an earlier call does no harm.
    pub fn next_deadline(&self) -> Option<Duration> {
        let due = [
            self.connect_deadline,
            self.probe_deadline,
            self.earliest,
            self.streams.next_deadline(),
            self.tasks.next_deadline(),
        ];
        due.into_iter().flatten().min()
    }

    /// Information about the server, once connected.
    pub fn facts(&self) -> Option<&ServerFacts> {
        self.facts.as_deref()
    }

    /// The head of the DELETE that ends the session of a legacy HTTP server, if it assigned one
    /// (2025-11-25, Streamable HTTP, "Session Management"). Send it after [`Output::Closed`].
    pub fn session_end(&mut self) -> Option<PostHead> {
        let headers = self.session.is_some().then(|| self.legacy_headers())?;
        self.session = None;
        Some(PostHead { post: self.fresh_id(), request: false, listens: false, headers })
    }

    /// Returns true once the connection is established.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Returns true after [`Output::Closed`].
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Returns true if a POST still has an unanswered message. A server may leave a response stream open
    /// after its answer.
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
        self.now = now;
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
        let mut listening = None;
        if method.role == Role::Listen {
            match Filter::parse(&params) {
                Ok(filter) => {
                    params = filter.to_params();
                    listening = Some(Listening::new(filter));
                }
                Err(error) => return self.outputs.push_back(Output::Error { op, error }),
            }
        }
        let gathered = options.all.then(|| Gathered::of(method, &params)).flatten();
        let kept = self.kept(now, method, &params, &options);
        if gathered.is_none()
            && let Some(result) = kept
        {
            return self.outputs.push_back(Output::Result { op, result });
        }
        let entry = Op {
            due: options.timeout.map(|limit| now.saturating_add(limit)),
            cap: options.total.map(|limit| now.saturating_add(limit)),
            method,
            params,
            options,
            stage: Stage::Waiting,
            held: 0,
            held_since: now,
            reversioned: false,
            refreshed: false,
            renewed: false,
            epoch: 0,
            rounds: None,
            listening,
            augmented: false,
            followed: None,
            gathered,
        };
        self.note_due(entry.due());
        self.ops.insert(op, entry);
        if let Some(page) = kept {
            self.on_page(op, page);
        } else if self.state == State::Ready {
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
        self.now = now;
        let Some(post) = self.on_stream_frame(post) else { return };
        if !self.revision.has_batches() || !jsonrpc::is_batch(&frame) {
            return self.on_frame(post, frame);
        }
        match jsonrpc::batch(&frame, &self.config.limits) {
            Ok(frames) => frames.into_iter().for_each(|frame| self.on_frame(post, frame)),
            Err(malformed) => self.on_malformed(post, &frame, malformed),
        }
    }

    fn on_frame(&mut self, post: Option<u64>, frame: Bytes) {
        let now = self.now;
        match jsonrpc::parse(&frame, &self.config.limits) {
            Ok(Message::Response { id, result }) => {
                // A server that could not read the id of what was posted answers with none.
                let Some(id) = id.map_or(post, |id| id.as_number()) else { return };
                let result = result.map(|raw| Json::share(&frame, raw));
                self.on_response(now, id, result);
            }
            Ok(Message::Notification { method, params }) => {
                let params = params.map(|raw| Json::share(&frame, raw));
                self.on_notification(now, post, &method, params);
            }
            Ok(Message::Request { id, method, params }) => {
                let params = params.map(|raw| Json::share(&frame, raw));
                self.on_request(now, post, id, &method, params);
            }
            Err(malformed) => self.on_malformed(post, &frame, malformed),
        }
    }

    fn on_malformed(&mut self, post: Option<u64>, frame: &[u8], malformed: Malformed) {
        let what = &malformed.error.message;
        let too_long = frame.len() > self.config.limits.message_bytes;
        let error = if too_long {
            ClientError::local(kind::LIMIT, format!("the server's {what} (maxMessageBytes)"))
        } else {
            let near = jsonrpc::fault(frame).map(|near| format!(" near {near:?}")).unwrap_or_default();
            let message = format!("the server's answer is no valid message: {what}{near}");
            ClientError::local(kind::PROTOCOL, message)
        };
        let id = malformed.id.or_else(|| jsonrpc::salvage_answer(frame)).and_then(|id| id.as_number());
        match (id, post) {
            (Some(id), _) if self.connecting_expects(id) => self.connect_failed(error),
            (Some(id), _) => self.fail_exchange(id, error),
            (None, Some(post)) if too_long => self.fail_exchange(post, error),
            // An event that is no message, such as a heartbeat: the answer may follow.
            (None, Some(post)) if self.is_pending(post) => self.streams.note_odd(post, error),
            _ => {}
        }
    }

    /// Requests use another token from now on: cached results belong to another authorization context, even
    /// for the same user (2026-07-28, "Caching").
    pub fn token_changed(&mut self) {
        self.cache.clear();
    }

    /// A POST failed.
    pub fn failed(&mut self, now: Duration, post: u64, failure: TransportFailure) {
        self.now = now;
        if self.on_stream_end(now, post, Some(&failure)) || self.on_connecting_failure(now, post, &failure) {
            return;
        }
        if failure.is_passing() && self.errand_failed(post, failure.error()) {
            return;
        }
        let said = match &failure {
            TransportFailure::Status { body, .. } => self.error_in(body),
            _ => None,
        };
        match said {
            Some(error) if !failure.is_refusal() => self.on_response(now, post, Err(error)),
            said => self.fail_exchange(post, failure.error_with(said)),
        }
    }

    /// The response of a POST has ended. Unanswered messages of the POST fail.
    pub fn stream_ended(&mut self, now: Duration, post: u64) {
        self.now = now;
        if !self.on_stream_end(now, post, None) && !self.on_connecting_end(now, post) {
            let without = || ClientError::local(kind::TRANSPORT, "the response ended without an answer");
            let error = self.streams.odd(post).unwrap_or_else(without);
            if !self.errand_failed(post, error.clone()) {
                self.fail_exchange(post, error);
            }
        }
    }

    /// Time has passed.
    pub fn on_deadline(&mut self, now: Duration) {
        self.now = now;
        self.on_connecting_deadline(now);
        self.on_stream_deadline(now);
        self.on_tasks_deadline();
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
        self.subscriptions.clear();
        self.tasks.clear();
        self.withdraw_all(&error.message);
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
        self.tasks.learn(self.revision, &facts.capabilities);
        let logs = self.revision.era() == Era::Legacy && listen::declares_logging(&facts.capabilities);
        if !self.streams.renewed() {
            self.outputs.push_back(Output::Ready(Box::new(facts)));
        }
        self.open_standalone();
        if let Some(level) = self.log_level.filter(|_| logs) {
            let params = format!(r#"{{"level":"{}"}}"#, level.as_str());
            self.send_own(Role::SetLogLevel, &params, Purpose::Nothing);
        }
        self.subscribe_anew();
        self.send_waiting();
    }

    pub(super) fn wait_to_send(&mut self, op: u64) {
        self.waiting.push_back(op);
    }

    pub(super) fn send_waiting(&mut self) {
        for op in std::mem::take(&mut self.waiting) {
            self.send_op(op);
        }
    }

    /// Fails everything that waits to be sent.
    pub(super) fn fail_waiting(&mut self, error: &ClientError) {
        for op in std::mem::take(&mut self.waiting) {
            self.end(op, Err(error.clone()));
        }
    }

    /// Queues a request again that was sent in an ended session. Returns false if it was already repeated
    /// once, or belongs to no operation.
    pub(super) fn hold_back(&mut self, post: u64) -> bool {
        if self.errand_failed(post, ClientError::local(kind::TRANSPORT, "the session is over")) {
            return true;
        }
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
        let listens = method == methods::by_role(Role::Listen).name;
        self.send(bytes, PostHead { post: id, request: true, listens, headers });
    }

    /// Send a legacy request of the engine's own.
    pub(super) fn send_own(&mut self, role: Role, params: &str, purpose: Purpose) {
        let id = self.fresh_id();
        self.pending.insert(id, purpose);
        let headers = self.legacy_headers();
        self.send_request(id, methods::by_role(role).name, params, headers);
    }

    /// Sends a message without an answer; returns the key of its POST.
    pub(super) fn send_other(&mut self, bytes: Vec<u8>) -> u64 {
        let post = self.fresh_id();
        let headers = self.legacy_headers();
        self.send(bytes, PostHead { post, request: false, listens: false, headers });
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

    fn send(&mut self, bytes: Vec<u8>, head: PostHead) {
        let post = self.is_http().then(|| Box::new(head));
        self.outputs.push_back(Output::Send { bytes, post });
    }

    pub(super) fn legacy_headers(&self) -> Headers {
        let mut headers: Headers = vec![("MCP-Protocol-Version".into(), self.revision.as_str().to_owned())];
        if let Some(session) = &self.session {
            headers.push(("Mcp-Session-Id".into(), session.clone()));
        }
        headers
    }

    pub(super) fn send_op(&mut self, op: u64) {
        let Some(role) = self.ops.get(&op).map(|entry| entry.method.role) else { return };
        let modern = self.revision.era() == Era::Modern;
        if role == Role::CallTool && !modern && self.surveys(op) {
            return;
        }
        let Some(entry) = self.ops.get(&op) else { return };
        match role {
            Role::Listen if !modern => return self.listen_legacy(op),
            Role::TaskResult => return self.follow_saved(op),
            Role::SetLogLevel => match listen::level_in(&entry.params) {
                Err(error) => return self.end(op, Err(error)),
                Ok(level) => {
                    self.log_level = Some(level);
                    // In the modern era every request says which level it wants.
                    if modern {
                        return self.end(op, Ok(Json::from_static("{}")));
                    }
                }
            },
            _ => {}
        }
        let id = self.fresh_id();
        let Some(entry) = self.ops.get_mut(&op) else { return };
        entry.epoch = self.cache.epoch();
        let mut method = entry.method;
        if modern && method.role == Role::Ping {
            // The modern era has no ping; what every server must answer shows the same.
            method = methods::by_role(Role::Discover);
        }
        let built = if method.exists_in(self.revision) {
            let params = match &entry.rounds {
                Some(rounds) => Cow::Owned(rounds.add_to(&entry.params)),
                None if entry.augmented => Cow::Owned(tasks::augment(&entry.params, entry.options.task_ttl)),
                None => Cow::Borrowed(entry.params.as_str()),
            };
            Salient::of(&params).map(|salient| {
                let also = lower::Also {
                    token: entry.options.progress.then_some(id),
                    level: self.log_level.filter(|_| modern),
                    extra: entry.options.meta.as_str(),
                };
                let params = lower::with_meta(&params, &salient, &self.entries, also);
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

    pub(super) fn note_due(&mut self, due: Option<Duration>) {
        self.earliest = [self.earliest, due].into_iter().flatten().min();
    }

    /// The operation of this request.
    pub(super) fn op_of(&self, request: u64) -> Option<u64> {
        match self.pending.get(&request) {
            Some(Purpose::Op(op)) => Some(*op),
            _ => None,
        }
    }

    /// Nothing more is expected of a request.
    pub(super) fn forget(&mut self, request: u64) {
        self.pending.remove(&request);
    }

    /// The operations that a server may ask something for.
    pub(super) fn ops_in_flight(&self) -> Vec<u64> {
        let asks = |op: &Op| op.listening.is_none() && matches!(op.stage, Stage::Sent(_));
        self.ops.iter().filter(|(_, op)| asks(op)).map(|(id, _)| *id).collect()
    }

    /// The host is asked something for this operation: its time limits stand still.
    pub(super) fn hold(&mut self, now: Duration, op: u64) {
        let Some(entry) = self.ops.get_mut(&op) else { return };
        if entry.held == 0 {
            entry.held_since = now;
        }
        entry.held += 1;
    }

    /// One question less. After the last the time limit begins anew, and the cap goes on.
    pub(super) fn release(&mut self, now: Duration, op: u64) {
        let Some(entry) = self.ops.get_mut(&op).filter(|entry| entry.held > 0) else { return };
        entry.held -= 1;
        if entry.held > 0 {
            return;
        }
        entry.cap = entry.cap.map(|cap| cap.saturating_add(now.saturating_sub(entry.held_since)));
        self.begin_anew(op);
    }

    /// The time limit of an operation begins anew: with the next sign of life that is to be expected.
    pub(super) fn begin_anew(&mut self, op: u64) {
        let from = self.next_sign(op);
        let Some(entry) = self.ops.get_mut(&op) else { return };
        entry.due = entry.options.timeout.map(|limit| from.saturating_add(limit));
        let due = entry.due();
        self.note_due(due);
    }

    /// The one place where an operation ends.
    pub(super) fn end(&mut self, op: u64, result: Result<Json, ClientError>) {
        let Some(entry) = self.ops.remove(&op) else { return };
        self.withdraw(op, false);
        if let Some(listening) = &entry.listening {
            self.stop_listening(op, listening);
        }
        if let Some(followed) = &entry.followed {
            self.stop_following(op, &followed.task);
        }
        if self.ops.is_empty() {
            self.earliest = None;
        }
        self.outputs.push_back(match result {
            Ok(result) => Output::Result { op, result },
            Err(mut error) => {
                if let (Some(gathered), Some(list), None) = (&entry.gathered, entry.method.list, &error.data)
                {
                    error.data = RawValue::from_string(gathered.whole(list)).ok();
                }
                Output::Error { op, error }
            }
        });
    }

    fn give_up(&mut self, op: u64, reason: &str, error: ClientError) -> bool {
        let Some(entry) = self.ops.get(&op) else { return false };
        let stage = entry.stage;
        self.withdraw(op, true);
        if let Stage::Sent(id) = stage {
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
            self.cancel_followed(op);
        }
        self.end(op, Err(error));
        true
    }

    pub(super) fn fail_exchange(&mut self, id: u64, error: ClientError) {
        match self.pending.remove(&id) {
            None | Some(Purpose::Nothing) => {}
            Some(Purpose::Op(op)) => self.end(op, Err(error)),
            Some(Purpose::Subscribe(uri)) => self.on_subscribed(&uri, false),
            Some(Purpose::Unsubscribe(uri)) => self.on_unsubscribed(&uri),
            Some(Purpose::Refresh { op, refusal, .. }) => self.end(op, Err(refusal.into())),
            Some(Purpose::Survey { op, .. }) => self.end(op, Err(error)),
            Some(Purpose::Errand { task, errand }) => self.on_errand_broken(&task, errand, error),
            Some(Purpose::Cancel(task)) => self.on_cancel_answered(&task, None),
        }
    }

    fn on_response(&mut self, now: Duration, id: u64, result: Result<Json, RpcError>) {
        let result = match self.on_connecting_response(now, id, result) {
            Some(result) => result,
            None => return,
        };
        match self.pending.remove(&id) {
            None | Some(Purpose::Nothing) => {}
            Some(Purpose::Op(op)) => self.on_answer(now, op, result),
            Some(Purpose::Subscribe(uri)) => self.on_subscribed(&uri, result.is_ok()),
            Some(Purpose::Unsubscribe(uri)) => self.on_unsubscribed(&uri),
            Some(Purpose::Refresh { op, page, refusal }) => self.on_refresh(op, page, refusal, result),
            Some(Purpose::Survey { op, page }) => self.on_survey(op, page, result),
            Some(Purpose::Errand { task, errand }) => self.on_errand(id, &task, errand, result),
            Some(Purpose::Cancel(task)) => {
                self.on_cancel_answered(&task, result.err().map(|error| error.kind()));
            }
        }
    }

    /// Write requests in `revision` from now on.
    pub(super) fn speak(&mut self, revision: Revision) {
        self.revision = revision;
        self.entries = match revision.era() {
            Era::Modern => {
                let capabilities = self.declared.of(Era::Modern);
                lower::modern_meta(revision, &self.config.client_info, capabilities)
            }
            Era::Legacy => String::new(),
        };
    }
}
