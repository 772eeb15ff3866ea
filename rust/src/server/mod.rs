//! Servers: plain async functions, typed arguments and results.

mod asking;
mod extract;
mod handler;
mod http;
mod items;
#[cfg(feature = "macros")]
mod macros;
mod respond;
mod service;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use trunnion_engine::driver::{Driver, take_stdio};
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::auth::Auth;
use trunnion_engine::server::http::Stores as HttpStores;
use trunnion_engine::server::seal::{DEFAULT_TTL, Sealer};
use trunnion_engine::server::stream::{self, Carrier};
use trunnion_engine::server::tasks::TaskOptions;
use trunnion_engine::server::{Kind as Live, ServerCore};
use trunnion_engine::store::{Bus, Stores, TaskStore};
use trunnion_engine::telemetry::Telemetry;
pub use trunnion_proto::limits::Limits;
use trunnion_proto::model::Implementation;
use trunnion_proto::revision::Era;
use trunnion_proto::server::catalog::{Behaviour, Catalog, Item as Kind, Offer};
use trunnion_proto::server::{Notice, Settings, Stamp};

pub use trunnion_engine::server::auth;
pub use trunnion_proto::outcome::Outcome;
pub use trunnion_proto::tasks::TaskSupport;

pub use asking::{Answers, Ask, Elicited};
pub use extract::{Args, Context, FromCall, LogLevel, Partial, Parts, State, Uri};
pub use handler::{BlockingFn, HandlerFn, ParametersFn};
pub use http::{HttpServer, Listening};
use items::Offered;
pub use items::{Completion, Item, Prompt, Resource, ResourceTemplate, Tool};
#[cfg(feature = "macros")]
pub use macros::{completion, items, prompt, resource, tool};
pub use respond::{ForCompletion, ForPrompt, ForResource, ForTool, IntoResult, Json, ToolError};
pub use service::{HttpBody, HttpService};

use crate::client::{Target, memory_pair};

/// A server. Cheap to clone; items can be added and removed while it serves.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use trunnion::server::{Args, Json, Server, Tool};
///
/// #[derive(Deserialize, schemars::JsonSchema)]
/// struct Terms { a: f64, b: f64 }
///
/// #[derive(Serialize, Deserialize, schemars::JsonSchema)]
/// struct Sum { sum: f64 }
///
/// async fn add(Args(terms): Args<Terms>) -> Json<Sum> {
///     Json(Sum { sum: terms.a + terms.b })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), trunnion::Error> {
/// let server = Server::builder("calculator", "1.0.0")
///     .tool(Tool::new("add", add).description("Add two numbers."))
///     .build()?;
///
/// // server.serve_stdio().await?, server.serve_http("127.0.0.1:8000").await?, or, in this process:
/// let client = trunnion::Client::builder().connect(&server).await?;
/// let sum: Sum = client.call_tool("add", serde_json::json!({"a": 2, "b": 3})).await?.structured()?;
/// assert_eq!(sum.sum, 5.0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Server {
    core: Arc<ServerCore>,
    states: Arc<States>,
    /// For its endpoints.
    stores: HttpStores,
}

impl Server {
    /// Begins to describe a server: its programmatic name and its version.
    pub fn builder(name: impl Into<String>, version: impl Into<String>) -> ServerBuilder {
        ServerBuilder {
            info: Implementation { name: name.into(), version: version.into(), ..Implementation::default() },
            instructions: None,
            eras: vec![Era::Modern, Era::Legacy],
            cache: (Duration::ZERO, false),
            page_size: 1000,
            limits: Limits::default(),
            states: States::default(),
            items: Vec::new(),
            state_keys: Vec::new(),
            state_ttl: DEFAULT_TTL,
            on_roots_changed: None,
            telemetry: None,
            bus: None,
            task_store: None,
            stores: HttpStores::default(),
            tasks: TaskOptions::default(),
            auth: None,
        }
    }

