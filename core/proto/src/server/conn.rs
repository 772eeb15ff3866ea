//! A byte stream that carries both eras: stdio, a pipe, a socket, a pair in memory.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::error::{ErrorKind, RpcError};
use crate::json::Json;
use crate::jsonrpc::{self, Id, Message};
use crate::methods::{self, Role};
use crate::outcome::Outcome;
use crate::revision::{Era, Revision};
use crate::server::encode::Stamp;
use crate::server::exchange::{Exchange, LogEntry, LogLevel, Progress};
use crate::server::request::{self, Params, Request, Settings, invalid};

/// Monotonic time, from an origin of the driver's choice.
pub type Time = Duration;

/// What the driver must do next.
#[derive(Debug)]
pub enum Output {
    /// Send one message. The frame is one line without its newline.
    Send(Vec<u8>),
    /// Find an answer and give it to [`ServerConn::complete`] under this key.
    Request(u64, Box<Request>),
    /// The caller gave this up; stop working on it. Completing it has no effect any more.
    Cancelled(u64, Option<String>),
}

/// What the handshake told of a legacy client.
#[derive(Debug)]
struct Session {
    revision: Revision,
    client_info: Json,
    capabilities: Json,
    log_level: Option<LogLevel>,
}

#[derive(Debug)]
struct Live {
    exchange: Exchange,
    deadline: Option<Time>,
}

/// The server's end of one byte stream.
#[derive(Debug)]
pub struct ServerConn {
    settings: Settings,
    session: Option<Session>,
    live: BTreeMap<u64, Live>,
    /// The keys of the live requests by their ids.
    keys: BTreeMap<Id, u64>,
    out: VecDeque<Output>,
    next_key: u64,
}

impl ServerConn {
    /// A stream on which nothing has been said yet.
    pub fn new(settings: Settings) -> ServerConn {
        ServerConn {
            settings,
            session: None,
            live: BTreeMap::new(),
            keys: BTreeMap::new(),
            out: VecDeque::new(),
            next_key: 1,
        }
    }

    /// One frame came in.
    pub fn recv(&mut self, frame: Bytes) {
        let limits = self.settings.limits;
        match jsonrpc::parse(&frame, &limits) {
            Err(malformed) => {
                self.out.push_back(Output::Send(jsonrpc::error(malformed.id.as_ref(), &malformed.error)))
            }
            Ok(Message::Request { id, method, params }) => {
                if let Err(error) = self.request(&frame, id.clone(), &method, params) {
                    self.out.push_back(Output::Send(jsonrpc::error(Some(&id), &error)));
                }
            }
            Ok(Message::Notification { method, params }) => self.notification(&method, params),
            // Nothing is ever asked of the client on this stream, so no response can be expected.
            Ok(Message::Response { .. }) => {}
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
        let finished = self.release(key).and_then(|mut live| live.exchange.finish(outcome, stamp));
        match finished {
            Some(finished) => {
                self.out.push_back(Output::Send(finished.bytes));
                true
            }
            None => false,
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
        }
    }

    /// When [`ServerConn::on_deadline`] must be called next.
    pub fn next_deadline(&self) -> Option<Time> {
        self.live.values().filter_map(|live| live.deadline).min()
    }

    /// Time has passed.
    pub fn on_deadline(&mut self, now: Time, stamp: &Stamp) {
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
    }

    /// The peer is gone: whatever is live is cancelled.
    pub fn peer_closed(&mut self) {
        self.keys.clear();
        for (key, _) in std::mem::take(&mut self.live) {
            self.out.push_back(Output::Cancelled(key, Some("the connection closed".into())));
        }
    }

    /// How many requests wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.live.len()
    }

    /// What to do next; `None` when everything is done.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn request(
        &mut self,
        frame: &Bytes,
        id: Id,
        method: &str,
        params: Option<&RawValue>,
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
            (_, Role::Initialize) => {
                self.session = Some(Session {
                    revision,
                    client_info: request.client_info.clone(),
                    capabilities: request.client_capabilities.clone(),
                    log_level: None,
                });
            }
            (Some(session), _) if revision.era() == Era::Legacy => {
                request.client_info = session.client_info.clone();
                request.client_capabilities = session.capabilities.clone();
                session.log_level = request.log_level.or(session.log_level);
                if let Some(level) = session.log_level {
                    exchange.set_log_level(level);
                }
            }
            _ => {}
        }
        let key = self.next_key;
        self.next_key += 1;
        self.keys.insert(request.id.clone(), key);
        self.live.insert(key, Live { exchange, deadline: None });
        self.out.push_back(Output::Request(key, Box::new(request)));
        Ok(())
    }

    /// The revision of a request that carries no modern metadata.
    fn legacy_revision(&self, method: &str, params: &Params<'_>) -> Result<Revision, RpcError> {
        let role = methods::by_name(method).map(|row| row.role);
        if !self.settings.legacy {
            // Name the versions: a legacy client may show nothing but this message (versioning, "Backward
            // Compatibility with Initialization-Based Versions").
            let supported = self.settings.supported();
            let message = format!(
                "params._meta[\"{}\"] is required; this server speaks {}",
                crate::meta::PROTOCOL_VERSION,
                supported.join(", ")
            );
            return Err(invalid(message).with_data(serde_json::json!({ "supported": supported })));
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
        if methods::by_name(method).map(|row| row.role) != Some(Role::Cancelled) {
            return;
        }
        let Ok(params) = Params::parse(params) else { return };
        let Some(id) = params.request_id.and_then(|raw| Id::from_json(raw.get())) else { return };
        if let Some(key) = self.keys.get(&id).copied() {
            self.release(key);
            self.out.push_back(Output::Cancelled(key, params.reason.map(|reason| reason.into_owned())));
        }
    }

    fn release(&mut self, key: u64) -> Option<Live> {
        let live = self.live.remove(&key)?;
        self.keys.remove(live.exchange.id());
        Some(live)
    }

    fn notify(&mut self, key: u64, write: impl FnOnce(&mut Exchange) -> Option<Vec<u8>>) -> bool {
        let message = self.live.get_mut(&key).and_then(|live| write(&mut live.exchange));
        let sent = message.is_some();
        self.out.extend(message.map(Output::Send));
        sent
    }
}
