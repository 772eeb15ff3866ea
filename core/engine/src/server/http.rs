//! Streamable HTTP: the endpoint as a hyper service, on either driver.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, Either, select};
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::sync::watch;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::jsonrpc;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::post::{Admission, Headers, Lookup, admit_post};
use trunnion_proto::server::{Exchange, Stamp};

use super::call::{Call, Inbox, Say, Start};
use super::{Kind, ServerCore, guarded};
use crate::driver::{Conn, Driver, Listener, Sleep};
use trunnion_proto::server::catalog::Dispatch;

/// Silence on an event stream after which a comment keeps intermediaries from closing it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client may take to send the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long a client may take to send a request's body, besides a second for each [`BODY_RATE`] bytes of it.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of a body in a second that count as sending it.
const BODY_RATE: u64 = 1024;
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;

/// Where and to whom an endpoint listens.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Path of the endpoint.
    pub path: String,
    /// Host header values accepted besides loopback names and the bound address; `*` accepts all.
    pub allowed_hosts: Vec<String>,
    /// Origin header values accepted besides loopback ones; `*` accepts all.
    pub allowed_origins: Vec<String>,
    /// Most open connections.
    pub max_connections: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            path: "/mcp".into(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_connections: 10_000,
        }
    }
}

/// How far an endpoint is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// No new connections and requests; those in flight are answered.
    Draining,
    /// Everything is dropped.
    Stopped,
}

/// Serve a listener until `phase` leaves [`Phase::Serving`] and its connections have ended.
pub(crate) async fn serve(
    server: Arc<ServerCore>,
    driver: Driver,
    listener: Listener,
    options: HttpOptions,
    mut phase: watch::Receiver<Phase>,
    drain_limit: Duration,
) {
    let endpoint = Arc::new(Endpoint { local: listener.local_addr(), server, driver, options });
    // Every connection holds a receiver: closed when the last one has ended, dropped to end them all.
    let open = watch::Sender::new(());
    loop {
        let accepted = {
            let accept = std::pin::pin!(listener.accept());
            let stop = std::pin::pin!(phase.wait_for(|phase| *phase > Phase::Serving));
            match select(accept, stop).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => break,
            }
        };
        let Ok((conn, _)) = accepted else { break };
        if open.receiver_count() >= endpoint.options.max_connections {
            continue;
        }
        let (endpoint, mut open, phase) = (endpoint.clone(), open.subscribe(), phase.clone());
        endpoint.driver.clone().spawn(async move {
            let serving = std::pin::pin!(connection(endpoint, conn, phase));
            let dropped = std::pin::pin!(open.changed());
            select(serving, dropped).await;
        });
    }
    drop(listener);
    // The connections end by themselves while draining; what is left is dropped at the limit or when stopped.
    let stopped = std::pin::pin!(phase.wait_for(|phase| *phase == Phase::Stopped));
    let limit = std::pin::pin!(endpoint.driver.sleep(drain_limit));
    let ended = std::pin::pin!(open.closed());
    let _ = select(select(stopped, limit), ended).await;
}

async fn connection(endpoint: Arc<Endpoint>, conn: Conn, mut phase: watch::Receiver<Phase>) {
    let _counted = endpoint.server.counters.count(Kind::Connection);
    let timer = endpoint.driver.clone();
    let service = {
        let endpoint = endpoint.clone();
        service_fn(move |request| {
            let endpoint = endpoint.clone();
            async move { Ok::<_, Infallible>(endpoint.handle(request).await) }
        })
    };
    let mut serving = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(timer)
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_BYTES.max(8192))
            .pipeline_flush(true)
            .serve_connection(conn, service)
    );
    {
        let draining = std::pin::pin!(phase.wait_for(|phase| *phase > Phase::Serving));
        // An error is the client's: there is nobody left to tell.
        if let Either::Left(_) = select(serving.as_mut(), draining).await {
            return;
        }
    }
    serving.as_mut().graceful_shutdown();
    let stopped = std::pin::pin!(phase.wait_for(|phase| *phase == Phase::Stopped));
    let _ = select(serving, stopped).await;
}

/// A response that ends a request before the protocol sees it.
type Refusal = Box<Response<ResponseBody>>;

struct Endpoint {
    server: Arc<ServerCore>,
    driver: Driver,
    options: HttpOptions,
    local: SocketAddr,
}

