//! Sessions of legacy clients, by their ids (2025-11-25, Streamable HTTP, "Session Management").

mod changes;
mod room;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use trunnion_proto::auth::resource::Access;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::json::Json;
use trunnion_proto::jsonrpc::{self, Id, Message};
use trunnion_proto::limits::Limits;
use trunnion_proto::methods::{self, Role};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::Revision;
use trunnion_proto::server::{Elicitations, Exchange, Request, Session as Facts};

use super::HttpOptions;
use super::budget::{Budget, Owner, Purse};
use super::follow::Follower;
use super::log::StreamLog;
use super::shared::{self, Backing, Shared};
use crate::driver::Driver;
use crate::random::random_id;
use crate::server::asking::{Asked, Asks};
use crate::server::call::Call;
use crate::server::notices::{Listener, Membership, News, ServedSession, Sharing};
use crate::server::{Counted, Kind, ServerCore};
use crate::sync::lock;

/// Sessions that are touched in a store at the same time.
const TOUCHES: usize = 32;
/// The minimum time between two searches for unused sessions.
const SWEEP: Duration = Duration::from_secs(30);

/// The sessions of one endpoint.
pub(super) struct Sessions {
    server: Arc<ServerCore>,
    driver: Driver,
    table: Mutex<HashMap<String, Arc<Session>>>,
    idle: Duration,
    most: usize,
    per_owner: usize,
    pub budget: Budget,
    sweeping: AtomicBool,
    /// Those in a store are being touched.
    touching: AtomicBool,
    /// The stores that other processes share.
    shared: Option<Arc<Shared>>,
}

/// The reason why there is no session.
pub(super) enum NoSession {
    /// There is none of that id.
    Unknown,
    /// There are as many as there can be, and all of them are in use.
    TooMany,
    /// There are as many of one owner.
    TooManyOfOwner,
    /// A store has failed.
    Failed(RpcError),
}

impl Sessions {
    pub fn new(server: Arc<ServerCore>, driver: Driver, options: &HttpOptions) -> Arc<Sessions> {
        let HttpOptions { session_idle: idle, max_sessions: most, stores, .. } = options;
        let (idle, most, per_owner) = (*idle, *most, options.max_sessions_per_owner);
        let shared = stores.sessions.clone().map(|sessions| {
            Arc::new(Shared {
                sessions,
                events: stores.events.clone(),
                line: server.line.clone(),
                driver: driver.clone(),
                // Touched when it was used and a quarter of the idle time has passed, at the next look.
                keep: idle.saturating_mul(2),
            })
        });
        let (table, sweeping, touching) = (Mutex::default(), AtomicBool::new(false), AtomicBool::new(false));
        let budget = Budget::new(options.max_kept_bytes);
        let sessions =
            Sessions { server, driver, table, idle, most, per_owner, budget, sweeping, touching, shared };
        let sessions = Arc::new(sessions);
        if sessions.shared.is_some() {
            let sharing: Weak<dyn Sharing> = Arc::<Sessions>::downgrade(&sessions);
            sessions.server.line.hub().share(sharing);
        }
        sessions
    }

    /// Open one by its `initialize`.
    pub async fn open(
        self: &Arc<Self>,
        facts: Facts,
        access: &Access,
        owner: &Owner,
    ) -> Result<Arc<Session>, NoSession> {
        self.make_room(owner, true)?;
        let id = random_id();
        if let Some(shared) = &self.shared {
            let inserted = shared.sessions.insert(&id, &facts.to_record(), shared.keep).await;
            inserted.map_err(|error| NoSession::Failed(shared::failed("sessions", &error)))?;
        }
        let place = self.place(owner, true);
        self.put(Session::new(&self.server, id, 1, facts, access, place))
    }

