//! The POSTs of one client, side by side in its own task.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use trunnion_proto::client::{PostHead, TransportFailure};
use trunnion_proto::sse::SseDecoder;

use super::http::{Body, Connection, Head, Lane, MAX_REDIRECTS, Origin, Sender, base_headers, chain};

/// Idle connections that are kept.
const MAX_IDLE: usize = 64;
/// Response streams that a server may leave open after its answer before the oldest are closed.
const MAX_LINGERING: usize = 64;
/// How long a server may take to acknowledge the end of a session.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

/// What happened to a POST.
pub(super) enum HttpEvent {
    Session {
        post: u64,
        session: String,
    },
    Frames {
        post: u64,
        frames: Vec<Bytes>,
        ended: bool,
    },
    Failed {
        post: u64,
        failure: TransportFailure,
    },
    /// Nothing to tell.
    Idle,
}

pub(super) struct HttpLink {
    lane: Lane,
    base: HeaderMap,
    limit: usize,
    running: FuturesUnordered<Abortable<BoxFuture<'static, Step>>>,
    aborts: HashMap<u64, AbortHandle>,
    connections: FuturesUnordered<Connection>,
    idle: VecDeque<Sender>,
    lingering: VecDeque<u64>,
}

/// One step of an exchange: what it found out and how it goes on.
struct Step {
    event: HttpEvent,
    post: u64,
    next: Option<Stage>,
    connection: Option<Connection>,
    idle: Option<Sender>,
    moved: Option<Arc<Origin>>,
}

enum Stage {
    Plain(Box<PlainCall>),
    Reqwest(Box<reqwest::RequestBuilder>),
    Body { body: Body, head: Head },
    Events { body: Body, decoder: SseDecoder },
}

struct PlainCall {
    origin: Arc<Origin>,
    sender: Option<Sender>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    redirects: u8,
    reconnected: bool,
}

impl HttpLink {
    pub(super) fn new(url: &str, headers: &[(String, String)], limit: usize) -> Result<HttpLink, String> {
        Ok(HttpLink {
            lane: Lane::new(url)?,
            base: base_headers(headers)?,
            limit,
            running: FuturesUnordered::new(),
            aborts: HashMap::new(),
            connections: FuturesUnordered::new(),
            idle: VecDeque::new(),
            lingering: VecDeque::new(),
        })
    }

    /// Begin a POST.
    pub(super) fn post(&mut self, head: PostHead, body: Vec<u8>) {
        self.begin(Method::POST, head, body.into());
    }

    /// Drop a POST; nothing more is told of it.
    pub(super) fn abort(&mut self, post: u64) {
        if let Some(handle) = self.aborts.remove(&post) {
            handle.abort();
        }
    }

    /// Nothing more is wanted of a POST. Its response is read on for a while, so that a connection whose stream
    /// ends as it should can be used again.
    pub(super) fn linger(&mut self, post: u64) {
        self.lingering.push_back(post);
        if self.lingering.len() > MAX_LINGERING
            && let Some(oldest) = self.lingering.pop_front()
        {
            self.abort(oldest);
        }
    }

    /// The next thing that happens. Cancel-safe.
    pub(super) async fn next(&mut self) -> HttpEvent {
        tokio::select! {
            biased;
            Some(()) = self.connections.next() => HttpEvent::Idle,
            Some(step) = self.running.next() => match step {
                Ok(step) => self.take(step),
                Err(_) => HttpEvent::Idle,
            },
            else => std::future::pending().await,
        }
    }

