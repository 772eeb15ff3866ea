//! Servers of the host.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use trunnion_engine::driver::{Driver, take_stdio};
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::ServerCore;
use trunnion_engine::server::call::{Call, Handler, Input, Start};
use trunnion_engine::server::http::{self, Phase, Stores};
use trunnion_engine::server::seal::Sealer;
use trunnion_engine::server::stream::{self, Carrier};
use trunnion_engine::sync::lock;
use trunnion_proto::auth::resource::Visibility;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::json;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{Behaviour, Catalog, Item, Offer};
use trunnion_proto::server::{Settings, Stamp, questions};
use trunnion_proto::tasks::TaskSupport;

use super::carried;
use super::options::{self, CacheScope, EraName, ItemOptions, NoOptions, ServeHttp, ServerDefinition};
use super::queue::{Event, kind};
use super::tables::{Operation, ServerEntry, Tables, advance};
use super::{Engine, Inner, stores};

/// The time in which handlers may finish after a server began to close.
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(5);

impl Engine {
    /// Registers a server; returns its handle.
    pub fn server_new(&self, definition: &str) -> Result<u64, Error> {
        let inner = self.check()?;
        let definition: ServerDefinition = options::parse("definition", definition)?;
        if definition.eras.is_empty() {
            return Err(Error::usage("eras: at least one is needed"));
        }
        if definition.page_size == 0 {
            return Err(Error::usage("pageSize must be at least 1"));
        }
        let settings = Settings {
            limits: inner.options.limits(),
            modern: definition.eras.contains(&EraName::Modern),
            legacy: definition.eras.contains(&EraName::Legacy),
        };
        let task_options = definition.tasks()?;
        let scope = match definition.cache_scope {
            CacheScope::Private => "private",
            CacheScope::Public => "public",
        };
        let offer = Offer {
            stamp: Stamp::new(&definition.server_info(), definition.ttl_ms, scope),
            instructions: definition.instructions,
            page_size: definition.page_size,
        };
        let ttl = Duration::from_millis(definition.state_ttl_ms);
        let opened = definition.store.as_deref().map(stores::open).transpose()?;
        let mut keys = definition.state_keys;
        if let Some(opened) = opened.as_ref().filter(|_| keys.is_empty()) {
            keys.push(opened.state_key.clone());
        }
        let sealer = Sealer::new(&keys, ttl).map_err(Error::usage)?;
        let id = inner.tables.next_id();
        let queue = inner.tables.queue.clone();
        let roots_changed = Box::new(move || {
            let payload = "{\"event\":\"roots_changed\",\"params\":{}}".to_owned();
            queue.push(Event { kind: kind::NOTIFICATION, id, target: 0, payload });
        });
        let (bus, stores, tasks) = match opened {
            Some(opened) => (Some(opened.bus), opened.stores, Some(opened.tasks)),
            None => (None, Stores::default(), None),
        };
        let mut core = ServerCore::new(
            Catalog::new(settings, offer),
            inner.tables.counters.clone(),
            sealer,
            Some(roots_changed),
            bus,
            tasks,
            task_options,
        );
        core.telemetry = inner.telemetry.clone();
        core.behind = Some(inner.tables.queue.fullness());
        if let Some(auth) = definition.auth {
            let runtime = || inner.runtime().cloned();
            let auth = auth.auth(id, &inner.tables, &inner.driver, runtime)?;
            core.auth = Some(auth.name(definition.title.unwrap_or(definition.name)));
        }
        let core = Arc::new(core);
        let phase = watch::Sender::new(Phase::Serving);
        lock(&inner.tables.servers).insert(id, ServerEntry { core, phase, stores });
        Ok(id)
    }

    /// Adds a `tool`, `resource`, `resource_template`, `prompt` or `completion`.
    ///
    /// `definition` is the protocol's object (`Tool`, `Resource`, `ResourceTemplate`, `Prompt`); for a
    /// completion it is `{"ref": {"type": "ref/prompt", "name": …} | {"type": "ref/resource", "uri": …}}`.
    pub fn server_add(
        &self,
        server: u64,
        item: &str,
        definition: &str,
        options: &str,
        target: u64,
    ) -> Result<(), Error> {
        let inner = self.check()?;
        let core = inner.server(server)?.0;
        let options: ItemOptions = options::parse("options", options)?;
        let timeout = (options.timeout_ms > 0).then(|| Duration::from_millis(options.timeout_ms));
        let asks = match &options.asks {
            Some(asks) => questions(asks.get()).map_err(|error| Error::usage(error.message))?,
            None => Vec::new(),
        };
        let visible_to = options.visible_to.as_ref().map(Visibility::parse).transpose();
        let visible_to = visible_to.map_err(|why| Error::usage(format!("visibleTo: {why}")))?;
        let task = options.task();
        let behaviour = Behaviour { timeout, asks, task, scopes: options.scopes, visible_to };
        let handler = Arc::new(HostHandler { tables: inner.tables.clone(), target });
        if behaviour.task.support != TaskSupport::Never {
            core.tasks.run_on(inner.runtime()?.clone());
        }
        core.add(parse_item(item)?, definition, behaviour, handler).map_err(|invalid| Error::usage(invalid.0))
    }

