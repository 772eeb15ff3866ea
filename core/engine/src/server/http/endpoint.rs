//! The MCP endpoint: takes the head and body of a request and returns a response, on any web server.

mod batch;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::select;
use http::header::{ALLOW, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use tokio::sync::watch;
use trunnion_proto::auth::resource::Access;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::header;
use trunnion_proto::jsonrpc::{self, Id};
use trunnion_proto::methods::Role;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::{Era, Revision};
use trunnion_proto::server::catalog::{Entry, Input};
use trunnion_proto::server::post::{Admission, Note, admit_post, check_version};
use trunnion_proto::server::{Exchange, Request, Session as Facts};

use super::answer::{self, ResponseBody, empty, event, json, plain, refusal};
use super::body::{self, Refusal};
use super::budget::{self, Charge, Owner};
use super::caller::{Accepts, HeaderView, is_json};
use super::cors;
use super::follow::FollowEvents;
use super::listen::ListenEvents;
use super::log::{self, After, StreamLog};
use super::older::Channels;
use super::pipe::{Pipe, PipeReader};
use super::pump::{OpenCalls, Pump, Unread, no_room};
use super::sessions::{InSession, NoSession, Session, Sessions};
use super::shared;
use super::work::{Streamed, Work, refuse_ask};
use super::{HttpOptions, Phase};
use crate::driver::Driver;
use crate::server::asking::{self, recall};
use crate::server::auth::{self, Admitted, Guard};
use crate::server::call::{Call, Handler, Inbox, Say, Start};
use crate::server::tasks::Serving;
use crate::server::{Dispatch, ServerCore, forbidden, guarded};
use crate::telemetry::{Failure, Span};

/// Time limit for storing that tasks are handed off.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(5);

/// The transport that calls report.
const TRANSPORT: &str = "http";

/// One endpoint of one server.
pub struct Endpoint {
    /// The server that answers.
    pub server: Arc<ServerCore>,
    driver: Driver,
    options: HttpOptions,
    guard: Option<Guard>,
    bound: Option<IpAddr>,
    sessions: Arc<Sessions>,
    channels: Arc<Channels>,
    phase: watch::Receiver<Phase>,
    serving: Serving,
}

/// The context of a request: its session, and the media types that its sender accepts.
struct Place<'a> {
    headers: &'a HeaderMap,
    session: Option<Arc<Session>>,
    accepts: Accepts,
    access: Access,
    owner: Owner,
    /// The body counts until its request is answered.
    charge: Arc<Charge>,
}

impl Place<'_> {
    /// Returns true if the session's budget has room for data that the request may need to store. Its client
    /// works with the session.
    fn has_room(&self) -> bool {
        let Some(session) = &self.session else { return true };
        session.works();
        !self.accepts.events || session.has_room()
    }
}

impl Endpoint {
    /// `bound`: the address that is listened on, if any.
    pub fn new(
        server: Arc<ServerCore>,
        driver: Driver,
        options: HttpOptions,
        guard: Option<Guard>,
        bound: Option<IpAddr>,
        phase: watch::Receiver<Phase>,
    ) -> Endpoint {
        // First: a server that had closed does not look after its tasks.
        let serving = server.tasks.serving();
        server.serves(&driver);
        let sessions = Sessions::new(server.clone(), driver.clone(), &options);
        let channels = Arc::default();
        Endpoint { server, driver, options, guard, bound, sessions, channels, phase, serving }
    }

    /// Answer one request. `peer`: who has connected.
    pub async fn handle<B: Body<Data = Bytes>>(
        &self,
        head: &Parts,
        body: B,
        peer: Option<IpAddr>,
    ) -> Response<ResponseBody> {
        if let Some(document) = self.guard.as_ref().and_then(|guard| guard.document(head)) {
            return document;
        }
        if let Err(message) = self.options.callers.check(&head.headers, self.bound, peer) {
            return refusal(403, message);
        }
        let mut response = self.checked(head, body, peer).await;
        if let Some(origin) = cors::origin(&head.headers) {
            cors::allow(origin, &mut response);
        }
        response
    }

