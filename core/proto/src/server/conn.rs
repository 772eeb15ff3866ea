//! The server state machine of a byte stream that carries both eras: stdio, a pipe, a socket, an in-process
//! pair.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::error::{ErrorKind, RpcError};
use crate::json::Json;
use crate::jsonrpc::{self, Id, Message};
use crate::methods::{self, Role};
use crate::outcome::Outcome;
use crate::revision::{Era, Revision};
use crate::server::asking::Question;
use crate::server::elicitations::Elicitations;
use crate::server::encode::Stamp;
use crate::server::exchange::{Exchange, LogEntry, Progress};
use crate::server::notice::{Filter, Notice};
use crate::server::request::{self, Params, Request, Settings, invalid};
use crate::server::session::Session;

/// Monotonic time, from an origin of the driver's choice.
pub type Time = Duration;

/// An action for the driver.
#[derive(Debug)]
pub enum Output {
    /// Send one message. The frame is one line without its newline.
    Send(Vec<u8>),
    /// Find an answer and give it to [`ServerConn::complete`] under this key.
    Request(u64, Box<Request>),
    /// The caller cancelled this request; stop working on it. Completing it has no effect.
    Cancelled(u64, Option<String>),
    /// The client answered what [`ServerConn::ask`] asked.
    Answered(u64, Result<Json, RpcError>),
    /// The request that asked this has ended; no answer will come.
    Withdrawn(u64),
    /// The client's roots have changed.
    RootsChanged,
}

#[derive(Debug)]
struct Live {
    exchange: Exchange,
    deadline: Option<Time>,
    /// The batch that its answer belongs to.
    batch: Option<u64>,
    /// The resource that its session watches from now on, unless it is refused.
    watches: Option<String>,
}

/// Answers that are sent together (2025-03-26, "Batching").
#[derive(Debug, Default)]
struct Batch {
    left: usize,
    answers: Vec<Vec<u8>>,
}

/// The server's end of one byte stream.
#[derive(Debug)]
pub struct ServerConn {
    settings: Settings,
    /// Name of the legacy session.
    name: String,
    session: Option<Session>,
    /// The pages that the client of the session was asked to visit.
    elicitations: Elicitations,
    live: BTreeMap<u64, Live>,
    /// The keys of the live requests by their ids.
    keys: BTreeMap<Id, u64>,
    /// Open questions to the client, with the request that asked them.
    asks: BTreeMap<u64, u64>,
    batches: BTreeMap<u64, Batch>,
    /// Number of live requests that are subscription streams.
    listening: usize,
    /// No live request is due before this.
    earliest: Option<Time>,
    out: VecDeque<Output>,
    next_key: u64,
}

impl ServerConn {
    /// A stream without messages so far.
    pub fn new(settings: Settings) -> ServerConn {
        ServerConn {
            settings,
            name: String::new(),
            session: None,
            elicitations: Elicitations::default(),
            live: BTreeMap::new(),
            keys: BTreeMap::new(),
            asks: BTreeMap::new(),
            batches: BTreeMap::new(),
            listening: 0,
            earliest: None,
            out: VecDeque::new(),
            next_key: 0,
        }
    }

    /// Sets the name of the legacy session, which must be unique.
    pub fn named(mut self, name: String) -> ServerConn {
        self.name = name;
        self
    }

    /// One frame came in.
    pub fn recv(&mut self, frame: Bytes) {
        let batches = self.session.as_ref().is_some_and(|session| session.revision.has_batches());
        if !batches || !jsonrpc::is_batch(&frame) {
            return self.message(frame, None);
        }
        let messages = match jsonrpc::batch(&frame, &self.settings.limits) {
            Ok(messages) => messages,
            Err(malformed) => {
                let error = jsonrpc::error(malformed.id.as_ref(), &malformed.error);
                return self.out.push_back(Output::Send(error));
            }
        };
        let key = self.fresh_key();
        // Held open by one more, until all of them are in.
        self.batches.insert(key, Batch { left: 1, answers: Vec::new() });
        for message in messages {
            self.message(message, Some(key));
        }
        self.answered(key, None);
    }