    /// The session of an id, wherever it was opened, if it is the caller's.
    pub async fn find(
        self: &Arc<Self>,
        id: &str,
        access: &Access,
        owner: &Owner,
    ) -> Result<Arc<Session>, NoSession> {
        if let Some(session) = self.get(id) {
            session.check_owner(access)?;
            session.touch(access);
            return Ok(session);
        }
        let Some(shared) = &self.shared else { return Err(NoSession::Unknown) };
        let loaded = shared.load(id).await.map_err(NoSession::Failed)?;
        let (version, facts) = loaded.ok_or(NoSession::Unknown)?;
        if facts.principal.as_deref() != access.principal().map(|principal| &**principal) {
            return Err(NoSession::Unknown);
        }
        self.make_room(owner, false)?;
        let place = self.place(owner, false);
        let adopted = Session::new(&self.server, id.to_owned(), version, facts, access, place);
        let session = self.put(adopted)?;
        // What was changed or ended since it was loaded was told to nobody here.
        let looked = shared.load(id).await;
        match looked {
            Ok(Some((version, facts))) => session.renew(version, facts),
            Ok(None) => {
                self.forget(id, true);
                return Err(NoSession::Unknown);
            }
            Err(error) => return Err(NoSession::Failed(error)),
        }
        Ok(session)
    }

    fn place(&self, owner: &Owner, is_home: bool) -> Place {
        let purse = self.budget.session(owner);
        Place { shared: self.shared.clone(), owner: owner.clone(), purse, is_home }
    }

    /// Under its id, unless another is there.
    fn put(self: &Arc<Self>, session: Arc<Session>) -> Result<Arc<Session>, NoSession> {
        {
            let mut table = lock(&self.table);
            if let Some(known) = table.get(&session.id) {
                return Ok(known.clone());
            }
            if table.len() >= self.most {
                return Err(NoSession::TooMany);
            }
            table.insert(session.id.clone(), session.clone());
        }
        let listener: Weak<dyn Listener> = Arc::<Session>::downgrade(&session);
        let _ = session.membership.set(self.server.line.hub().join(listener));
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            self.driver.spawn(sweep(Arc::downgrade(self), self.driver.clone()));
        }
        Ok(session)
    }

    fn get(&self, id: &str) -> Option<Arc<Session>> {
        lock(&self.table).get(id).cloned()
    }

    /// A request comes in under a session: the request learns who asks, the session what is set.
    pub async fn adopt(
        &self,
        session: &Arc<Session>,
        request: &mut Request,
        exchange: &mut Exchange,
    ) -> Result<(), RpcError> {
        let Some(shared) = self.shared.as_ref().filter(|_| Facts::is_changed_by(request)) else {
            return lock(&session.state).facts.adopt(request, exchange);
        };
        match shared.change(&session.id, |facts| facts.adopt(request, exchange)).await? {
            Some((version, facts, ())) => session.renew(version, facts),
            None => return Err(RpcError::new(ErrorKind::InvalidRequest, "the session is over")),
        }
        Ok(())
    }

    /// A request is answered: a subscription that is refused leaves nothing behind.
    pub async fn answers(&self, session: Option<&Arc<Session>>, request: &Request, outcome: &Outcome) {
        let Some(session) = session else { return };
        if request.method.role != Role::Subscribe || !matches!(outcome, Outcome::Error(_)) {
            return;
        }
        lock(&session.state).facts.refused(&request.name);
        if let Some(shared) = &self.shared {
            // Should it fail, the client may be told more than it asked for.
            let refuse = |facts: &mut Facts| {
                facts.refused(&request.name);
                Ok(())
            };
            if let Ok(Some((version, facts, ()))) = shared.change(&session.id, refuse).await {
                session.renew(version, facts);
            }
        }
    }

    /// Ends one, everywhere. False: there is none.
    pub async fn close(&self, id: &str, access: &Access) -> Result<bool, RpcError> {
        if !self.is_of(id, access).await? {
            return Ok(false);
        }
        let mut known = false;
        if let Some(shared) = &self.shared {
            known = shared.sessions.remove(id).await.map_err(|error| shared::failed("sessions", &error))?;
            shared.forget_events(id, None);
            shared.line.tell(id, News::Ended);
        }
        Ok(self.forget(id, true) || known)
    }

    /// Returns true if the session belongs to the caller. Unidentified callers count as one.
    async fn is_of(&self, id: &str, access: &Access) -> Result<bool, RpcError> {
        let Some(principal) = access.principal() else { return Ok(true) };
        if let Some(session) = self.get(id) {
            return Ok(session.check_owner(access).is_ok());
        }
        let Some(shared) = &self.shared else { return Ok(false) };
        let loaded = shared.load(id).await?;
        Ok(loaded.is_some_and(|(_, facts)| facts.principal.as_deref() == Some(&**principal)))
    }

    /// Ends one here; `everywhere`: it has ended elsewhere too.
    fn forget(&self, id: &str, everywhere: bool) -> bool {
        let session = lock(&self.table).remove(id);
        session.map(|session| session.close(everywhere)).is_some()
    }

    /// Ends all of them here.
    pub fn close_all(&self) {
        let all = std::mem::take(&mut *lock(&self.table));
        for session in all.into_values() {
            session.close(false);
        }
    }

    /// The server takes no more requests: streams that wait for nothing but changes, or for another process,
    /// end.
    pub fn drain(&self) {
        let all: Vec<_> = lock(&self.table).values().cloned().collect();
        for session in all {
            session.standing.abandon();
            session.close_followers();
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
            session.close(false);
        }
    }

    /// Extends the stored lifetime of the sessions used since the last extension.
    async fn touch(&self, shared: &Shared) {
        let now = Instant::now();
        let due: Vec<_> = lock(&self.table)
            .values()
            .filter(|session| session.is_touch_due(now, self.idle / 4))
            .cloned()
            .collect();
        let touched = stream::iter(due).for_each_concurrent(TOUCHES, async |session| {
            match shared.sessions.touch(&session.id, shared.keep).await {
                Ok(true) => session.was_touched(now).await,
                // Ended, and the news of it got lost.
                Ok(false) => drop(self.forget(&session.id, true)),
                Err(error) => shared::report("sessions", &error),
            }
        });
        touched.await;
    }
}

