//! Responses of the endpoint and their bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use trunnion_proto::auth::resource::Access;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::jsonrpc;

use crate::driver::{Driver, Sleep};
use crate::random::now_ms;

/// Silence on an event stream after which a comment keeps intermediaries from closing it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The source of the events of a stream.
pub(super) trait Events: Send {
    /// The next event as it is sent; `None` when the stream is over.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// The body of a response.
pub struct ResponseBody(Content);

impl ResponseBody {
    /// All of it at once.
    pub(crate) fn full(bytes: Bytes) -> ResponseBody {
        ResponseBody(Content::Full(bytes))
    }

    /// Returns true for an event stream.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.0, Content::Events(_))
    }

    /// Returns the immediate body; `None` for an event stream and for no body.
    pub(super) fn into_full(self) -> Option<Bytes> {
        match self.0 {
            Content::Full(bytes) => Some(bytes).filter(|bytes| !bytes.is_empty()),
            Content::Events(_) => None,
        }
    }
}

enum Content {
    Full(Bytes),
    Events(Box<EventStream>),
}

struct EventStream {
    events: Box<dyn Events>,
    keep_alive: Sleep,
    over: bool,
}

impl EventStream {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(event) = self.events.poll_event(cx) {
            self.over = event.is_none();
            self.keep_alive.reset(Instant::now() + KEEP_ALIVE);
            return Poll::Ready(event);
        }
        ready!(Pin::new(&mut self.keep_alive).poll(cx));
        self.keep_alive.reset(Instant::now() + KEEP_ALIVE);
        // Registers its waker.
        let _ = Pin::new(&mut self.keep_alive).poll(cx);
        Poll::Ready(Some(comment()))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Content::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Events(stream) => {
                Poll::Ready(ready!(stream.poll_event(cx)).map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Full(bytes) => bytes.is_empty(),
            Content::Events(stream) => stream.over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Events(_) => SizeHint::default(),
        }
    }
}

/// An event that says nothing.
pub(super) fn comment() -> Bytes {
    Bytes::from_static(b":\n\n")
}

/// One message as an event, on one data line: JSON text holds no raw newline.
pub(super) fn event(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 24);
    out.extend_from_slice(b"event: message\ndata: ");
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// A stream that ends when the token of who reads it does; the client comes back with a new one.
pub(super) struct Until<E> {
    pub events: E,
    pub end: Sleep,
}

impl<E: Events + Unpin> Events for Until<E> {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if Pin::new(&mut self.end).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.events.poll_event(cx)
    }
}

/// [`events`], until the caller's token ends.
pub(super) fn events_until(
    driver: &Driver,
    events: impl Events + Unpin + 'static,
    access: &Access,
) -> Response<ResponseBody> {
    match time_left(access) {
        Some(left) => self::events(driver, Until { events, end: driver.sleep(left) }),
        None => self::events(driver, events),
    }
}

/// Returns the time until the caller's token expires; `None`: it does not expire.
pub(super) fn time_left(access: &Access) -> Option<Duration> {
    let until = access.caller().and_then(|caller| caller.good_until())?;
    Some(Duration::from_millis(until.saturating_mul(1000).saturating_sub(now_ms())))
}

/// A stream of events.
pub(super) fn events(driver: &Driver, events: impl Events + 'static) -> Response<ResponseBody> {
    let keep_alive = driver.sleep(KEEP_ALIVE);
    let stream = EventStream { events: Box::new(events), keep_alive, over: false };
    let mut response = Response::new(ResponseBody(Content::Events(Box::new(stream))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

pub(super) fn json(status: u16, body: Vec<u8>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody(Content::Full(Bytes::from(body))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// More is kept than may be: what would need more is to come again once some of it is forgotten.
pub(super) fn busy(body: Vec<u8>) -> Response<ResponseBody> {
    let mut response = json(503, body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response
}

/// A JSON-RPC error that belongs to no request.
pub(super) fn refusal(status: u16, message: impl Into<String>) -> Response<ResponseBody> {
    json(status, jsonrpc::error(None, &RpcError::new(ErrorKind::InvalidRequest, message)))
}

/// The answer where too many requests are answered already, whose connections are not ours to refuse.
pub fn too_many(most: usize) -> Response<ResponseBody> {
    let mut response = plain(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("{most} requests are answered already (maxConnections); try again"),
    );
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub(super) fn plain(status: StatusCode, message: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody(Content::Full(Bytes::from(message))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

pub(super) fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody(Content::Full(Bytes::new())));
    *response.status_mut() = status;
    response
}
