//! Sessions of legacy clients: what their ids stand for (2025-11-25, Streamable HTTP, "Session Management").

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::json::Json;
use trunnion_proto::jsonrpc::{self, Id};
use trunnion_proto::methods::{self, Role};
use trunnion_proto::revision::Revision;
use trunnion_proto::server::{Exchange, Notice, Request, Session as Facts};

use super::log::StreamLog;
use crate::driver::Driver;
use crate::lock;
use crate::server::asking::{Asked, Asks};
use crate::server::call::Call;
use crate::server::notices::{Listener, Membership};
use crate::server::seal::random_id;
use crate::server::{Counted, Kind, ServerCore};

/// The stream that belongs to no request.
pub(super) const STANDING: u64 = 0;
/// Streams that have ended and are kept for clients that have missed the end.
const MAX_ENDED: usize = 16;
/// How often sessions that nobody uses are looked for, at most.
const SWEEP: Duration = Duration::from_secs(30);

/// The sessions of one endpoint.
pub(super) struct Sessions {
    table: Mutex<HashMap<String, Arc<Session>>>,
    idle: Duration,
    most: usize,
    sweeping: AtomicBool,
}

impl Sessions {
    /// `idle`: after how long without use a session ends. `most`: how many there can be.
    pub fn new(idle: Duration, most: usize) -> Arc<Sessions> {
        let sweeping = AtomicBool::new(false);
        Arc::new(Sessions { table: Mutex::default(), idle, most, sweeping })
    }

    /// Open one by its `initialize`. `None`: there are too many.
    pub fn open(
        self: &Arc<Self>,
        server: &Arc<ServerCore>,
        driver: &Driver,
        facts: Facts,
    ) -> Option<Arc<Session>> {
        let session = {
            let mut table = lock(&self.table);
            if table.len() >= self.most {
                return None;
            }
            let session = Session::new(server, facts);
            table.insert(session.id.clone(), session.clone());
            session
        };
        let listener: Weak<dyn Listener> = Arc::<Session>::downgrade(&session);
        let _ = session.membership.set(server.hub.join(listener));
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            driver.spawn(sweep(Arc::downgrade(self), driver.clone()));
        }
        Some(session)
    }

    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        let session = lock(&self.table).get(id).cloned()?;
        session.touch();
        Some(session)
    }

    /// End one. False: there is none.
    pub fn close(&self, id: &str) -> bool {
        let session = lock(&self.table).remove(id);
        session.map(|session| session.close()).is_some()
    }

    /// End all of them.
    pub fn close_all(&self) {
        let all = std::mem::take(&mut *lock(&self.table));
        for session in all.into_values() {
            session.close();
        }
    }

    /// The server takes no more requests: streams that wait for nothing but changes end.
    pub fn drain(&self) {
        for session in lock(&self.table).values() {
            if let Some(log) = session.stream(STANDING) {
                log.end();
            }
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let idle: Vec<Arc<Session>> = {
            let mut table = lock(&self.table);
            let ids: Vec<String> = table
                .iter()
                .filter(|(_, session)| session.is_idle(now, self.idle))
                .map(|(id, _)| id.clone())
                .collect();
            ids.iter().filter_map(|id| table.remove(id)).collect()
        };
        for session in idle {
            session.close();
        }
    }
}

async fn sweep(sessions: Weak<Sessions>, driver: Driver) {
    loop {
        let Some(pause) = sessions.upgrade().map(|sessions| SWEEP.min(sessions.idle / 2)) else { return };
        driver.sleep(pause.max(Duration::from_millis(10))).await;
        let Some(sessions) = sessions.upgrade() else { return };
        sessions.sweep();
    }
}

/// One session.
pub(super) struct Session {
    pub id: String,
    pub revision: Revision,
    in_flight: usize,
    state: Mutex<State>,
    membership: OnceLock<Membership>,
    _counted: Counted,
}

struct State {
    facts: Facts,
    calls: HashMap<Id, Call>,
    asks: Asks,
    asked_by: BTreeMap<u64, Id>,
    streams: BTreeMap<u64, Arc<StreamLog>>,
    next_stream: u64,
    next_ask: u64,
    used: Instant,
    closed: bool,
}

impl Session {
    fn new(server: &Arc<ServerCore>, facts: Facts) -> Arc<Session> {
        let state = State {
            calls: HashMap::new(),
            asks: Asks::default(),
            asked_by: BTreeMap::new(),
            streams: BTreeMap::from([(STANDING, StreamLog::new(STANDING))]),
            next_stream: STANDING,
            next_ask: 0,
            used: Instant::now(),
            closed: false,
            facts,
        };
        Arc::new(Session {
            id: random_id(),
            revision: state.facts.revision,
            in_flight: server.catalog.settings().limits.in_flight,
            state: Mutex::new(state),
            membership: OnceLock::new(),
            _counted: server.counters.count(Kind::Session),
        })
    }

    fn touch(&self) {
        lock(&self.state).used = Instant::now();
    }