impl Sharing for Sessions {
    fn heard(&self, id: &str, news: News) {
        if matches!(news, News::Ended) {
            self.forget(id, true);
        } else if let Some(session) = self.get(id) {
            session.heard(news);
        }
    }
}

async fn sweep(sessions: Weak<Sessions>, driver: Driver) {
    loop {
        let Some(pause) = sessions.upgrade().map(|sessions| SWEEP.min(sessions.idle / 2)) else { return };
        driver.sleep(pause.max(Duration::from_millis(10))).await;
        let Some(sessions) = sessions.upgrade() else { return };
        sessions.sweep();
        let Some(shared) =
            sessions.shared.clone().filter(|_| !sessions.touching.swap(true, Ordering::AcqRel))
        else {
            continue;
        };
        // Beside the sweeps: a store that hangs keeps none of them.
        sessions.driver.clone().spawn(async move {
            sessions.touch(&shared).await;
            sessions.touching.store(false, Ordering::Release);
        });
    }
}

/// One session, as far as this process serves it.
pub(super) struct Session {
    pub id: String,
    pub revision: Revision,
    principal: Option<String>,
    server: Arc<ServerCore>,
    /// The stream that belongs to no request.
    pub standing: Arc<StreamLog>,
    state: Mutex<State>,
    membership: OnceLock<Membership>,
    shared: Option<Arc<Shared>>,
    owner: Owner,
    /// The budget in which the stored bytes of its streams count.
    purse: Arc<Purse>,
    /// Its client has done more than to say hello.
    works: AtomicBool,
    _served: ServedSession,
    _counted: Counted,
}

/// The location of a session: its owner, and whether it is only in this process or also elsewhere.
struct Place {
    shared: Option<Arc<Shared>>,
    owner: Owner,
    purse: Arc<Purse>,
    is_home: bool,
}

struct State {
    /// The version of these facts, where they are kept beyond this process.
    version: u64,
    facts: Facts,
    /// The latest caller; its newest token decides which changes it may receive.
    access: Access,
    calls: HashMap<Id, Call>,
    asks: Asks,
    /// The pages that its client was asked here to visit.
    elicitations: Elicitations,
    asked_by: BTreeMap<u64, Id>,
    streams: BTreeMap<u64, Arc<StreamLog>>,
    followers: Vec<Arc<Follower>>,
    /// Changes are told on the standing stream of this process.
    is_home: bool,
    next_stream: u64,
    next_ask: u64,
    used: Instant,
    touched: Instant,
    closed: bool,
}

