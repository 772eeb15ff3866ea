//! The concurrent POSTs and event streams of one client, in its own task.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use trunnion_proto::client::{PostHead, StreamMark, TransportFailure};

use super::auth::{Auth, Authorizer};
use super::guarded::{Call, Guarded, Way, go};
use super::stages::{PlainCall, Stage, Step, Wanted};
use crate::outbound::http::{Connection, Lane, Sender, base_headers};

/// Maximum number of idle connections.
const MAX_IDLE: usize = 64;
/// Maximum number of response streams that a server may leave open after its answer; beyond it, the oldest
/// are closed.
const MAX_LINGERING: usize = 64;
/// Time limit of a server to acknowledge the end of a session.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

/// An event of a POST or a GET.
pub(super) enum HttpEvent {
    Session {
        post: u64,
        session: String,
    },
    Frames {
        post: u64,
        frames: Vec<Bytes>,
        /// The stream's own marks since the last frames.
        mark: Option<StreamMark>,
        ended: bool,
    },
    /// The first event of a stream that must name the endpoint.
    Endpoint {
        post: u64,
        endpoint: Bytes,
    },
    Failed {
        post: u64,
        failure: TransportFailure,
    },
    /// No event to report.
    Idle,
}

/// A step of an exchange, and the next state of the exchange.
type Going = BoxFuture<'static, (Step, Option<Way>)>;

pub(super) struct HttpLink {
    lane: Lane,
    base: HeaderMap,
    limit: usize,
    authorizer: Option<Authorizer>,
    /// One clone for each exchange that waits for tokens.
    holds: Arc<()>,
    running: FuturesUnordered<Abortable<Going>>,
    aborts: HashMap<u64, AbortHandle>,
    connections: FuturesUnordered<Connection>,
    idle: VecDeque<Sender>,
    lingering: VecDeque<u64>,
}

impl HttpLink {
    pub(super) fn new(
        url: &str,
        headers: &[(String, String)],
        auth: Option<Auth>,
        limit: usize,
    ) -> Result<HttpLink, String> {
        let base = base_headers(headers)?;
        if auth.is_some() && base.contains_key(AUTHORIZATION) {
            return Err("headers: Authorization is set by auth; give one of them".into());
        }
        let authorizer = auth.map(|auth| Authorizer::new(auth, url)).transpose();
        Ok(HttpLink {
            lane: Lane::new(url)?,
            base,
            limit,
            authorizer: authorizer.map_err(|error| error.to_string())?,
            holds: Arc::new(()),
            running: FuturesUnordered::new(),
            aborts: HashMap::new(),
            connections: FuturesUnordered::new(),
            idle: VecDeque::new(),
            lingering: VecDeque::new(),
        })
    }

    /// Begins a POST.
    pub(super) fn post(&mut self, head: PostHead, body: Vec<u8>) {
        let wanted = if head.listens { Wanted::Changes } else { Wanted::Answer };
        self.begin(Method::POST, head, body.into(), wanted);
    }

    /// Opens an event stream; `endpoint`: its first event names the URL for POSTs.
    pub(super) fn open(&mut self, head: PostHead, endpoint: bool) {
        let wanted = if endpoint { Wanted::Endpoint } else { Wanted::Stream };
        self.begin(Method::GET, head, Bytes::new(), wanted);
    }

    /// Sends further POSTs to this endpoint, which a stream has named. The error is for a person.
    pub(super) fn send_to(&mut self, endpoint: &[u8]) -> Result<(), String> {
        self.lane = self.lane.at(&String::from_utf8_lossy(endpoint))?;
        Ok(())
    }

    /// Drops a POST or GET; no further events are reported for it.
    pub(super) fn abort(&mut self, post: u64) {
        if let Some(handle) = self.aborts.remove(&post) {
            handle.abort();
        }
    }

    /// Ends the interest in a POST. Its response is read for a limited time, so that the connection of a
    /// stream that ends properly can be reused.
    pub(super) fn linger(&mut self, post: u64) {
        self.lingering.push_back(post);
        if self.lingering.len() > MAX_LINGERING
            && let Some(oldest) = self.lingering.pop_front()
        {
            self.abort(oldest);
        }
    }

