//! A server whose tools run as tasks, and a client that supports tasks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use trunnion::Error;
use trunnion::server::{Ask, Context, Elicited, Server, ServerBuilder, State, TaskSupport, Tool, ToolError};
use trunnion::store::{
    DuePage, MemoryStore, StoreError, StoreFuture, StoredTask, TaskStore, TaskSummary, TaskTimes,
};

use crate::common::{Peer, Stream, hello};

/// Lets handlers wait for the test, and the test for handlers.
#[derive(Default, Clone)]
pub struct Gate {
    pub go: Arc<Notify>,
    pub began: Arc<Notify>,
    pub left: Arc<Notify>,
    pub count: Arc<AtomicU32>,
    pub inside: Arc<AtomicU32>,
    pub opened: Arc<AtomicBool>,
}

impl Gate {
    pub fn open(&self) {
        self.opened.store(true, Ordering::SeqCst);
    }

    fn begin(&self) -> Told {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.began.notify_one();
        Told(self.clone())
    }
}

/// Notifies the gate when its handler has ended.
struct Told(Gate);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Name {
    name: String,
}

async fn steps(context: Context, gate: State<Gate>) -> &'static str {
    context.progress(1.0, Some(2.0), Some("on the way"));
    gate.go.notified().await;
    "done"
}

async fn two(context: Context) -> Result<String, Error> {
    let asks = [("a", Ask::form::<Name>("Who?")), ("b", Ask::form::<Name>("And who?"))];
    let answers = context.ask(asks).await?;
    let name =
        |key| answers.form::<Name>(key).map(|name| name.accepted().map_or("nobody".into(), |name| name.name));
    Ok(format!("{} and {}", name("a")?, name("b")?))
}

async fn later(gate: State<Gate>) -> &'static str {
    let _told = gate.begin();
    gate.go.notified().await;
    "later"
}

/// Elicits, and then works until the gate opens; returns whether another call of its kind ran meanwhile.
async fn alone(context: Context, gate: State<Gate>) -> Result<&'static str, Error> {
    context.elicit::<Name>("Who?").await?;
    let _told = gate.begin();
    let others = gate.inside.fetch_add(1, Ordering::SeqCst);
    gate.go.notified().await;
    let left = gate.inside.fetch_sub(1, Ordering::SeqCst);
    Ok(if (others, left) == (0, 1) { "alone" } else { "with another" })
}

/// A loop on a thread that never checks for cancellation.
fn stubborn(gate: State<Gate>) -> &'static str {
    let _told = gate.begin();
    while !gate.opened.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    "stubborn"
}

async fn fails() -> Result<String, ToolError> {
    Err(ToolError::new("no"))
}

async fn breaks() -> Result<String, Error> {
    Err(Error::internal("broken"))
}

async fn large() -> String {
    "x".repeat(100_000)
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

async fn asks(context: Context) -> Result<String, Error> {
    let who = context.answers().form::<Name>("who")?.accepted();
    Ok(format!("Hello, {}", who.map_or("nobody".into(), |who| who.name)))
}

/// Stores a value, and returns the outcome.
async fn keeps(context: Context, gate: State<Gate>) -> &'static str {
    let _told = gate.begin();
    gate.go.notified().await;
    let kept = context.checkpoint(&1).await;
    gate.began.notify_one();
    gate.go.notified().await;
    kept.map_or_else(|error| error.kind, |()| "kept")
}

/// Waits for the gate in its first run, and stores something in each.
pub async fn again(context: Context, gate: State<Gate>) -> Result<String, Error> {
    let _told = gate.begin();
    if context.run() == 1 {
        gate.go.notified().await;
    }
    context.checkpoint(&1).await?;
    Ok(format!("stored in run {}", context.run()))
}

/// Does something once, reports progress, elicits, and waits for the gate; returns the state that the run
/// found.
async fn careful(context: Context, gate: State<Gate>) -> Result<String, Error> {
    let found: Option<String> = context.last_checkpoint()?;
    let number: u32 = context
        .once("charge", || async { Ok::<_, Error>(gate.count.fetch_add(1, Ordering::SeqCst) + 1) })
        .await?;
    let who = context.elicit::<Name>("Who?").await?;
    let Elicited::Accepted(Name { name }) = who else { return Ok("nobody".into()) };
    if found.is_none() {
        context.checkpoint(&format!("asked {name}")).await?;
        gate.began.notify_one();
        gate.go.notified().await;
    }
    let found = found.unwrap_or_default();
    Ok(format!("run {} of {name}, charged {number}, found {found:?}", context.run()))
}