    fn message(&mut self, frame: Bytes, batch: Option<u64>) {
        let limits = self.settings.limits;
        match jsonrpc::parse(&frame, &limits) {
            Err(malformed) => self.refuse(malformed.id.as_ref(), &malformed.error, batch),
            Ok(Message::Request { id, method, params }) => {
                if let Err(error) = self.request(&frame, id.clone(), &method, params, batch) {
                    self.refuse(Some(&id), &error, batch);
                }
            }
            Ok(Message::Notification { method, params }) => self.notification(&method, params),
            Ok(Message::Response { id, result }) => {
                let ask = id.and_then(|id| id.as_number());
                if let Some(ask) = ask.filter(|ask| self.asks.remove(ask).is_some()) {
                    let result = result.map(|raw| Json::share(&frame, raw));
                    self.out.push_back(Output::Answered(ask, result));
                }
            }
        }
    }

    fn refuse(&mut self, id: Option<&Id>, error: &RpcError, batch: Option<u64>) {
        let message = jsonrpc::error(id, error);
        match batch.and_then(|batch| self.batches.get_mut(&batch)) {
            Some(batch) => batch.answers.push(message),
            None => self.out.push_back(Output::Send(message)),
        }
    }

    /// One request of a batch has come to its end, with or without an answer.
    fn answered(&mut self, key: u64, answer: Option<Vec<u8>>) {
        let Some(batch) = self.batches.get_mut(&key) else { return };
        batch.answers.extend(answer);
        batch.left -= 1;
        if batch.left == 0
            && let Some(batch) = self.batches.remove(&key)
            && !batch.answers.is_empty()
        {
            self.out.push_back(Output::Send(jsonrpc::join(&batch.answers)));
        }
    }

    /// A frame was dropped unread because it exceeded the message limit; this is how it began.
    pub fn oversized(&mut self, beginning: &[u8]) {
        let message =
            format!("message exceeds {} bytes (maxMessageBytes)", self.settings.limits.message_bytes);
        let error = RpcError::new(ErrorKind::InvalidRequest, message);
        let id = jsonrpc::salvage_id(beginning);
        self.out.push_back(Output::Send(jsonrpc::error(id.as_ref(), &error)));
    }

    /// The answer to a request. False: it was answered, cancelled or timed out before.
    pub fn complete(&mut self, key: u64, outcome: Outcome, stamp: &Stamp) -> bool {
        let Some(mut live) = self.release(key) else { return false };
        if let (Outcome::Error(_), Some(uri), Some(session)) = (&outcome, &live.watches, &mut self.session) {
            session.refused(uri);
        }
        self.elicitations.ended(live.exchange.revision(), &outcome);
        let finished = live.exchange.finish(outcome, stamp).map(|finished| finished.bytes);
        let sent = finished.is_some();
        match live.batch {
            Some(batch) => self.answered(batch, finished),
            None => self.out.extend(finished.map(Output::Send)),
        }
        sent
    }

    /// Ask the client on behalf of a request of the legacy era; [`Output::Answered`] follows under the number returned,
    /// unless the request ends first. `None`: it has ended.
    pub fn ask(&mut self, key: u64, question: &Question, elicitation_id: Option<&str>) -> Option<u64> {
        let revision = self.live.get(&key)?.exchange.revision();
        let ask = self.fresh_key();
        self.asks.insert(ask, key);
        if let Some(id) = elicitation_id.map(str::to_owned).or_else(|| question.elicitation_id()) {
            self.elicitations.asked(revision, &id);
        }
        let params = question.params(revision, elicitation_id);
        let request = jsonrpc::request(&Id::number(ask), question.method.name, &params);
        self.out.push_back(Output::Send(request));
        Some(ask)
    }

    /// Keep a request open as a stream to listen on.
    pub fn listen(&mut self, key: u64, granted: Filter) {
        if let Some(live) = self.live.get_mut(&key) {
            self.listening += usize::from(!live.exchange.is_listening());
            let acknowledgement = live.exchange.listen(granted);
            self.out.push_back(Output::Send(acknowledgement));
        }
    }

    /// Notifies the interested clients of a change.
    pub fn notice(&mut self, notice: &Notice) {
        let told = match notice {
            Notice::ElicitationComplete(id) => self.elicitations.complete(id),
            _ => self.session.as_ref().is_some_and(|session| session.wants(notice, &self.name)),
        };
        if told {
            self.out.extend(notice.message(None).map(Output::Send));
        }
        let streams = self.live.values().filter_map(|live| live.exchange.notice(notice));
        self.out.extend(streams.map(Output::Send));
    }

