//! Detection of the server's era: the probe, the fall-back and the handshake (2026-07-28, "Versioning and
//! Compatibility"; 2025-11-25, "Lifecycle").

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answers::newest_mutual;
use super::conn::ClientConn;
use super::error::{ClientError, kind};
use super::lower::{self, Salient};
use super::{EraPolicy, HttpTransport, Output, ServerFacts, Transport, TransportFailure};
use crate::error::{ErrorKind, RpcError};
use crate::json::Json;
use crate::jsonrpc;
use crate::methods::{self, Role};
use crate::revision::{Era, Revision};

/// State of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// Probing a modern server. `again`: it refused the first revision.
    Probing {
        id: u64,
        again: bool,
    },
    /// The peer's process is being started anew.
    Restarting,
    /// Opening the stream of the older transport.
    Opening,
    /// Asked a legacy server to begin. `again`: because it refused the first revision.
    Initializing {
        id: u64,
        again: bool,
    },
    /// Told a legacy server, by this POST, that we begin.
    Confirming {
        post: u64,
    },
    Ready,
    Closed,
}

#[derive(Deserialize)]
struct Discovered<'a> {
    #[serde(rename = "supportedVersions")]
    supported: Vec<String>,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default)]
    instructions: Option<&'a RawValue>,
    /// The place of the server information in drafts of the revision.
    #[serde(rename = "serverInfo", borrow, default)]
    server_info: Option<&'a RawValue>,
    #[serde(rename = "_meta", borrow, default)]
    meta: Option<ResultMeta<'a>>,
}

#[derive(Deserialize)]
struct ResultMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/serverInfo", borrow, default)]
    server_info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Initialized<'a> {
    #[serde(rename = "protocolVersion")]
    revision: String,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default)]
    instructions: Option<&'a RawValue>,
    #[serde(rename = "serverInfo", borrow, default)]
    server_info: Option<&'a RawValue>,
}

impl ClientConn {
    /// Begin. [`Output::Ready`] or [`Output::ConnectFailed`] follows.
    pub fn connect(&mut self, now: Duration) {
        if self.state != State::Idle {
            return;
        }
        let limit = Some(self.config.connect_timeout).filter(|limit| !limit.is_zero());
        self.connect_deadline = limit.map(|limit| now.saturating_add(limit));
        if self.is_http() && self.config.http == HttpTransport::Sse {
            return self.open_channel(None);
        }
        // A modern server is asked what it is in any case: that brings its name and capabilities too.
        let allowed = self.config.era != EraPolicy::Only(Era::Modern);
        match self.config.prior.filter(|prior| allowed && prior.era() == Era::Legacy) {
            Some(prior) => {
                self.on_prior = true;
                self.initialize(prior, false);
            }
            None => self.begin(now),
        }
    }

    /// Finds the era out, knowing nothing.
    fn begin(&mut self, now: Duration) {
        let limit = self.connect_deadline.map(|deadline| deadline.saturating_sub(now));
        if self.config.era == EraPolicy::Only(Era::Legacy) || self.has_channel() {
            return self.initialize(Revision::LATEST_LEGACY, false);
        }
        // Silence says something only if there is something to fall back to.
        if self.config.era == EraPolicy::Auto {
            let silence = self.config.probe_timeout.min(limit.unwrap_or(Duration::MAX) / 2);
            self.probe_deadline = Some(now.saturating_add(silence));
        }
        self.probe(Revision::LATEST, false);
    }

    /// The peer of a stream is gone: its end, or it could not be started. `reason` is for a person.
    pub fn peer_closed(&mut self, reason: &str) {
        let connecting = matches!(
            self.state,
            State::Probing { .. } | State::Initializing { .. } | State::Confirming { .. }
        );
        // Some legacy servers end at the first request that they do not know.
        if connecting && self.config.era == EraPolicy::Auto && self.restart() {
            return;
        }
        self.shut(ClientError::local(kind::TRANSPORT, reason));
    }

    /// The peer broke a limit of the transport: nothing more can be read from it.
    pub fn broken(&mut self, error: ClientError) {
        self.shut(error);
    }

