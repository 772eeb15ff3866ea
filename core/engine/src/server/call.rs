//! One call of a handler: its messages while it works, and its cancellation when the caller disconnects.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Poll, Waker};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use trunnion_proto::auth::resource::{Access, Caller};
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::json::{self, Json};
use trunnion_proto::jsonrpc::Id;
use trunnion_proto::methods::Method;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::{Era, Revision};
pub use trunnion_proto::server::catalog::Input;
use trunnion_proto::server::memory::{self, MAX_KEPT, Memory};
use trunnion_proto::server::{LogEntry, Notice, Progress, Question, Request};

use super::asking::{Asked, Reply, SUSPENDED, answers_json};
pub(crate) use super::inbox::{Inbox, Missed};
use super::tasks::Hold;
use crate::error::{Error, local};
use crate::sync::lock;
use crate::telemetry::{Failure, Span};

/// The reason with which the call of a handler that takes too long is cancelled.
const TIME_LIMIT: &str = "time limit";

/// The start of a handler.
pub enum Start {
    /// A result that is complete already.
    Done(Outcome),
    /// A future that the engine runs to its end. The engine drops it to cancel the call.
    Future(BoxFuture<'static, Outcome>),
    /// The handler answers by [`Call::complete`], at any time, from any thread.
    Later,
}

/// A handler for the calls of one tool, resource, prompt or completion.
pub trait Handler: Send + Sync + 'static {
    /// Begins the call, without blocking.
    fn start(&self, call: Call, input: Input) -> Start;
}

/// An observer of the cancellation of a [`Start::Later`] call.
pub trait Observer: Send + Sync {
    /// Called once if the call is cancelled. `id`: as given to [`Call::observe`].
    fn cancelled(&self, id: u64, reason: Option<&str>);
}

/// A handle to one call. Cheap to clone; dropping the last one unanswered fails the call.
#[derive(Clone)]
pub struct Call(Arc<Inner>);

struct Inner {
    inbox: Arc<Inbox>,
    key: u64,
    id: Id,
    revision: Revision,
    transport: &'static str,
    progress_token: Option<Id>,
    meta: Json,
    client_info: Json,
    client_capabilities: Json,
    access: Access,
    about: About,
    memory: Mutex<Memory>,
    /// The number of questions so far without a key of their own.
    unnamed: AtomicU32,
    /// The answers to the questions that were sent before the handler ran: `{key: answer}`.
    answers: OnceLock<String>,
    /// The task, if the call is a run of one.
    task: Option<TaskRun>,
    /// True if the stream of the answer may be closed while the call continues.
    resumable: AtomicBool,
    over: AtomicBool,
    cancel: Mutex<Cancel>,
    /// The span of the request, if telemetry is on.
    span: Option<Mutex<Option<Span>>>,
}

/// The subject of a call: the state that it leaves with the client is bound to it.
struct About {
    method: &'static Method,
    name: String,
    arguments: Json,
}

/// The facts about the task that a call is a run of.
pub struct TaskRun {
    /// The id of the task.
    pub id: String,
    /// The number of the run. The first is 1.
    pub run: u64,
    /// True if another process can run it again.
    pub resumable: bool,
    /// Held by any work that may continue after the run has ended.
    pub hold: Weak<Hold>,
}

#[derive(Default)]
struct Cancel {
    reason: Option<String>,
    happened: bool,
    observer: Option<(Arc<dyn Observer>, u64)>,
    wakers: Vec<Waker>,
    /// Wakers that the answer wakes too.
    settled: Vec<Waker>,
}

impl Call {
    pub(crate) fn new(
        inbox: Arc<Inbox>,
        key: u64,
        transport: &'static str,
        request: Request,
        memory: Memory,
        span: Option<Span>,
    ) -> Call {
        Call::make(inbox, key, transport, request, memory, span, None)
    }

    /// Makes the call of one run of a task. Its messages go to the reader of its inbox.
    pub(crate) fn in_task(
        inbox: Arc<Inbox>,
        transport: &'static str,
        request: Request,
        memory: Memory,
        span: Option<Span>,
        task: TaskRun,
    ) -> Call {
        Call::make(inbox, 0, transport, request, memory, span, Some(task))
    }

