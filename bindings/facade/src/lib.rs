//! The common interface of all bindings: poll/complete over a small typed envelope plus JSON text.
//!
//! An [`Engine`] owns one event queue. The host watches [`Engine::fd`] with its own loop (or blocks in
//! [`Engine::wait`], or receives the callback of [`Engine::set_wake`]), calls [`Engine::drain`], runs user
//! code in its own way and answers by id with [`Engine::complete`]. This crate never calls user code, and
//! every function may be called from any thread. The names, numbers and option keys are those of
//! `bindings/surface.toml`.

mod asking;
mod auth;
mod carried;
mod clients;
mod notify;
mod options;
mod queue;
mod server_auth;
mod servers;
mod stores;
mod tables;
mod wake;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use trunnion_engine::driver::{Driver, Reactor};
use trunnion_engine::error::local;
use trunnion_engine::server::call::Call;
use trunnion_engine::telemetry::Telemetry;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::{LogEntry, Progress};

use options::EngineOptions;
pub use queue::{Completion, Event};
use queue::{Notify, Queue};
use tables::Tables;
pub use trunnion_engine::error::Error;

/// Most events of one drain.
const BATCH: usize = 256;

/// The engine's version, as in `Cargo.toml`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// One engine: one event queue, its servers, clients and connections. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    options: EngineOptions,
    queue: Arc<Queue>,
    tables: Arc<Tables>,
    driver: Driver,
    /// The hosted driver's reactor.
    reactor: Option<Arc<Reactor>>,
    /// The runtime. Its threads are the driver when threaded; when hosted it starts with the first operation
    /// that needs it.
    runtime: OnceLock<tokio::runtime::Runtime>,
    closed: AtomicBool,
    pid: u32,
    telemetry: Option<Telemetry>,
    /// The time for which the end waits for the runtime's threads.
    join: Option<Duration>,
}

impl Engine {
    /// Makes an engine from options as JSON text (`{}` for the defaults; keys of scope `engine`).
    pub fn new(options: &str) -> Result<Self, Error> {
        let options: EngineOptions = options::parse("options", options)?;
        let failed = |error: std::io::Error| {
            let is_option = error.kind() == std::io::ErrorKind::Unsupported;
            let kind = if is_option { local::USAGE } else { local::TRANSPORT };
            Error::local(kind, format!("cannot start: {error}"))
        };
        let runtime = OnceLock::new();
        let (driver, reactor, notify) = match options.driver {
            options::DriverKind::Hosted => {
                let reactor = Arc::new(Reactor::new().map_err(failed)?);
                (reactor.driver(), Some(reactor.clone()), Notify::reactor(&reactor))
            }
            options::DriverKind::Threaded => {
                let started = start_runtime(options.threads()).map_err(failed)?;
                let driver = Driver::Tokio(started.handle().clone());
                let _ = runtime.set(started);
                (driver, None, Notify::signal().map_err(failed)?)
            }
        };
        let telemetry = match &options.telemetry {
            None => None,
            Some(telemetry) => Some(telemetry.builder().start_on(runtime_in(&runtime)?)?),
        };
        let queue = Arc::new(Queue::new(notify));
        Ok(Engine(Arc::new(Inner {
            tables: Arc::new(Tables::new(queue.clone())),
            options,
            queue,
            driver,
            reactor,
            runtime,
            closed: AtomicBool::new(false),
            pid: std::process::id(),
            telemetry,
            join: None,
        })))
    }

    /// Returns the descriptor to watch for readability.
    pub fn fd(&self) -> i32 {
        match &self.0.reactor {
            Some(reactor) => reactor.fd(),
            None => self.0.queue.fd(),
        }
    }