impl Session {
    fn new(
        server: &Arc<ServerCore>,
        id: String,
        version: u64,
        facts: Facts,
        access: &Access,
        place: Place,
    ) -> Arc<Session> {
        let Place { shared, owner, purse, is_home } = place;
        let served = server.line.hub().serves_session(&id);
        let first = if shared.is_some() { shared::first_number() } else { 0 };
        let standing = StreamLog::new(first, Backing::of(shared.as_ref(), &id, first), purse.clone());
        let now = Instant::now();
        let state = State {
            version,
            access: access.clone(),
            calls: HashMap::new(),
            asks: Asks::default(),
            elicitations: Elicitations::default(),
            asked_by: BTreeMap::new(),
            streams: BTreeMap::new(),
            followers: Vec::new(),
            is_home,
            next_stream: first,
            next_ask: first,
            used: now,
            touched: now,
            closed: false,
            facts,
        };
        Arc::new(Session {
            id,
            revision: state.facts.revision,
            principal: state.facts.principal.clone(),
            server: server.clone(),
            standing,
            state: Mutex::new(state),
            membership: OnceLock::new(),
            shared,
            owner,
            purse,
            works: AtomicBool::new(!is_home),
            _served: served,
            _counted: server.counters.count(Kind::Session),
        })
    }

    /// Somebody else's is as unknown as none.
    fn check_owner(&self, access: &Access) -> Result<(), NoSession> {
        let caller = access.principal().map(|principal| &**principal);
        if self.principal.as_deref() == caller { Ok(()) } else { Err(NoSession::Unknown) }
    }

    /// Its client does more than to say hello.
    pub fn works(&self) {
        self.works.store(true, Ordering::Relaxed);
    }

    /// Since when its client has done nothing, if it never did more than to say hello.
    fn unused_since(&self) -> Option<Instant> {
        let state = lock(&self.state);
        (!self.works.load(Ordering::Relaxed) && !self.is_busy(&state)).then_some(state.used)
    }

    /// Returns true if the budget of the session has room for more.
    pub fn has_room(&self) -> bool {
        self.purse.has_room()
    }

    fn touch(&self, access: &Access) {
        let mut state = lock(&self.state);
        state.used = Instant::now();
        state.access = access.clone();
    }

    /// Applies the stored state, if it is newer.
    fn renew(&self, version: u64, facts: Facts) {
        let mut state = lock(&self.state);
        if version > state.version {
            state.version = version;
            state.facts = facts;
        }
    }

    fn is_touch_due(&self, now: Instant, pause: Duration) -> bool {
        let state = lock(&self.state);
        let is_used = state.used > state.touched || self.is_busy(&state);
        is_used && now.saturating_duration_since(state.touched) >= pause
    }

    async fn was_touched(&self, now: Instant) {
        let open: Vec<_> = {
            let mut state = lock(&self.state);
            state.touched = now;
            let streams = state.streams.values().chain([&self.standing]);
            streams.filter(|stream| !stream.is_over()).cloned().collect()
        };
        for stream in open {
            stream.touch().await;
        }
    }

    fn is_idle(&self, now: Instant, limit: Duration) -> bool {
        let state = lock(&self.state);
        !self.is_busy(&state) && now.saturating_duration_since(state.used) >= limit
    }

    fn is_busy(&self, state: &State) -> bool {
        let mut streams = state.streams.values().chain([&self.standing]);
        streams.any(|stream| stream.left().is_none())
            || !state.calls.is_empty()
            || !state.followers.is_empty()
    }

    /// A call begins; it is known by its request's id while the guard lives.
    pub fn begin(self: &Arc<Self>, id: Id, call: &Call) -> Result<InSession, RpcError> {
        let refuse = |message: String| Err(RpcError::new(ErrorKind::InvalidRequest, message));
        let mut state = lock(&self.state);
        if state.calls.contains_key(&id) {
            return refuse("id is in use by a request in flight".into());
        }
        let most = self.server.catalog.settings().limits.in_flight;
        if state.calls.len() >= most {
            return refuse(format!("more than {most} requests in flight (maxInFlight)"));
        }
        state.calls.insert(id.clone(), call.clone());
        drop(state);
        Ok(InSession { session: self.clone(), id })
    }