    fn is_idle(&self, now: Instant, limit: Duration) -> bool {
        let state = lock(&self.state);
        let busy = !state.calls.is_empty() || state.streams.values().any(|stream| stream.left().is_none());
        !busy && now.saturating_duration_since(state.used) >= limit
    }

    /// A request comes in under it.
    pub fn adopt(&self, request: &mut Request, exchange: &mut Exchange) -> Result<(), RpcError> {
        lock(&self.state).facts.adopt(request, exchange)
    }

    /// A call begins; it is known by its request's id while the guard lives.
    pub fn begin(self: &Arc<Self>, id: Id, call: &Call) -> Result<InSession, RpcError> {
        let refuse = |message: String| Err(RpcError::new(ErrorKind::InvalidRequest, message));
        let mut state = lock(&self.state);
        if state.calls.contains_key(&id) {
            return refuse("id is in use by a request in flight".into());
        }
        if state.calls.len() >= self.in_flight {
            return refuse(format!("more than {} requests in flight (maxInFlight)", self.in_flight));
        }
        state.calls.insert(id.clone(), call.clone());
        drop(state);
        Ok(InSession { session: self.clone(), id })
    }

    /// The client gives a request up.
    pub fn cancel(&self, id: &Id, reason: Option<String>) {
        let call = lock(&self.state).calls.get(id).cloned();
        if let Some(call) = call {
            call.cancel(reason);
        }
    }

    /// Ask the client on behalf of a request: the messages to send.
    pub fn ask(&self, caller: &Id, asked: Asked) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut state = lock(&self.state);
        let State { asks, asked_by, next_ask, closed, .. } = &mut *state;
        if *closed {
            return messages;
        }
        asks.begin(asked, self.revision, |question, elicitation_id| {
            *next_ask += 1;
            let params = question.params(self.revision, elicitation_id);
            messages.push(jsonrpc::request(&Id::number(*next_ask), question.method.name, &params));
            asked_by.insert(*next_ask, caller.clone());
            Some(*next_ask)
        });
        messages
    }

    /// The client answers what it was asked.
    pub fn answered(&self, id: &Id, result: Result<Json, RpcError>) {
        let Some(ask) = id.as_number() else { return };
        let mut state = lock(&self.state);
        state.asked_by.remove(&ask);
        state.asks.answered(ask, result);
    }

    /// A request is over: what it asked and was not answered is taken back. Returns the messages that say so.
    pub fn withdraw(&self, caller: &Id) -> Vec<Vec<u8>> {
        let mut state = lock(&self.state);
        let open: Vec<u64> =
            state.asked_by.iter().filter(|(_, asker)| *asker == caller).map(|(ask, _)| *ask).collect();
        for ask in &open {
            state.asked_by.remove(ask);
        }
        state.asks.forget(open.iter().copied());
        let name = methods::by_role(Role::Cancelled).name;
        let say = |ask| jsonrpc::notification(name, &format!("{{\"requestId\":{ask}}}"));
        open.into_iter().map(say).collect()
    }

    /// A new stream for the answers of a POST.
    pub fn new_stream(&self) -> Arc<StreamLog> {
        let mut state = lock(&self.state);
        state.next_stream += 1;
        let stream = StreamLog::new(state.next_stream);
        if state.closed {
            stream.end();
            return stream;
        }
        let ended: Vec<u64> =
            state.streams.iter().filter(|(_, stream)| stream.is_over()).map(|(id, _)| *id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(MAX_ENDED - 1)) {
            state.streams.remove(id);
        }
        state.streams.insert(stream.id(), stream.clone());
        stream
    }

    pub fn stream(&self, id: u64) -> Option<Arc<StreamLog>> {
        lock(&self.state).streams.get(&id).cloned()
    }

    /// Forget a stream that nobody will come back for.
    pub fn drop_stream(&self, id: u64) {
        lock(&self.state).streams.remove(&id);
    }

    fn close(&self) {
        let (calls, streams, asks) = {
            let mut state = lock(&self.state);
            state.closed = true;
            let state = &mut *state;
            state.asked_by.clear();
            (
                std::mem::take(&mut state.calls),
                std::mem::take(&mut state.streams),
                std::mem::take(&mut state.asks),
            )
        };
        drop(asks);
        for call in calls.into_values() {
            call.cancel(Some("the session is over".into()));
        }
        for stream in streams.into_values() {
            stream.end();
        }
    }
}

impl Listener for Session {
    fn notice(&self, notice: &Notice) {
        let standing = {
            let state = lock(&self.state);
            state.facts.wants(notice).then(|| state.streams.get(&STANDING).cloned()).flatten()
        };
        if let Some(stream) = standing {
            stream.append_once(&notice.message(None));
        }
    }
}

/// A call of a session, known by the id of its request.
pub(super) struct InSession {
    pub session: Arc<Session>,
    pub id: Id,
}

impl Drop for InSession {
    fn drop(&mut self) {
        let mut state = lock(&self.session.state);
        state.calls.remove(&self.id);
        state.used = Instant::now();
    }
}