impl Endpoint {
    async fn handle(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let (head, body) = request.into_parts();
        if let Err(refusal) = self.check_caller(&head.headers) {
            return *refusal;
        }
        if head.uri.path() != self.options.path {
            return plain(StatusCode::NOT_FOUND, format!("the endpoint is {}", self.options.path));
        }
        if head.method != Method::POST {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "the endpoint takes POST".into());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if !is_json(&head.headers) {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json".into());
        }
        let accepts = Accepts::of(&head.headers);
        if !accepts.json && !accepts.events {
            let message = "Accept must list application/json and text/event-stream";
            return plain(StatusCode::NOT_ACCEPTABLE, message.into());
        }
        let settings = self.server.catalog.settings();
        let body = match self.read_body(body, &head.headers, settings.limits.message_bytes).await {
            Ok(body) => body,
            Err(refusal) => return *refusal,
        };
        let headers = HeaderView(&head.headers);
        match admit_post(settings, &headers, &body) {
            Admission::Accepted => empty(StatusCode::ACCEPTED),
            Admission::Refused { status, body } => json(status, body),
            Admission::Request(admitted) => {
                let (mut exchange, request) = *admitted;
                match self.server.catalog.dispatch(&request, Some(&headers)) {
                    Dispatch::Answer(outcome) => self.answer(&mut exchange, outcome),
                    Dispatch::Run { entry, input } => {
                        exchange.answered_by(&entry, &request);
                        let inbox = Arc::new(Inbox::default());
                        let call = Call::new(inbox.clone(), 0, "http", request);
                        let start = entry.handler.start(call.clone(), input);
                        let mut work = Work { call: call.clone(), inbox, future: None, limit: None };
                        match start {
                            // What it said on the way comes before its answer.
                            Start::Done(outcome) if work.inbox.is_empty() => {
                                call.settle();
                                return self.answer(&mut exchange, outcome);
                            }
                            Start::Done(outcome) => {
                                call.complete(outcome);
                            }
                            Start::Later => {}
                            Start::Future(future) => work.future = Some(Box::pin(guarded(future, call))),
                        }
                        if let Some(timeout) = entry.timeout {
                            work.limit = Some(self.driver.sleep(timeout));
                        }
                        self.respond(exchange, work, accepts).await
                    }
                }
            }
        }
    }

