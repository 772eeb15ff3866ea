//! The endpoint as a tower service, mounted in the web server of a Rust program.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tower_service::Service;
use trunnion_engine::driver::Driver;
use trunnion_engine::server::ServerCore;
use trunnion_engine::server::auth::Guard;
use trunnion_engine::server::http::{Endpoint, HttpOptions, Phase, ResponseBody, too_many};

/// A Streamable HTTP endpoint that another web server carries; from
/// [`HttpServer::tower_service`](super::HttpServer::tower_service). Clones are the same endpoint.
///
/// It looks at the whole path of a request, so it belongs where the path is left as it came (axum:
/// `route_service`, not `nest_service`). A [`SocketAddr`] among the request's extensions is taken for who has
/// connected, which matters for [`trusted_proxy`](super::HttpServer::trusted_proxy) alone. Dropping the
/// response's future or its body is the caller leaving: its call is cancelled, or goes on for a while where
/// its session lets it come back.
///
/// Sessions and streams end when the last clone and the last response are dropped.
#[derive(Clone)]
pub struct HttpService {
    carried: Arc<Carried>,
}

struct Carried {
    endpoint: Endpoint,
    phase: watch::Sender<Phase>,
    drain_limit: Duration,
    /// Every request that is being answered has a copy.
    requests: Arc<()>,
    /// The maximum number of requests.
    most: usize,
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Stopped);
        self.endpoint.close();
    }
}

impl HttpService {
    pub(super) fn new(
        core: Arc<ServerCore>,
        driver: Driver,
        options: HttpOptions,
        guard: Option<Guard>,
        drain_limit: Duration,
    ) -> HttpService {
        let phase = watch::Sender::new(Phase::Serving);
        let most = options.max_connections;
        let endpoint = Endpoint::new(core, driver, options, guard, None, phase.subscribe());
        HttpService {
            carried: Arc::new(Carried { endpoint, phase, drain_limit, requests: Arc::default(), most }),
        }
    }

    /// Ends what only waits for changes, so that the web server's own graceful end need not wait for it, and
    /// hands tasks over to other processes. Calls in flight go on. Calling this again does nothing.
    pub fn drain(&self) {
        self.carried.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            *phase = (*phase).max(Phase::Draining);
            serving
        });
        // The web server waits for its connections, not for this.
        drop(self.carried.endpoint.drain(self.carried.drain_limit));
    }
}

impl<B> Service<Request<B>> for HttpService
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<HttpBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<HttpBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let carried = self.carried.clone();
        let place = carried.requests.clone();
        // The endpoint has one of its own.
        let is_busy = Arc::strong_count(&place) > carried.most.saturating_add(1);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let peer = head.extensions.get::<SocketAddr>().map(SocketAddr::ip);
            let response = match is_busy {
                true => too_many(carried.most),
                false => carried.endpoint.handle(&head, body, peer).await,
            };
            Ok(response.map(|content| HttpBody { content, _place: place, _carried: carried }))
        })
    }
}

impl std::fmt::Debug for HttpService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpService").finish_non_exhaustive()
    }
}

/// The body of a response of [`HttpService`]: one piece of JSON, or a stream of events.
pub struct HttpBody {
    content: ResponseBody,
    _place: Arc<()>,
    /// The endpoint lives for as long as somebody reads from it.
    _carried: Arc<Carried>,
}

impl Body for HttpBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.content).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

impl std::fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpBody").finish_non_exhaustive()
    }
}
