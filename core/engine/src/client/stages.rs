//! The steps of one exchange: connect, send, read the head, read the body.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HeaderMap;
use http::{Method, Request};
use http_body_util::Full;
use tokio::time::Instant;
use trunnion_proto::client::{StreamMark, TransportFailure};
use trunnion_proto::sse::SseDecoder;

use super::exchange::HttpEvent;
use crate::outbound::http::{Body, Connection, Head, MAX_REDIRECTS, Origin, Raw, Sender, chain};

/// The result of one step of an exchange, and the next stage.
pub(super) struct Step {
    pub(super) event: HttpEvent,
    pub(super) post: u64,
    pub(super) next: Option<Stage>,
    pub(super) connection: Option<Connection>,
    pub(super) idle: Option<Sender>,
    pub(super) moved: Option<Arc<Origin>>,
    /// The server's next nonce for proofs.
    pub(super) nonce: Option<String>,
}

pub(super) enum Stage {
    Plain(Box<PlainCall>),
    Reqwest { request: Box<reqwest::RequestBuilder>, wanted: Wanted },
    Body { body: Body, head: Head, wanted: Wanted },
    Events(Events),
}

/// The expected kind of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A message, or an event stream with messages.
    Answer,
    /// The same, for as long as the subscription lasts.
    Changes,
    /// An event stream.
    Stream,
    /// An event stream whose first event names the endpoint.
    Endpoint,
}

impl Wanted {
    /// Returns true if only an event stream is acceptable.
    pub(super) fn is_stream(self) -> bool {
        matches!(self, Wanted::Stream | Wanted::Endpoint)
    }
}

pub(super) struct PlainCall {
    pub(super) origin: Arc<Origin>,
    pub(super) sender: Option<Sender>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) wanted: Wanted,
    pub(super) redirects: u8,
    pub(super) reconnected: bool,
}

pub(super) struct Events {
    body: Body,
    decoder: SseDecoder,
    /// Frames that arrived together with the endpoint.
    early: Vec<Bytes>,
    endpoint_due: bool,
    /// The longest silence of the stream so far, if silence is significant for it.
    longest: Option<Duration>,
}

/// The minimum silence after which a stream of changes, or one that belongs to no request, counts as lost, if
/// the server has sent at least two comments before. The limit is four times the longest silence so far, if
/// that is more.
const SILENCE: Duration = Duration::from_secs(60);

impl Events {
    /// Returns the next piece of the stream. If the server's host has failed, or a proxy has lost the server,
    /// the stream stays silent indefinitely.
    async fn chunk(&mut self) -> Result<Option<Bytes>, TransportFailure> {
        let Some(longest) = self.longest else { return self.body.chunk().await };
        let begun = Instant::now();
        let limit = if self.decoder.comments() < 2 { None } else { Some(SILENCE.max(4 * longest)) };
        let chunk = match limit {
            None => self.body.chunk().await,
            Some(limit) => match tokio::time::timeout(limit, self.body.chunk()).await {
                Ok(chunk) => chunk,
                Err(_) => {
                    let reason = format!("the server has been silent for {} s", limit.as_secs());
                    return Err(TransportFailure::Connection(reason));
                }
            },
        };
        self.longest = Some(longest.max(begun.elapsed()));
        chunk
    }
}

impl Step {
    fn goes_on(post: u64, event: HttpEvent, next: Stage) -> Step {
        let step = Step::idle(post);
        Step { event, next: Some(next), ..step }
    }

    pub(super) fn idle(post: u64) -> Step {
        let event = HttpEvent::Idle;
        Step { event, post, next: None, connection: None, idle: None, moved: None, nonce: None }
    }

    fn ends(post: u64, event: HttpEvent, idle: Option<Sender>) -> Step {
        let step = Step::idle(post);
        Step { event, idle, ..step }
    }

    pub(super) fn fails(post: u64, failure: TransportFailure) -> Step {
        Step::ends(post, HttpEvent::Failed { post, failure }, None)
    }

    fn breaks(post: u64, message: String) -> Step {
        Step::fails(post, TransportFailure::Connection(message))
    }
}