    /// Drop everything; end the session of a legacy server, whose headers these are.
    pub(super) async fn end(mut self, session: Option<PostHead>) {
        self.running.clear();
        self.aborts.clear();
        let Some(head) = session else { return };
        self.begin(Method::DELETE, head, Bytes::new());
        let farewell = async {
            while !matches!(
                self.next().await,
                HttpEvent::Frames { ended: true, .. } | HttpEvent::Failed { .. }
            ) {}
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    fn begin(&mut self, method: Method, head: PostHead, body: Bytes) {
        let mut headers = self.base.clone();
        for (name, value) in &head.headers {
            // Both were made or checked by the protocol machine.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
            {
                headers.insert(name, value);
            }
        }
        let stage = match &self.lane {
            Lane::Plain(origin) => {
                let sender = loop {
                    match self.idle.pop_back() {
                        Some(sender) if sender.is_closed() => {}
                        other => break other,
                    }
                };
                let origin = Arc::clone(origin);
                Stage::Plain(Box::new(PlainCall {
                    origin,
                    sender,
                    method,
                    headers,
                    body,
                    redirects: 0,
                    reconnected: false,
                }))
            }
            Lane::Reqwest { client, url } => {
                Stage::Reqwest(Box::new(client.request(method, url.clone()).headers(headers).body(body)))
            }
        };
        self.go_on(head.post, stage);
    }

    fn go_on(&mut self, post: u64, stage: Stage) {
        let (handle, registration) = AbortHandle::new_pair();
        self.aborts.insert(post, handle);
        self.running.push(Abortable::new(Box::pin(advance(post, stage, self.limit)), registration));
    }

    fn take(&mut self, step: Step) -> HttpEvent {
        if let Some(connection) = step.connection {
            self.connections.push(connection);
        }
        if let Some(sender) = step.idle.filter(|sender| !sender.is_closed() && self.idle.len() < MAX_IDLE) {
            self.idle.push_back(sender);
        }
        if let Some(origin) = step.moved {
            self.lane = Lane::Plain(origin);
        }
        match step.next {
            Some(stage) => self.go_on(step.post, stage),
            None => drop(self.aborts.remove(&step.post)),
        }
        step.event
    }
}

impl Step {
    fn goes_on(post: u64, event: HttpEvent, next: Stage) -> Step {
        Step { event, post, next: Some(next), connection: None, idle: None, moved: None }
    }

    fn ends(post: u64, event: HttpEvent, idle: Option<Sender>) -> Step {
        Step { event, post, next: None, connection: None, idle, moved: None }
    }

    fn fails(post: u64, failure: TransportFailure) -> Step {
        Step::ends(post, HttpEvent::Failed { post, failure }, None)
    }

    fn breaks(post: u64, message: String) -> Step {
        Step::fails(post, TransportFailure::Connection(message))
    }
}

async fn advance(post: u64, stage: Stage, limit: usize) -> Step {
    match stage {
        Stage::Plain(call) => plain(post, call, limit).await,
        Stage::Reqwest(request) => match request.send().await {
            Err(error) => Step::breaks(post, chain(&error.without_url())),
            Ok(response) => {
                let head = Head::of(response.status(), response.headers());
                answered(post, head, Body::Reqwest(response), limit).await
            }
        },
        Stage::Body { body, head } => read(post, head, body, limit).await,
        Stage::Events { body, decoder } => events(post, body, decoder).await,
    }
}

async fn plain(post: u64, mut call: Box<PlainCall>, limit: usize) -> Step {
    let reusable = match &mut call.sender {
        Some(sender) => sender.ready().await.is_ok(),
        None => false,
    };
    let Some(mut sender) = call.sender.take().filter(|_| reusable) else {
        return match call.origin.connect().await {
            Err(reason) => Step::breaks(post, reason),
            Ok((sender, connection)) => {
                call.sender = Some(sender);
                let mut step = Step::goes_on(post, HttpEvent::Idle, Stage::Plain(call));
                step.connection = Some(connection);
                step
            }
        };
    };
    let request: Request<Full<Bytes>> = call.origin.request(call.method.clone(), &call.headers, &call.body);
    match sender.try_send_request(request).await {
        Ok(response) => {
            let (parts, incoming) = response.into_parts();
            let body = Body::Plain(incoming, sender);
            if call.redirects < MAX_REDIRECTS
                && let Some(origin) = call.origin.redirected(parts.status, &parts.headers)
            {
                call.redirects += 1;
                call.origin = Arc::new(origin);
                let moved = Some(Arc::clone(&call.origin));
                // The connection goes with the unread body: redirects happen once for a client.
                let step = Step::goes_on(post, HttpEvent::Idle, Stage::Plain(call));
                return Step { moved, ..step };
            }
            let head = Head::of(parts.status, &parts.headers);
            answered(post, head, body, limit).await
        }
        Err(mut error) => {
            // Given back unsent: the server had closed the idle connection.
            if error.take_message().is_some() && !call.reconnected {
                call.reconnected = true;
                return Step::goes_on(post, HttpEvent::Idle, Stage::Plain(call));
            }
            Step::breaks(post, chain(error.error()))
        }
    }
}

/// The head is there; go on to the body.
async fn answered(post: u64, mut head: Head, body: Body, limit: usize) -> Step {
    match head.session.take().filter(|_| head.status.is_success()) {
        Some(session) => {
            Step::goes_on(post, HttpEvent::Session { post, session }, Stage::Body { body, head })
        }
        None => read(post, head, body, limit).await,
    }
}

async fn read(post: u64, head: Head, mut body: Body, limit: usize) -> Step {
    if head.status.is_success() && head.event_stream {
        return events(post, body, SseDecoder::new(limit)).await;
    }
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    loop {
        match body.chunk().await {
            Ok(None) => break,
            Err(reason) => return Step::breaks(post, reason),
            Ok(Some(chunk)) => {
                if whole.len() + joined.len() + chunk.len() > limit {
                    let message = format!("the response exceeds {limit} bytes (maxMessageBytes)");
                    return Step::fails(post, TransportFailure::Limit(message));
                }
                // Most bodies are one chunk, which is passed on as it is.
                if whole.is_empty() && joined.is_empty() {
                    whole = chunk;
                } else {
                    joined.extend_from_slice(&std::mem::take(&mut whole));
                    joined.extend_from_slice(&chunk);
                }
            }
        }
    }
    if !joined.is_empty() {
        whole = joined.freeze();
    }
    let event = if head.status.is_success() {
        let frames = if whole.is_empty() { Vec::new() } else { vec![whole] };
        HttpEvent::Frames { post, frames, ended: true }
    } else {
        let status = head.status.as_u16();
        HttpEvent::Failed { post, failure: TransportFailure::Status { status, body: whole } }
    };
    Step::ends(post, event, body.into_sender())
}

async fn events(post: u64, mut body: Body, mut decoder: SseDecoder) -> Step {
    let mut frames = Vec::new();
    while frames.is_empty() {
        match body.chunk().await {
            Err(reason) => return Step::breaks(post, reason),
            Ok(None) => {
                let event = HttpEvent::Frames { post, frames, ended: true };
                return Step::ends(post, event, body.into_sender());
            }
            Ok(Some(chunk)) => {
                let fed = decoder.feed(&chunk, |event| {
                    // Other types are no messages.
                    if event.event == "message" {
                        frames.push(event.data);
                    }
                });
                if let Err(overflow) = fed {
                    let message = format!("{overflow} (maxMessageBytes)");
                    return Step::fails(post, TransportFailure::Limit(message));
                }
            }
        }
    }
    Step::goes_on(post, HttpEvent::Frames { post, frames, ended: false }, Stage::Events { body, decoder })
}