    /// Adds one item. Fails with kind `usage` when its definition is not valid, when something of its name is
    /// there already, or when it wants a [`State`] that the server does not have.
    pub fn add(&self, item: impl Into<Item>) -> Result<(), Error> {
        let Item { kind, definition, offered, name } = item.into();
        let Offered { timeout, asks, task, scopes, visible_to, bind } = offered;
        let asks = match &asks[..] {
            [] => Vec::new(),
            asks => asking::asked(asks.iter().map(|(key, ask)| (key.as_str(), ask)))
                .map_err(|error| Error::usage(format!("{name}: {}", error.message)))?,
        };
        let behaviour = Behaviour { timeout, asks, task, scopes, visible_to };
        let handler = bind(self.states.clone()).map_err(|why| Error::usage(format!("{name}: {why}")))?;
        self.core.add(kind, &definition, behaviour, handler).map_err(|invalid| Error::usage(invalid.0))
    }

    /// Removes a tool. Returns false if there was none. Calls in flight are finished.
    pub fn remove_tool(&self, name: &str) -> bool {
        self.core.remove(Kind::Tool, name)
    }

    /// Removes a resource. Returns false if there was none.
    pub fn remove_resource(&self, uri: &str) -> bool {
        self.core.remove(Kind::Resource, uri)
    }

    /// Removes a resource template. Returns false if there was none.
    pub fn remove_resource_template(&self, uri_template: &str) -> bool {
        self.core.remove(Kind::ResourceTemplate, uri_template)
    }

    /// Removes a prompt. Returns false if there was none.
    pub fn remove_prompt(&self, name: &str) -> bool {
        self.core.remove(Kind::Prompt, name)
    }

    /// Serves the standard streams until the client closes standard input. Standard output belongs to the
    /// protocol: from here on file descriptor 1 is standard error, so that a stray `println!` does no harm.
    /// Needs a tokio runtime with I/O and time enabled; fails with kind `transport`.
    pub async fn serve_stdio(&self) -> Result<(), Error> {
        let driver = driver()?;
        let failed = |error: std::io::Error| {
            Error::local(local::TRANSPORT, format!("cannot take the standard streams: {error}"))
        };
        let (input, output) = take_stdio().map_err(failed)?;
        let reader = driver.reader(input).map_err(failed)?;
        let writer = driver.writer(output).map_err(failed)?;
        let carrier = Carrier::Lines { reader, writer };
        stream::serve(self.core.clone(), driver, carrier, "stdio", std::future::pending()).await;
        Ok(())
    }

    /// Serves Streamable HTTP at `/mcp` of an address such as `127.0.0.1:8000` until the future is dropped.
    /// For options, the URL and a graceful end, use [`Server::http`].
    pub async fn serve_http(&self, address: impl tokio::net::ToSocketAddrs) -> Result<(), Error> {
        self.http().bind(address).await?.closed().await
    }

    /// Serves Streamable HTTP with options.
    pub fn http(&self) -> HttpServer {
        HttpServer::new(self.core.clone(), self.stores.clone())
    }

    /// Tell clients that watch this resource that it has changed.
    pub fn resource_updated(&self, uri: impl Into<String>) {
        self.core.publish(&Notice::Resource(uri.into()));
    }

    /// Tell that what a user was asked to do at a page is done ([`Ask::elicitation_id`]). Only the session
    /// that was asked is told, once, wherever it is served; and only where its revision has that
    /// notification, 2025-11-25. In later ones the client sends its request again when the user is back.
    /// (2025-11-25, elicitation, "Completion Notifications".)
    pub fn elicitation_complete(&self, elicitation_id: impl Into<String>) {
        self.core.publish(&Notice::ElicitationComplete(elicitation_id.into()));
    }

    /// Returns the number of open connections, over all transports.
    pub fn connections(&self) -> u64 {
        self.core.counters.live(Live::Connection)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("info", &self.core.catalog.stamp().server_info())
            .finish_non_exhaustive()
    }
}

/// For [`Client`](crate::Client)s in the same process: nothing but memory is between them.
impl From<&Server> for Target {
    fn from(server: &Server) -> Target {
        let (ours, theirs) = memory_pair();
        // Outside a runtime there is no client either: connecting fails and says so.
        if let Ok(driver) = driver() {
            let serving = stream::serve(
                server.core.clone(),
                driver.clone(),
                Carrier::Memory(ours),
                "memory",
                std::future::pending(),
            );
            driver.spawn(serving);
        }
        Target::Memory(theirs)
    }
}