    /// A request from a host and of an origin that are allowed.
    async fn checked<B: Body<Data = Bytes>>(
        &self,
        head: &Parts,
        body: B,
        peer: Option<IpAddr>,
    ) -> Response<ResponseBody> {
        let path = head.uri.path();
        let older = self.options.sse_path.as_deref().is_some_and(|own| is_same_path(own, path));
        if !older && !is_same_path(&self.options.path, path) {
            return plain(StatusCode::NOT_FOUND, format!("the endpoint is {}", self.options.path));
        }
        if cors::origin(&head.headers).is_some()
            && let Some(answer) = cors::preflight(head, if older { "GET, POST" } else { self.methods() })
        {
            return answer;
        }
        let Some(guard) = &self.guard else {
            return self.admitted(head, body, older, Access::Anybody, peer).await;
        };
        match guard.admit(head, &self.server.sealer).await {
            Ok(Admitted { caller, nonce }) => {
                let mut response = self.admitted(head, body, older, Access::Known(caller), peer).await;
                if let Some(nonce) = nonce {
                    response.headers_mut().insert("dpop-nonce", nonce);
                }
                response
            }
            Err(refusal) => guard.refuse(refusal, None, &[], &self.server.sealer),
        }
    }

    /// The methods that the endpoint takes.
    fn methods(&self) -> &'static str {
        if self.has_sessions() { "POST, GET, DELETE" } else { "POST" }
    }

    /// A request of who may send it.
    async fn admitted<B: Body<Data = Bytes>>(
        &self,
        head: &Parts,
        body: B,
        older: bool,
        access: Access,
        peer: Option<IpAddr>,
    ) -> Response<ResponseBody> {
        let owner = budget::owner(&access, peer, &self.options.callers.trusted_proxies);
        if older {
            return self.older(head, body, access, &owner).await;
        }
        let of_session = matches!(head.method, Method::GET | Method::DELETE) && self.has_sessions();
        if of_session
            && let Err(error) = check_version(self.server.catalog.settings(), &HeaderView(&head.headers))
        {
            return json(400, jsonrpc::error(None, &error));
        }
        match head.method {
            Method::POST => self.post(&head.headers, body, access, owner).await,
            Method::GET if of_session => self.get(&head.headers, access, &owner).await,
            Method::DELETE if of_session => self.delete(&head.headers, access).await,
            _ => {
                let allowed = self.methods();
                let mut response =
                    plain(StatusCode::METHOD_NOT_ALLOWED, format!("the endpoint takes {allowed}"));
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
                response
            }
        }
    }

    /// No more requests come in: streams that wait for nothing but changes end, and tasks are handed over;
    /// those that cannot run again have this much time.
    pub fn drain(&self, limit: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.sessions.drain();
        self.serving.leave(limit);
        // What is left at the limit has to be written down.
        let longest = self.driver.sleep(limit.saturating_add(HAND_OVER_LIMIT));
        let left = Box::pin(self.serving.left());
        select(left, longest).map(drop)
    }

    /// Everything is over.
    pub fn close(&self) {
        self.sessions.close_all();
    }

    /// The transport of 2024-11-05.
    async fn older<B: Body<Data = Bytes>>(
        &self,
        head: &Parts,
        body: B,
        access: Access,
        owner: &Owner,
    ) -> Response<ResponseBody> {
        match head.method {
            Method::GET if !Accepts::of(&head.headers).events => {
                plain(StatusCode::NOT_ACCEPTABLE, "Accept must list text/event-stream".into())
            }
            Method::GET => {
                let phase = self.phase.clone();
                let HttpOptions { callers, path, sse_path, .. } = &self.options;
                let posts = [callers.public_prefix(path), sse_path.as_deref().unwrap_or_default()].concat();
                let stream = self.channels.open(&self.server, &self.driver, &posts, phase, access.clone());
                answer::events_until(&self.driver, stream, &access)
            }
            Method::POST if !is_json(&head.headers) => {
                plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json".into())
            }
            Method::POST => {
                let mut charge = Charge::of(self.sessions.budget.of(owner));
                let body = match self.read(body, &head.headers, &mut charge).await {
                    Ok(body) => body,
                    Err(refusal) => return *refusal,
                };
                let session = head.uri.query().and_then(|query| query.strip_prefix("session="));
                if session.is_some_and(|session| self.channels.deliver(session, body, access)) {
                    empty(StatusCode::ACCEPTED)
                } else {
                    refusal(404, "there is no stream of that session")
                }
            }
            _ => plain(StatusCode::METHOD_NOT_ALLOWED, "the endpoint takes GET and POST".into()),
        }
    }

    async fn read<B: Body<Data = Bytes>>(
        &self,
        body: B,
        headers: &HeaderMap,
        charge: &mut Charge,
    ) -> Result<Bytes, Refusal> {
        let limit = self.server.catalog.settings().limits.message_bytes;
        body::read(&self.driver, body, headers, limit, charge).await
    }

    fn has_sessions(&self) -> bool {
        self.options.sessions && self.server.catalog.settings().legacy
    }

    /// The session that a request names, if it names one.
    async fn session(
        &self,
        headers: &HeaderMap,
        access: &Access,
        owner: &Owner,
    ) -> Result<Option<Arc<Session>>, Refusal> {
        let Some(id) = headers.get(header::SESSION_ID).filter(|_| self.has_sessions()) else {
            return Ok(None);
        };
        // No id of ours is anything else.
        let found = match id.to_str() {
            Ok(id) => self.sessions.find(id, access, owner).await,
            Err(_) => Err(NoSession::Unknown),
        };
        found.map(Some).map_err(|why| Box::new(self.no_session(why, None)))
    }

    /// Returns the revision of a request without sessions, for which no negotiation is known. A message
    /// without a revision, or with 2025-03-26, may be a batch (2025-06-18, Transports, "Protocol Version
    /// Header").
    fn revision_of_nobody(&self, headers: &HeaderMap) -> Option<Revision> {
        let older = Revision::V2025_03_26;
        let version = headers.get(header::PROTOCOL_VERSION);
        let is_older =
            version.is_none_or(|version| version.as_bytes().trim_ascii() == older.as_str().as_bytes());
        (!self.options.sessions && self.server.catalog.settings().legacy && is_older).then_some(older)
    }

    fn no_session(&self, why: NoSession, id: Option<&Id>) -> Response<ResponseBody> {
        let error = match why {
            // The client is to begin a new one (2025-11-25, "Session Management").
            NoSession::Unknown => return refusal(404, "the session is over; initialize again"),
            NoSession::TooMany => {
                let message = format!("more than {} sessions (maxSessions)", self.options.max_sessions);
                RpcError::new(ErrorKind::InternalError, message)
            }
            NoSession::TooManyOfOwner => {
                let most = self.options.max_sessions_per_owner;
                let message = format!("more than {most} sessions of one caller (maxSessionsPerOwner)");
                RpcError::new(ErrorKind::InternalError, message)
            }
            NoSession::Failed(error) => error,
        };
        json(503, jsonrpc::error(id, &error))
    }

    async fn post<B: Body<Data = Bytes>>(
        &self,
        headers: &HeaderMap,
        body: B,
        access: Access,
        owner: Owner,
    ) -> Response<ResponseBody> {
        if !is_json(headers) {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json".into());
        }
        let accepts = Accepts::of(headers);
        if !accepts.json && !accepts.events {
            let message = "Accept must list application/json and text/event-stream";
            return plain(StatusCode::NOT_ACCEPTABLE, message.into());
        }
        let settings = self.server.catalog.settings();
        let mut charge = Charge::of(self.sessions.budget.of(&owner));
        let body = match self.read(body, headers, &mut charge).await {
            Ok(body) => body,
            Err(refusal) => return *refusal,
        };
        // Modern clients may send a session id too, left over from a server that gave one; it means nothing
        // there.
        let session = self.session(headers, &access, &owner).await;
        let revision = match &session {
            Ok(Some(session)) => Some(session.revision),
            _ => self.revision_of_nobody(headers),
        };
        let admission = admit_post(settings, &HeaderView(headers), &body, revision);
        let modern =
            matches!(&admission, Admission::Request(admitted) if admitted.1.revision.era() == Era::Modern);
        let session = match session {
            Ok(session) => session.filter(|_| !modern),
            Err(_) if modern => None,
            Err(refusal) => return *refusal,
        };
        let place = Place { headers, session, accepts, access, owner, charge: Arc::new(charge) };
        match admission {
            Admission::Refused { status, body } => json(status, body),
            Admission::Notification(note) => self.note(&place, note),
            Admission::Response(id, result) => {
                if let Some(session) = &place.session {
                    session.answered(&id, result);
                }
                empty(StatusCode::ACCEPTED)
            }
            Admission::Request(admitted) => {
                let (exchange, request) = *admitted;
                if place.has_room() {
                    self.request(&place, exchange, request).await
                } else {
                    answer::busy(jsonrpc::error(Some(exchange.id()), &no_room()))
                }
            }
            Admission::Batch(_) if !place.has_room() => answer::busy(jsonrpc::error(None, &no_room())),
            Admission::Batch(batch) => self.batch(&place, batch).await,
        }
    }

    fn note(&self, place: &Place<'_>, note: Note) -> Response<ResponseBody> {
        match (note, &place.session) {
            (Note::Cancelled(id, reason), Some(session)) => session.cancel(&id, reason),
            (Note::RootsChanged, Some(_)) => self.server.roots_changed(),
            _ => {}
        }
        empty(StatusCode::ACCEPTED)
    }

    async fn request(
        &self,
        place: &Place<'_>,
        mut exchange: Exchange,
        mut request: Request,
    ) -> Response<ResponseBody> {
        request.access = place.access.clone();
        if request.revision.era() == Era::Legacy && request.method.role != Role::Initialize {
            let adopted = match &place.session {
                Some(session) => self.sessions.adopt(session, &mut request, &mut exchange).await,
                None if self.has_sessions() => Err(RpcError::new(
                    ErrorKind::InvalidRequest,
                    "Mcp-Session-Id is required; initialize gives one",
                )),
                None => Ok(()),
            };
            if let Err(error) = adopted {
                return self.answer(&mut exchange, Outcome::Error(error));
            }
        }
        let id = place.session.as_ref().map(|session| session.id.as_str());
        let (dispatch, span) =
            self.server.dispatch(&mut request, Some(&HeaderView(place.headers)), TRANSPORT, id, id);
        match dispatch {
            Dispatch::Answer(outcome) if request.method.role == Role::Initialize => {
                self.initialize(&mut exchange, &request, outcome, &place.owner).await
            }
            Dispatch::Answer(outcome) => {
                self.sessions.answers(place.session.as_ref(), &request, &outcome).await;
                self.answer(&mut exchange, outcome)
            }
            Dispatch::Forbid(scopes) => {
                let outcome = forbidden(&scopes);
                self.sessions.answers(place.session.as_ref(), &request, &outcome).await;
                match &self.guard {
                    Some(guard) => {
                        guard.refuse(auth::Refusal::Scope, Some(exchange.id()), &scopes, &self.server.sealer)
                    }
                    None => self.answer(&mut exchange, outcome),
                }
            }
            Dispatch::Listen(_) if !place.accepts.events => {
                plain(StatusCode::NOT_ACCEPTABLE, "Accept must list text/event-stream".into())
            }
            Dispatch::Listen(granted) => {
                let end = answer::time_left(&place.access).map(|left| self.driver.sleep(left));
                let (access, phase) = (place.access.clone(), self.phase.clone());
                match ListenEvents::new(&self.server, exchange, granted, access, phase, end).await {
                    Ok(stream) => answer::events(&self.driver, stream),
                    Err(refused) => {
                        let (mut exchange, error) = *refused;
                        self.answer(&mut exchange, Outcome::Error(error))
                    }
                }
            }
            Dispatch::Run { entry, input } => {
                let work = match self.begin(&mut exchange, request, &entry, input, place, span) {
                    Ok(work) => work,
                    Err(outcome) => {
                        if let Some(session) = &place.session {
                            session.ends(&outcome);
                        }
                        return self.answer_call(&mut exchange, outcome);
                    }
                };
                match &place.session {
                    Some(session) => match session.begin(exchange.id().clone(), &work.call) {
                        Ok(guard) => self.respond_in_session(exchange, work, guard, place.accepts).await,
                        Err(error) => self.answer(&mut exchange, Outcome::Error(error)),
                    },
                    None => self.respond(exchange, work, place.accepts).await,
                }
            }
        }
    }

    async fn initialize(
        &self,
        exchange: &mut Exchange,
        request: &Request,
        outcome: Outcome,
        owner: &Owner,
    ) -> Response<ResponseBody> {
        if !self.has_sessions() {
            return self.answer(exchange, outcome);
        }
        let session = match self.sessions.open(Facts::of(request), &request.access, owner).await {
            Ok(session) => session,
            Err(why) => return self.no_session(why, Some(exchange.id())),
        };
        let mut response = self.answer(exchange, outcome);
        let id = HeaderValue::from_str(&session.id).expect("an id is hexadecimal");
        response.headers_mut().insert(HeaderName::from_static(header::SESSION_ID), id);
        response
    }

    /// Starts a handler. The other outcome answers at once.
    fn begin(
        &self,
        exchange: &mut Exchange,
        request: Request,
        entry: &Entry<Arc<dyn Handler>>,
        input: Input,
        place: &Place<'_>,
        span: Option<Span>,
    ) -> Result<Work, Outcome> {
        let memory = match recall(&self.server.sealer, &request) {
            Ok(memory) => memory,
            Err(error) => {
                if let Some(span) = span {
                    span.end(Some(Failure::code(error.code)));
                }
                return Err(Outcome::Error(error));
            }
        };
        exchange.answered_by(entry, &request);
        let inbox = Arc::new(Inbox::default());
        let call = Call::new(inbox.clone(), 0, TRANSPORT, request, memory, span);
        if place.accepts.events && place.session.as_ref().is_some_and(|s| s.revision.primes_streams()) {
            call.set_resumable();
        }
        let start = asking::start(entry, &call, input);
        let server = self.server.clone();
        let (call, charge) = (call.clone(), place.charge.clone());
        let mut work = Work {
            call: call.clone(),
            inbox,
            future: None,
            limit: None,
            server,
            asked: Vec::new(),
            _charge: charge,
        };
        match start {
            // Its earlier messages precede its answer.
            Start::Done(outcome) if work.inbox.is_empty() => {
                call.settle(&outcome);
                return Err(outcome);
            }
            Start::Done(outcome) => {
                call.complete(outcome);
            }
            Start::Later => {}
            Start::Future(future) => work.future = Some(Box::pin(guarded(future, call))),
        }
        work.limit = entry.timeout.map(|timeout| self.driver.sleep(timeout));
        Ok(work)
    }

    fn answer(&self, exchange: &mut Exchange, outcome: Outcome) -> Response<ResponseBody> {
        match exchange.finish(outcome, self.server.catalog.stamp()) {
            Some(finished) => json(finished.status, finished.bytes),
            None => empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Returns the response for the outcome of a call. In the legacy era the status does not report errors: a
    /// legacy client takes any status but 200 for a failure of the transport and never sees the error. On an
    /// event stream it is 200 anyway.
    fn answer_call(&self, exchange: &mut Exchange, outcome: Outcome) -> Response<ResponseBody> {
        let legacy = exchange.revision().era() == Era::Legacy;
        let mut response = self.answer(exchange, outcome);
        if legacy && response.status() == StatusCode::BAD_REQUEST {
            *response.status_mut() = StatusCode::OK;
        }
        response
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
                Say::Done(outcome) => return self.answer_call(&mut exchange, outcome),
                Say::Progress(step) => exchange.progress(&step),
                Say::Log(entry) => exchange.log(&entry),
                Say::Ask(asked) => {
                    refuse_ask(asked);
                    None
                }
                Say::CloseStream | Say::Store(_) | Say::Notice(_) | Say::Missed(_) => None,
            };
            let Some(first) = message.filter(|_| accepts.events) else { continue };
            let pipe = Arc::new(Pipe::default());
            pipe.push(event(&first));
            let reader = PipeReader { pipe: pipe.clone(), call: work.call.clone() };
            self.driver.spawn(Streamed { exchange, work, pipe }.run());
            return answer::events(&self.driver, reader);
        }
    }

    /// The same in a session, where a stream outlives its connection.
    async fn respond_in_session(
        &self,
        mut exchange: Exchange,
        mut work: Work,
        guard: InSession,
        accepts: Accepts,
    ) -> Response<ResponseBody> {
        let first = loop {
            let over = std::future::poll_fn(|cx| {
                if let std::task::Poll::Ready(say) = work.poll_next(cx) {
                    return std::task::Poll::Ready(Some(say));
                }
                // Given up by a notification: there will be no answer.
                let mut cancelled = std::pin::pin!(work.call.cancelled());
                cancelled.as_mut().poll(cx).map(|()| None)
            });
            match over.await {
                None => return empty(StatusCode::ACCEPTED),
                Some(Say::Done(outcome)) => {
                    guard.session.ends(&outcome);
                    return self.answer_call(&mut exchange, outcome);
                }
                Some(Say::Ask(asked)) if !accepts.events => refuse_ask(asked),
                Some(say) if accepts.events => break say,
                Some(_) => {}
            }
        };
        let stream = {
            let unread = Unread::new(&guard.session);
            unread.stream.begin().await;
            unread.taken()
        };
        let open = OpenCalls::new(&guard.session, stream.clone(), &self.driver);
        let mut pump = self.pump(exchange, work, guard, open);
        // Whoever reads is there before the first message: it may ask to close the connection.
        let reader = stream.read(0, pump.guard.session.revision.primes_streams());
        pump.say(first);
        self.driver.spawn(pump.run());
        match reader {
            Some(reader) => answer::events(&self.driver, reader),
            None => empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn pump(&self, exchange: Exchange, work: Work, guard: InSession, open: Arc<OpenCalls>) -> Pump {
        let stream = open.stream.clone();
        Pump { exchange, work, guard, stream, _open: open, driver: self.driver.clone(), abandoned: None }
    }

    /// The standing stream of a session, or the rest of one that was broken off.
    async fn get(&self, headers: &HeaderMap, access: Access, owner: &Owner) -> Response<ResponseBody> {
        if !Accepts::of(headers).events {
            return plain(StatusCode::NOT_ACCEPTABLE, "Accept must list text/event-stream".into());
        }
        let session = match self.session(headers, &access, owner).await {
            Ok(Some(session)) => session,
            Ok(None) => return refusal(400, "Mcp-Session-Id is required"),
            Err(refusal) => return *refusal,
        };
        session.works();
        let Some(id) = headers.get("last-event-id") else {
            let own = session.standing.id();
            session.reads(own, session.standing.sent()).await;
            return self.stand(&session, Vec::new(), &access).await;
        };
        let Some((stream, after)) = id.to_str().ok().and_then(StreamLog::parse_id) else {
            return refusal(400, "Last-Event-ID is none of this server's");
        };
        if let Some(log) = session.stream(stream) {
            session.reads(stream, after).await;
            return match log.read(after, false) {
                Some(reader) if shared::is_standing(stream) => {
                    answer::events_until(&self.driver, reader, &access)
                }
                Some(reader) => answer::events(&self.driver, reader),
                None => gone(),
            };
        }
        let Some(backing) = session.elsewhere(stream) else { return gone() };
        match backing.read(after).await {
            Ok(Some(replay)) if shared::is_standing(stream) => {
                session.reads(stream, replay.events.last().map_or(after, |event| event.number)).await;
                let events = replay.events.iter();
                let missed = events.map(|missed| log::event(stream, missed.number, &missed.message));
                self.stand(&session, missed.collect(), &access).await
            }
            Ok(Some(replay)) => {
                let turn = session.reads(stream, after).await;
                answer::events(&self.driver, FollowEvents::new(session, backing, after, turn, replay))
            }
            Ok(None) => gone(),
            Err(error) => json(503, jsonrpc::error(None, &error)),
        }
    }

    /// The standing stream of this process, after what a client has missed of another's.
    async fn stand(&self, session: &Session, missed: Vec<Bytes>, access: &Access) -> Response<ResponseBody> {
        let log = &session.standing;
        log.begin().await;
        match log.read(log.sent(), session.revision.primes_streams()) {
            Some(reader) => {
                let events = After { missed: missed.into(), reader };
                answer::events_until(&self.driver, events, access)
            }
            None => gone(),
        }
    }

    async fn delete(&self, headers: &HeaderMap, access: Access) -> Response<ResponseBody> {
        let Some(id) = headers.get(header::SESSION_ID) else {
            return refusal(400, "Mcp-Session-Id is required");
        };
        let closed = match id.to_str() {
            Ok(id) => self.sessions.close(id, &access).await,
            Err(_) => Ok(false),
        };
        match closed {
            Ok(true) => empty(StatusCode::NO_CONTENT),
            Ok(false) => refusal(404, "the session is over"),
            Err(error) => json(503, jsonrpc::error(None, &error)),
        }
    }
}

/// Returns true if two paths are equal except for a slash at the end.
fn is_same_path(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|path| path.strip_suffix('/').unwrap_or(path));
    one == other
}

fn gone() -> Response<ResponseBody> {
    refusal(400, "the events after Last-Event-ID are not kept any more")
}