    /// Applies `completions`, makes one turn of the hosted reactor, and returns at most 256 queued events.
    /// Call again while it returns events; when more work is left, [`Engine::fd`] stays readable. In a forked
    /// child nothing is applied and no event is returned.
    pub fn drain(&self, completions: Vec<Completion>) -> Vec<Event> {
        if self.0.forked() {
            return Vec::new();
        }
        let apply = || {
            for completion in completions {
                self.0.complete(completion.id, completion.outcome, &completion.payload);
            }
        };
        match &self.0.reactor {
            Some(reactor) => reactor.turn_with(apply),
            None => apply(),
        }
        self.0.queue.take(BATCH)
    }

    /// Drains as [`Engine::drain`] does, with one JSON text each way: `[[id,outcome,payload text],…]` in,
    /// `[[kind,id,target,payload JSON],…]` out (the payload is embedded, not quoted).
    pub fn drain_json(&self, completions: &str) -> Result<String, Error> {
        let completions: Vec<(u64, u32, String)> = if completions.is_empty() {
            Vec::new()
        } else {
            serde_json::from_str(completions)
                .map_err(|error| Error::usage(format!("completions: {error}")))?
        };
        let completions = completions
            .into_iter()
            .map(|(id, outcome, payload)| Completion { id, outcome, payload })
            .collect();
        let events = self.drain(completions);
        let mut out =
            String::with_capacity(2 + events.iter().map(|event| event.payload.len() + 48).sum::<usize>());
        out.push('[');
        for event in events {
            if out.len() > 1 {
                out.push(',');
            }
            let Event { kind, id, target, payload } = event;
            use std::fmt::Write as _;
            let _ = write!(out, "[{kind},{id},{target},{payload}]");
        }
        out.push(']');
        Ok(out)
    }

    /// Blocks until there is an event to drain. `None`: no limit. Returns false when the time passed, or when
    /// the engine is closed and everything has been drained.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        if self.0.forked() || self.0.queue.is_over() {
            return false;
        }
        let ready = match &self.0.reactor {
            Some(reactor) => reactor.wait(timeout),
            None => self.0.queue.wait(timeout),
        };
        ready && !self.0.queue.is_over()
    }

    /// Sets the callback of the empty-to-non-empty edge. It may run on any thread and must only signal. Once
    /// this has returned, the previous callback is neither running nor called again; once [`Engine::close`]
    /// has, no callback is.
    pub fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        if !self.0.forked() {
            self.0.queue.set_wake(wake);
        }
    }

    /// Answers one exchange. False: it was answered or cancelled before.
    pub fn complete(&self, id: u64, outcome: u32, payload: &str) -> bool {
        // In a forked child the tables may be locked without an end, and the caller is the parent's.
        !self.0.forked() && self.0.complete(id, outcome, payload)
    }

    /// Reports progress of an exchange: `{progress, total?, message?}`. False: the caller did not request it,
    /// or the exchange is over.
    pub fn progress(&self, id: u64, payload: &str) -> Result<bool, Error> {
        let step = Progress::from_json(payload).map_err(|error| Error::usage(error.message))?;
        Ok(self.live_exchange(id).is_some_and(|call| call.progress(step)))
    }

    /// Sends a log message with an exchange: `{level, data, logger?}`. False: the exchange is over.
    pub fn log(&self, id: u64, payload: &str) -> Result<bool, Error> {
        let entry = LogEntry::from_json(payload).map_err(|error| Error::usage(error.message))?;
        Ok(self.live_exchange(id).is_some_and(|call| call.log(entry)))
    }

    /// Returns the context of an exchange as JSON text; `None` when it is over.
    pub fn context(&self, id: u64) -> Option<String> {
        self.live_exchange(id).map(|call| call.describe())
    }

    /// Stops everything within `deadline`: refuses what is in flight, sends final frames, closes connections.
    /// Idempotent. To let handlers finish first, call [`Engine::server_close`] and continue to drain.
    pub fn close(&self, deadline: Duration) {
        let inner = &*self.0;
        if inner.forked() {
            return;
        }
        if inner.closed.swap(true, Ordering::AcqRel) {
            // Another thread may still be closing, but this caller may now free the resources of its
            // callback.
            inner.queue.disarm();
            return;
        }
        // A time past the range of the clock is as good as no limit.
        let until = Instant::now() + deadline.min(Duration::from_secs(1 << 30));
        inner.tables.begin_close();
        loop {
            if let Some(reactor) = &inner.reactor {
                reactor.turn();
            }
            let left = until.saturating_duration_since(Instant::now());
            if inner.tables.counters.is_idle() || left.is_zero() {
                break;
            }
            match &inner.reactor {
                Some(reactor) => drop(reactor.wait(Some(left))),
                None => drop(inner.tables.counters.wait_idle(left)),
            }
        }
        inner.tables.finish_close();
        if let Some(telemetry) = &inner.telemetry {
            telemetry.flush_blocking(until.saturating_duration_since(Instant::now()));
        }
        if let Some(reactor) = &inner.reactor {
            reactor.turn();
            reactor.close();
        }
        inner.queue.end();
    }

    /// Closes at once and waits until the engine's threads have ended, at most `limit`: none of their code
    /// runs afterwards. If the engine has other clones, the last one ends it. In a forked child nothing is
    /// waited for.
    pub fn end(mut self, limit: Duration) {
        self.close(Duration::ZERO);
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.join = Some(limit);
        }
    }

    /// Returns live-handle counters as JSON text: `{servers, clients, exchanges, operations, connections,
    /// sessions}`. In a forked child all are zero.
    pub fn live(&self) -> String {
        if self.0.forked() {
            return tables::live_of([0; 6]);
        }
        self.0.tables.live()
    }

    fn live_exchange(&self, id: u64) -> Option<Call> {
        if self.0.forked() { None } else { self.0.tables.exchange(id) }
    }

    fn check(&self) -> Result<&Inner, Error> {
        if self.0.forked() {
            let message =
                "this engine was made in another process; engines do not survive fork: make a new one";
            return Err(Error::local((8, "forked"), message));
        }
        if self.0.closed.load(Ordering::Acquire) {
            return Err(Error::local(local::CLOSED, "the engine is closed"));
        }
        Ok(&self.0)
    }
}