    /// The peer was started again, as [`Output::Restart`] asked.
    pub fn restarted(&mut self) {
        if self.state == State::Restarting {
            if std::mem::take(&mut self.on_prior) {
                return self.probe(Revision::LATEST, false);
            }
            self.initialize(Revision::LATEST_LEGACY, false);
        }
    }

    /// Give up connecting: it fails with kind `cancelled`. False: it is connected, or closed.
    pub fn cancel_connect(&mut self, reason: &str) -> bool {
        let connecting = !matches!(self.state, State::Ready | State::Closed) && !self.streams.renewing();
        if connecting {
            let message = if reason.is_empty() { "cancelled by the caller" } else { reason };
            self.shut(ClientError::local(kind::CANCELLED, message));
        }
        connecting
    }

    /// The response to a POST assigned a session. Call it before the response's body.
    pub fn session_assigned(&mut self, post: u64, session: &str) {
        // Modern servers may send the header too; it means nothing there.
        let initializing = matches!(self.state, State::Initializing { id, .. } if id == post);
        if initializing
            && !self.has_channel()
            && !session.is_empty()
            && session.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
        {
            self.session = Some(session.to_owned());
        }
    }

    pub(super) fn connecting_expects(&self, post: u64) -> bool {
        match self.state {
            State::Probing { id, .. } | State::Initializing { id, .. } => id == post,
            State::Confirming { post: confirming } => confirming == post,
            State::Idle | State::Restarting | State::Opening | State::Ready | State::Closed => false,
        }
    }

    /// Handles a server that does not speak the expected revision. Returns false if no revision was expected.
    fn prior_refused(&mut self, now: Duration) -> bool {
        let refused = std::mem::take(&mut self.on_prior);
        if refused {
            self.session = None;
            self.begin(now);
        }
        refused
    }

    fn probe(&mut self, revision: Revision, again: bool) {
        self.speak(revision);
        let id = self.fresh_id();
        self.state = State::Probing { id, again };
        let method = methods::by_role(Role::Discover);
        let salient = Salient::default();
        let params = lower::with_meta("{}", &salient, &self.entries, lower::Also::default());
        let headers = lower::modern_headers(revision, method, &salient, &Default::default());
        self.send_request(id, method.name, &params, headers);
    }

    pub(super) fn initialize(&mut self, revision: Revision, again: bool) {
        self.probe_deadline = None;
        self.speak(revision);
        let id = self.fresh_id();
        self.state = State::Initializing { id, again };
        let params = format!(
            r#"{{"protocolVersion":"{revision}","capabilities":{},"clientInfo":{}}}"#,
            self.declared.of(Era::Legacy).as_str(),
            self.config.client_info.as_str()
        );
        self.send_request(id, methods::by_role(Role::Initialize).name, &params, Vec::new());
    }

    fn restart(&mut self) -> bool {
        let possible = self.config.transport == Transport::Stream { restartable: true } && !self.restarted;
        if possible {
            self.restarted = true;
            self.probe_deadline = None;
            self.state = State::Restarting;
            self.output(Output::Restart);
        }
        possible
    }

    /// Returns true if a legacy server was detected only by its silence during the probe; it may be a slow
    /// modern one.
    pub fn is_guess(&self) -> bool {
        self.probe_was_silent
    }

    /// The server is not modern, for this reason.
    fn fall_back(&mut self, because: ClientError) {
        match self.config.era {
            EraPolicy::Auto => self.initialize(Revision::LATEST_LEGACY, false),
            EraPolicy::Only(_) => self.connect_failed(because),
        }
    }

    /// Handles responses to the requests of the connecting phase; returns the others.
    pub(super) fn on_connecting_response(
        &mut self,
        now: Duration,
        id: u64,
        result: Result<Json, RpcError>,
    ) -> Option<Result<Json, RpcError>> {
        match self.state {
            State::Probing { id: probe, again } if probe == id => match result {
                Ok(result) => self.on_discovered(&result),
                Err(error) => self.on_probe_refused(error, again),
            },
            State::Initializing { id: asked, again } if asked == id => match result {
                Ok(result) => self.on_initialized(now, &result),
                Err(_) if self.prior_refused(now) => {}
                Err(error) => self.on_initialize_refused(error, again),
            },
            _ => return Some(result),
        }
        None
    }