    /// The resources that any client of this stream watches.
    pub fn watched_resources(&self) -> BTreeSet<String> {
        let session = self.session.iter().flat_map(Session::watched);
        let streams =
            self.live.values().filter_map(|live| live.exchange.filter()).flat_map(Filter::resources);
        session.chain(streams).map(str::to_owned).collect()
    }

    /// Returns true if any client may be interested in changes.
    pub fn is_listening(&self) -> bool {
        self.session.is_some() || self.listening > 0
    }

    /// The server is about to close: end the streams that are listened on (2026-07-28, subscriptions, "Graceful Closure";
    /// cancellation, "Behavior Requirements").
    pub fn end_listening(&mut self, stamp: &Stamp) {
        let streams: Vec<u64> =
            self.live.iter().filter(|(_, live)| live.exchange.is_listening()).map(|(key, _)| *key).collect();
        for key in streams {
            let Some(mut live) = self.release(key) else { continue };
            let params = format!("{{\"requestId\":{}}}", live.exchange.id().as_json());
            let name = methods::by_role(Role::Cancelled).name;
            self.out.push_back(Output::Send(jsonrpc::notification(name, &params)));
            let finished = live.exchange.end_listening(stamp);
            self.out.extend(finished.map(|finished| Output::Send(finished.bytes)));
        }
    }

    /// Progress of a request: see [`Exchange::progress`]. False: nothing was sent.
    pub fn progress(&mut self, key: u64, step: &Progress) -> bool {
        self.notify(key, |exchange| exchange.progress(step))
    }

    /// A log message that belongs to a request: see [`Exchange::log`]. False: nothing was sent.
    pub fn log(&mut self, key: u64, entry: &LogEntry) -> bool {
        self.notify(key, |exchange| exchange.log(entry))
    }

    /// The exchange behind a key, while it is live.
    pub fn exchange_mut(&mut self, key: u64) -> Option<&mut Exchange> {
        self.live.get_mut(&key).map(|live| &mut live.exchange)
    }

    /// Give a request until `at`; then it fails and [`Output::Cancelled`] follows.
    pub fn set_deadline(&mut self, key: u64, at: Time) {
        if let Some(live) = self.live.get_mut(&key) {
            live.deadline = Some(at);
            self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
        }
    }

    /// The time of the next call of [`ServerConn::on_deadline`]; an earlier call does no harm. It may be the
    /// time limit of a request that has ended: every turn of a connection asks for it, and finding the next
    /// one requires a pass over all requests.
    pub fn next_deadline(&self) -> Option<Time> {
        self.earliest
    }

    /// Time has passed.
    pub fn on_deadline(&mut self, now: Time, stamp: &Stamp) {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        let due: Vec<u64> = self
            .live
            .iter()
            .filter(|(_, live)| live.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.complete(key, Outcome::ToolError("the tool exceeded its time limit".into()), stamp);
            self.out.push_back(Output::Cancelled(key, Some("time limit".into())));
        }
        self.earliest = self.live.values().filter_map(|live| live.deadline).min();
    }

    /// The peer is gone: whatever is live is cancelled.
    pub fn peer_closed(&mut self) {
        self.keys.clear();
        self.asks.clear();
        self.batches.clear();
        (self.listening, self.earliest) = (0, None);
        for (key, _) in std::mem::take(&mut self.live) {
            self.out.push_back(Output::Cancelled(key, Some("the connection closed".into())));
        }
    }

    /// Number of unanswered requests.
    pub fn in_flight(&self) -> usize {
        self.live.len()
    }

