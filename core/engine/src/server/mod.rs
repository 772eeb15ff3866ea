//! Servers: the items that they offer, and their transports.

pub mod asking;
pub mod auth;
pub mod call;
pub mod http;
mod inbox;
pub(crate) mod notices;
pub mod seal;
pub mod stream;
pub mod tasks;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::watch;
use trunnion_proto::error::{ErrorKind, RpcError};
pub use trunnion_proto::limits::Limits;
pub use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{
    Behaviour, Catalog, Dispatch as Decision, Entry, Input, Invalid, Item as ItemKind,
};
use trunnion_proto::server::post::Headers;
use trunnion_proto::server::{Filter, Notice, Request};
pub use trunnion_proto::tasks::TaskSupport;

use auth::Auth;
use call::{Call, Handler};
use notices::Line;
use seal::Sealer;
use tasks::{Answering, Creation, TaskOptions, Tasks, Whose};

use crate::driver::Driver;
use crate::store::{Bus, TaskStore};
use crate::sync::lock;
use crate::telemetry::{Failure, Span, Telemetry};

/// A server without its transports.
pub struct ServerCore {
    /// The items.
    pub catalog: Catalog<Arc<dyn Handler>>,
    /// The counters of live objects.
    pub counters: Arc<Counters>,
    /// The sealer of `requestState`.
    pub sealer: Sealer,
    /// The publisher of changes, in this process and to others.
    pub line: Arc<Line>,
    /// The tasks, in the store.
    pub tasks: Arc<Tasks>,
    /// A callback for changed roots of a legacy client.
    pub on_roots_changed: Option<Box<dyn Fn() + Send + Sync>>,
    /// The telemetry of requests.
    pub telemetry: Option<Telemetry>,
    /// The server authorization over HTTP; `None`: every caller is accepted.
    pub auth: Option<Auth>,
    /// True while the host that answers the calls is behind: until it has caught up, streams read nothing
    /// more. `None`: handlers are in this process.
    pub behind: Option<watch::Receiver<bool>>,
    /// True if a client could have seen the items.
    served: AtomicBool,
}

impl ServerCore {
    /// Returns a server that serves nothing yet.
    pub fn new(
        catalog: Catalog<Arc<dyn Handler>>,
        counters: Arc<Counters>,
        sealer: Sealer,
        on_roots_changed: Option<Box<dyn Fn() + Send + Sync>>,
        bus: Option<Arc<dyn Bus>>,
        task_store: Option<Arc<dyn TaskStore>>,
        task_options: TaskOptions,
    ) -> ServerCore {
        let line = Line::new(bus);
        let tasks = Tasks::new(task_store, task_options, line.clone());
        ServerCore {
            tasks,
            catalog,
            counters,
            sealer,
            line,
            on_roots_changed,
            telemetry: None,
            auth: None,
            behind: None,
            served: AtomicBool::new(false),
        }
    }

    /// Adds an item, and publishes the change.
    pub fn add(
        self: &Arc<Self>,
        item: ItemKind,
        definition: &str,
        behaviour: Behaviour,
        handler: Arc<dyn Handler>,
    ) -> Result<(), Invalid> {
        let has_tasks = behaviour.task.support != TaskSupport::Never;
        self.catalog.add(item, definition, behaviour, handler)?;
        self.changed(item);
        if has_tasks && self.served.load(Ordering::Acquire) {
            self.tasks.look(self, None);
        }
        Ok(())
    }

    /// Removes an item, and publishes the change. False: there was no such item.
    pub fn remove(&self, item: ItemKind, key: &str) -> bool {
        let removed = self.catalog.remove(item, key);
        if removed {
            self.changed(item);
        }
        removed
    }

    /// Returns the action for a request, and the span that its handler ends. The handler sees that span in
    /// `_meta`. `origin`: the identity of the legacy session of the request.
    pub fn dispatch(
        self: &Arc<Self>,
        request: &mut Request,
        headers: Option<&dyn Headers>,
        transport: &'static str,
        session: Option<&str>,
        origin: Option<&str>,
    ) -> (Dispatch, Option<Span>) {
        let Some(telemetry) = &self.telemetry else { return (self.decide(request, headers, origin), None) };
        let mut span = telemetry.serve(request, transport, session);
        let dispatch = self.decide(request, headers, origin);
        match &dispatch {
            Dispatch::Answer(outcome) => {
                let failure = Failure::of_outcome(request.method, outcome);
                span.end(failure);
                (dispatch, None)
            }
            Dispatch::Listen(_) => {
                span.end(None);
                (dispatch, None)
            }
            Dispatch::Forbid(_) => {
                span.end(Some(Failure::named("insufficient_scope")));
                (dispatch, None)
            }
            Dispatch::Run { .. } => {
                request.meta = span.enter(&request.meta);
                (dispatch, Some(span))
            }
        }
    }

