//! Streamable HTTP on a listener of the engine, on either driver.

mod answer;
mod body;
mod budget;
mod caller;
mod connection;
mod cors;
mod endpoint;
mod follow;
mod listen;
mod log;
mod older;
mod pipe;
mod pump;
mod sessions;
mod shared;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod work;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::watch;

pub use answer::{ResponseBody, too_many};
pub use caller::{Callers, is_public_url};
pub use endpoint::Endpoint;
pub use shared::Stores;

use super::ServerCore;
use super::auth::Guard;
use crate::driver::{Driver, Listener, Place, sockets};
use crate::error::{Error, local};
use crate::outbound::unix_url;

/// The time for which a client may read nothing, plus a second for each KiB that it reads meanwhile.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Options of an endpoint.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Path of the endpoint.
    pub path: String,
    /// Path of the transport of 2024-11-05, if that is served too.
    pub sse_path: Option<String>,
    /// The callers that are accepted.
    pub callers: Callers,
    /// Maximum number of open connections.
    pub max_connections: usize,
    /// The time for which a client may read nothing of the data sent to it.
    pub stall: Duration,
    /// True if legacy clients get sessions.
    pub sessions: bool,
    /// The time without use after which a session ends.
    pub session_idle: Duration,
    /// Maximum number of sessions.
    pub max_sessions: usize,
    /// Maximum number of sessions of one owner.
    pub max_sessions_per_owner: usize,
    /// Maximum number of bytes that are stored for clients.
    pub max_kept_bytes: usize,
    /// The stores that other processes share.
    pub stores: Stores,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            path: "/mcp".into(),
            sse_path: None,
            callers: Callers::default(),
            max_connections: 10_000,
            stall: STALL_LIMIT,
            sessions: true,
            session_idle: Duration::from_secs(30 * 60),
            max_sessions: 10_000,
            max_sessions_per_owner: 1000,
            max_kept_bytes: 512 << 20,
            stores: Stores::default(),
        }
    }
}

/// The phases of an endpoint's shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are accepted.
    Serving,
    /// No new connections and requests; those in flight are answered.
    Draining,
    /// Everything is dropped.
    Stopped,
}

/// The address of a listener that has one.
pub fn bound(listener: &Listener) -> Option<SocketAddr> {
    match listener.place() {
        Place::Tcp(address) => Some(address),
        Place::Unix(_) => None,
    }
}

/// The URL of an endpoint for clients on this machine.
pub fn local_url(listener: &Listener, path: &str) -> String {
    match listener.place() {
        Place::Tcp(address) => format!("http://{address}{path}"),
        Place::Unix(socket) => format!("{}{path}", unix_url(socket)),
    }
}

/// The guard of an endpoint that is to be served, if its server has one. An error is of kind `usage`.
pub fn guard(
    server: &ServerCore,
    options: &HttpOptions,
    listener: Option<&Listener>,
    driver: &Driver,
) -> Result<Option<Guard>, Error> {
    let Some(auth) = &server.auth else { return Ok(None) };
    // Of all addresses none is what clients know.
    let local =
        listener.filter(|listener| bound(listener).is_some_and(|address| !address.ip().is_unspecified()));
    let local = || local.map(|listener| local_url(listener, &options.path));
    let url = options.callers.public_url.clone().or_else(local);
    Guard::new(auth, url, &options.path, driver).map(Some)
}

/// Serves a listener until `phase` leaves [`Phase::Serving`] and its connections have ended. Fails with kind
/// `transport` when the listener does, once the connections that it had have ended.
pub async fn serve(
    server: Arc<ServerCore>,
    driver: Driver,
    listener: Listener,
    options: HttpOptions,
    guard: Option<Guard>,
    mut phase: watch::Receiver<Phase>,
    drain_limit: Duration,
) -> Result<(), Error> {
    let descriptors = sockets::descriptor_limit();
    let (stall, max_connections) = (options.stall, most_connections(options.max_connections, descriptors));
    if max_connections < options.max_connections {
        let wanted = options.max_connections;
        tracing::warn!(
            "the process may have {} descriptors open (ulimit -n): {max_connections} connections are taken, not {wanted} \
             (maxConnections)",
            descriptors.unwrap_or_default(),
        );
    }
    let bound = bound(&listener).map(|address| address.ip());
    let endpoint = Arc::new(Endpoint::new(server, driver.clone(), options, guard, bound, phase.clone()));
    // Every connection holds a receiver: closed when the last one has ended, dropped to end them all.
    let open = watch::Sender::new(());
    let failed = loop {
        let accepted = {
            let accept = std::pin::pin!(listener.accept());
            let stop = std::pin::pin!(phase.wait_for(|phase| *phase > Phase::Serving));
            match select(accept, stop).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => break None,
            }
        };
        let (conn, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => break Some(error),
        };
        if open.receiver_count() >= max_connections {
            continue;
        }
        let (endpoint, mut open, phase) = (endpoint.clone(), open.subscribe(), phase.clone());
        let timer = driver.clone();
        driver.spawn(async move {
            let serving = std::pin::pin!(connection::serve(endpoint, timer, conn, peer, phase, stall));
            let dropped = std::pin::pin!(open.changed());
            select(serving, dropped).await;
        });
    };
    drop(listener);
    let handed_over = std::pin::pin!(endpoint.drain(drain_limit));
    // The connections end by themselves while draining; what is left is dropped at the limit or when stopped.
    let stopped = std::pin::pin!(phase.wait_for(|phase| *phase == Phase::Stopped));
    let limit = std::pin::pin!(driver.sleep(drain_limit));
    let closed = std::pin::pin!(open.closed());
    let closed = select(closed, limit);
    let ended = std::pin::pin!(futures_util::future::join(closed, handed_over));
    let _ = select(stopped, ended).await;
    endpoint.close();
    match failed {
        None => Ok(()),
        Some(error) => Err(Error::local(local::TRANSPORT, format!("the listener failed: {error}"))),
    }
}

/// Returns the maximum number of connections of a listener: the option, or the process's limit of descriptors
/// less the share reserved for the host (an eighth of them, and at least 32).
fn most_connections(option: usize, descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else { return option };
    let left = descriptors.saturating_sub((descriptors / 8).max(32)).max(1);
    option.min(usize::try_from(left).unwrap_or(usize::MAX))
}