    async fn read_body(
        &self,
        mut body: Incoming,
        headers: &HeaderMap,
        limit: usize,
    ) -> Result<Bytes, Refusal> {
        let too_large = || {
            let error = RpcError::new(
                ErrorKind::InvalidRequest,
                format!("message exceeds {limit} bytes (maxMessageBytes)"),
            );
            Box::new(json(413, jsonrpc::error(None, &error)))
        };
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let began = Instant::now();
        // Most bodies come with their head and need none.
        let mut timer = None;
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        loop {
            let frame = std::future::poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending => {
                    let earned = Duration::from_secs(first.len().max(rest.len()) as u64 / BODY_RATE);
                    let limit = || self.driver.sleep_until(began + BODY_LIMIT + earned);
                    Pin::new(timer.get_or_insert_with(limit)).poll(cx).map(Err)
                }
            });
            let frame = frame.await;
            timer = None;
            match frame {
                Err(()) => {
                    let message = "the body took too long".into();
                    return Err(Box::new(plain(StatusCode::REQUEST_TIMEOUT, message)));
                }
                Ok(None) => return Ok(if rest.is_empty() { first } else { rest.freeze() }),
                Ok(Some(Err(_))) => {
                    return Err(Box::new(plain(StatusCode::BAD_REQUEST, "the body broke off".into())));
                }
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if first.len().max(rest.len()) + data.len() > limit {
                        return Err(too_large());
                    }
                    // One frame is the common case, and needs no copy.
                    if first.is_empty() && rest.is_empty() {
                        first = data;
                    } else {
                        if rest.is_empty() {
                            rest.reserve(declared.unwrap_or(0) as usize);
                            rest.extend_from_slice(&first);
                        }
                        rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn answer(&self, exchange: &mut Exchange, outcome: Outcome) -> Response<ResponseBody> {
        match exchange.finish(outcome, self.server.catalog.stamp()) {
            Some(finished) => json(finished.status, finished.bytes),
            None => empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// JSON or an event stream, chosen late: a stream only once there is something to say before the answer.
    async fn respond(
        &self,
        mut exchange: Exchange,
        mut work: Work,
        accepts: Accepts,
    ) -> Response<ResponseBody> {
        loop {
            let message = match std::future::poll_fn(|cx| work.poll_next(cx)).await {
                Say::Done(outcome) => return self.answer(&mut exchange, outcome),
                Say::Progress(step) => exchange.progress(&step),
                Say::Log(entry) => exchange.log(&entry),
            };
            let Some(first) = message.filter(|_| accepts.events) else { continue };
            let stream = EventStream {
                exchange,
                work,
                stamp: self.server.catalog.stamp().clone(),
                pending: Some(event(&first)),
                keep_alive: self.driver.sleep(KEEP_ALIVE),
                over: false,
            };
            let mut response = Response::new(ResponseBody::Events(Box::new(stream)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
            return response;
        }
    }

    /// DNS rebinding: a page that resolves its own name to this machine still names itself in Host and
    /// Origin (2026-07-28, Streamable HTTP, "Security & Endpoint").
    fn check_caller(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let refuse = |what: &str, value: &[u8], key: &str| {
            let value = String::from_utf8_lossy(value);
            let message = format!("{what} {value:?} is not allowed; add it to {key}");
            let error = RpcError::new(ErrorKind::InvalidRequest, message);
            Err(Box::new(json(403, jsonrpc::error(None, &error))))
        };
        // All of them: which of several another program would go by is anybody's guess.
        for host in headers.get_all(HOST) {
            let allowed = host.to_str().is_ok_and(|host| {
                is_local_authority(host, self.local.ip()) || listed(&self.options.allowed_hosts, host)
            });
            if !allowed {
                return refuse("Host", host.as_bytes(), "allowedHosts");
            }
        }
        for origin in headers.get_all(ORIGIN) {
            let allowed = origin.to_str().is_ok_and(|origin| {
                let authority = origin.split_once("://").map(|(_, authority)| authority);
                authority.is_some_and(|authority| is_local_authority(authority, self.local.ip()))
                    || listed(&self.options.allowed_origins, origin)
            });
            if !allowed {
                return refuse("Origin", origin.as_bytes(), "allowedOrigins");
            }
        }
        Ok(())
    }
}

fn listed(list: &[String], value: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(value))
}

/// `localhost`, a loopback address, or the very address that is bound; any port.
fn is_local_authority(authority: &str, bound: IpAddr) -> bool {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or((rest, "]")),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || (ip == bound && !bound.is_unspecified()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| {
        let essence = media_type.split(';').next().unwrap_or(media_type);
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

#[derive(Clone, Copy)]
struct Accepts {
    json: bool,
    events: bool,
}

impl Accepts {
    fn of(headers: &HeaderMap) -> Accepts {
        let mut accepts = Accepts { json: false, events: false };
        let mut any = false;
        for value in headers.get_all(ACCEPT) {
            any = true;
            for item in value.to_str().unwrap_or_default().split(',') {
                let mut parts = item.split(';').map(str::trim);
                let media_type = parts.next().unwrap_or_default();
                let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
                if weight.is_some_and(|weight| weight.parse() == Ok(0.0)) {
                    continue;
                }
                let is = |names: [&str; 3]| names.iter().any(|name| media_type.eq_ignore_ascii_case(name));
                accepts.json |= is(["application/json", "application/*", "*/*"]);
                accepts.events |= is(["text/event-stream", "text/*", "*/*"]);
            }
        }
        // No Accept header accepts everything (RFC 9110, 12.5.1).
        if any { accepts } else { Accepts { json: true, events: true } }
    }
}

struct HeaderView<'a>(&'a HeaderMap);

impl Headers for HeaderView<'_> {
    fn get(&self, name: &str) -> Lookup<'_> {
        let mut values = self.0.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Lookup::Absent,
            (Some(value), None) => value.to_str().map_or(Lookup::Unreadable, Lookup::One),
            (Some(_), Some(_)) => Lookup::Unreadable,
        }
    }
}

/// A handler at work for one POST. Dropping it before the answer tells the handler that the caller has left.
struct Work {
    call: Call,
    inbox: Arc<Inbox>,
    future: Option<BoxFuture<'static, Outcome>>,
    limit: Option<Sleep>,
}

impl Work {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Say> {
        if let Poll::Ready((_, say)) = self.inbox.poll_next(cx) {
            return Poll::Ready(say);
        }
        if let Some(future) = &mut self.future
            && let Poll::Ready(outcome) = future.as_mut().poll(cx)
        {
            self.future = None;
            self.call.complete(outcome);
            if let Poll::Ready((_, say)) = self.inbox.poll_next(cx) {
                return Poll::Ready(say);
            }
        }
        if let Some(limit) = &mut self.limit
            && Pin::new(limit).poll(cx).is_ready()
        {
            self.limit = None;
            self.call.cancel(Some("time limit".into()));
            return Poll::Ready(Say::Done(Outcome::ToolError("the tool exceeded its time limit".into())));
        }
        Poll::Pending
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.call.cancel(Some("the connection closed".into()));
        self.inbox.close();
    }
}

/// The body of a response.
pub(crate) enum ResponseBody {
    Full(Bytes),
    Events(Box<EventStream>),
}

/// Messages of one exchange as server-sent events; the answer is the last.
pub(crate) struct EventStream {
    exchange: Exchange,
    work: Work,
    stamp: Stamp,
    pending: Option<Bytes>,
    keep_alive: Sleep,
    over: bool,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            ResponseBody::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            ResponseBody::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            ResponseBody::Events(stream) => {
                Poll::Ready(ready!(stream.poll_event(cx)).map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Full(bytes) => bytes.is_empty(),
            ResponseBody::Events(stream) => stream.over && stream.pending.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Events(_) => SizeHint::default(),
        }
    }
}

impl EventStream {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(event) = self.pending.take() {
                self.keep_alive.reset(Instant::now() + KEEP_ALIVE);
                return Poll::Ready(Some(event));
            }
            if self.over {
                return Poll::Ready(None);
            }
            if let Poll::Ready(say) = self.work.poll_next(cx) {
                let message = match say {
                    Say::Progress(step) => self.exchange.progress(&step),
                    Say::Log(entry) => self.exchange.log(&entry),
                    Say::Done(outcome) => {
                        self.over = true;
                        self.exchange.finish(outcome, &self.stamp).map(|finished| finished.bytes)
                    }
                };
                self.pending = message.map(|message| event(&message));
                continue;
            }
            ready!(Pin::new(&mut self.keep_alive).poll(cx));
            self.pending = Some(Bytes::from_static(b":\n\n"));
        }
    }
}

/// One message as an event, on one data line: JSON text holds no raw newline.
fn event(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 24);
    out.extend_from_slice(b"event: message\ndata: ");
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

fn json(status: u16, body: Vec<u8>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Full(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, message: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Full(Bytes::from(message)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Full(Bytes::new()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_accept_header_takes() {
        let takes = |value: &'static str| {
            let accepts = Accepts::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]));
            (accepts.json, accepts.events)
        };
        assert_eq!(takes("application/json, text/event-stream"), (true, true));
        assert_eq!(takes("Application/JSON;q=0.5"), (true, false));
        assert_eq!(takes("text/event-stream ; charset=utf-8, application/json; q=0"), (false, true));
        assert_eq!(takes("*/*"), (true, true));
        assert_eq!(takes("text/html, application/*"), (true, false));
        assert_eq!(takes("image/png"), (false, false));
        let none = Accepts::of(&HeaderMap::new());
        assert!(none.json && none.events);
    }

    #[test]
    fn only_the_names_of_this_machine_are_local() {
        let bound = IpAddr::from([192, 0, 2, 7]);
        for local in
            ["localhost", "LOCALHOST:80", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:80", "192.0.2.7:80"]
        {
            assert!(is_local_authority(local, bound), "{local}");
        }
        for other in [
            "",
            ":80",
            "localhost.example",
            "example",
            "192.0.2.8",
            "[::1].example",
            "[::1",
            "[::1]80x",
            "localhost:80@example",
            "127.0.0.1.example",
            "::1:x",
        ] {
            assert!(!is_local_authority(other, bound), "{other}");
        }
        assert!(!is_local_authority("0.0.0.0:80", IpAddr::from([0, 0, 0, 0])));
    }
}