    fn decide(
        self: &Arc<Self>,
        request: &Request,
        headers: Option<&dyn Headers>,
        origin: Option<&str>,
    ) -> Dispatch {
        let whose =
            || Whose { principal: request.access.principal().map(|principal| &**principal), session: origin };
        match self.catalog.dispatch(request, headers) {
            Decision::Run { entry, input } => Dispatch::Run { entry, input },
            Decision::Answer(outcome) => Dispatch::Answer(outcome),
            Decision::Listen(filter) => Dispatch::Listen(filter),
            Decision::Forbid(scopes) => Dispatch::Forbid(scopes),
            Decision::Create { entry, input, ttl } => {
                let asks = entry.asks.clone();
                let mut creating: Entry<Arc<dyn Handler>> =
                    Entry::internal(Arc::new(Creation::new(self, entry, ttl, whose())));
                // The questions that the entry declares are sent before the task is made.
                creating.asks = asks;
                Dispatch::Run { entry: Arc::new(creating), input }
            }
            Decision::Tasks(asked) => {
                let answering: Entry<Arc<dyn Handler>> =
                    Entry::internal(Arc::new(Answering::new(self, whose())));
                Dispatch::Run { entry: Arc::new(answering), input: Input::Tasks(asked) }
            }
        }
    }

    /// Publishes a change to all subscribers.
    pub fn publish(&self, notice: &Notice) {
        self.line.publish(notice);
    }

    /// Marks the server as serving: from here on clients may see its items.
    pub fn serves(self: &Arc<Self>, driver: &Driver) {
        self.served.store(true, Ordering::Release);
        self.tasks.look(self, Some(driver));
    }

    fn changed(&self, item: ItemKind) {
        // A process that starts changes nothing for the clients of the others.
        let served = self.served.load(Ordering::Acquire);
        if let Some(notice) = item.notice().filter(|_| served) {
            self.publish(&notice);
        }
    }

    fn roots_changed(&self) {
        if let Some(tell) = &self.on_roots_changed {
            tell();
        }
    }
}

/// The action for a request.
pub enum Dispatch {
    /// The engine answers.
    Answer(Outcome),
    /// The request stays open as a stream of notifications.
    Listen(Filter),
    /// The request needs these scopes, and the caller lacks some of them.
    Forbid(Vec<String>),
    /// A handler answers.
    Run {
        /// The item.
        entry: Arc<Entry<Arc<dyn Handler>>>,
        /// The handler's input.
        input: Input,
    },
}

/// Returns the error for a caller that lacks scopes, on transports without a challenge.
pub fn forbidden(scopes: &[String]) -> Outcome {
    let refusal = auth::Refusal::Scope;
    let data = serde_json::json!({ "reason": refusal.name(), "scopes": scopes });
    Outcome::Error(RpcError::new(ErrorKind::InvalidRequest, refusal.description()).with_data(data))
}

/// Counts of live objects: zero everywhere when everything was closed.
#[derive(Debug, Default)]
pub struct Counters {
    counts: Mutex<Counts>,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    connections: u64,
    operations: u64,
    sessions: u64,
}

/// The kinds of objects that [`Counters`] count.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A connection of a peer.
    Connection,
    /// An operation of the host.
    Operation,
    /// A session of a legacy client over HTTP.
    Session,
}

impl Counters {
    /// Counts one object while it lives.
    pub fn count(self: &Arc<Self>, kind: Kind) -> Counted {
        *lock(&self.counts).of(kind) += 1;
        Counted { counters: self.clone(), kind }
    }

    /// Returns the number of live objects of a kind.
    pub fn live(&self, kind: Kind) -> u64 {
        *lock(&self.counts).of(kind)
    }

    /// Returns true if nothing lives.
    pub fn is_idle(&self) -> bool {
        lock(&self.counts).is_idle()
    }

    /// Blocks until nothing lives, on a thread that does not drive it. False: the time passed.
    pub fn wait_idle(&self, limit: Duration) -> bool {
        let waited = self.idle.wait_timeout_while(lock(&self.counts), limit, |counts| !counts.is_idle());
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Connection => &mut self.connections,
            Kind::Operation => &mut self.operations,
            Kind::Session => &mut self.sessions,
        }
    }

    fn is_idle(&self) -> bool {
        self.connections == 0 && self.operations == 0
    }
}

/// One live object in [`Counters`].
#[derive(Debug)]
pub struct Counted {
    counters: Arc<Counters>,
    kind: Kind,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = lock(&self.counters.counts);
        *counts.of(self.kind) -= 1;
        if counts.is_idle() {
            self.counters.idle.notify_all();
        }
    }
}

/// Runs a handler's future to its end, or until the call is cancelled. A panic fails this call only.
pub(crate) async fn guarded(future: BoxFuture<'static, Outcome>, call: Call) -> Outcome {
    let work = AssertUnwindSafe(future).catch_unwind();
    let cancelled = std::pin::pin!(call.cancelled());
    let failed = |message: &str| Outcome::Error(RpcError::new(ErrorKind::InternalError, message));
    match select(work, cancelled).await {
        Either::Left((Ok(outcome), _)) => outcome,
        Either::Left((Err(_), _)) => failed("the handler failed"),
        Either::Right(_) => failed("cancelled"),
    }
}
