//! The Streamable HTTP server of the Rust API.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::ToSocketAddrs;
use tokio::sync::watch;
use trunnion_engine::driver::{Driver, Listener};
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::ServerCore;
use trunnion_engine::server::http::{self, HttpOptions, Phase, Stores, is_public_url};
use trunnion_engine::store::{EventStore, SessionStore};

use super::{HttpService, driver};

/// Options of a Streamable HTTP server; from [`Server::http`](super::Server::http).
#[derive(Clone)]
#[must_use = "nothing is served before bind()"]
pub struct HttpServer {
    core: Arc<ServerCore>,
    options: HttpOptions,
    drain_limit: Duration,
}

impl HttpServer {
    pub(super) fn new(core: Arc<ServerCore>, stores: Stores) -> HttpServer {
        let options = HttpOptions { stores, ..HttpOptions::default() };
        HttpServer { core, options, drain_limit: Duration::from_secs(5) }
    }

    /// Path of the endpoint. Default: `/mcp`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.options.path = path.into();
        self
    }

    /// Serves the transport of 2024-11-05, HTTP+SSE, at this path too. Default: it is not served.
    pub fn sse_path(mut self, path: impl Into<String>) -> Self {
        self.options.sse_path = Some(path.into());
        self
    }

    /// A `Host` header that is accepted besides loopback names and the bound address; `*` accepts all. What
    /// protects a server on this machine from web pages (DNS rebinding) is the refusal of all others.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.options.callers.allowed_hosts.push(host.into());
        self
    }

    /// An `Origin` header that is accepted besides loopback ones, and whose pages can use the server from
    /// browsers (CORS); `*` accepts all.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.options.callers.allowed_origins.push(origin.into());
        self
    }

    /// Sets the public URL of the endpoint, such as `https://mcp.example.com/mcp`; its host and its origin
    /// are accepted. Fails in [`HttpServer::bind`] if it is no http or https URL.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.options.callers.public_url = Some(url.into());
        self
    }

    /// The address of a proxy in front of the endpoint: its `X-Forwarded-Host` is checked like a `Host`.
    pub fn trusted_proxy(mut self, address: IpAddr) -> Self {
        self.options.callers.trusted_proxies.push(address);
        self
    }

    /// Sets whether legacy clients get sessions. Without sessions they cannot be sent input requests, receive
    /// no change notifications and cannot resume streams, and any process can answer any request. Default:
    /// true.
    pub fn sessions(mut self, sessions: bool) -> Self {
        self.options.sessions = sessions;
        self
    }

    /// Sets the time without use after which a session ends. Default: half an hour.
    pub fn session_idle(mut self, limit: Duration) -> Self {
        self.options.session_idle = limit;
        self
    }

    /// Sets the maximum number of sessions. Above it the server ends the session with the longest time
    /// without use, among those with a client that has sent only `initialize`; if there is none, `initialize`
    /// is refused with 503. Default: 10,000.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.options.max_sessions = sessions;
        self
    }

    /// The same for the sessions of one owner: a principal or, where nobody signs in, an IPv4 address or IPv6
    /// network of 64 bits. Loopback addresses and trusted proxies are nobody's. Default: 1000.
    pub fn max_sessions_per_owner(mut self, sessions: usize) -> Self {
        self.options.max_sessions_per_owner = sessions;
        self
    }

    /// Bytes that are kept for clients: events of legacy sessions that may have to be sent again, and bodies
    /// of requests until they are answered. One owner has an eighth of it, one session a sixteenth. What
    /// would need more is refused with 503. Default: 512 MiB.
    pub fn max_kept_bytes(mut self, bytes: usize) -> Self {
        self.options.max_kept_bytes = bytes;
        self
    }

    /// Stores sessions for other processes: any of them then answers any request of a session. They also need
    /// one [`Bus`](trunnion_engine::store::Bus), on which they tell each other what their clients say, and the same
    /// [`state_keys`](super::ServerBuilder::state_keys). A session that nobody uses then ends after
    /// `session_idle`, and before twice that. `initialize`, and what changes a session, is refused while the
    /// store fails. Default: sessions live in this process.
    pub fn session_store(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.options.stores.sessions = Some(store);
        self
    }

    /// Stores the events of streams for other processes: a client then comes back to its streams at any
    /// process, and a call goes on where it began. While the store fails, streams go on as they would
    /// without. It needs a [`session_store`](HttpServer::session_store), or [`HttpServer::bind`] fails.
    /// Default: a stream lives in the process where its call runs.
    pub fn event_store(mut self, store: Arc<dyn EventStore>) -> Self {
        self.options.stores.events = Some(store);
        self
    }

    /// Sets the maximum number of open connections, which the process's limit of descriptors also bounds;
    /// more are closed at once. Default: 10,000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.options.max_connections = connections;
        self
    }

    /// Sets the time for which calls in flight, and tasks that cannot run again elsewhere, may continue after
    /// [`Listening::close`]. Default: five seconds.
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// Listens and serves; port 0 picks a free one. Needs a tokio runtime with I/O and time enabled. Fails
    /// with kind `usage` for a path without its `/`, and with kind `transport` when the address cannot be
    /// had.
    pub async fn bind(self, address: impl ToSocketAddrs) -> Result<Listening, Error> {
        self.check()?;
        let driver = driver()?;
        let mut listener = Err(std::io::Error::other("the name has no address"));
        let resolved = tokio::net::lookup_host(address).await;
        for address in resolved.map_err(|error| cannot_listen(&error))? {
            listener = driver.listen(address).await;
            if listener.is_ok() {
                break;
            }
        }
        self.serve(driver, listener.map_err(|error| cannot_listen(&error))?)
    }

    /// Listens on a Unix socket at this path and serves; otherwise as [`HttpServer::bind`]. Only this user
    /// can connect: the file has mode 0600, which you can change. One that a server left behind is replaced;
    /// fails with kind `transport` when a server listens there, or when the file is no socket. The file is
    /// removed when the listener is closed.
    pub async fn bind_unix(self, path: impl AsRef<Path>) -> Result<Listening, Error> {
        self.check()?;
        let driver = driver()?;
        let path = path.as_ref();
        let listener = driver.listen_unix(path).await.map_err(|error| {
            Error::local(local::TRANSPORT, format!("cannot listen on {}: {error}", path.display()))
        })?;
        self.serve(driver, listener)
    }

    /// The endpoint as a [`tower_service::Service`], for axum, hyper and the like to carry. Needs a tokio
    /// runtime with time enabled. Fails as [`HttpServer::bind`] does for wrong options. The connections are
    /// not ours, so `max_connections` is the most requests that are answered at a time; further ones are
    /// refused with 503.
    pub fn tower_service(self) -> Result<HttpService, Error> {
        self.check()?;
        let driver = driver()?;
        let guard = http::guard(&self.core, &self.options, None, &driver)?;
        Ok(HttpService::new(self.core, driver, self.options, guard, self.drain_limit))
    }

    fn check(&self) -> Result<(), Error> {
        if !self.options.path.starts_with('/') {
            return Err(Error::usage("path must begin with '/'"));
        }
        let sse_path = self.options.sse_path.as_deref();
        if sse_path.is_some_and(|path| !path.starts_with('/') || path == self.options.path) {
            return Err(Error::usage("sse_path must begin with '/' and be another than path"));
        }
        if self.options.stores.events.is_some() && self.options.stores.sessions.is_none() {
            return Err(Error::usage("event_store needs a session_store"));
        }
        if self.options.callers.public_url.as_deref().is_some_and(|url| !is_public_url(url)) {
            return Err(Error::usage("public_url must be an http or https URL"));
        }
        Ok(())
    }

    fn serve(self, driver: Driver, listener: Listener) -> Result<Listening, Error> {
        let guard = http::guard(&self.core, &self.options, Some(&listener), &driver)?;
        let address = http::bound(&listener);
        let url = http::local_url(&listener, &self.options.path);
        let phase = watch::Sender::new(Phase::Serving);
        let (end, ended) = watch::channel(None);
        let serving = http::serve(
            self.core,
            driver.clone(),
            listener,
            self.options,
            guard,
            phase.subscribe(),
            self.drain_limit,
        );
        driver.spawn(async move {
            end.send_replace(Some(serving.await));
        });
        Ok(Listening { address, url, phase, ended })
    }
}

impl std::fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpServer").field("options", &self.options).finish_non_exhaustive()
    }
}

fn cannot_listen(error: &std::io::Error) -> Error {
    Error::local(local::TRANSPORT, format!("cannot listen: {error}"))
}

/// An endpoint that is being served. Dropping it drops its connections.
#[derive(Debug)]
pub struct Listening {
    address: Option<SocketAddr>,
    url: String,
    phase: watch::Sender<Phase>,
    /// The result of serving. Closed without a result if the runtime ended first.
    ended: watch::Receiver<Option<Result<(), Error>>>,
}

impl Listening {
    /// The URL for clients on this machine; that of a Unix socket begins with `http+unix://`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bound address; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Ends gracefully: takes no more requests, and waits until those in flight are answered or the drain
    /// limit has passed.
    pub async fn close(self) {
        self.phase.send_replace(Phase::Draining);
        // That it had ended before is no news to who ends it.
        let _ = self.closed().await;
    }

    /// Completes when serving has ended. Fails with kind `transport` when it did because the listener failed.
    pub async fn closed(&self) -> Result<(), Error> {
        match self.ended.clone().wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Stopped);
    }
}
