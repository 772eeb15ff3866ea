//! Clients: connections to servers, requests, subscriptions and tasks.

mod asking;
mod changes;
mod command;
mod pages;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::oneshot;
use trunnion_engine::client::{ClientEvent, ClientHandle, ConnectOptions, RequestOptions};
use trunnion_engine::error::Error;
use trunnion_engine::sync::lock;
use trunnion_engine::telemetry::Telemetry;
use trunnion_proto::client::{ClientError, EraPolicy, HttpTransport, ServerFacts, kind};
use trunnion_proto::json::{self, Json};
use trunnion_proto::methods::{self, Method};
use trunnion_proto::model::{
    CallToolResult, CompletionReference, CompletionValues, Content, ElicitAnswer, ElicitRequest,
    GetPromptResult, Implementation, Progress, ReadResourceResult, Root, SampleAnswer, SampleRequest,
};
use trunnion_proto::revision::{Era, Revision};

pub use trunnion_engine::client::{Reply, Stderr, Target, auth};
pub use trunnion_engine::driver::in_process::{MemoryEnd, memory_pair};
pub use trunnion_proto::limits::Limits;
pub use trunnion_proto::server::LogLevel;

use asking::Asking;
use auth::Auth;
use changes::Feed;
pub use changes::{Change, Changes, Listen};
pub use command::ServerCommand;
pub use pages::Page;
use tasks::TaskFeed;
pub use tasks::{Task, TaskState, TaskStatus, TaskUpdates};

/// A connection to a server. Cheap to clone; the last clone's drop disconnects.
///
/// ```no_run
/// # async fn example() -> Result<(), trunnion::Error> {
/// use serde_json::json;
/// use trunnion::Client;
///
/// let client = Client::connect("http://127.0.0.1:8000/mcp").await?;
/// let sum = client.call_tool("add", json!({"a": 2, "b": 3})).await?;
/// println!("{:?}", sum.structured::<serde_json::Value>()?);
/// client.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    handle: ClientHandle,
    shared: Arc<Shared>,
    next_op: AtomicU64,
    server: Server,
}

/// The server's description of itself.
#[derive(Debug, Clone)]
pub struct Server {
    /// The negotiated revision of the protocol.
    pub revision: Revision,
    /// Name and version, if the server sent them.
    pub info: Option<Implementation>,
    /// The server's capabilities as the protocol spells them.
    pub capabilities: Value,
    /// The server's instructions for the model.
    pub instructions: Option<String>,
}

type ReadySender = oneshot::Sender<Result<Box<ServerFacts>, ClientError>>;
pub(super) type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;
type OnNotification = Box<dyn Fn(&str, Value) + Send + Sync>;

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<u64, Waiter>>,
    ready: Mutex<Option<ReadySender>>,
    listening: Mutex<HashMap<u64, Heard>>,
    asking: Arc<Asking>,
    on_notification: Option<OnNotification>,
    closed: tokio::sync::watch::Sender<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The receiver of the notifications of an operation.
#[derive(Clone)]
enum Heard {
    Changes(Arc<Feed>),
    Task(Arc<TaskFeed>),
}

struct Waiter {
    answer: oneshot::Sender<Answer>,
    on_progress: Option<OnProgress>,
}

enum Answer {
    Ended(Result<Json, ClientError>),
    /// The program's progress callback panicked, with this message.
    Panicked(String),
}

impl Client {
    /// Connects to a URL (`http` or `https`) with the default options. Needs a tokio runtime.
    pub async fn connect(url: impl Into<String>) -> Result<Client, Error> {
        Client::builder().connect(url.into()).await
    }

    /// Returns a builder with the options of a connection.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Returns a server to start as a child process; see [`ServerCommand::connect`].
    pub fn command(program: impl Into<String>) -> ServerCommand {
        ServerCommand::new(program.into())
    }

    /// Returns the server's description of itself.
    pub fn server(&self) -> &Server {
        &self.inner.server
    }

