//! Servers: what is offered, and what carries it.

pub(crate) mod call;
pub(crate) mod catalog;
pub(crate) mod http;
mod schema;
pub(crate) mod stream;
mod template;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::outcome::Outcome;

use call::Call;
use catalog::Catalog;

/// A server without its transports.
pub(crate) struct ServerCore {
    pub catalog: Catalog,
    pub counters: Arc<Counters>,
}

/// What is alive: zero everywhere when everything was closed.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    connections: AtomicU64,
}

impl Counters {
    /// Counts one connection while it lives.
    pub fn connection(self: &Arc<Self>) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One connection, as far as [`Counters`] are concerned.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Counters>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
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