    /// Removes an item by its name, URI or template. False: there was none.
    pub fn server_remove(&self, server: u64, item: &str, key: &str) -> Result<bool, Error> {
        Ok(self.check()?.server(server)?.0.remove(parse_item(item)?, key))
    }

    /// Serves the process's standard streams; returns the operation. From then on fd 1 is stderr, so that
    /// stray prints do not break the protocol.
    pub fn serve_stdio(&self, server: u64, options: &str) -> Result<u64, Error> {
        let inner = self.check()?;
        let (core, phase) = inner.server(server)?;
        let NoOptions {} = options::parse("options", options)?;
        let failed =
            |error: std::io::Error| Error::local(local::TRANSPORT, format!("standard streams: {error}"));
        let (input, output) = take_stdio().map_err(failed)?;
        let driver = inner.driver.clone();
        let reader = in_runtime(&driver, || driver.reader(input)).map_err(failed)?;
        let writer = in_runtime(&driver, || driver.writer(output)).map_err(failed)?;

        let stop = watch::Sender::new(Phase::Serving);
        let op = inner.tables.begin(Operation::Serve(stop.clone(), None));
        let tables = inner.tables.clone();
        driver.clone().spawn(async move {
            let carrier = Carrier::Lines { reader, writer };
            stream::serve(core, driver, carrier, "stdio", stopped(stop.subscribe(), phase)).await;
            tables.end(op, Ok("{}".into()));
        });
        Ok(op)
    }

    /// Serves Streamable HTTP on a listener, or, with the option `carried`, by [`Engine::http_request`];
    /// returns the operation.
    pub fn serve_http(&self, server: u64, options: &str) -> Result<u64, Error> {
        let inner = self.check()?;
        let (core, server_phase) = inner.server(server)?;
        let stores =
            lock(&inner.tables.servers).get(&server).map(|entry| entry.stores.clone()).unwrap_or_default();
        let options: ServeHttp = options::parse("options", options)?;
        if options.carried {
            if options.unix_socket.is_some() {
                return Err(Error::usage("unixSocket has no effect with carried"));
            }
            let options = options.http(inner.options.max_connections, stores)?;
            let guard = http::guard(&core, &options, None, &inner.driver)?;
            return Ok(carried::serve(&inner.tables, core, &inner.driver, options, guard, server_phase));
        }
        let at = At::of(&options)?;
        let options = options.http(inner.options.max_connections, stores)?;
        let stop = watch::Sender::new(Phase::Serving);
        let op = inner.tables.begin(Operation::Serve(stop.clone(), None));
        let (tables, driver) = (inner.tables.clone(), inner.driver.clone());
        driver.clone().spawn(async move {
            let listening = match &at {
                At::Tcp(address) => driver.listen(*address).await,
                At::Unix(path) => driver.listen_unix(path).await,
            };
            let listener = match listening {
                Ok(listener) => listener,
                Err(error) => {
                    let message = format!("cannot listen on {at}: {error}");
                    tables.end(op, Err(Error::local(local::TRANSPORT, message)));
                    return;
                }
            };
            let guard = match http::guard(&core, &options, Some(&listener), &driver) {
                Ok(guard) => guard,
                Err(error) => {
                    tables.end(op, Err(error));
                    return;
                }
            };
            let url = json::string(&http::local_url(&listener, &options.path));
            let payload = match http::bound(&listener) {
                Some(local) => {
                    format!("{{\"url\":{url},\"host\":\"{}\",\"port\":{}}}", local.ip(), local.port())
                }
                None => format!("{{\"url\":{url},\"host\":\"\",\"port\":0}}"),
            };
            tables.queue.push(Event { kind: kind::LISTENING, id: op, target: 0, payload });
            driver.spawn(follow(server_phase, stop.clone()));
            let serving =
                http::serve(core, driver.clone(), listener, options, guard, stop.subscribe(), DRAIN_LIMIT);
            tables.end(op, serving.await.map(|()| "{}".into()));
        });
        Ok(op)
    }