    /// Calls a tool. `arguments` must serialize to a JSON object (`()` for none). If the server makes a task
    /// of the call, this waits for the task; [`Request::task`] does not.
    pub fn call_tool(&self, name: &str, arguments: impl Serialize) -> Request<CallResult> {
        self.request("call_tool").set("name", &name).set_object("arguments", &arguments)
    }

    /// Reads a resource.
    pub fn read_resource(&self, uri: &str) -> Request<ReadResourceResult> {
        self.request("read_resource").set("uri", &uri)
    }

    /// Gets a prompt. `arguments` must serialize to a JSON object of strings (`()` for none).
    pub fn get_prompt(&self, name: &str, arguments: impl Serialize) -> Request<GetPromptResult> {
        self.request("get_prompt").set("name", &name).set_object("arguments", &arguments)
    }

    /// Completes an argument of a prompt or a variable of a template that begins with `value`.
    pub fn complete(
        &self,
        of: &CompletionReference,
        argument: &str,
        value: &str,
    ) -> Request<CompletionValues> {
        let argument = serde_json::json!({"name": argument, "value": value});
        self.request("complete").set("ref", of).set("argument", &argument)
    }

    /// Requests the server's current description of itself, as the protocol's object ("Discovery");
    /// revisions before 2026-07-28 lack it. [`Client::server`] is the description from the start of the
    /// connection.
    pub fn discover(&self) -> Request<Value> {
        self.request("discover")
    }

    /// Checks that the server answers.
    pub fn ping(&self) -> Request<()> {
        self.request("ping")
    }

    /// Subscribes to changes and returns when the server has acknowledged. [`Changes::granted`] is the
    /// granted part.
    pub async fn listen(&self, listen: Listen) -> Result<Changes, Error> {
        let params = serde_json::to_string(&listen).expect("a filter is always JSON");
        let op = self.inner.next_op.fetch_add(1, Ordering::Relaxed);
        let feed = Arc::new(Feed::default());
        lock(&self.inner.shared.listening).insert(op, Heard::Changes(Arc::clone(&feed)));
        let changes = Changes::new(self.clone(), op, feed);
        let method = methods::by_role(methods::Role::Listen);
        self.inner.handle.start(op, method, params, RequestOptions::default());
        changes.begun().await
    }

    /// Watches a task whose input requests are not sent to the client's handlers.
    fn follow(&self, task: &str, feed: &Arc<TaskFeed>) -> u64 {
        let op = self.inner.next_op.fetch_add(1, Ordering::Relaxed);
        lock(&self.inner.shared.listening).insert(op, Heard::Task(Arc::clone(feed)));
        let method = methods::by_role(methods::Role::TaskResult);
        let params = format!("{{\"taskId\":{}}}", json::string(task));
        let options = RequestOptions { unasked: true, ..RequestOptions::default() };
        self.inner.handle.start(op, method, params, options);
        op
    }

    pub(super) fn stop_listening(&self, op: u64) {
        if lock(&self.inner.shared.listening).remove(&op).is_some() {
            self.inner.handle.cancel(op, "the caller lost interest");
        }
    }

    /// Sets the minimum level of log messages from now on. They arrive at [`ClientBuilder::on_notification`]
    /// as `log`.
    pub fn set_log_level(&self, level: LogLevel) -> Request<()> {
        self.request("set_log_level").set("level", &level.as_str())
    }

    /// Replaces the roots. Fails with kind `usage` for a client that was not made with
    /// [`ClientBuilder::roots`].
    pub fn set_roots(&self, roots: &[Root]) -> Result<(), Error> {
        if self.inner.handle.set_roots(roots_json(roots)) {
            return Ok(());
        }
        if *self.inner.shared.closed.borrow() {
            return Err(closed());
        }
        Err(usage("the client was made without roots".into()))
    }

    /// Disconnects and waits until pending calls have failed with kind `closed`.
    pub async fn close(&self) {
        self.inner.handle.close();
        self.closed().await;
    }

    /// Waits until the connection is closed, by either side.
    pub async fn closed(&self) {
        // Fails only without a sender, and `shared` holds one.
        let _ = self.inner.shared.closed.subscribe().wait_for(|closed| *closed).await;
    }

