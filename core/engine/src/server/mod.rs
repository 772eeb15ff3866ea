//! Servers: what is offered, and what carries it.

mod api;
pub(crate) mod call;
pub(crate) mod http;
pub(crate) mod stream;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use trunnion_proto::error::{ErrorKind, RpcError};
pub use trunnion_proto::limits::Limits;
pub use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::Catalog;

pub use api::{
    Args, BlockingFn, Completion, Context, ForCompletion, ForPrompt, ForResource, ForTool, FromCall,
    HandlerFn, HttpServer, IntoResult, Item, Json, Listening, LogLevel, Partial, Parts, Prompt, Resource,
    ResourceTemplate, Server, ServerBuilder, State, Tool, ToolError, Uri,
};
use call::{Call, Handler};

use crate::lock;

/// A server without its transports.
pub(crate) struct ServerCore {
    pub catalog: Catalog<Arc<dyn Handler>>,
    pub counters: Arc<Counters>,
}

/// What is alive: zero everywhere when everything was closed.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: Mutex<Counts>,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    connections: u64,
    operations: u64,
}

/// What [`Counters`] count.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Connection,
    Operation,
}

impl Counters {
    /// Counts one thing while it lives.
    pub fn count(self: &Arc<Self>, kind: Kind) -> Counted {
        *lock(&self.counts).of(kind) += 1;
        Counted { counters: self.clone(), kind }
    }

    /// How many live.
    pub fn live(&self, kind: Kind) -> u64 {
        *lock(&self.counts).of(kind)
    }

    /// Nothing lives.
    pub fn is_idle(&self) -> bool {
        lock(&self.counts).is_idle()
    }

    /// Block until nothing lives, on a thread that does not drive it. False: the time passed.
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
        }
    }

    fn is_idle(&self) -> bool {
        self.connections == 0 && self.operations == 0
    }
}

/// One live thing, as far as [`Counters`] are concerned.
#[derive(Debug)]
pub(crate) struct Counted {
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

/// Run a handler's future to its end, or until its caller has left. A panic fails this call only.
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
