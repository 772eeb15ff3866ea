//! Streamable HTTP that the host carries: its own web server hands requests in and takes responses out (design D5).

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{AbortHandle, Abortable, select};
use http::request::Parts;
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use tokio::sync::watch;
use trunnion_proto::json;

use super::queue::{Event, kind};
use super::servers::{DRAIN_LIMIT, stopped};
use super::tables::{Operation, Tables};
use super::{Engine, options};
use crate::driver::Driver;
use crate::error::{Error, local};
use crate::server::ServerCore;
use crate::server::auth::Guard;
use crate::server::http::{Endpoint, HttpOptions, Phase};

/// An endpoint without a listener.
pub(crate) struct Carried {
    endpoint: Arc<Endpoint>,
    /// Every request holds a receiver.
    open: watch::Sender<()>,
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

/// Serve without a listener until the phases say stop; then `op` ends.
pub(super) fn serve(
    tables: &Arc<Tables>,
    server: Arc<ServerCore>,
    driver: &Driver,
    options: HttpOptions,
    guard: Option<Guard>,
    server_phase: watch::Receiver<Phase>,
) -> u64 {
    let stop = watch::Sender::new(Phase::Serving);
    let endpoint = Arc::new(Endpoint::new(server, driver.clone(), options, guard, None, stop.subscribe()));
    let carried = Arc::new(Carried { endpoint, open: watch::Sender::new(()) });
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
    /// Hand a request to an endpoint that the host carries (`serve_http` with the option `carried`); returns the operation.
    /// `head`: `{method, target, headers: [[name, value], …], peer?}`, target being path and query and peer the address of
    /// who has connected. HTTP_HEAD follows, HTTP_CHUNKs, and the RESULT when the response is complete. When the caller has
    /// left, cancel the operation.
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
        inner.driver.spawn(async move {
            let carrying = carry(&carried.endpoint, &tables, op, parts, body, peer);
            // Aborted: whoever did it has ended the operation.
            if Abortable::new(carrying, registration).await.is_ok() {
                tables.end(op, Ok("{}".into()));
            }
            drop(open);
        });
        Ok(op)
    }
}

async fn carry(
    endpoint: &Endpoint,
    tables: &Tables,
    op: u64,
    parts: Parts,
    body: Full<Bytes>,
    peer: Option<IpAddr>,
) {
    let response = endpoint.handle(&parts, body, peer).await;
    let (head, mut body) = response.into_parts();
    let headers: Vec<String> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name, value.to_str().ok()?)))
        .map(|(name, value)| format!("[{},{}]", json::string(name.as_str()), json::string(value)))
        .collect();
    let payload = format!("{{\"status\":{},\"headers\":[{}]}}", head.status.as_u16(), headers.join(","));
    tables.queue.push(Event { kind: kind::HTTP_HEAD, id: op, target: 0, payload });
    // What is taken from the body counts as sent, and what waits in the queue counts for nobody: nothing more is taken while the
    // host is behind.
    let mut full = tables.queue.fullness();
    while full.wait_for(|full| !full).await.is_ok()
        && let Some(Ok(frame)) = body.frame().await
    {
        let Ok(data) = frame.into_data() else { continue };
        // Everything an endpoint says is text.
        let payload = json::string(&String::from_utf8_lossy(&data));
        tables.queue.push(Event { kind: kind::HTTP_CHUNK, id: op, target: 0, payload });
    }
}