    pub(super) fn request<R>(&self, op: &'static str) -> Request<R> {
        Request {
            client: self.clone(),
            method: methods::by_op(op).expect("the operations above are in the table"),
            params: Ok(Vec::new()),
            options: RequestOptions::default(),
            on_progress: None,
            result: PhantomData,
        }
    }
}

/// Options of a connection.
#[derive(Default)]
pub struct ClientBuilder {
    options: ConnectOptions,
    asking: Asking,
    on_notification: Option<OnNotification>,
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Sets the client's name and version.
    pub fn client_info(mut self, info: &Implementation) -> Self {
        self.options.client_info =
            Json::from(serde_json::to_string(info).expect("an implementation is always JSON"));
        self
    }

    /// Sets the client's capabilities as the protocol spells them.
    pub fn capabilities(mut self, capabilities: &serde_json::Map<String, Value>) -> Self {
        self.options.capabilities =
            Json::from(serde_json::to_string(capabilities).expect("a JSON object is always JSON"));
        self
    }

    /// Sets the handler of elicitation. Declares `elicitation` with forms and URLs, unless
    /// [`ClientBuilder::capabilities`] declares it otherwise. The future is dropped when the server withdraws
    /// the request; time limits of calls are paused meanwhile.
    pub fn on_elicit<F>(mut self, handler: impl Fn(ElicitRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ElicitAnswer> + Send + 'static,
    {
        self.asking.on_elicit = Some(Arc::new(move |asked| {
            let answer = handler(asked);
            Box::pin(async move { Ok(answer.await) })
        }));
        self
    }

    /// Sets the handler of sampling. Declares `sampling`, without tools unless
    /// [`ClientBuilder::capabilities`] declares them. An error refuses the request.
    pub fn on_sample<F>(mut self, handler: impl Fn(SampleRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<SampleAnswer, Error>> + Send + 'static,
    {
        self.asking.on_sample = Some(Arc::new(move |asked| Box::pin(handler(asked))));
        self
    }

    /// Declares these roots; servers that list roots get them. [`Client::set_roots`] replaces them.
    pub fn roots(mut self, roots: &[Root]) -> Self {
        self.options.roots = Some(roots_json(roots));
        self
    }

    /// Sets the minimum level of log messages.
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.options.log_level = Some(level);
        self
    }

    /// Sets whether results are cached for as long as the server allows. Default: true.
    pub fn cache(mut self, keep: bool) -> Self {
        self.options.cache = keep;
        self
    }

    /// Sets the revision that the server is known to support, which saves the probe. A wrong one costs a
    /// round trip.
    pub fn revision(mut self, revision: Revision) -> Self {
        self.options.revision = Some(revision);
        self
    }

    /// Restricts the connection to this era; by default the server is probed.
    pub fn era(mut self, era: Era) -> Self {
        self.options.era = EraPolicy::Only(era);
        self
    }

    /// Restricts the connection to this transport; the default is Streamable HTTP, and HTTP+SSE for servers
    /// that refuse it.
    pub fn transport(mut self, transport: HttpTransport) -> Self {
        self.options.transport = transport;
        self
    }

    /// Sets the time limit of requests that set none; progress restarts it. Default: one minute.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets the time limit of requests that set none; progress does not restart it. Default: none.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.options.total = timeout;
        self
    }

    /// Sets the time limit of connecting. Default: ten seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// Sets whether calls, and requests from legacy servers, may become tasks. Default: true. With false, a
    /// server cannot make a task of a call of this client.
    pub fn tasks(mut self, allowed: bool) -> Self {
        self.options.tasks = allowed;
        self
    }

    /// Sets the limits for the size and the nesting of the server's messages.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Sets the telemetry that exports a span and the duration of every request to a collector.
    pub fn telemetry(mut self, telemetry: &Telemetry) -> Self {
        self.options.telemetry = Some(telemetry.clone());
        self
    }

    /// Adds a header to every HTTP request.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the sign-in for servers over HTTP that require authorization.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.options.auth = Some(auth);
        self
    }

    /// Sets the callback for every notification, by its neutral name (`tools_changed`, `log`, …). It must not
    /// block.
    pub fn on_notification(mut self, callback: impl Fn(&str, Value) + Send + Sync + 'static) -> Self {
        self.on_notification = Some(Box::new(callback));
        self
    }

    /// Connects to a URL, a [`ServerCommand`] or a [`MemoryEnd`]. Needs a tokio
    /// runtime. Text that is not a URL fails with kind `usage`.
    pub async fn connect(self, target: impl Into<Target>) -> Result<Client, Error> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| ClientError::local(kind::USAGE, "connecting needs a tokio runtime"))?;
        let mut options = self.options;
        options.capabilities = self.asking.declare(&options.capabilities);
        let (ready, connected) = oneshot::channel();
        let shared = Arc::new(Shared {
            ready: Mutex::new(Some(ready)),
            asking: Arc::new(self.asking),
            on_notification: self.on_notification,
            ..Shared::default()
        });
        let sink = {
            let shared = Arc::clone(&shared);
            Box::new(move |event| shared.take(event))
        };
        let handle = ClientHandle::connect(&runtime, target.into(), options, sink, None);
        // Dropping this future drops the handle, which cancels the attempt.
        let facts = connected.await.map_err(|_| closed())??;
        let server = Server {
            revision: facts.revision,
            info: serde_json::from_str(facts.server_info.as_str()).ok(),
            capabilities: serde_json::from_str(facts.capabilities.as_str()).unwrap_or_default(),
            instructions: serde_json::from_str(facts.instructions.as_str()).ok(),
        };
        Ok(Client { inner: Arc::new(Inner { handle, shared, next_op: AtomicU64::new(1), server }) })
    }
}