/// Describes a [`Server`].
#[must_use = "a server is made by build()"]
pub struct ServerBuilder {
    info: Implementation,
    instructions: Option<String>,
    eras: Vec<Era>,
    cache: (Duration, bool),
    page_size: usize,
    limits: Limits,
    states: States,
    items: Vec<Item>,
    state_keys: Vec<String>,
    state_ttl: Duration,
    on_roots_changed: Option<Box<dyn Fn() + Send + Sync>>,
    telemetry: Option<Telemetry>,
    bus: Option<Arc<dyn Bus>>,
    task_store: Option<Arc<dyn TaskStore>>,
    stores: HttpStores,
    tasks: TaskOptions,
    auth: Option<Auth>,
}

impl ServerBuilder {
    /// Requires a token that this allows over HTTP. Standard streams and clients of this process need
    /// none. Default: everybody is let in.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Sets the instructions for the model on the use of the server.
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Everything else that the server says of itself: title, description, icons, website.
    pub fn info(mut self, change: impl FnOnce(&mut Implementation)) -> Self {
        change(&mut self.info);
        self
    }

    /// Serves these eras of the protocol only; the default is both.
    pub fn eras(mut self, eras: impl IntoIterator<Item = Era>) -> Self {
        self.eras = eras.into_iter().collect();
        self
    }

    /// Sets the time for which clients may cache lists and resources, and whether caches may share them
    /// between users. Default: no caching.
    pub fn cache(mut self, time_to_live: Duration, shared: bool) -> Self {
        self.cache = (time_to_live, shared);
        self
    }

    /// Entries per page of a list, at least 1. Default: 1000.
    pub fn page_size(mut self, entries: usize) -> Self {
        self.page_size = entries;
        self
    }

    /// Sets the limits of a client: size and depth of a message, requests in flight.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The keys that seal what a call leaves with the client while it asks something: 32 bytes each in
    /// Base64. The first seals, all of them open. Where several processes serve, all need the same; without
    /// keys, each has one of its own.
    pub fn state_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.state_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the time in which a client must return answers. Default: an hour.
    pub fn state_ttl(mut self, limit: Duration) -> Self {
        self.state_ttl = limit;
        self
    }

    /// Called when a legacy client says that its roots have changed. It must not block.
    pub fn on_roots_changed(mut self, tell: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_roots_changed = Some(Box::new(tell));
        self
    }

    /// Tell a collector of every request: a span, and how long it took.
    pub fn telemetry(mut self, telemetry: &Telemetry) -> Self {
        self.telemetry = Some(telemetry.clone());
        self
    }

    /// Stores all that outlives a process, or is shared by several, in what
    /// [`store::open`](trunnion_engine::store::open) gives: tasks, the sessions of older clients and the streams that
    /// they come back to, what changes, and the key that seals what clients keep. It is
    /// [`bus`](ServerBuilder::bus), [`task_store`](ServerBuilder::task_store),
    /// [`state_keys`](ServerBuilder::state_keys), [`session_store`](HttpServer::session_store) and
    /// [`event_store`](HttpServer::event_store) in one; what is said after it takes the place of its part.
    /// Default: all of it is in the memory of this process.
    pub fn store(mut self, stores: Stores) -> Self {
        self.stores = HttpStores { sessions: Some(stores.sessions), events: Some(stores.events) };
        self.state_keys = vec![stores.state_key];
        self.bus(stores.bus).task_store(stores.tasks)
    }

    /// Share changes with the servers of other processes: whoever listens at one of them hears of what
    /// changes at any. Default: what changes is heard here.
    pub fn bus(mut self, bus: Arc<dyn Bus>) -> Self {
        self.bus = Some(bus);
        self
    }

    /// Stores tasks in this store, so that they outlive the process and are worked on by any process that has
    /// the same store and the same tools. Processes that share one should share a [`bus`](ServerBuilder::bus)
    /// too: without it, what happens at another is noticed later. Default: in the memory of this process.
    pub fn task_store(mut self, store: Arc<dyn TaskStore>) -> Self {
        self.task_store = Some(store);
        self
    }

    /// Sets the lifetime of a task, from its creation; `None`: without limit. A client of 2025-11-25 can
    /// request a shorter one. Default: a day.
    pub fn task_ttl(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.tasks.ttl = time.into();
        self
    }

    /// Sets the interval at which clients should poll a task; faster progress is reported no more often.
    /// Default: a second.
    pub fn task_poll_interval(mut self, time: Duration) -> Self {
        self.tasks.poll = time;
        self
    }

