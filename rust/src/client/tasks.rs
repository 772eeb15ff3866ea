//! The Rust API of tasks: calls that a server answers later.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::Stream;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use trunnion_engine::error::Error;
use trunnion_engine::sync::lock;
use trunnion_proto::client::{ClientError, kind};
use trunnion_proto::json::{self, Json};
use trunnion_proto::methods::Method;

use super::pages::Page;
use super::{CallResult, Client, FromResult, Request, read};

/// Maximum number of states in the queue of a program that does not read them; older ones are dropped.
const MAX_WAITING: usize = 64;

/// The status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// The server works on it.
    Working,
    /// It waits for answers to its input requests.
    InputRequired,
    /// There is a result; the tool itself may have failed.
    Completed,
    /// There is an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl TaskStatus {
    /// Returns true if the status is final.
    pub fn is_final(self) -> bool {
        !matches!(self, TaskStatus::Working | TaskStatus::InputRequired)
    }
}

/// A task at one moment, the same in every era (extension "Tasks").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskState {
    /// Its id, which identifies the task for [`Client::task`], also in another process.
    pub task_id: String,
    /// Its status.
    pub status: TaskStatus,
    /// The server's description of the status, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated_at: Option<String>,
    /// The lifetime from its creation until the server deletes it, in milliseconds. `None`: unlimited.
    #[serde(default, deserialize_with = "millis")]
    pub ttl_ms: Option<u64>,
    /// The poll interval that the server requests, in milliseconds.
    #[serde(default, deserialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub poll_interval_ms: Option<u64>,
    /// The pending input requests, by the keys of [`Task::answer`]: `{method, params}`. Empty on legacy
    /// sessions, where the input requests of a task arrive as requests of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_requests: BTreeMap<String, Value>,
    /// Other members of the object.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, Value>,
}

/// Parses milliseconds; servers may write any number.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_f64().map(|ms| ms as u64))
}

impl FromResult for TaskState {
    fn from_result(_: &'static Method, result: Json) -> Result<Self, Error> {
        read(result.as_str())
    }
}

impl Client {
    /// Returns the task with a saved id ([`Task::id`]). Sends nothing.
    pub fn task(&self, id: impl Into<String>) -> Task {
        Task { client: self.clone(), made: Made::Task { id: id.into(), seed: None } }
    }

    /// Lists one page of the caller's tasks. Legacy sessions only: the modern era has no such request, so
    /// there it fails with kind `method_not_found`.
    pub fn list_tasks(&self) -> Request<Page<TaskState>> {
        self.request("list_tasks")
    }
}

impl Request<CallResult> {
    /// Sends the call and returns a handle of the task that the server makes of it, without waiting for the
    /// result. If the server answers at once, the handle is complete already. The request asks a legacy
    /// server for a task if its tool allows that. The call's progress and time limits end with the answer.
    pub async fn task(mut self) -> Result<Task, Error> {
        self.options.task = true;
        let client = self.client.clone();
        let made = self.returning::<Made>().await?;
        Ok(Task { client, made })
    }

    /// Sets the lifetime that the request to a legacy server proposes for the task. Modern servers decide it
    /// themselves.
    pub fn task_ttl(mut self, ttl: Duration) -> Self {
        self.options.task_ttl = Some(ttl);
        self
    }
}

impl<R> Request<R> {
    fn returning<T>(self) -> Request<T> {
        Request {
            client: self.client,
            method: self.method,
            params: self.params,
            options: self.options,
            on_progress: self.on_progress,
            result: PhantomData,
        }
    }
}

/// A call that the server answers later. Dropping it changes nothing at the server.
#[derive(Debug, Clone)]
pub struct Task {
    client: Client,
    made: Made,
}

/// The answer to a call: a task or a result.
#[derive(Debug, Clone)]
enum Made {
    Task { id: String, seed: Option<TaskState> },
    Result(CallResult),
}

impl FromResult for Made {
    fn from_result(method: &'static Method, result: Json) -> Result<Self, Error> {
        for (key, value) in json::members(result.as_str()).unwrap_or_default() {
            match key.as_str() {
                "task" => {
                    let state: TaskState = read(value.get())?;
                    return Ok(Made::Task { id: state.task_id.clone(), seed: Some(state) });
                }
                "result" => {
                    let result = Json::from(value.get().to_owned());
                    return CallResult::from_result(method, result).map(Made::Result);
                }
                _ => {}
            }
        }
        Err(ClientError::local(kind::PROTOCOL, "the call brought neither a task nor a result").into())
    }
}

impl Task {
    /// Returns the id for [`Client::task`]. `None`: the server answered at once, so there is no task to
    /// resume.
    pub fn id(&self) -> Option<&str> {
        match &self.made {
            Made::Task { id, .. } => Some(id),
            Made::Result(_) => None,
        }
    }