/// A request that is sent when it is awaited. Dropping the future cancels the request at the server.
#[must_use = "a request is made when it is awaited"]
pub struct Request<R> {
    pub(super) client: Client,
    pub(super) method: &'static Method,
    pub(super) params: Result<Vec<(&'static str, String)>, Error>,
    pub(super) options: RequestOptions,
    pub(super) on_progress: Option<OnProgress>,
    pub(super) result: PhantomData<fn() -> R>,
}

impl<R> std::fmt::Debug for Request<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("op", &self.method.op).finish_non_exhaustive()
    }
}

impl<R> Request<R> {
    /// Sets the time limit of this request; progress restarts it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets the time limit that progress does not restart.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.options.total = Some(timeout);
        self
    }

    /// Sets whether a cached result may be returned. False: the request is sent even if a cached result is
    /// fresh.
    pub fn cache(mut self, may_be_kept: bool) -> Self {
        self.options.fresh = !may_be_kept;
        self
    }

    /// Requests progress; the callback runs for every report and must not block.
    pub fn with_progress(mut self, callback: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.options.progress = true;
        self.on_progress = Some(Arc::new(callback));
        self
    }

    /// Adds entries to the request's `_meta`.
    pub fn meta(mut self, entries: &serde_json::Map<String, Value>) -> Self {
        self.options.meta = Json::from(serde_json::to_string(entries).expect("a JSON object is always JSON"));
        self
    }

    pub(super) fn set(mut self, key: &'static str, value: &impl Serialize) -> Self {
        if let Ok(params) = &mut self.params {
            match serde_json::to_string(value) {
                Ok(value) => params.push((key, value)),
                Err(error) => self.params = Err(usage(format!("{key}: {error}"))),
            }
        }
        self
    }

    /// Sets an object, or nothing for a value that serializes to `null`.
    fn set_object(mut self, key: &'static str, value: &impl Serialize) -> Self {
        self = self.set(key, value);
        if let Ok(params) = &mut self.params {
            let text = params.last().map_or("", |(_, text)| text.as_str());
            if text == "null" {
                params.pop();
            } else if !text.starts_with('{') {
                self.params = Err(usage(format!("{key} must serialise to a JSON object")));
            }
        }
        self
    }
}

impl Request<CompletionValues> {
    /// Sets the known values of the other arguments: an object of strings.
    pub fn context(self, arguments: &BTreeMap<String, String>) -> Self {
        let context = serde_json::json!({ "arguments": arguments });
        self.set("context", &context)
    }
}