impl Inner {
    fn complete(&self, id: u64, outcome: u32, payload: &str) -> bool {
        match self.tables.take_exchange(id) {
            Some(call) => call.complete(outcome_of(outcome, payload)),
            None => match self.tables.take_question(id) {
                Some(question) => question.from.answer(answer_of(outcome, payload)),
                None => match self.tables.take_check(id) {
                    Some(check) => check.send(server_auth::checked(outcome_of(outcome, payload))).is_ok(),
                    None => false,
                },
            },
        }
    }

    fn forked(&self) -> bool {
        std::process::id() != self.pid
    }

    /// Returns the tokio runtime: clients live on it under both drivers.
    fn runtime(&self) -> Result<&tokio::runtime::Handle, Error> {
        runtime_in(&self.runtime)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.forked() {
            // The threads do not exist in the child, their locks may be held, and the epoll set is shared
            // with the parent: touch nothing. Channels in the tables and exporters of telemetry would wake
            // tasks of that runtime.
            std::mem::forget(self.runtime.take());
            std::mem::forget(self.reactor.take());
            std::mem::forget(self.telemetry.take());
            std::mem::forget(self.driver.clone());
            std::mem::forget(self.tables.clone());
            std::mem::forget(self.queue.clone());
            return;
        }
        self.tables.begin_close();
        self.tables.finish_close();
        if let Some(reactor) = self.reactor.take() {
            reactor.close();
        }
        self.queue.end();
        if let Some(runtime) = self.runtime.take() {
            // All tasks of the engine on it have been stopped.
            match self.join {
                Some(limit) => runtime.shutdown_timeout(limit),
                // Blocking would stall a host's garbage collector.
                None => runtime.shutdown_background(),
            }
        }
    }
}