    /// Ends every serve operation of a server and removes it. Handlers in flight may finish within five
    /// seconds.
    pub fn server_close(&self, server: u64) {
        if self.0.forked() {
            return;
        }
        if let Some(entry) = lock(&self.0.tables.servers).remove(&server) {
            advance(&entry.phase, Phase::Draining);
        }
    }
}

/// The address on which a server is to listen.
enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl At {
    fn of(options: &ServeHttp) -> Result<At, Error> {
        if let Some(path) = &options.unix_socket {
            if options.host.is_some() || options.port.is_some() {
                return Err(Error::usage("unixSocket takes the place of host and port; give either"));
            }
            if path.is_empty() || path.contains('\0') {
                return Err(Error::usage("unixSocket must be the path of a socket"));
            }
            return Ok(At::Unix(path.into()));
        }
        let host = options.host.as_deref().unwrap_or("127.0.0.1");
        (host, options.port.unwrap_or(0))
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .map(At::Tcp)
            .ok_or_else(|| Error::usage(format!("host {host:?} is not an address")))
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            At::Tcp(address) => address.fmt(f),
            At::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Inner {
    /// Returns a server and the phase it is in.
    pub(super) fn server(&self, id: u64) -> Result<(Arc<ServerCore>, watch::Receiver<Phase>), Error> {
        lock(&self.tables.servers)
            .get(&id)
            .map(|entry| (entry.core.clone(), entry.phase.subscribe()))
            .ok_or_else(|| Error::usage(format!("there is no server {id}")))
    }
}

/// A handler that hands calls to the host.
struct HostHandler {
    tables: Arc<Tables>,
    target: u64,
}

impl Handler for HostHandler {
    fn start(&self, call: Call, input: Input) -> Start {
        let (kind, payload) = match input {
            Input::Tool(arguments) => (kind::CALL_TOOL, arguments.as_str().to_owned()),
            Input::Prompt(arguments) => (kind::GET_PROMPT, arguments.as_str().to_owned()),
            Input::Resource { uri, params } => {
                let params: Vec<String> =
                    params.iter().map(|(k, v)| format!("{}:{}", json::string(k), json::string(v))).collect();
                let payload =
                    format!("{{\"uri\":{},\"params\":{{{}}}}}", json::string(&uri), params.join(","));
                (kind::READ_RESOURCE, payload)
            }
            Input::Tasks(_) => {
                let message = "the engine answers that";
                return Start::Done(Outcome::Error(RpcError::new(ErrorKind::InternalError, message)));
            }
            Input::Completion { argument, context } => {
                let arguments = serde_json::from_str::<CompletionContext>(context.as_str())
                    .ok()
                    .and_then(|context| context.arguments)
                    .map_or_else(|| "{}".to_owned(), |arguments| arguments.get().to_owned());
                let payload = format!("{{\"argument\":{},\"arguments\":{arguments}}}", argument.as_str());
                (kind::COMPLETE, payload)
            }
        };
        self.tables.offer(call, kind, self.target, payload);
        Start::Later
    }
}

#[derive(serde::Deserialize)]
struct CompletionContext {
    arguments: Option<Box<serde_json::value::RawValue>>,
}

fn parse_item(item: &str) -> Result<Item, Error> {
    Item::parse(item).ok_or_else(|| {
        Error::usage(format!(
            "unknown item {item:?}: tool, resource, resource_template, prompt or completion"
        ))
    })
}

/// Completes when either phase leaves serving.
pub(super) async fn stopped(mut own: watch::Receiver<Phase>, mut server: watch::Receiver<Phase>) {
    let own = std::pin::pin!(own.wait_for(|phase| *phase > Phase::Serving));
    let server = std::pin::pin!(server.wait_for(|phase| *phase > Phase::Serving));
    futures_util::future::select(own, server).await;
}

/// Passes a server's phases on to one of its serve operations.
async fn follow(mut server: watch::Receiver<Phase>, own: watch::Sender<Phase>) {
    loop {
        let phase = *server.borrow_and_update();
        advance(&own, phase);
        if phase == Phase::Stopped {
            return;
        }
        let ended = std::pin::pin!(own.closed());
        let changed = std::pin::pin!(server.changed());
        match futures_util::future::select(changed, ended).await {
            futures_util::future::Either::Left((Ok(()), _)) => {}
            futures_util::future::Either::Left((Err(_), _)) => {
                advance(&own, Phase::Draining);
                return;
            }
            futures_util::future::Either::Right(_) => return,
        }
    }
}

/// Runs a function in the context of tokio, which the registration of descriptors needs.
fn in_runtime<T>(driver: &Driver, f: impl FnOnce() -> T) -> T {
    match driver {
        Driver::Tokio(handle) => {
            let _guard = handle.enter();
            f()
        }
        Driver::Hosted(_) => f(),
    }
}