impl<R: FromResult + Send + 'static> IntoFuture for Request<R> {
    type Output = Result<R, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut params = String::from("{");
            for (key, value) in self.params? {
                if params.len() > 1 {
                    params.push(',');
                }
                params.push_str(&format!("\"{key}\":{value}"));
            }
            params.push('}');
            let inner = &self.client.inner;
            let op = inner.next_op.fetch_add(1, Ordering::Relaxed);
            let (answer, answered) = oneshot::channel();
            inner.shared.lock().insert(op, Waiter { answer, on_progress: self.on_progress });
            let guard = CancelOnDrop { inner, op };
            inner.handle.start(op, self.method, params, self.options);
            let result = match answered.await {
                Ok(Answer::Ended(result)) => result.map_err(Error::from),
                Ok(Answer::Panicked(message)) => {
                    drop(guard);
                    return Err(Error::internal(format!("the progress callback panicked: {message}")));
                }
                Err(_) => Err(closed()),
            };
            std::mem::forget(guard);
            R::from_result(self.method, result?)
        })
    }
}

struct CancelOnDrop<'a> {
    inner: &'a Inner,
    op: u64,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.inner.shared.lock().remove(&self.op);
        self.inner.handle.cancel(self.op, "the caller lost interest");
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Waiter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: ClientEvent) {
        match event {
            ClientEvent::Ready(facts) => self.connected(Ok(facts)),
            ClientEvent::ConnectFailed(error) => self.connected(Err(error)),
            ClientEvent::Result { op, result } => self.answer(op, Ok(result)),
            ClientEvent::Error { op, error } => self.answer(op, Err(error)),
            ClientEvent::Progress { op, payload } => {
                let callback = self.lock().get(&op).and_then(|waiter| waiter.on_progress.clone());
                if let (Some(callback), Ok(progress)) = (callback, serde_json::from_str(payload.as_str()))
                    && let Err(message) = caught(|| callback(progress))
                    && let Some(waiter) = self.lock().remove(&op)
                {
                    let _ = waiter.answer.send(Answer::Panicked(message));
                }
            }
            ClientEvent::Notification { event, params } => {
                let params = serde_json::from_str(params.as_str()).unwrap_or_default();
                if let Some(callback) = &self.on_notification
                    && let Err(message) = caught(|| callback(event, params))
                {
                    tracing::error!(event, message, "the notification callback panicked");
                }
            }
            ClientEvent::Told { op, event, params } => {
                let feed = lock(&self.listening).get(&op).cloned();
                match feed {
                    Some(Heard::Changes(feed)) => feed.take(event, &params),
                    Some(Heard::Task(feed)) => feed.told(&params),
                    None => {}
                }
            }
            ClientEvent::Ask { question, kind, params, reply } => {
                self.asking.ask(question, kind, &params, reply);
            }
            ClientEvent::Withdrawn { question, .. } => self.asking.withdraw(question),
            ClientEvent::Closed { reason } => {
                self.end_all(&reason);
                self.closed.send_replace(true);
            }
        }
    }

    /// Ends all operations that still wait. After an orderly end there are none.
    fn end_all(&self, reason: &str) {
        let error = || ClientError::local(kind::CLOSED, reason);
        self.connected(Err(error()));
        let waiting = std::mem::take(&mut *self.lock());
        for waiter in waiting.into_values() {
            let _ = waiter.answer.send(Answer::Ended(Err(error())));
        }
        let listening = std::mem::take(&mut *lock(&self.listening));
        for heard in listening.into_values() {
            heard.end(Err(error().into()));
        }
    }

    fn connected(&self, result: Result<Box<ServerFacts>, ClientError>) {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ready) = ready {
            let _ = ready.send(result);
        }
    }

    fn answer(&self, op: u64, result: Result<Json, ClientError>) {
        let waiter = self.lock().remove(&op);
        if let Some(waiter) = waiter {
            let _ = waiter.answer.send(Answer::Ended(result));
            return;
        }
        let heard = lock(&self.listening).remove(&op);
        if let Some(heard) = heard {
            heard.end(result.map(drop).map_err(Error::from));
        }
    }
}