    /// Returns the state in which the server created the task; `None` for a resumed task, and for a call that
    /// the server answered at once.
    pub fn created(&self) -> Option<&TaskState> {
        match &self.made {
            Made::Task { seed, .. } => seed.as_ref(),
            Made::Result(_) => None,
        }
    }

    /// Polls the current state. A call that the server answered at once is a completed task with an empty id.
    /// An id that is unknown to the server or has expired fails with kind `invalid_params`.
    pub async fn status(&self) -> Result<TaskState, Error> {
        match &self.made {
            Made::Task { id, .. } => self.client.request::<TaskState>("get_task").set("taskId", id).await,
            Made::Result(result) => Ok(completed(result)),
        }
    }

    /// Returns its states from now on, including the last. Its input requests are in
    /// [`TaskState::input_requests`] and are not sent to the client's handlers: the program calls
    /// [`Task::answer`]. Dropping this stops watching.
    pub fn updates(&self) -> TaskUpdates {
        let feed = Arc::new(TaskFeed::default());
        let op = match &self.made {
            Made::Task { id, .. } => Some(self.client.follow(id, &feed)),
            Made::Result(result) => {
                feed.take(completed(result));
                feed.end(Ok(()));
                None
            }
        };
        TaskUpdates { client: self.client.clone(), op, feed }
    }

    /// Answers one input request: the result of the request under that key, such as an
    /// [`ElicitAnswer`](trunnion_proto::model::ElicitAnswer). Servers ignore keys that do not wait for an
    /// answer.
    pub async fn answer(&self, key: &str, answer: impl Serialize) -> Result<(), Error> {
        let Some(id) = self.id() else { return Ok(()) };
        let responses = BTreeMap::from([(key, answer)]);
        self.client.request::<()>("update_task").set("taskId", &id).set("inputResponses", &responses).await
    }

    /// Cancels the task. The server decides whether and when it ends.
    pub async fn cancel(&self) -> Result<(), Error> {
        let Some(id) = self.id() else { return Ok(()) };
        self.client.request::<()>("cancel_task").set("taskId", &id).await
    }

    /// Waits for its result without a time limit; its input requests are sent to the client's handlers
    /// meanwhile. It fails as the call itself would have failed, and with kind `cancelled` if the task was
    /// cancelled. Dropping the future does not cancel the task.
    pub async fn result(&self) -> Result<CallResult, Error> {
        match &self.made {
            Made::Task { id, .. } => self.client.request::<CallResult>("task_result").set("taskId", id).await,
            Made::Result(result) => Ok(result.clone()),
        }
    }
}

fn completed(result: &CallResult) -> TaskState {
    let mut extra = serde_json::Map::new();
    extra.insert("result".into(), serde_json::from_str(result.raw.as_str()).unwrap_or_default());
    TaskState {
        task_id: String::new(),
        status: TaskStatus::Completed,
        status_message: None,
        created_at: None,
        last_updated_at: None,
        ttl_ms: None,
        poll_interval_ms: None,
        input_requests: BTreeMap::new(),
        extra,
    }
}

/// The states of a task as they arrive: a [`Stream`], or [`TaskUpdates::next`]. It ends after the last state,
/// or with the error that prevented watching. States that are not read in time are dropped, except the
/// newest.
#[derive(Debug)]
pub struct TaskUpdates {
    client: Client,
    op: Option<u64>,
    feed: Arc<TaskFeed>,
}

impl TaskUpdates {
    /// Returns the next state; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<TaskState, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for TaskUpdates {
    type Item = Result<TaskState, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = lock(&self.feed.0);
        if let Some(state) = inner.waiting.pop_front() {
            return Poll::Ready(Some(Ok(state)));
        }
        match &mut inner.ended {
            None => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
            Some(ended) => Poll::Ready(std::mem::replace(ended, Ok(())).err().map(Err)),
        }
    }
}

impl Drop for TaskUpdates {
    fn drop(&mut self) {
        if let Some(op) = self.op {
            self.client.stop_listening(op);
        }
    }
}

/// The state that the client's task and a [`TaskUpdates`] share.
#[derive(Debug, Default)]
pub(super) struct TaskFeed(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<TaskState>,
    /// True after the last state was delivered.
    over: bool,
    ended: Option<Result<(), Error>>,
    waker: Option<Waker>,
}

impl TaskFeed {
    pub fn told(&self, params: &Json) {
        if let Ok(state) = read(params.as_str()) {
            self.take(state);
        }
    }

    fn take(&self, state: TaskState) {
        let mut inner = lock(&self.0);
        if inner.waiting.len() >= MAX_WAITING {
            inner.waiting.pop_front();
        }
        inner.over |= state.status.is_final();
        inner.waiting.push_back(state);
        inner.wake();
    }

    pub fn end(&self, result: Result<(), Error>) {
        let mut inner = lock(&self.0);
        // The last state shows the end of the task.
        let result = if inner.over { Ok(()) } else { result };
        inner.ended.get_or_insert(result);
        inner.wake();
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