    /// Returns the next event. Cancel-safe.
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

    /// Returns the generation of the tokens; 0 without any.
    pub(super) fn token(&self) -> u64 {
        self.authorizer.as_ref().map_or(0, Authorizer::generation)
    }

    /// Returns true if an exchange waits for tokens, and so possibly for the user.
    pub(super) fn is_authorizing(&self) -> bool {
        Arc::strong_count(&self.holds) > 1
    }

    /// Drops everything and ends the session of a legacy server, with these headers. Tokens that are about to
    /// arrive are still stored.
    pub(super) async fn end(mut self, session: Option<PostHead>) {
        self.running.clear();
        self.aborts.clear();
        let authorizer = self.authorizer.clone();
        let farewell = async {
            let Some(head) = session else { return };
            self.begin(Method::DELETE, head, Bytes::new(), Wanted::Answer);
            let answered = async {
                while !matches!(
                    self.next().await,
                    HttpEvent::Frames { ended: true, .. } | HttpEvent::Failed { .. }
                ) {}
            };
            let _ = tokio::time::timeout(FAREWELL, answered).await;
        };
        let settled = async {
            if let Some(authorizer) = &authorizer {
                authorizer.settled().await;
            }
        };
        tokio::join!(farewell, settled);
    }

    fn begin(&mut self, method: Method, head: PostHead, body: Bytes, wanted: Wanted) {
        let mut headers = self.base.clone();
        if wanted.is_stream() {
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            headers.remove(CONTENT_TYPE);
        }
        for (name, value) in &head.headers {
            // The protocol machine made or checked both.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
            {
                headers.insert(name, value);
            }
        }
        let call = Call { method, headers, body, wanted };
        match &self.authorizer {
            None => {
                let Call { method, headers, body, wanted } = call;
                let stage = self.stage(method, headers, body, wanted);
                self.go_on(head.post, Way::Open(stage));
            }
            Some(authorizer) => {
                let way = Guarded::new(authorizer.clone(), call).begin();
                self.go_on(head.post, way);
            }
        }
    }

    fn stage(&mut self, method: Method, headers: HeaderMap, body: Bytes, wanted: Wanted) -> Stage {
        match &self.lane {
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
                    wanted,
                    redirects: 0,
                    reconnected: false,
                }))
            }
            Lane::Reqwest { client, url } => {
                let request = client.request(method, url.clone()).headers(headers).body(body);
                Stage::Reqwest { request: Box::new(request), wanted }
            }
        }
    }

    fn go_on(&mut self, post: u64, way: Way) {
        let way = match way {
            Way::Send(mut guarded) => {
                let headers = guarded.headers(self.lane.url());
                let Call { method, body, wanted, .. } = &guarded.call;
                let stage = self.stage(method.clone(), headers, body.clone(), *wanted);
                Way::Guarded(guarded, stage)
            }
            way => way,
        };
        let hold = matches!(way, Way::Waiting(..)).then(|| Arc::clone(&self.holds));
        let going = go(post, way, self.limit);
        let (handle, registration) = AbortHandle::new_pair();
        self.aborts.insert(post, handle);
        let going: Going = match hold {
            None => Box::pin(going),
            Some(hold) => Box::pin(async move {
                let gone = going.await;
                drop(hold);
                gone
            }),
        };
        self.running.push(Abortable::new(going, registration));
    }

    fn take(&mut self, (step, way): (Step, Option<Way>)) -> HttpEvent {
        if let Some(connection) = step.connection {
            self.connections.push(connection);
        }
        if let Some(sender) = step.idle.filter(|sender| !sender.is_closed() && self.idle.len() < MAX_IDLE) {
            self.idle.push_back(sender);
        }
        if let Some(origin) = step.moved {
            self.lane = Lane::Plain(origin);
        }
        match way {
            Some(way) => self.go_on(step.post, way),
            None => drop(self.aborts.remove(&step.post)),
        }
        step.event
    }
}

impl HttpEvent {
    pub(super) fn frames(post: u64, frames: Vec<Bytes>, mark: Option<StreamMark>) -> HttpEvent {
        HttpEvent::Frames { post, frames, mark, ended: false }
    }
}