impl Heard {
    fn end(self, result: Result<(), Error>) {
        match self {
            Heard::Changes(feed) => feed.end(result),
            Heard::Task(feed) => feed.end(result),
        }
    }
}

/// Calls the program's code. It runs in the task of the connection, which must outlive its panics; the error
/// is the message of the panic.
fn caught(callback: impl FnOnce()) -> Result<(), String> {
    let panic = match std::panic::catch_unwind(AssertUnwindSafe(callback)) {
        Ok(()) => return Ok(()),
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let text = text.to_owned();
    // A payload may be anything, even a value that panics when it is dropped.
    std::mem::forget(panic);
    Err(text)
}

/// The result type of a request, made from the result on the wire.
pub trait FromResult: Sized {
    /// Parses a result of `method`.
    fn from_result(method: &'static Method, result: Json) -> Result<Self, Error>;
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| {
        ClientError::local(kind::PROTOCOL, format!("the server's result does not fit: {error}")).into()
    })
}

/// The result of a tool call.
#[derive(Debug, Clone)]
pub struct CallResult {
    /// Content for the model.
    pub content: Vec<Content>,
    /// Structured content according to the tool's output schema.
    pub structured: Option<Value>,
    /// True if the tool failed; `content` describes the failure.
    pub is_error: bool,
    /// The whole result as the server sent it.
    pub raw: Json,
}

impl CallResult {
    /// Returns the text items, joined with line ends.
    pub fn text(&self) -> String {
        self.content.iter().filter_map(Content::as_text).collect::<Vec<_>>().join("\n")
    }

    /// Returns the structured content as `T`. Fails with kind `protocol` if there is none or it does not fit,
    /// and with kind `internal_error` and the tool's own text if the tool failed.
    pub fn structured<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.is_error {
            let text = self.text();
            return Err(Error::internal(match text.trim() {
                "" => "the tool failed and did not say why",
                _ => &text,
            }));
        }
        let value = self.structured.as_ref().ok_or_else(|| {
            Error::from(ClientError::local(kind::PROTOCOL, "the tool brought no structured content"))
        })?;
        T::deserialize(value).map_err(|error| {
            ClientError::local(kind::PROTOCOL, format!("the structured content does not fit: {error}")).into()
        })
    }
}

impl FromResult for CallResult {
    fn from_result(_: &'static Method, result: Json) -> Result<Self, Error> {
        let parsed: CallToolResult = read(result.as_str())?;
        Ok(CallResult {
            content: parsed.content,
            structured: parsed.structured_content,
            is_error: parsed.is_error.unwrap_or(false),
            raw: result,
        })
    }
}

impl FromResult for Value {
    fn from_result(_: &'static Method, result: Json) -> Result<Self, Error> {
        read(result.as_str())
    }
}

impl FromResult for () {
    fn from_result(_: &'static Method, _: Json) -> Result<Self, Error> {
        Ok(())
    }
}

impl FromResult for ReadResourceResult {
    fn from_result(_: &'static Method, result: Json) -> Result<Self, Error> {
        read(result.as_str())
    }
}

impl FromResult for GetPromptResult {
    fn from_result(_: &'static Method, result: Json) -> Result<Self, Error> {
        read(result.as_str())
    }
}

impl FromResult for CompletionValues {
    fn from_result(_: &'static Method, result: Json) -> Result<Self, Error> {
        let members = json::members(result.as_str()).unwrap_or_default();
        let completion = members.iter().find(|(key, _)| key == "completion");
        read(completion.map_or("null", |(_, value)| value.get()))
    }
}

fn roots_json(roots: &[Root]) -> Json {
    Json::from(serde_json::to_string(roots).expect("roots are always JSON"))
}

fn usage(message: String) -> Error {
    ClientError::local(kind::USAGE, message).into()
}

fn closed() -> Error {
    ClientError::local(kind::CLOSED, "the client is closed").into()
}
