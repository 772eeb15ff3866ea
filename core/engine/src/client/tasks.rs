//! Tasks as Rust programs use them: calls that a server answers later.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::Stream;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use trunnion_proto::client::{ClientError, kind};
use trunnion_proto::json::{self, Json};
use trunnion_proto::methods::Method;

use super::api::{CallResult, Client, FromResult, Request, read};
use super::pages::Page;
use crate::{Error, lock};

/// States that wait for a program that does not read them; older ones are left out.
const MAX_WAITING: usize = 64;

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// The server works on it.
    Working,
    /// It waits for answers.
    InputRequired,
    /// There is a result; the tool itself may have failed.
    Completed,
    /// There is an error.
    Failed,
    /// It was given up.
    Cancelled,
}

impl TaskStatus {
    /// It will not change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, TaskStatus::Working | TaskStatus::InputRequired)
    }
}

/// A task at one moment, the same in every era (extension `io.modelcontextprotocol/tasks`, "Tasks").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskState {
    /// Its id; with it the task can be picked up by [`Client::task`], also in another process.
    pub task_id: String,
    /// Where it is.
    pub status: TaskStatus,
    /// What the server says of that, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated_at: Option<String>,
    /// How long the server keeps it, from its creation, in milliseconds. `None`: for ever.
    #[serde(default, deserialize_with = "millis")]
    pub ttl_ms: Option<u64>,
    /// How often the server wants to be asked for it, in milliseconds.
    #[serde(default, deserialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub poll_interval_ms: Option<u64>,
    /// What it waits for, by the keys of [`Task::answer`]: `{method, params}`. Empty on legacy sessions, where what a task
    /// asks comes as requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_requests: BTreeMap<String, Value>,
    /// What else it says.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, Value>,
}

/// Servers may write any number.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_f64().map(|ms| ms as u64))
}

impl FromResult for TaskState {
    fn from_result(_: &'static Method, result: Json) -> Result<Self, Error> {
        read(result.as_str())
    }
}

impl Client {
    /// A task by the id that was saved of it ([`Task::id`]). Nothing is sent.
    pub fn task(&self, id: impl Into<String>) -> Task {
        Task { client: self.clone(), made: Made::Task { id: id.into(), seed: None } }
    }

    /// One page of the caller's tasks; legacy sessions only, since the modern era has no such request: there it fails with
    /// kind `method_not_found`.
    pub fn list_tasks(&self) -> Request<Page<TaskState>> {
        self.request("list_tasks")
    }
}

impl Request<CallResult> {
    /// Make the call, and do not wait for its result: get a handle of the task that the server makes of it. Where the
    /// server answers at once, the handle is complete already. A legacy server is asked for a task where its tool allows
    /// that. The call's progress and time limits end with the answer.
    pub async fn task(mut self) -> Result<Task, Error> {
        self.options.task = true;
        let client = self.client.clone();
        let made = self.returning::<Made>().await?;
        Ok(Task { client, made })
    }

    /// How long a legacy server is asked to keep the task. Modern servers decide that themselves.
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

/// What a call became.
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
    /// To pick it up later, by [`Client::task`]. `None`: the server answered at once, there is nothing to pick up.
    pub fn id(&self) -> Option<&str> {
        match &self.made {
            Made::Task { id, .. } => Some(id),
            Made::Result(_) => None,
        }
    }

    /// As the server made it; `None` for one that was picked up, or answered at once.
    pub fn created(&self) -> Option<&TaskState> {
        match &self.made {
            Made::Task { seed, .. } => seed.as_ref(),
            Made::Result(_) => None,
        }
    }

    /// Where it is now. A call that was answered at once is a completed task with an empty id. An id that the server does
    /// not know, or knows no longer, fails with kind `invalid_params`.
    pub async fn status(&self) -> Result<TaskState, Error> {
        match &self.made {
            Made::Task { id, .. } => self.client.request::<TaskState>("get_task").set("taskId", id).await,
            Made::Result(result) => Ok(completed(result)),
        }
    }

    /// Its states from now on, up to and with the last. What it asks is in [`TaskState::input_requests`], and not put to
    /// the client's handlers: [`Task::answer`] it. Dropping this ends watching.
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

    /// Answer one thing that it asks: the result of the request under that key, such as an
    /// [`ElicitAnswer`](trunnion_proto::model::ElicitAnswer). Keys that do not wait for an answer are ignored by servers.
    pub async fn answer(&self, key: &str, answer: impl Serialize) -> Result<(), Error> {
        let Some(id) = self.id() else { return Ok(()) };
        let responses = BTreeMap::from([(key, answer)]);
        self.client.request::<()>("update_task").set("taskId", &id).set("inputResponses", &responses).await
    }

    /// Say that it is not wanted any more. The server decides whether and when it ends.
    pub async fn cancel(&self) -> Result<(), Error> {
        let Some(id) = self.id() else { return Ok(()) };
        self.client.request::<()>("cancel_task").set("taskId", &id).await
    }

    /// Wait for its result, as long as it takes; what it asks meanwhile is put to the client's handlers. It fails as the
    /// call itself would have failed; with kind `cancelled` if it was cancelled. Dropping the future does not cancel the
    /// task.
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

/// The states of a task, as they come: a [`Stream`], or [`TaskUpdates::next`]. It ends after the last state, or with the
/// error that kept it from being seen. What is not read in time is left out, but for the newest.
#[derive(Debug)]
pub struct TaskUpdates {
    client: Client,
    op: Option<u64>,
    feed: Arc<TaskFeed>,
}

impl TaskUpdates {
    /// The next state; `None` after the last.
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

/// What the client's task and a [`TaskUpdates`] share.
#[derive(Debug, Default)]
pub(super) struct TaskFeed(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<TaskState>,
    /// The last state was told.
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
        // How a task has ended is in its last state.
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
