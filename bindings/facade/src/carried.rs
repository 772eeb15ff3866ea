//! Streamable HTTP embedded in the host's web server, which hands requests in and receives responses (design
//! D5).

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{AbortHandle, Abortable, select};
use http::Response;
use http::request::Parts;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use tokio::sync::watch;
use trunnion_engine::driver::Driver;
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::ServerCore;
use trunnion_engine::server::auth::Guard;
use trunnion_engine::server::http::{Endpoint, HttpOptions, Phase, too_many};
use trunnion_proto::json;

use super::queue::{Event, Queue, kind};
use super::servers::{DRAIN_LIMIT, stopped};
use super::tables::{Operation, Tables};
use super::{Engine, options};

/// An endpoint without a listener.
pub(crate) struct Carried {
    endpoint: Arc<Endpoint>,
    /// The sender of which every request holds a receiver.
    open: watch::Sender<()>,
    /// The reference that every running request holds.
    slots: Arc<()>,
    /// Most requests that are answered at a time.
    most: usize,
}

/// The head of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    method: String,
    /// Path and query.
    target: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    peer: Option<IpAddr>,
}

impl Head {
    fn into_parts(self) -> Result<Parts, String> {
        let mut request = http::Request::builder().method(self.method.as_str()).uri(self.target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).map(|request| request.into_parts().0).map_err(|error| error.to_string())
    }
}

/// Serves without a listener until the phases report a stop; then `op` ends.
pub(super) fn serve(
    tables: &Arc<Tables>,
    server: Arc<ServerCore>,
    driver: &Driver,
    options: HttpOptions,
    guard: Option<Guard>,
    server_phase: watch::Receiver<Phase>,
) -> u64 {
    let stop = watch::Sender::new(Phase::Serving);
    let most = options.max_connections;
    let endpoint = Arc::new(Endpoint::new(server, driver.clone(), options, guard, None, stop.subscribe()));
    let carried = Arc::new(Carried { endpoint, open: watch::Sender::new(()), slots: Arc::default(), most });
    let op = tables.begin(Operation::Serve(stop.clone(), Some(carried.clone())));
    let (tables, timer) = (tables.clone(), driver.clone());
    driver.spawn(async move {
        stopped(stop.subscribe(), server_phase).await;
        super::tables::advance(&stop, Phase::Draining);
        let handed_over = carried.endpoint.drain(DRAIN_LIMIT);
        let limit = std::pin::pin!(timer.sleep(DRAIN_LIMIT));
        let closed = std::pin::pin!(carried.open.closed());
        let closed = select(closed, limit);
        futures_util::future::join(closed, handed_over).await;
        carried.endpoint.close();
        tables.end(op, Ok("{}".into()));
    });
    op
}

impl Engine {
    /// Hands a request to an endpoint that is embedded in the host (`serve_http` with the option `carried`);
    /// returns the operation. `head`: `{method, target, headers: [[name, value], …], peer?}`, target being
    /// path and query and peer the address of the connected peer. HTTP_HEAD follows, HTTP_CHUNKs, and the
    /// RESULT when the response is complete. When the caller has disconnected, cancel the operation.
    pub fn http_request(&self, endpoint: u64, head: &str, body: &[u8]) -> Result<u64, Error> {
        let inner = self.check()?;
        let carried = inner
            .tables
            .carried(endpoint)
            .ok_or_else(|| Error::local(local::CLOSED, format!("there is no carried endpoint {endpoint}")))?;
        let head: Head = options::parse("head", head)?;
        let peer = head.peer;
        let parts = head.into_parts().map_err(|why| Error::usage(format!("head: {why}")))?;
        let body = Full::new(Bytes::copy_from_slice(body));
        let (abort, registration) = AbortHandle::new_pair();
        let op = inner.tables.begin(Operation::Carry(abort));
        let (tables, open) = (inner.tables.clone(), carried.open.subscribe());
        let slot = carried.slots.clone();
        // One of the references is the endpoint's own.
        let is_busy = Arc::strong_count(&slot) - 1 > carried.most;
        inner.driver.spawn(async move {
            let answering = async {
                if is_busy {
                    too_many(carried.most)
                } else {
                    carried.endpoint.handle(&parts, body, peer).await
                }
            };
            let carrying = carry(answering, &tables.queue, op);
            let carried = Abortable::new(carrying, registration).await;
            // A client that receives the end may send the next request.
            drop(slot);
            // Aborted: the code that aborted it has ended the operation.
            if carried.is_ok() {
                tables.end(op, Ok("{}".into()));
            }
            drop(open);
        });
        Ok(op)
    }
}

async fn carry<B: Body<Data = Bytes> + Unpin>(
    answering: impl Future<Output = Response<B>>,
    queue: &Queue,
    op: u64,
) {
    let response = answering.await;
    let (head, mut body) = response.into_parts();
    let headers: Vec<String> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name, value.to_str().ok()?)))
        .map(|(name, value)| format!("[{},{}]", json::string(name.as_str()), json::string(value)))
        .collect();
    let payload = format!("{{\"status\":{},\"headers\":[{}]}}", head.status.as_u16(), headers.join(","));
    queue.push(Event { kind: kind::HTTP_HEAD, id: op, target: 0, payload });
    // Data that is taken from the body counts as sent, and no limit counts data that waits in the queue:
    // nothing more is taken while the host is behind.
    let mut full = queue.fullness();
    while full.wait_for(|full| !full).await.is_ok()
        && let Some(Ok(frame)) = body.frame().await
    {
        let Ok(data) = frame.into_data() else { continue };
        // Every response of an endpoint is text.
        let payload = json::string(&String::from_utf8_lossy(&data));
        queue.push(Event { kind: kind::HTTP_CHUNK, id: op, target: 0, payload });
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::{Context, Waker};

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::super::queue::Notify;
    use super::*;

    #[test]
    fn a_host_that_does_not_drain_is_not_given_all_of_a_response() {
        let queue = Queue::new(Notify::signal().expect("a descriptor"));
        let pieces =
            stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 1 << 20]))));
        let response = std::future::ready(Response::new(StreamBody::new(pieces)));
        let mut carrying = std::pin::pin!(carry(response, &queue, 1));
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = 0;
        for _ in 0..2 {
            assert!(carrying.as_mut().poll(&mut cx).is_pending());
            let events = queue.take(usize::MAX);
            taken += events.iter().filter(|event| event.kind == kind::HTTP_CHUNK).count();
        }
        // With its quotes the eighth exceeds the bytes that may wait.
        assert_eq!(taken, 2 * 8, "what waits is bounded, and it goes on when that is taken");
    }
}