fn runtime_in(cell: &OnceLock<tokio::runtime::Runtime>) -> Result<&tokio::runtime::Handle, Error> {
    if let Some(runtime) = cell.get() {
        return Ok(runtime.handle());
    }
    let started = start_runtime(1)
        .map_err(|error| Error::local(local::TRANSPORT, format!("cannot start a thread: {error}")))?;
    // Losing a race has no effect: the other runtime is dropped unused.
    if let Err(lost) = cell.set(started) {
        lost.shutdown_background();
    }
    Ok(cell.get().expect("just set").handle())
}

fn start_runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("trunnion")
        .on_thread_start(trunnion_engine::driver::sigpipe::block_in_thread)
        .enable_all()
        .build()
}

/// Returns the answer of a completion to an input request of a server: a result object, or an error.
fn answer_of(outcome: u32, payload: &str) -> Result<String, RpcError> {
    match outcome_of(outcome, payload) {
        Outcome::Result(result) => Ok(result),
        Outcome::Error(error) => Err(error),
        _ => {
            let message = "the client answered with an outcome that is neither a result nor an error";
            Err(RpcError::new(ErrorKind::InternalError, message))
        }
    }
}

/// Returns the outcome of a completion's kind and payload; see `[[outcome]]` in `bindings/surface.toml`.
fn outcome_of(outcome: u32, payload: &str) -> Outcome {
    #[derive(serde::Deserialize)]
    struct Failure {
        #[serde(default)]
        code: Option<serde_json::Number>,
        message: String,
        #[serde(default)]
        data: Option<Box<serde_json::value::RawValue>>,
    }
    let internal = |message: &str| Outcome::Error(RpcError::new(ErrorKind::InternalError, message));
    match outcome {
        0 => Outcome::Result(payload.to_owned()),
        1 => Outcome::Text(payload.to_owned()),
        2 => Outcome::Value(payload.to_owned()),
        3 => match serde_json::from_str::<Failure>(payload) {
            Ok(Failure { code, message, data }) => Outcome::Error(RpcError {
                code: code.and_then(|code| code.as_i64()).unwrap_or(ErrorKind::InternalError.code()),
                message,
                data,
            }),
            Err(_) => internal("the handler failed"),
        },
        4 => Outcome::ToolError(payload.to_owned()),
        5 => Outcome::Base64(payload.to_owned()),
        _ => internal("the handler answered with an unknown outcome"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_freed_in_a_forked_child_touches_nothing() {
        for options in ["{}", r#"{"driver":"threaded"}"#] {
            let mut engine = Engine::new(options).expect("an engine");
            let server = engine.server_new(r#"{"name":"x","version":"1"}"#).expect("a server");
            engine.serve_http(server, "{}").expect("serving");
            let (tables, queue) = (Arc::downgrade(&engine.0.tables), Arc::downgrade(&engine.0.queue));
            let (closing, owner) = (engine.0.tables.closing.subscribe(), engine.0.pid);
            // As in a child, which has another number.
            Arc::get_mut(&mut engine.0).expect("the only one").pid = owner + 1;
            engine.end(Duration::MAX);
            assert!(tables.strong_count() > 0 && queue.strong_count() > 0, "{options}");
            assert!(closing.has_changed().is_ok_and(|changed| !changed), "{options}");
        }
    }

    #[test]
    fn threads_have_ended_when_the_end_returns() {
        let engine = Engine::new(r#"{"driver":"threaded"}"#).expect("an engine");
        let server = engine.server_new(r#"{"name":"x","version":"1"}"#).expect("a server");
        engine.serve_http(server, "{}").expect("serving");
        assert!(engine.wait(None));
        let queue = Arc::downgrade(&engine.0.queue);
        engine.end(Duration::MAX);
        assert_eq!(queue.strong_count(), 0);
    }
}
