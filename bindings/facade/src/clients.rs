//! Clients of the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use trunnion_engine::client::{
    self, ChildCommand, ClientEvent, ClientHandle, ConnectOptions, Sink, Target, memory_pair,
};
use trunnion_engine::error::{Error, local};
use trunnion_engine::outbound::server_url;
use trunnion_engine::server::http::Phase;
use trunnion_engine::server::stream::{self, Carrier};
use trunnion_engine::sync::lock;
use trunnion_proto::client::{EraPolicy, HttpTransport, QuestionKind};
use trunnion_proto::json::{self, Json};
use trunnion_proto::methods;
use trunnion_proto::model::Root;
use trunnion_proto::revision::Revision;
use trunnion_proto::server::LogLevel;

use super::asking::EXCHANGE_OPS;
use super::options::{self, ChildOptions, Connect, ConnectTarget, RequestOptions};
use super::queue::{Event, kind};
use super::tables::{Operation, Question, Questioner, Tables};
use super::{Engine, Inner};

/// A client of the host.
pub(crate) struct ClientEntry {
    pub handle: ClientHandle,
    connecting: Arc<AtomicBool>,
}

impl ClientEntry {
    /// Returns true once, while the client is not connected: then the attempt has failed.
    pub fn fail_connect(&self) -> bool {
        self.connecting.swap(false, Ordering::AcqRel)
    }
}

impl Engine {
    /// Connects to `{"url"}`, `{"command": […], "env"?, "cwd"?}` or `{"server": handle}`; returns the client.
    pub fn connect(&self, target: &str, options: &str) -> Result<u64, Error> {
        let inner = self.check()?;
        let target = options::parse("target", target)?;
        let mut options: Connect = options::parse("options", options)?;
        let (runtime, id) = (inner.runtime()?, inner.tables.next_id());
        let child = options.child();
        let auth = options.auth.take();
        let auth = auth.map(|auth| super::auth::auth(&auth, &inner.tables, id, runtime)).transpose()?;
        let options = ConnectOptions { auth, ..connect_options(options, inner)? };
        // The last step that can fail: a server of this process begins to serve.
        let target = inner.target(target, child)?;
        let connecting = Arc::new(AtomicBool::new(true));
        // Under the lock: the first events may come before the entry is in its table.
        let mut clients = lock(&inner.tables.clients);
        let (sink, full) = (sink(&inner.tables, id, &connecting), inner.tables.queue.fullness());
        let handle = ClientHandle::connect(runtime, target, options, sink, Some(full));
        clients.insert(id, ClientEntry { handle, connecting });
        Ok(id)
    }

    /// Sends one request to the peer; returns the operation. Of a client: to the server, by the neutral name
    /// of the method (`call_tool`, …). Of an exchange: to its client, with `op` `ask` and `{key: {op,
    /// params?}}` as the params; `op` is then `elicit`, `sample` or `list_roots`. The result is `{key:
    /// answer}`.
    pub fn request(&self, client: u64, op: &str, params: &str, options: &str) -> Result<u64, Error> {
        let inner = self.check()?;
        if let Some(call) = inner.tables.exchange(client) {
            return inner.for_exchange(&call, op, params);
        }
        let Some(method) = methods::by_op(op) else {
            // A request of this kind with the id of a former exchange comes too late.
            if EXCHANGE_OPS.contains(&op) && !lock(&inner.tables.clients).contains_key(&client) {
                return Err(Error::local(local::CANCELLED, "the call is over"));
            }
            return Err(Error::usage(format!("unknown operation {op:?}")));
        };
        let params = if params.trim().is_empty() { "{}" } else { params };
        if !params.trim_start().starts_with('{') || serde_json::from_str::<&RawValue>(params).is_err() {
            return Err(Error::usage("params must be a JSON object"));
        }
        let options: RequestOptions = options::parse("options", options)?;
        options.check(method)?;
        let options = client::RequestOptions {
            timeout: options.timeout_ms.map(Duration::from_millis),
            total: options.total_ms.map(Duration::from_millis),
            progress: options.progress,
            meta: raw(options.meta),
            fresh: options.cache == Some(false),
            task: options.task,
            task_ttl: options.task_ttl_ms.map(Duration::from_millis),
            unasked: options.ask == Some(false),
            all: options.all,
        };
        let clients = lock(&inner.tables.clients);
        let Some(entry) = clients.get(&client) else {
            return Err(Error::local(local::CLOSED, format!("client {client} is closed")));
        };
        let id = inner.tables.begin(Operation::Request { client });
        entry.handle.start(id, method, params.to_owned(), options);
        Ok(id)
    }

    /// Cancels an operation, or a client that is still connecting. False: it had ended.
    pub fn cancel(&self, id: u64, reason: &str) -> bool {
        let tables = &self.0.tables;
        if self.0.forked() {
            return false;
        }
        if tables.give_up(id, reason) {
            return true;
        }
        if let Some(client) = tables.client_of(id) {
            return lock(&tables.clients).get(&client).is_some_and(|entry| entry.handle.cancel(id, reason));
        }
        if tables.stop_serving(id) {
            return true;
        }
        let clients = lock(&tables.clients);
        clients.get(&id).is_some_and(|entry| {
            entry.connecting.load(Ordering::Acquire) && entry.handle.cancel_connect(reason)
        })
    }

    /// Disconnects. Pending calls fail with kind `closed`; CLOSED follows.
    pub fn client_close(&self, client: u64) {
        if self.0.forked() {
            return;
        }
        if let Some(entry) = lock(&self.0.tables.clients).get(&client) {
            entry.handle.close();
        }
    }
}