    fn make(
        inbox: Arc<Inbox>,
        key: u64,
        transport: &'static str,
        request: Request,
        memory: Memory,
        span: Option<Span>,
        task: Option<TaskRun>,
    ) -> Call {
        Call(Arc::new(Inner {
            task,
            about: About { method: request.method, name: request.name, arguments: request.arguments },
            memory: Mutex::new(memory),
            unnamed: AtomicU32::new(0),
            answers: OnceLock::new(),
            resumable: AtomicBool::new(false),
            inbox,
            key,
            id: request.id,
            revision: request.revision,
            transport,
            progress_token: request.progress_token,
            meta: request.meta,
            client_info: request.client_info,
            client_capabilities: request.client_capabilities,
            access: request.access,
            over: AtomicBool::new(false),
            cancel: Mutex::default(),
            span: span.map(|span| Mutex::new(Some(span))),
        }))
    }

    /// Answers the call. False: it was answered or cancelled before.
    pub fn complete(&self, outcome: Outcome) -> bool {
        if self.0.over.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.0.end_span(|span| Failure::of_outcome(span.method(), &outcome));
        for waker in std::mem::take(&mut lock(&self.0.cancel).settled) {
            waker.wake();
        }
        self.0.inbox.push(self.0.key, Say::Done(outcome))
    }

    /// Marks the call as answered without the inbox: a later answer or cancellation has no effect.
    pub(crate) fn settle(&self, outcome: &Outcome) {
        self.0.over.store(true, Ordering::Release);
        self.0.end_span(|span| Failure::of_outcome(span.method(), outcome));
    }

    /// Reports progress. False: the caller did not request it, the call is over, or too much waits for a
    /// caller that does not read.
    pub fn progress(&self, step: Progress) -> bool {
        (self.0.progress_token.is_some() || self.0.task.is_some())
            && !self.is_over()
            && self.0.inbox.push(self.0.key, Say::Progress(step))
    }

    /// Sends a log message. False: the call is over, or too much waits for a caller that does not read.
    /// Messages below the requested level are dropped.
    pub fn log(&self, entry: LogEntry) -> bool {
        !self.is_over() && self.0.inbox.push(self.0.key, Say::Log(entry))
    }

    /// Returns true if the call was answered or cancelled.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Returns true if the caller has cancelled or disconnected.
    pub fn is_cancelled(&self) -> bool {
        lock(&self.0.cancel).happened
    }