    fn on_discovered(&mut self, result: &Json) {
        let Ok(said) = serde_json::from_str::<Discovered<'_>>(result.as_str()) else {
            let message = "the server's answer to the probe does not say which revisions it supports";
            return self.fall_back(ClientError::local(kind::PROTOCOL, message));
        };
        let speaks = |revision: &Revision| said.supported.iter().any(|text| text == revision.as_str());
        if let Some(revision) = Revision::of_era(Era::Modern).find(speaks) {
            self.speak(revision);
            let server_info = said.meta.and_then(|meta| meta.server_info).or(said.server_info);
            return self.become_ready(ServerFacts {
                revision,
                server_info: text_of(server_info, '{'),
                capabilities: object_of(said.capabilities),
                instructions: text_of(said.instructions, '"'),
            });
        }
        let legacy = Revision::of_era(Era::Legacy).find(speaks);
        match legacy.filter(|_| self.config.era == EraPolicy::Auto) {
            Some(revision) => self.initialize(revision, false),
            None => self.connect_failed(no_mutual(&said.supported.join(", "))),
        }
    }

    fn on_probe_refused(&mut self, error: RpcError, again: bool) {
        if error.kind() == ErrorKind::UnsupportedVersion {
            // The server is modern, so only what it says it supports will do.
            return match newest_mutual(&error, Era::Modern) {
                Some(revision) if !again => self.probe(revision, true),
                Some(_) => self.connect_failed(error.into()),
                None => match newest_mutual(&error, Era::Legacy) {
                    Some(revision) if self.config.era == EraPolicy::Auto => self.initialize(revision, false),
                    _ => self.connect_failed(error.into()),
                },
            };
        }
        if error.kind().proves_modern() {
            return self.connect_failed(error.into());
        }
        self.fall_back(error.into());
    }

    fn on_initialize_refused(&mut self, error: RpcError, again: bool) {
        match newest_mutual(&error, Era::Legacy) {
            Some(revision) if !again => self.initialize(revision, true),
            // It was modern after all, and only slow to wake up.
            _ if (error.kind().proves_modern() || newest_mutual(&error, Era::Modern).is_some())
                && !self.streams.renewing()
                && std::mem::take(&mut self.probe_was_silent) =>
            {
                self.probe(newest_mutual(&error, Era::Modern).unwrap_or(Revision::LATEST), true);
            }
            _ => self.connect_failed(error.into()),
        }
    }

    fn on_initialized(&mut self, now: Duration, result: &Json) {
        let Ok(said) = serde_json::from_str::<Initialized<'_>>(result.as_str()) else {
            if self.prior_refused(now) {
                return;
            }
            let message = "the server's answer to the handshake names no protocol version";
            return self.connect_failed(ClientError::local(kind::PROTOCOL, message));
        };
        let Some(revision) = Revision::parse(&said.revision).filter(|known| known.era() == Era::Legacy)
        else {
            if self.prior_refused(now) {
                return;
            }
            return self.connect_failed(no_mutual(&said.revision));
        };
        self.on_prior = false;
        self.speak(revision);
        self.facts = Some(Box::new(ServerFacts {
            revision,
            server_info: text_of(said.server_info, '{'),
            capabilities: object_of(said.capabilities),
            instructions: text_of(said.instructions, '"'),
        }));
        let post = self.send_other(jsonrpc::notification(methods::by_role(Role::Initialized).name, ""));
        self.state = State::Confirming { post };
        if !self.is_http() {
            self.confirmed();
        }
    }

    /// POSTs travel side by side, so a request must not be sent before this notification has arrived.
    fn confirmed(&mut self) {
        if let Some(facts) = self.facts.take() {
            self.become_ready(*facts);
        }
    }

    /// Handles failures of the requests of the connecting phase. Returns false for other requests.
    pub(super) fn on_connecting_failure(
        &mut self,
        now: Duration,
        post: u64,
        failure: &TransportFailure,
    ) -> bool {
        let status = match failure {
            TransportFailure::Status { status, .. } => Some(*status),
            _ => None,
        };
        let said = match failure {
            TransportFailure::Status { body, .. } => self.error_in(body),
            _ => None,
        };
        let error = failure.error();
        match self.state {
            State::Probing { id, .. } if id == post => match (status, said) {
                (Some(status), said) if says_nothing_of_era(status) => {
                    self.connect_failed(failure.error_with(said));
                }
                (Some(_), Some(said)) => {
                    let _ = self.on_connecting_response(now, post, Err(said));
                }
                (Some(_), None) => self.fall_back(error),
                (None, _) => self.connect_failed(error),
            },
            State::Initializing { id, .. } if id == post => match (status, said) {
                (_, said) if failure.is_refusal() => self.connect_failed(failure.error_with(said)),
                (Some(status), said) if !self.on_prior && self.may_be_older(status, said.as_ref()) => {
                    self.open_channel(Some(failure.error_with(said)));
                }
                (_, Some(said)) => {
                    let _ = self.on_connecting_response(now, post, Err(said));
                }
                (Some(_), None) if self.prior_refused(now) => {}
                (_, None) => self.connect_failed(error),
            },
            State::Confirming { post: confirming } if confirming == post => match status {
                // The server is there; that it dislikes a notification is no reason to leave.
                Some(_) => self.confirmed(),
                None => self.connect_failed(error),
            },
            _ => return false,
        }
        true
    }

    /// Handles the ends of responses to the requests of the connecting phase. Returns false for other
    /// requests.
    pub(super) fn on_connecting_end(&mut self, now: Duration, post: u64) -> bool {
        let error = || ClientError::local(kind::TRANSPORT, "the response ended without an answer");
        match self.state {
            State::Probing { id, .. } if id == post => self.fall_back(error()),
            State::Initializing { id, .. } if id == post => {
                if !self.prior_refused(now) {
                    self.connect_failed(error());
                }
            }
            State::Confirming { post: confirming } if confirming == post => self.confirmed(),
            _ => return false,
        }
        true
    }

    pub(super) fn on_connecting_deadline(&mut self, now: Duration) {
        if self.connect_deadline.is_some_and(|deadline| deadline <= now) {
            return self
                .connect_failed(ClientError::local(kind::TIMEOUT, "no connection within the time limit"));
        }
        if self.probe_deadline.is_some_and(|deadline| deadline <= now) {
            self.probe_deadline = None;
            self.probe_was_silent = true;
            if !self.restart() {
                if let (State::Probing { id: post, .. }, true) = (&self.state, self.is_http()) {
                    let post = *post;
                    self.output(Output::Abort { post });
                }
                self.initialize(Revision::LATEST_LEGACY, false);
            }
        }
    }
}

/// Statuses that any server or proxy gives, whatever it speaks.
fn says_nothing_of_era(status: u16) -> bool {
    matches!(status, 401 | 402 | 403 | 407 | 408 | 425 | 429) || !(400..500).contains(&status)
}

fn no_mutual(theirs: &str) -> ClientError {
    let ours: Vec<&str> = Revision::ALL.iter().rev().map(|revision| revision.as_str()).collect();
    let message =
        format!("no common protocol revision: the server speaks {theirs}, this client {}", ours.join(", "));
    RpcError::new(ErrorKind::UnsupportedVersion, message).into()
}

fn text_of(raw: Option<&RawValue>, first: char) -> Json {
    match raw.map(RawValue::get).filter(|text| text.starts_with(first)) {
        Some(text) => Json::from(text.to_owned()),
        None => Json::default(),
    }
}

fn object_of(raw: Option<&RawValue>) -> Json {
    let text = text_of(raw, '{');
    if text.is_empty() { Json::from_static("{}") } else { text }
}