impl Inner {
    fn target(&self, target: ConnectTarget, options: ChildOptions) -> Result<Target, Error> {
        if target.command.is_none() && options.are_given() {
            return Err(Error::usage("options: inheritEnv and stderr are for a command"));
        }
        match target {
            ConnectTarget { url: Some(url), command: None, server: None, .. } => {
                server_url(&url).map_err(Error::usage)?;
                Ok(Target::Url(url))
            }
            ConnectTarget { url: None, command: Some(argv), server: None, env, cwd } => {
                if argv.is_empty() {
                    return Err(Error::usage("command must name a program"));
                }
                let (inherit_env, stderr) = (options.inherit_env(), options.stderr()?);
                Ok(Target::Command(ChildCommand { argv, env, inherit_env, cwd: cwd.map(Into::into), stderr }))
            }
            ConnectTarget { url: None, command: None, server: Some(server), .. } => {
                let (core, mut phase) = self.server(server)?;
                let (ours, theirs) = memory_pair();
                let driver = self.driver.clone();
                self.driver.spawn(async move {
                    let stop = async move { drop(phase.wait_for(|phase| *phase > Phase::Serving).await) };
                    stream::serve(core, driver, Carrier::Memory(ours), "memory", stop).await;
                });
                Ok(Target::Memory(theirs))
            }
            _ => Err(Error::usage("a target has exactly one of url, command and server")),
        }
    }
}

fn connect_options(options: Connect, inner: &Inner) -> Result<ConnectOptions, Error> {
    let era = EraPolicy::parse(&options.era)
        .ok_or_else(|| Error::usage(format!("era {:?}: auto, modern or legacy", options.era)))?;
    let transport = HttpTransport::parse(&options.transport)
        .ok_or_else(|| Error::usage(format!("transport {:?}: auto, http or sse", options.transport)))?;
    let named = |what: &str, name: &str| Error::usage(format!("{what} {name:?} is not known"));
    let log_level = options
        .log_level
        .map(|name| LogLevel::parse(&name).ok_or_else(|| named("logLevel", &name)))
        .transpose()?;
    let revision = options
        .revision
        .map(|name| Revision::parse(&name).ok_or_else(|| named("revision", &name)))
        .transpose()?;
    let roots = options.roots.map(|roots| roots_of(roots.get())).transpose()?;
    Ok(ConnectOptions {
        auth: None,
        client_info: raw(options.client_info),
        capabilities: raw(options.capabilities),
        roots,
        log_level,
        cache: options.cache,
        tasks: options.tasks,
        revision,
        era,
        timeout: Duration::from_millis(options.timeout_ms),
        total: Duration::from_millis(options.total_ms),
        connect_timeout: Duration::from_millis(options.connect_timeout_ms),
        transport,
        headers: options.headers.into_iter().collect(),
        limits: inner.options.limits(),
        telemetry: inner.telemetry.clone(),
    })
}

/// Returns the checked text of an array of `{uri, name?}`.
pub(super) fn roots_of(text: &str) -> Result<Json, Error> {
    let wrong = |error: serde_json::Error| Error::usage(format!("roots: {error}"));
    let roots: Vec<Root> = serde_json::from_str(text).map_err(wrong)?;
    serde_json::to_string(&roots).map(Json::from).map_err(wrong)
}

fn raw(json: Option<Box<RawValue>>) -> Json {
    json.map_or_else(Json::default, |json| Json::from(json.get().to_owned()))
}

fn notification(event: &str, params: &Json) -> String {
    let params = if params.is_empty() { "{}" } else { params.as_str() };
    format!("{{\"event\":\"{event}\",\"params\":{params}}}")
}

/// Returns a sink that turns the events of a client into events of the queue.
fn sink(tables: &Arc<Tables>, id: u64, connecting: &Arc<AtomicBool>) -> Sink {
    let (tables, connecting) = (tables.clone(), connecting.clone());
    let push =
        move |tables: &Tables, kind, id, payload| tables.queue.push(Event { kind, id, target: 0, payload });
    Box::new(move |event| match event {
        ClientEvent::Ready(facts) => {
            if connecting.swap(false, Ordering::AcqRel) {
                push(&tables, kind::RESULT, id, facts.to_json());
            }
        }
        ClientEvent::ConnectFailed(error) => {
            if connecting.swap(false, Ordering::AcqRel) {
                push(&tables, kind::ERROR, id, error.to_json());
            }
        }
        ClientEvent::Result { op, result } => {
            tables.end(op, Ok(result.as_str().to_owned()));
        }
        ClientEvent::Error { op, error } => {
            tables.end(op, Err(error.into()));
        }
        ClientEvent::Progress { op, payload } => {
            if tables.has_operation(op) {
                push(&tables, kind::PROGRESS, op, payload.as_str().to_owned());
            }
        }
        ClientEvent::Told { op, event, params } => {
            if tables.has_operation(op) {
                push(&tables, kind::NOTIFICATION, op, notification(event, &params));
            }
        }
        ClientEvent::Ask { question, kind, params, reply } => {
            let kind = match kind {
                QuestionKind::Elicit => kind::ELICIT,
                QuestionKind::Sample => kind::SAMPLE,
            };
            let from = Questioner::Server(question, reply);
            tables.ask(Question { client: id, from }, kind, params.as_str().to_owned());
        }
        ClientEvent::Withdrawn { question, reason } => tables.withdraw(id, question, &reason),
        ClientEvent::Notification { event, params } => {
            push(&tables, kind::NOTIFICATION, id, notification(event, &params));
        }
        ClientEvent::Closed { reason } => {
            lock(&tables.clients).remove(&id);
            push(&tables, kind::CLOSED, id, format!("{{\"reason\":{}}}", json::string(&reason)));
        }
    })
}