    /// Completes when the caller has cancelled or disconnected; never, if the call is answered first.
    pub async fn cancelled(&self) {
        poll_fn(|cx| {
            let mut cancel = lock(&self.0.cancel);
            if cancel.happened {
                return Poll::Ready(());
            }
            if !cancel.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                cancel.wakers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Completes when the call is answered or cancelled.
    pub(crate) async fn settled(&self) {
        poll_fn(|cx| {
            let mut cancel = lock(&self.0.cancel);
            if self.is_over() {
                return Poll::Ready(());
            }
            cancel.settled.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Sends questions to the client; `reply` receives the answers as `{key: answer}`. In the modern era, a
    /// question without an answer ends this run of the handler as if the caller had cancelled: the client
    /// sends its request again, with the answers.
    pub fn ask_with(&self, questions: Vec<Question>, reply: Reply) {
        let inner = &*self.0;
        let asked = Asked::new(questions, reply);
        if !inner.about.method.asks {
            return asked.reply(Err(Error::usage("only tools, prompts and resources can ask")));
        }
        let refused =
            asked.questions.iter().find_map(|q| q.allowed(inner.revision, &inner.client_capabilities).err());
        if let Some(error) = refused {
            return asked.reply(Err(error.into()));
        }
        if inner.revision.era() == Era::Modern && inner.task.is_none() {
            match self.answered(&asked.questions) {
                Ok(Some(answers)) => return asked.reply(Ok(answers)),
                Ok(None) => {}
                Err(error) => return asked.reply(Err(error)),
            }
        }
        // Dropped if nothing reads the inbox any longer, which cancels it.
        if !self.is_over() {
            inner.inbox.push(inner.key, Say::Ask(asked));
        }
    }

    /// The asynchronous form of [`Call::ask_with`].
    pub async fn ask(&self, questions: Vec<Question>) -> Result<String, Error> {
        let (sender, receiver) = oneshot::channel();
        self.ask_with(questions, Box::new(move |result| drop(sender.send(result))));
        receiver.await.unwrap_or_else(|_| Err(Error::local(local::CANCELLED, "the call is over")))
    }

    /// Returns the answers that this request brought, if it brought all of them.
    fn answered(&self, questions: &[Question]) -> Result<Option<String>, Error> {
        let mut memory = lock(&self.0.memory);
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            let Some(answer) = memory.answer(question).cloned() else { return Ok(None) };
            question.check(answer.as_str()).map_err(|why| {
                Error::invalid_params(format!("params.inputResponses.{}: {why}", question.key))
            })?;
            answers.push(answer);
        }
        for question in questions {
            memory.used(question);
        }
        let keys = questions.iter().map(|question| question.key.as_str());
        Ok(Some(answers_json(keys.zip(answers.iter().map(Json::as_str)))))
    }

    /// Returns the key of the next question that has none of its own.
    pub fn next_key(&self) -> String {
        format!("q{}", self.0.unnamed.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn set_answers(&self, answers: String) {
        let _ = self.0.answers.set(answers);
    }

    /// Returns the answers to the questions that were sent before the handler ran, as `{key: answer}`.
    pub fn answers(&self) -> Option<&str> {
        self.0.answers.get().map(String::as_str)
    }

    /// Stores a value under a key, for this run and those that follow it. Fails with kind `limit` when too
    /// much is stored.
    pub fn remember(&self, key: &str, value: &str) -> Result<bool, Error> {
        if self.is_over() {
            return Ok(false);
        }
        if lock(&self.0.memory).keep(key, value) {
            return Ok(true);
        }
        Err(Error::local(local::LIMIT, format!("a call can store {MAX_KEPT} bytes")))
    }

    /// Stores as [`Call::remember`] does, then calls `reply`: in a task, once the value is stored where it
    /// outlives the process.
    pub fn store_with(&self, what: Stored, value: String, reply: StoreReply) {
        let kept = match &what {
            Stored::Value(key) => self.remember(key, &value),
            Stored::Checkpoint => self.mark(&value),
        };
        match kept {
            Err(error) => reply(Err(error)),
            Ok(false) => reply(Err(Error::local(local::CANCELLED, "the call is over"))),
            Ok(true) if self.0.task.is_none() => reply(Ok(())),
            Ok(true) => {
                // Dropped if nothing reads the inbox any longer, which reports the cancellation.
                self.0.inbox.push(self.0.key, Say::Store(ToStore { what, value, reply: Some(reply) }));
            }
        }
    }

    /// Stores as [`Call::store_with`] does, without a report of the completion.
    pub fn store_soon(&self, key: &str, value: &str) -> Result<bool, Error> {
        let stored = self.remember(key, value)?;
        if stored {
            let what = Stored::Value(key.to_owned());
            let reply: StoreReply = Box::new(|result| {
                if let Err(error) = result {
                    tracing::warn!(%error, "what a handler has stored does not outlive the process");
                }
            });
            self.0
                .inbox
                .push(self.0.key, Say::Store(ToStore { what, value: value.to_owned(), reply: Some(reply) }));
        }
        Ok(stored)
    }

    /// The asynchronous form of [`Call::store_with`].
    pub async fn store(&self, what: Stored, value: String) -> Result<(), Error> {
        let (sender, receiver) = oneshot::channel();
        self.store_with(what, value, Box::new(move |result| drop(sender.send(result))));
        receiver.await.unwrap_or_else(|_| Err(Error::local(local::CANCELLED, "the call is over")))
    }

    fn mark(&self, value: &str) -> Result<bool, Error> {
        if self.is_over() {
            return Ok(false);
        }
        if lock(&self.0.memory).mark(value) {
            return Ok(true);
        }
        Err(Error::local(local::LIMIT, format!("a call can store {MAX_KEPT} bytes")))
    }

    /// Returns the last checkpoint, as JSON text.
    pub fn checkpoint(&self) -> Option<Json> {
        lock(&self.0.memory).checkpoint().cloned()
    }

    /// Returns the task that the call is a run of.
    pub fn task(&self) -> Option<&TaskRun> {
        self.0.task.as_ref()
    }

    /// Returns the value that is stored under a key, as JSON text.
    pub fn recall(&self, key: &str) -> Option<Json> {
        lock(&self.0.memory).kept(key).cloned()
    }

    pub(crate) fn with_memory<T>(&self, read: impl FnOnce(&Memory) -> T) -> T {
        read(&lock(&self.0.memory))
    }

    /// Returns the bytes to which the state that the call leaves with the client is bound.
    pub(crate) fn binding(&self) -> Vec<u8> {
        let About { method, name, arguments } = &self.0.about;
        memory::binding(method, name, arguments, self.principal().map_or("", |principal| principal))
    }

    pub(crate) fn set_resumable(&self) {
        self.0.resumable.store(true, Ordering::Release);
    }

    /// Closes the stream that the answer would be sent on; the client reconnects for it (2025-11-25,
    /// Streamable HTTP, "Sending Messages to the Server"). False: this call has no stream that can be closed.
    pub fn close_stream(&self) -> bool {
        self.0.resumable.load(Ordering::Acquire)
            && !self.is_over()
            && self.0.inbox.push(self.0.key, Say::CloseStream)
    }

    /// Returns the principal of the caller, if it is known: the state of the call is for no other principal.
    pub fn principal(&self) -> Option<&Arc<str>> {
        self.0.access.principal()
    }

    /// Returns the verified claims of the caller.
    pub fn caller(&self) -> Option<&Arc<Caller>> {
        self.0.access.caller()
    }

    /// Returns the reason of the cancellation, if the caller gave one.
    pub fn cancel_reason(&self) -> Option<String> {
        lock(&self.0.cancel).reason.clone()
    }

    /// Returns the name or URI that the call is about.
    pub(crate) fn name(&self) -> &str {
        &self.0.about.name
    }

    /// Returns the revision in which the request is written.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// Returns `stdio`, `http` or `memory`.
    pub fn transport(&self) -> &'static str {
        self.0.transport
    }

    /// Returns the id of the request as JSON text.
    pub fn request_id(&self) -> &str {
        self.0.id.as_json()
    }

    /// Returns the client's information as JSON text; empty if unknown.
    pub fn client_info(&self) -> &str {
        self.0.client_info.as_str()
    }

    /// Returns the client's capabilities as JSON text; empty if unknown.
    pub fn client_capabilities(&self) -> &str {
        self.0.client_capabilities.as_str()
    }

    /// Returns the request's `_meta` as JSON text; empty if absent.
    pub fn meta(&self) -> &str {
        self.0.meta.as_str()
    }

    /// Returns the context of the request, as JSON text: `{requestId, era, revision, transport,
    /// progressToken?, clientInfo?, clientCapabilities, meta?, answers?, memory?, checkpoint?, task?:
    /// {taskId, run}, claims?, principal?}`.
    pub fn describe(&self) -> String {
        let inner = &*self.0;
        let mut out = format!(
            "{{\"requestId\":{},\"era\":\"{}\",\"revision\":\"{}\",\"transport\":\"{}\"",
            inner.id.as_json(),
            inner.revision.era().as_str(),
            inner.revision,
            inner.transport,
        );
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                out.push_str(&format!(",{}:{value}", json::string(key)));
            }
        };
        add("progressToken", inner.progress_token.as_ref().map_or("", Id::as_json));
        add("clientInfo", inner.client_info.as_str());
        let capabilities = inner.client_capabilities.as_str();
        add("clientCapabilities", if capabilities.is_empty() { "{}" } else { capabilities });
        add("meta", inner.meta.as_str());
        add("answers", self.answers().unwrap_or_default());
        let memory = self.with_memory(Memory::kept_json).unwrap_or_default();
        add("memory", &memory);
        let checkpoint = self.checkpoint();
        add("checkpoint", checkpoint.as_ref().map_or("", Json::as_str));
        if let Some(task) = self.task() {
            add("task", &format!("{{\"taskId\":{},\"run\":{}}}", json::string(&task.id), task.run));
        }
        if let Some(caller) = self.caller() {
            let claims = serde_json::to_string(caller.claims()).unwrap_or_default();
            add("claims", &claims);
            add("principal", &json::string(caller.principal()));
        }
        out.push('}');
        out
    }

    /// Cancels the call and notifies the handler. Nothing is sent afterwards.
    pub(crate) fn cancel(&self, reason: Option<String>) {
        if self.0.over.swap(true, Ordering::AcqRel) {
            return;
        }
        self.0.end_span(|_| match reason.as_deref() {
            // The call continues in another run.
            Some(SUSPENDED) => None,
            Some(TIME_LIMIT) => Some(Failure::named("timeout")),
            _ => Some(Failure::named("cancelled")),
        });
        let (observer, wakers) = {
            let mut cancel = lock(&self.0.cancel);
            cancel.happened = true;
            cancel.reason.clone_from(&reason);
            let mut wakers = std::mem::take(&mut cancel.wakers);
            wakers.append(&mut cancel.settled);
            (cancel.observer.take(), wakers)
        };
        for waker in wakers {
            waker.wake();
        }
        if let Some((observer, id)) = observer {
            observer.cancelled(id, reason.as_deref());
        }
    }

    /// Registers the observer of a later cancellation. `id` is passed to it.
    pub fn observe(&self, observer: Arc<dyn Observer>, id: u64) {
        lock(&self.0.cancel).observer = Some((observer, id));
    }
}

impl Inner {
    fn end_span(&self, failure: impl FnOnce(&Span) -> Option<Failure>) {
        let Some(span) = &self.span else { return };
        if let Some(span) = lock(span).take() {
            let failure = failure(&span);
            span.end(failure);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !*self.over.get_mut() {
            self.end_span(|_| Some(Failure::code(ErrorKind::InternalError.code())));
            let error = RpcError::new(ErrorKind::InternalError, "the handler ended without an answer");
            self.inbox.push(self.key, Say::Done(Outcome::Error(error)));
        }
    }
}

/// A message of a call to its connection.
#[derive(Debug)]
pub(crate) enum Say {
    Progress(Progress),
    Log(LogEntry),
    Ask(Asked),
    CloseStream,
    /// Only from a run of a task.
    Store(ToStore),
    Done(Outcome),
    /// Not from a call: a change that the connection may have to report.
    Notice(Notice),
    /// Not from a call: changes that were dropped, because too much waited to be sent.
    Missed(Missed),
}

/// The kinds of values that a handler stores.
#[derive(Debug)]
pub enum Stored {
    /// A value under a key.
    Value(String),
    /// The checkpoint of the handler.
    Checkpoint,
}

/// A callback that is called when a value is stored, or with the reason why it is not.
pub(crate) type StoreReply = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// A value that is about to be stored. Dropped before that, it ends as cancelled.
pub(crate) struct ToStore {
    pub what: Stored,
    pub value: String,
    reply: Option<StoreReply>,
}

impl ToStore {
    pub fn reply(mut self, result: Result<(), Error>) {
        if let Some(reply) = self.reply.take() {
            reply(result);
        }
    }
}

impl Drop for ToStore {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply(Err(Error::local(local::CANCELLED, "the call is over")));
        }
    }
}

impl std::fmt::Debug for ToStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ToStore").field(&self.what).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use bytes::Bytes;
    use trunnion_proto::server::{Output, ServerConn, Settings};

    use super::*;

    fn request() -> Request {
        let frame = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":1,
            "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
        let mut conn = ServerConn::new(Settings::default());
        conn.recv(Bytes::from_static(frame));
        match conn.poll() {
            Some(Output::Request(_, request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_nobody_reads_does_not_pile_up() {
        let inbox = Arc::new(Inbox::default());
        let call = Call::new(inbox.clone(), 0, "http", request(), Memory::default(), None);
        let message = "x".repeat(10_000);
        let step = |progress| Progress { progress, total: None, message: Some(message.clone()) };
        let taken = (0..1000).filter(|&n| call.progress(step(f64::from(n)))).count();
        assert!((2..200).contains(&taken), "{taken}");
        let cx = Context::from_waker(Waker::noop());
        assert!(matches!(inbox.poll_next(&cx), Poll::Ready((0, Say::Progress(_)))));
        assert!(call.progress(step(1000.0)), "there is room again");
        assert!(call.complete(Outcome::Text("done".into())), "an answer is never dropped");
        let mut last = None;
        while let Poll::Ready((_, said)) = inbox.poll_next(&cx) {
            last = Some(said);
        }
        assert!(matches!(last, Some(Say::Done(_))), "{last:?}");
    }
}