pub(super) async fn advance(post: u64, stage: Stage, limit: usize) -> Step {
    match stage {
        Stage::Plain(call) => plain(post, call, limit).await,
        Stage::Reqwest { request, wanted } => match request.send().await {
            Err(error) => Step::breaks(post, chain(&error.without_url())),
            Ok(response) => {
                let mut head = Head::of(response.status(), response.headers());
                let nonce = head.nonce.take();
                let headers = response.headers().clone();
                match Body::of(Raw::Reqwest(response), &headers, limit) {
                    Err(reason) => Step::breaks(post, reason),
                    Ok(body) => {
                        let step = answered(post, head, body, wanted, limit).await;
                        Step { nonce, ..step }
                    }
                }
            }
        },
        Stage::Body { body, head, wanted } => read(post, head, body, wanted, limit).await,
        Stage::Events(stream) => events(post, stream).await,
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
            let body = match Body::of(Raw::Plain(incoming, sender), &parts.headers, limit) {
                Ok(body) => body,
                Err(reason) => return Step::breaks(post, reason),
            };
            if call.redirects < MAX_REDIRECTS
                && let Some(origin) = call.origin.redirected(parts.status, &parts.headers)
            {
                call.redirects += 1;
                call.origin = Arc::new(origin);
                let moved = Some(Arc::clone(&call.origin));
                // The connection is dropped with the unread body: redirects happen once for a client.
                let step = Step::goes_on(post, HttpEvent::Idle, Stage::Plain(call));
                return Step { moved, ..step };
            }
            let mut head = Head::of(parts.status, &parts.headers);
            let nonce = head.nonce.take();
            let step = answered(post, head, body, call.wanted, limit).await;
            Step { nonce, ..step }
        }
        Err(mut error) => {
            // Returned unsent: the server had closed the idle connection.
            if error.take_message().is_some() && !call.reconnected {
                call.reconnected = true;
                return Step::goes_on(post, HttpEvent::Idle, Stage::Plain(call));
            }
            Step::breaks(post, chain(error.error()))
        }
    }
}

/// Processes the head and continues with the body.
async fn answered(post: u64, mut head: Head, body: Body, wanted: Wanted, limit: usize) -> Step {
    let success = head.status.is_success();
    let event = match head.session.take().filter(|_| success) {
        Some(session) => HttpEvent::Session { post, session },
        None if success && head.event_stream && wanted.is_stream() => {
            HttpEvent::frames(post, Vec::new(), Some(StreamMark::default()))
        }
        None => return read(post, head, body, wanted, limit).await,
    };
    Step::goes_on(post, event, Stage::Body { body, head, wanted })
}

async fn read(post: u64, head: Head, mut body: Body, wanted: Wanted, limit: usize) -> Step {
    if head.status.is_success() && head.event_stream {
        let endpoint_due = wanted == Wanted::Endpoint;
        let decoder = SseDecoder::new(limit);
        let longest = (wanted != Wanted::Answer).then_some(Duration::ZERO);
        return events(post, Events { body, decoder, early: Vec::new(), endpoint_due, longest }).await;
    }
    if head.status.is_success() && wanted.is_stream() {
        return Step::fails(post, TransportFailure::NoStream);
    }
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    loop {
        match body.chunk().await {
            Ok(None) => break,
            Err(failure) => return Step::fails(post, failure),
            Ok(Some(chunk)) => {
                if whole.len() + joined.len() + chunk.len() > limit {
                    let message = format!("the response exceeds {limit} bytes (maxMessageBytes)");
                    return Step::fails(post, TransportFailure::Limit(message));
                }
                // Most bodies are one chunk, which is passed on unchanged.
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
        HttpEvent::Frames { post, frames, mark: None, ended: true }
    } else {
        let status = head.status.as_u16();
        HttpEvent::Failed {
            post,
            failure: TransportFailure::Status { status, body: whole, asked: head.asked },
        }
    };
    Step::ends(post, event, body.into_sender())
}

async fn events(post: u64, mut stream: Events) -> Step {
    let mut frames = std::mem::take(&mut stream.early);
    while frames.is_empty() {
        let chunk = match stream.chunk().await {
            Err(failure) => return Step::fails(post, failure),
            Ok(None) => {
                let event = HttpEvent::Frames { post, frames, mark: None, ended: true };
                return Step::ends(post, event, stream.body.into_sender());
            }
            Ok(Some(chunk)) => chunk,
        };
        let (mut endpoint, mut stray) = (None, false);
        let due = &mut stream.endpoint_due;
        let fed = stream.decoder.feed(&chunk, |event| {
            if std::mem::take(due) {
                stray = event.event != "endpoint";
                endpoint = Some(event.data);
            } else if event.event == "message" {
                // Events of other types are not messages.
                frames.push(event.data);
            }
        });
        if let Err(overflow) = fed {
            return Step::fails(post, TransportFailure::Limit(format!("{overflow} (maxMessageBytes)")));
        }
        if stray {
            return Step::fails(post, TransportFailure::NoStream);
        }
        if let Some(endpoint) = endpoint {
            stream.early = frames;
            return Step::goes_on(post, HttpEvent::Endpoint { post, endpoint }, Stage::Events(stream));
        }
        if let Some(mark) = stream.decoder.take_marked().then(|| marked(&stream.decoder)) {
            return Step::goes_on(post, HttpEvent::frames(post, frames, Some(mark)), Stage::Events(stream));
        }
    }
    Step::goes_on(post, HttpEvent::frames(post, frames, None), Stage::Events(stream))
}

fn marked(decoder: &SseDecoder) -> StreamMark {
    StreamMark {
        last_event_id: decoder.last_event_id().map(str::to_owned),
        retry: decoder.retry_ms().map(Duration::from_millis),
    }
}