    /// The client gives a request up.
    pub fn cancel(&self, id: &Id, reason: Option<String>) {
        let call = lock(&self.state).calls.get(id).cloned();
        match call {
            Some(call) => call.cancel(reason),
            None => self.tell(|| News::Cancelled { id: id.as_json().to_owned(), reason }),
        }
    }

    /// Asks the client on behalf of a request: the messages to send.
    pub fn ask(&self, caller: &Id, asked: Asked) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut state = lock(&self.state);
        let State { asks, asked_by, elicitations, next_ask, closed, .. } = &mut *state;
        if *closed {
            return messages;
        }
        asks.begin(asked, self.revision, |question, elicitation_id| {
            *next_ask += 1;
            if let Some(id) = elicitation_id.map(str::to_owned).or_else(|| question.elicitation_id()) {
                elicitations.asked(self.revision, &id);
            }
            let params = question.params(self.revision, elicitation_id);
            messages.push(jsonrpc::request(&Id::number(*next_ask), question.method.name, &params));
            asked_by.insert(*next_ask, caller.clone());
            Some(*next_ask)
        });
        messages
    }

    /// Remembers what an error asks for with which a request ends.
    pub fn ends(&self, outcome: &Outcome) {
        lock(&self.state).elicitations.ended(self.revision, outcome);
    }

    /// The client answers what it was asked, here or elsewhere.
    pub fn answered(&self, id: &Id, result: Result<Json, RpcError>) {
        let Some(ask) = id.as_number() else { return };
        if self.shared.is_none() || lock(&self.state).asked_by.contains_key(&ask) {
            self.answered_here(ask, result);
            return;
        }
        let message = match &result {
            Ok(result) => jsonrpc::response(id, result.as_bytes()),
            Err(error) => jsonrpc::error(Some(id), error),
        };
        if let Ok(message) = String::from_utf8(message) {
            self.tell(|| News::Answered { message });
        }
    }

    fn answered_here(&self, ask: u64, result: Result<Json, RpcError>) {
        let mut state = lock(&self.state);
        if state.asked_by.remove(&ask).is_some() {
            state.asks.answered(ask, result);
        }
    }

    /// Tell the other processes that serve it.
    fn tell(&self, news: impl FnOnce() -> News) {
        if let Some(shared) = &self.shared {
            shared.line.tell(&self.id, news());
        }
    }

    /// Another process that serves it says something.
    fn heard(&self, news: News) {
        match news {
            News::Answered { message } => {
                let limits = Limits { message_bytes: usize::MAX, ..Limits::default() };
                if let Ok(Message::Response { id: Some(id), result }) =
                    jsonrpc::parse(message.as_bytes(), &limits)
                    && let Some(ask) = id.as_number()
                {
                    self.answered_here(ask, result.map(|result| Json::from(result.get().to_owned())));
                }
            }
            News::Cancelled { id, reason } => {
                let call = Id::from_json(&id).and_then(|id| lock(&self.state).calls.get(&id).cloned());
                if let Some(call) = call {
                    call.cancel(reason);
                }
            }
            News::Appended { stream } => self.tell_followers(stream, Follower::appended),
            News::Alive { stream } => self.tell_followers(stream, Follower::alive),
            News::Closing { stream, turn } => self.close_followers_until(stream, turn),
            News::Reads { stream, sent, turn } => {
                self.close_followers_until(stream, turn);
                if shared::is_standing(stream) {
                    self.leave_home(turn, (stream == self.standing.id()).then_some(sent));
                } else if let Some(log) = self.stream(stream) {
                    log.reads_elsewhere(turn);
                }
            }
            News::Reading { stream, sent } => {
                if let Some(log) = self.stream(stream) {
                    log.sent_elsewhere(sent);
                    self.tell(|| News::Alive { stream });
                }
            }
            News::Changed { version, text } => {
                if let Some(facts) = Facts::from_record(&text) {
                    self.renew(version, facts);
                }
            }
            News::HandedOver { messages } => {
                if lock(&self.state).is_home {
                    messages.iter().for_each(|message| self.standing.append_once(message.as_bytes()));
                }
            }
            News::Ended => {}
        }
    }

    fn tell_followers(&self, stream: u64, tell: impl Fn(&Follower)) {
        let followers = lock(&self.state).followers.clone();
        followers.iter().filter(|follower| follower.stream == stream).for_each(|follower| tell(follower));
    }

    fn close_followers_until(&self, stream: u64, turn: u64) {
        self.tell_followers(stream, |follower| {
            if follower.turn <= turn {
                follower.close();
            }
        });
    }

    /// Somebody reads a stream here that another process writes: in the place of whoever did so before.
    pub fn follow(&self, stream: u64, turn: u64) -> Arc<Follower> {
        self.close_followers_until(stream, turn);
        let follower = Follower::new(stream, turn);
        lock(&self.state).followers.push(follower.clone());
        follower
    }

    pub fn unfollow(&self, follower: &Arc<Follower>) {
        lock(&self.state).followers.retain(|known| !Arc::ptr_eq(known, follower));
    }

    fn close_followers(&self) {
        let followers = lock(&self.state).followers.clone();
        followers.iter().for_each(|follower| follower.close());
    }

    /// The events of a stream of the session that another process writes, if they are kept where this one can
    /// read them.
    pub fn elsewhere(&self, stream: u64) -> Option<Backing> {
        Backing::of(self.shared.as_ref(), &self.id, stream)
    }

    /// The client hears of changes at another process since this turn, and was sent these events of the
    /// stream here.
    fn leave_home(&self, turn: u64, sent: Option<u64>) {
        if !self.standing.reads_elsewhere(turn) {
            return;
        }
        if std::mem::replace(&mut lock(&self.state).is_home, false) {
            let messages = self.standing.hand_over(sent);
            if !messages.is_empty() {
                self.tell(|| News::HandedOver { messages });
            }
        }
    }

    /// The client begins to read a stream here, and has its events up to this one: everybody else is to let
    /// go. Returns its turn: later ones are greater, wherever they are taken. 0 where nobody else could read.
    pub async fn reads(&self, stream: u64, sent: u64) -> u64 {
        let turn = match &self.shared {
            None => 0,
            // A change of nothing: the versions of the record are the turns.
            Some(shared) => match shared.change(&self.id, |_| Ok(())).await {
                Ok(Some((version, facts, ()))) => {
                    self.renew(version, facts);
                    version
                }
                // Then nobody else can be told either.
                Ok(None) | Err(_) => 0,
            },
        };
        if shared::is_standing(stream) {
            self.standing.take_turn(turn);
            // From here on changes are told here.
            lock(&self.state).is_home = true;
        } else if let Some(log) = self.stream(stream) {
            log.take_turn(turn);
        }
        if turn > 0 {
            self.tell(|| News::Reads { stream, sent, turn });
        }
        turn
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
        let id = state.next_stream;
        let stream = StreamLog::new(id, Backing::of(self.shared.as_ref(), &self.id, id), self.purse.clone());
        if state.closed {
            stream.abandon();
            return stream;
        }
        state.streams.insert(id, stream.clone());
        stream
    }

    pub fn stream(&self, id: u64) -> Option<Arc<StreamLog>> {
        if id == self.standing.id() {
            return Some(self.standing.clone());
        }
        lock(&self.state).streams.get(&id).cloned()
    }

    /// Forget a stream that nobody will come back for.
    pub fn drop_stream(&self, id: u64) {
        let dropped = lock(&self.state).streams.remove(&id);
        if let Some(stream) = dropped {
            stream.abandon();
            self.forget_events(id);
        }
    }

    fn forget_events(&self, stream: u64) {
        if let Some(shared) = &self.shared {
            shared.forget_events(&self.id, Some(stream));
        }
    }

    /// Over, here or `everywhere`.
    fn close(&self, everywhere: bool) {
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
            if everywhere { stream.abandon() } else { stream.end() }
        }
        self.standing.abandon();
        self.close_followers();
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
