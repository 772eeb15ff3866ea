//! Live objects: servers, exchanges, operations and clients, each in its table until it ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::AbortHandle;
use tokio::sync::{oneshot, watch};
use trunnion_engine::client::Reply;
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::call::{Call, Observer};
use trunnion_engine::server::http::{Phase, Stores};
use trunnion_engine::server::{Counted, Counters, Kind, ServerCore};
use trunnion_engine::sync::lock;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::json;
use trunnion_proto::outcome::Outcome;

use super::carried::Carried;
use super::clients::ClientEntry;
use super::queue::{Event, Queue, kind};
use super::server_auth::Checked;

/// A registered server.
pub(crate) struct ServerEntry {
    pub core: Arc<ServerCore>,
    pub phase: watch::Sender<Phase>,
    pub stores: Stores,
}

/// An operation of the host that has not ended.
pub(crate) enum Operation {
    /// Serving, until its phase reports a stop; with the endpoint if it is embedded in the host.
    Serve(watch::Sender<Phase>, Option<Arc<Carried>>),
    /// A request to an endpoint that is embedded in the host.
    Carry(AbortHandle),
    /// A request of a client.
    Request { client: u64 },
    /// Questions of a handler.
    Ask,
}

/// A question to a client of the host.
pub(crate) struct Question {
    pub client: u64,
    pub from: Questioner,
}

/// The source of a question.
pub(crate) enum Questioner {
    /// The client's server; with the client's identification of the question.
    Server(u64, Reply),
    /// The engine, to sign in.
    Engine(oneshot::Sender<Result<String, RpcError>>),
}

impl Questioner {
    /// Passes the answer on. False: the question was withdrawn.
    pub fn answer(self, answer: Result<String, RpcError>) -> bool {
        match self {
            Questioner::Server(_, reply) => reply.answer(answer),
            Questioner::Engine(reply) => reply.send(answer).is_ok(),
        }
    }
}

/// The tables. Ids are never used twice.
pub(crate) struct Tables {
    pub queue: Arc<Queue>,
    pub counters: Arc<Counters>,
    pub servers: Mutex<HashMap<u64, ServerEntry>>,
    pub clients: Mutex<HashMap<u64, ClientEntry>>,
    exchanges: Mutex<HashMap<u64, Call>>,
    questions: Mutex<HashMap<u64, Question>>,
    /// The tokens that the host is verifying.
    pub checks: Mutex<HashMap<u64, oneshot::Sender<Checked>>>,
    operations: Mutex<HashMap<u64, (Operation, Counted)>>,
    /// True if the engine is being closed: the host answers nothing any longer.
    pub closing: watch::Sender<bool>,
    next: AtomicU64,
}

impl Tables {
    pub fn new(queue: Arc<Queue>) -> Tables {
        Tables {
            queue,
            counters: Arc::default(),
            servers: Mutex::default(),
            clients: Mutex::default(),
            exchanges: Mutex::default(),
            questions: Mutex::default(),
            checks: Mutex::default(),
            operations: Mutex::default(),
            closing: watch::Sender::new(false),
            next: AtomicU64::new(1),
        }
    }

    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands a call to the host as an event.
    pub fn offer(self: &Arc<Self>, call: Call, kind: u32, target: u64, payload: String) {
        let id = self.next_id();
        lock(&self.exchanges).insert(id, call.clone());
        call.observe(self.clone(), id);
        self.queue.push(Event { kind, id, target, payload });
    }

    pub fn exchange(&self, id: u64) -> Option<Call> {
        lock(&self.exchanges).get(&id).cloned()
    }

    pub fn take_exchange(&self, id: u64) -> Option<Call> {
        lock(&self.exchanges).remove(&id)
    }

    /// Hands a question to the host as an event; returns its exchange.
    pub fn ask(&self, question: Question, kind: u32, payload: String) -> u64 {
        let (id, target) = (self.next_id(), question.client);
        lock(&self.questions).insert(id, question);
        self.queue.push(Event { kind, id, target, payload });
        id
    }

    pub fn take_question(&self, id: u64) -> Option<Question> {
        lock(&self.questions).remove(&id)
    }

    pub fn take_check(&self, id: u64) -> Option<oneshot::Sender<Checked>> {
        lock(&self.checks).remove(&id)
    }

    /// Withdraws a question of a client: the host is notified, unless it has answered.
    pub fn withdraw(&self, client: u64, number: u64, reason: &str) {
        let of = |question: &Question| {
            question.client == client
                && matches!(question.from, Questioner::Server(known, _) if known == number)
        };
        let found = lock(&self.questions).iter().find(|(_, question)| of(question)).map(|(id, _)| *id);
        if let Some(id) = found {
            self.withdraw_exchange(id, reason);
        }
    }

    /// Withdraws a question by its exchange: the host is notified, unless it has answered.
    pub fn withdraw_exchange(&self, id: u64, reason: &str) {
        if lock(&self.questions).remove(&id).is_none() {
            return;
        }
        let payload = format!("{{\"reason\":{}}}", json::string(reason));
        self.queue.push(Event { kind: kind::CANCELLED, id, target: 0, payload });
    }

    pub fn begin(&self, operation: Operation) -> u64 {
        let id = self.next_id();
        lock(&self.operations).insert(id, (operation, self.counters.count(Kind::Operation)));
        id
    }