    /// The next action; `None` when everything is done.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn request(
        &mut self,
        frame: &Bytes,
        id: Id,
        method: &str,
        params: Option<&RawValue>,
        batch: Option<u64>,
    ) -> Result<(), RpcError> {
        if self.live.len() >= self.settings.limits.in_flight {
            let message =
                format!("more than {} requests in flight (maxInFlight)", self.settings.limits.in_flight);
            return Err(RpcError::new(ErrorKind::InvalidRequest, message));
        }
        if self.keys.contains_key(&id) {
            return Err(RpcError::new(ErrorKind::InvalidRequest, "id is in use by a request in flight"));
        }
        let params = Params::parse(params)?;
        let meta = params.meta()?;
        let revision = match &meta.revision {
            Some(_) if self.settings.modern => {
                let requested = request::declared(&meta)?;
                Revision::parse(requested)
                    .filter(|revision| revision.era() == Era::Modern)
                    .ok_or_else(|| self.settings.unsupported(requested))?
            }
            _ => self.legacy_revision(method, &params)?,
        };
        let row = request::method_in(method, revision)?;
        let (mut exchange, mut request) = request::request(frame, id, row, revision, &params, &meta)?;
        match (&mut self.session, row.role) {
            (_, Role::Initialize) if batch.is_some() => {
                return Err(RpcError::new(ErrorKind::InvalidRequest, "initialize cannot be part of a batch"));
            }
            (_, Role::Initialize) => self.session = Some(Session::of(&request)),
            (Some(session), _) if revision.era() == Era::Legacy => {
                session.adopt(&mut request, &mut exchange)?
            }
            _ => {}
        }
        if let Some(batch) = batch.and_then(|batch| self.batches.get_mut(&batch)) {
            batch.left += 1;
        }
        let key = self.fresh_key();
        self.keys.insert(request.id.clone(), key);
        let watches = (row.role == Role::Subscribe).then(|| request.name.clone());
        self.live.insert(key, Live { exchange, deadline: None, batch, watches });
        self.out.push_back(Output::Request(key, Box::new(request)));
        Ok(())
    }

    fn fresh_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// The revision of a request that carries no modern metadata.
    fn legacy_revision(&self, method: &str, params: &Params<'_>) -> Result<Revision, RpcError> {
        let role = methods::by_name(method).map(|row| row.role);
        if !self.settings.legacy {
            return Err(self.settings.only_modern());
        }
        match (role, &self.session) {
            (Some(Role::Initialize), _) => {
                let requested = params.protocol_version.as_deref();
                requested
                    .map(|r| self.settings.negotiate(r))
                    .ok_or_else(|| invalid("params.protocolVersion is required"))
            }
            (_, Some(session)) => Ok(session.revision),
            (Some(Role::Ping), None) => Ok(Revision::LATEST_LEGACY),
            (_, None) => Err(invalid(format!(
                "params._meta[\"{}\"] is required unless the connection opens with initialize",
                crate::meta::PROTOCOL_VERSION
            ))),
        }
    }

    fn notification(&mut self, method: &str, params: Option<&RawValue>) {
        // Unknown and malformed notifications are ignored, as are those for requests that are over
        // (patterns, "Cancellation").
        match methods::by_name(method).map(|row| row.role) {
            Some(Role::Cancelled) => {}
            Some(Role::RootsChanged) if self.session.is_some() => {
                return self.out.push_back(Output::RootsChanged);
            }
            _ => return,
        }
        let Ok(params) = Params::parse(params) else { return };
        let Some(id) = params.request_id.and_then(|raw| Id::from_json(raw.get())) else { return };
        if let Some(key) = self.keys.get(&id).copied() {
            if let Some(batch) = self.release(key).and_then(|live| live.batch) {
                self.answered(batch, None);
            }
            self.out.push_back(Output::Cancelled(key, params.reason.map(|reason| reason.into_owned())));
        }
    }

    fn release(&mut self, key: u64) -> Option<Live> {
        let live = self.live.remove(&key)?;
        self.keys.remove(live.exchange.id());
        self.listening -= usize::from(live.exchange.is_listening());
        if self.live.is_empty() {
            self.earliest = None;
        }
        let open: Vec<u64> =
            self.asks.iter().filter(|(_, asker)| **asker == key).map(|(ask, _)| *ask).collect();
        for ask in open {
            self.asks.remove(&ask);
            self.out.push_back(Output::Withdrawn(ask));
            let params = format!("{{\"requestId\":{ask},\"reason\":\"the request it belongs to is over\"}}");
            let name = methods::by_role(Role::Cancelled).name;
            self.out.push_back(Output::Send(jsonrpc::notification(name, &params)));
        }
        Some(live)
    }

    fn notify(&mut self, key: u64, write: impl FnOnce(&mut Exchange) -> Option<Vec<u8>>) -> bool {
        let message = self.live.get_mut(&key).and_then(|live| write(&mut live.exchange));
        let sent = message.is_some();
        self.out.extend(message.map(Output::Send));
        sent
    }
}