async fn careless(context: Context, gate: State<Gate>) -> &'static str {
    assert!(context.task_id().is_some());
    gate.began.notify_one();
    gate.go.notified().await;
    "careless"
}

/// A server that reports progress at once.
pub fn builder(gate: &Gate) -> ServerBuilder {
    let optional = TaskSupport::Optional;
    Server::builder("test", "1.0")
        .state(gate.clone())
        .task_poll_interval(Duration::from_millis(5))
        .task_result_limit(50_000)
        .tool(Tool::new("plain", hello))
        .tool(Tool::new("hello", hello).task(optional))
        .tool(Tool::new("must", hello).task(TaskSupport::Required))
        .tool(Tool::new("steps", steps).task(optional))
        .tool(Tool::new("two", two).task(optional).resumable())
        .tool(Tool::new("later", later).task(optional))
        .tool(Tool::new("narrow", later).task(optional).task_concurrency(1))
        .tool(Tool::new("alone", alone).task(optional).task_concurrency(1).timeout(Duration::from_secs(8)))
        .tool(Tool::new("slow", later).task(optional).timeout(Duration::from_millis(1)))
        .tool(Tool::blocking("stubborn", stubborn).task(optional))
        .tool(Tool::blocking("stubborn_narrow", stubborn).task(optional).task_concurrency(1))
        .tool(Tool::new("fails", fails).task(optional))
        .tool(Tool::new("breaks", breaks).task(optional))
        .tool(Tool::new("large", large).task(optional))
        .tool(Tool::new("panics", panics).task(optional))
        .tool(Tool::new("keeps", keeps).task(optional))
        .tool(Tool::new("asks", asks).task(optional).asks("who", Ask::form::<Name>("Who?")))
        .tool(Tool::new("careful", careful).task(optional).resumable())
        .tool(Tool::new("careless", careless).task(optional))
}

/// `_meta` of a client that knows of tasks.
pub fn task_meta() -> Value {
    let extensions = json!({"io.modelcontextprotocol/tasks": {}});
    json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "extensions": extensions}})
}

/// An answer to a form.
pub fn accept(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

/// A modern client of one server.
pub struct World {
    pub peer: Peer,
    pub gate: Gate,
    next: AtomicU64,
}

impl World {
    pub async fn new() -> World {
        let gate = Gate::default();
        World::of(Peer::modern(&builder(&gate).build().expect("valid")).await, gate)
    }

    pub fn of(peer: Peer, gate: Gate) -> World {
        World { peer, gate, next: AtomicU64::new(100) }
    }

    /// Sends a request of a client that supports tasks.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.answer(method, params).await.json()
    }

    async fn answer(&self, method: &str, mut params: Value) -> crate::common::Answer {
        params["_meta"] = task_meta();
        self.peer.ask(self.next.fetch_add(1, Ordering::Relaxed), method, params).await
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Calls a tool, and returns its task.
    pub async fn create(&self, tool: &str, arguments: Value) -> Value {
        let made = self.call(tool, arguments).await;
        assert_eq!(made["result"]["resultType"], "task", "{made}");
        made["result"].clone()
    }

    pub fn id(&self, task: &Value) -> String {
        task["taskId"].as_str().expect("an id").to_owned()
    }

    pub async fn get(&self, id: &str) -> Value {
        let got = self.ask("tasks/get", json!({"taskId": id})).await;
        assert!(got["result"].is_object(), "{got}");
        got["result"].clone()
    }

    pub async fn update(&self, id: &str, responses: Value) -> Value {
        self.ask("tasks/update", json!({"taskId": id, "inputResponses": responses})).await
    }

    pub async fn cancel(&self, id: &str) -> Value {
        self.ask("tasks/cancel", json!({"taskId": id})).await
    }

    pub async fn listen(&self, ids: &[&str]) -> Stream {
        self.answer("subscriptions/listen", json!({"notifications": {"taskIds": ids}})).await.stream()
    }

    /// Returns the first notified state of a task with this status.
    pub async fn told(&self, stream: &mut Stream, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = stream.message().await;
            if message["method"] == "notifications/tasks" {
                assert!(message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].is_number());
                if is(&message["params"]) {
                    return message["params"].clone();
                }
            }
        }
    }

    /// A task when it is over.
    pub async fn over(&self, id: &str) -> Value {
        let mut stream = self.listen(&[id]).await;
        let over =
            |task: &Value| ["completed", "failed", "cancelled"].iter().any(|over| task["status"] == *over);
        self.told(&mut stream, over).await
    }

    /// Against the extension's own schema, where `MCP_SPEC_DIR` has it.
    pub fn check(&self, definition: &str, value: &Value) {
        let Some(folder) = std::env::var_os("MCP_SPEC_DIR").map(PathBuf::from) else { return };
        let Ok(text) = std::fs::read_to_string(folder.join("ext-tasks/schema.json")) else { return };
        check_against(&text, definition, value);
    }
}