    /// Ends an operation with its one last event. False: it had ended before.
    pub fn end(&self, id: u64, result: Result<String, Error>) -> bool {
        let Some(operation) = lock(&self.operations).remove(&id) else { return false };
        let (kind, payload) = match result {
            Ok(payload) => (kind::RESULT, payload),
            Err(error) => (kind::ERROR, error.to_json()),
        };
        self.queue.push(Event { kind, id, target: 0, payload });
        // Counted until the event is there: closing waits for that.
        drop(operation);
        true
    }

    pub fn has_operation(&self, id: u64) -> bool {
        lock(&self.operations).contains_key(&id)
    }

    /// Returns the client of a request that has not ended.
    pub fn client_of(&self, id: u64) -> Option<u64> {
        match lock(&self.operations).get(&id) {
            Some((Operation::Request { client }, _)) => Some(*client),
            _ => None,
        }
    }

    /// Cancels questions, or a request to an embedded endpoint. False: there are none of that id.
    pub fn give_up(&self, id: u64, reason: &str) -> bool {
        match lock(&self.operations).get(&id) {
            Some((Operation::Ask, _)) => {}
            Some((Operation::Carry(abort), _)) => abort.abort(),
            _ => return false,
        }
        let message = if reason.is_empty() { "cancelled by the caller" } else { reason };
        self.end(id, Err(Error::local(local::CANCELLED, message)))
    }

    /// Returns an endpoint that is embedded in the host.
    pub fn carried(&self, id: u64) -> Option<Arc<Carried>> {
        match lock(&self.operations).get(&id) {
            Some((Operation::Serve(_, carried), _)) => carried.clone(),
            _ => None,
        }
    }

    /// Stops a serve operation. False: there is none of that id.
    pub fn stop_serving(&self, id: u64) -> bool {
        match lock(&self.operations).get(&id) {
            Some((Operation::Serve(phase, _), _)) => {
                advance(phase, Phase::Draining);
                true
            }
            _ => false,
        }
    }

    pub fn live(&self) -> String {
        live_of([
            lock(&self.servers).len() as u64,
            lock(&self.clients).len() as u64,
            (lock(&self.exchanges).len() + lock(&self.questions).len() + lock(&self.checks).len()) as u64,
            lock(&self.operations).len() as u64,
            self.counters.live(Kind::Connection),
            self.counters.live(Kind::Session),
        ])
    }

    /// Refuses what is in flight and makes everything drain.
    pub fn begin_close(&self) {
        self.closing.send_replace(true);
        let pending: Vec<Call> = {
            let mut exchanges = lock(&self.exchanges);
            // Calls of tasks that continue elsewhere are cancelled when the tasks are handed over.
            let goes_on = |call: &Call| call.task().is_some_and(|task| task.resumable);
            let (kept, refused) = exchanges.drain().partition(|(_, call)| goes_on(call));
            *exchanges = kept;
            let refused: HashMap<u64, Call> = refused;
            refused.into_values().collect()
        };
        for call in pending {
            call.complete(Outcome::Error(RpcError::new(
                ErrorKind::InternalError,
                "the server is shutting down",
            )));
        }
        self.advance_all(Phase::Draining);
        for (_, client) in lock(&self.clients).iter() {
            client.handle.close();
        }
    }

    /// Drops the rest.
    pub fn finish_close(&self) {
        self.advance_all(Phase::Stopped);
        lock(&self.servers).clear();
        // Their destructors may read the tables.
        let questions = std::mem::take(&mut *lock(&self.questions));
        drop(questions);
        lock(&self.exchanges).clear();
        lock(&self.checks).clear();
        let clients: Vec<(u64, ClientEntry)> = lock(&self.clients).drain().collect();
        for (id, client) in clients {
            if client.fail_connect() {
                let error = Error::local(local::CLOSED, "the engine is closed");
                self.queue.push(Event { kind: kind::ERROR, id, target: 0, payload: error.to_json() });
            }
        }
        let open: Vec<u64> = lock(&self.operations).keys().copied().collect();
        for id in open {
            self.end(id, Err(Error::local(local::CLOSED, "the engine is closed")));
        }
    }

    fn advance_all(&self, to: Phase) {
        for entry in lock(&self.servers).values() {
            advance(&entry.phase, to);
        }
        for (operation, _) in lock(&self.operations).values() {
            if let Operation::Serve(phase, _) = operation {
                advance(phase, to);
            }
        }
    }
}

/// Returns the number of live objects of each kind, as JSON.
pub(super) fn live_of([servers, clients, exchanges, operations, connections, sessions]: [u64; 6]) -> String {
    format!(
        "{{\"servers\":{servers},\"clients\":{clients},\"exchanges\":{exchanges},\"operations\":{operations},\
         \"connections\":{connections},\"sessions\":{sessions}}}"
    )
}

/// Advances a phase. Phases only go forward.
pub(crate) fn advance(phase: &watch::Sender<Phase>, to: Phase) {
    phase.send_if_modified(|phase| {
        let forward = *phase < to;
        *phase = to.max(*phase);
        forward
    });
}

impl Observer for Tables {
    fn cancelled(&self, id: u64, reason: Option<&str>) {
        lock(&self.exchanges).remove(&id);
        let payload = match reason {
            Some(reason) => format!("{{\"reason\":{}}}", json::string(reason)),
            None => "{}".to_owned(),
        };
        self.queue.push(Event { kind: kind::CANCELLED, id, target: 0, payload });
    }
}