    /// Sets the maximum size of a task's result in bytes; a task with a larger one fails. Default: 4 MiB.
    pub fn task_result_limit(mut self, bytes: usize) -> Self {
        self.tasks.result_bytes = bytes;
        self
    }

    /// Sets the time after the last heartbeat of a process after which another one may take its task. A
    /// process sends three heartbeats in that time. Default: 30 seconds.
    pub fn task_lease(mut self, time: Duration) -> Self {
        self.tasks.lease = time;
        self
    }

    /// Sets the maximum number of tasks that this process runs: of one caller, which is a principal or a
    /// legacy session, and in all. More are refused. Defaults: 100 and 10,000.
    pub fn max_tasks(mut self, per_caller: usize, in_all: usize) -> Self {
        (self.tasks.per_owner, self.tasks.most) = (per_caller, in_all);
        self
    }

    /// Sets the maximum number, and total bytes, of the stored tasks of one owner, which is a principal, a
    /// legacy session, or all others together. The oldest finished tasks are removed early to make room for
    /// new ones; if unfinished tasks leave no room, new ones are refused. Defaults: 10,000 and 1 GiB.
    pub fn kept_tasks(mut self, tasks: u64, bytes: u64) -> Self {
        self.tasks.kept = trunnion_engine::store::TaskQuota { tasks, bytes };
        self
    }

    /// A value that handlers get as [`State<T>`]; one of each type.
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.0.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// Adds a tool.
    pub fn tool(self, tool: Tool) -> Self {
        self.item(tool)
    }

    /// Adds a resource.
    pub fn resource(self, resource: Resource) -> Self {
        self.item(resource)
    }

    /// Adds a resource template.
    pub fn resource_template(self, template: ResourceTemplate) -> Self {
        self.item(template)
    }

    /// Adds a prompt.
    pub fn prompt(self, prompt: Prompt) -> Self {
        self.item(prompt)
    }

    /// Adds completions of the arguments of a prompt or a resource template.
    pub fn completion(self, completion: Completion) -> Self {
        self.item(completion)
    }

    /// Adds several items, such as a list made at run time.
    pub fn items(mut self, items: impl IntoIterator<Item = Item>) -> Self {
        self.items.extend(items);
        self
    }

    fn item(mut self, item: impl Into<Item>) -> Self {
        self.items.push(item.into());
        self
    }

    /// The server. Fails with kind `usage` for the first thing that [`Server::add`] would refuse.
    pub fn build(self) -> Result<Server, Error> {
        if self.eras.is_empty() {
            return Err(Error::usage("eras: at least one is needed"));
        }
        if self.page_size == 0 {
            return Err(Error::usage("page_size must be at least 1"));
        }
        if self.tasks.lease.is_zero() {
            return Err(Error::usage("task_lease must be longer"));
        }
        let settings = Settings {
            limits: self.limits,
            modern: self.eras.contains(&Era::Modern),
            legacy: self.eras.contains(&Era::Legacy),
        };
        let info = serde_json::to_string(&self.info).expect("an implementation is always JSON");
        let (time_to_live, shared) = self.cache;
        let scope = if shared { "public" } else { "private" };
        let time_to_live = u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX);
        let offer = Offer {
            stamp: Stamp::new(&info, time_to_live, scope),
            instructions: self.instructions,
            page_size: self.page_size,
        };
        let sealer = Sealer::new(&self.state_keys, self.state_ttl).map_err(Error::usage)?;
        let mut core = ServerCore::new(
            Catalog::new(settings, offer),
            Arc::default(),
            sealer,
            self.on_roots_changed,
            self.bus,
            self.task_store,
            self.tasks,
        );
        core.telemetry = self.telemetry;
        if let Some(auth) = self.auth {
            auth.check()?;
            core.auth = Some(auth.name(self.info.title.unwrap_or(self.info.name)));
        }
        let server = Server { core: Arc::new(core), states: Arc::new(self.states), stores: self.stores };
        for item in self.items {
            server.add(item)?;
        }
        Ok(server)
    }
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder").field("info", &self.info).finish_non_exhaustive()
    }
}

/// One value of each type.
#[derive(Default)]
pub(crate) struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>()).cloned().and_then(|state| state.downcast().ok())
    }
}

fn driver() -> Result<Driver, Error> {
    tokio::runtime::Handle::try_current()
        .map(Driver::Tokio)
        .map_err(|_| Error::usage("serving needs a tokio runtime"))
}