/// Against one definition of an official schema.
pub fn check_against(schema: &str, definition: &str, value: &Value) {
    let mut schema: Value = serde_json::from_str(schema).expect("JSON");
    let defs = if schema.get("$defs").is_some() { "$defs" } else { "definitions" };
    schema["$ref"] = json!(format!("#/{defs}/{definition}"));
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let faults: Vec<String> = validator.iter_errors(value).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{definition}: {faults:?}: {value}");
}

/// Faults of a store.
#[derive(Default)]
pub struct Faults {
    pub down: AtomicBool,
    /// The number of requests while it was unavailable.
    pub refused: AtomicU32,
    /// It never answers.
    pub hangs: AtomicBool,
    /// The number of writes that lose against a concurrent write.
    pub lose: AtomicU32,
    /// New tasks are not stored until the test admits them.
    pub slow: AtomicBool,
    pub inserting: Notify,
    pub go: Notify,
    /// New tasks are refused and stored all the same, when the test requires it.
    pub late: AtomicBool,
    pub arriving: Mutex<Vec<(StoredTask, TaskTimes)>>,
    /// The number of requests to remove a task.
    pub removed: AtomicU32,
}

/// A store in which something goes wrong.
pub struct Faulty {
    store: Arc<MemoryStore>,
    faults: Arc<Faults>,
}

impl Faulty {
    pub fn new(store: Arc<MemoryStore>, faults: Arc<Faults>) -> Faulty {
        Faulty { store, faults }
    }

    fn unless_down<T: Send + 'static>(&self, asked: StoreFuture<T>) -> StoreFuture<T> {
        if self.faults.hangs.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        if self.faults.down.load(Ordering::SeqCst) {
            self.faults.refused.fetch_add(1, Ordering::SeqCst);
            return Box::pin(std::future::ready(Err(StoreError::new("a secret path is full"))));
        }
        asked
    }
}

impl TaskStore for Faulty {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        if self.faults.late.load(Ordering::SeqCst) {
            self.faults.arriving.lock().expect("no panic").push((task, times));
            return Box::pin(std::future::ready(Err(StoreError::new("a secret delay"))));
        }
        if self.faults.slow.load(Ordering::SeqCst) {
            let (store, faults) = (self.store.clone(), self.faults.clone());
            return Box::pin(async move {
                faults.inserting.notify_one();
                faults.go.notified().await;
                TaskStore::insert(&*store, task, times).await
            });
        }
        self.unless_down(TaskStore::insert(&*self.store, task, times))
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        self.unless_down(TaskStore::load(&*self.store, id))
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        let lose = |left: u32| left.checked_sub(1);
        if self.faults.lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose).is_ok() {
            return Box::pin(std::future::ready(Ok(false)));
        }
        if self.faults.down.load(Ordering::SeqCst) {
            return self.unless_down(Box::pin(std::future::ready(Ok(false))));
        }
        TaskStore::replace(&*self.store, task, due)
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        self.faults.removed.fetch_add(1, Ordering::SeqCst);
        self.unless_down(TaskStore::remove(&*self.store, id))
    }

    fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage> {
        self.unless_down(self.store.due(after, limit))
    }

    fn next_due(&self) -> StoreFuture<Option<Duration>> {
        self.unless_down(self.store.next_due())
    }

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<TaskSummary>>> {
        self.unless_down(TaskStore::list(&*self.store, owner, after, limit))
    }
}
