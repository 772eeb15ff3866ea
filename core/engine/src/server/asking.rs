//! Input requests of handlers to the client: in the legacy era by requests of the server, in the modern era
//! by ending the run and running the handler again with the answers (design D10).

use std::collections::BTreeMap;
use std::sync::Arc;

use trunnion_proto::error::RpcError;
use trunnion_proto::json::{self, Json};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::{Era, Revision};
use trunnion_proto::server::catalog::{Entry, Input};
use trunnion_proto::server::memory::{self, Memory};
use trunnion_proto::server::{Question, Request};

use super::call::{Call, Handler, Start};
use super::seal::Sealer;
use crate::error::{Error, local};
use crate::random::{now_ms, random_id};

/// The reason for which a run that has sent input requests ends: the next run brings the answers.
pub(crate) const SUSPENDED: &str = "input_required";

/// A callback that receives the answers as `{key: answer}`, or the reason why there are none.
pub(crate) type Reply = Box<dyn FnOnce(Result<String, Error>) + Send>;

/// Questions that have no answer yet. Dropped without an answer, they end as cancelled.
pub(crate) struct Asked {
    pub questions: Vec<Question>,
    reply: Option<Reply>,
}

impl Asked {
    pub fn new(questions: Vec<Question>, reply: Reply) -> Asked {
        Asked { questions, reply: Some(reply) }
    }

    pub fn reply(mut self, result: Result<String, Error>) {
        if let Some(reply) = self.reply.take() {
            reply(result);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply(Err(Error::local(local::CANCELLED, "the call is over")));
        }
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Asked").field(&self.questions).finish()
    }
}

/// Returns `{key: answer}` of answers in their order.
pub(crate) fn answers_json<'a>(answers: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let members: Vec<String> =
        answers.into_iter().map(|(key, answer)| format!("{}:{answer}", json::string(key))).collect();
    format!("{{{}}}", members.join(","))
}

/// Returns the memory that earlier runs of a call have stored.
pub(crate) fn recall(sealer: &Sealer, request: &Request) -> Result<Memory, RpcError> {
    let nothing = request.request_state.is_none() && request.input_responses.is_empty();
    if nothing || !request.method.asks || request.revision.era() == Era::Legacy {
        return Ok(Memory::default());
    }
    let state = match &request.request_state {
        None => None,
        Some(sealed) => {
            let principal = request.access.principal().map_or("", |principal| principal);
            let binding = memory::binding(request.method, &request.name, &request.arguments, principal);
            Some(sealer.open(&binding, sealed).ok_or_else(memory::broken)?)
        }
    };
    Memory::recall(state.as_deref(), &request.input_responses, now_ms())
}

/// Ends the run of a modern call that has sent input requests, and returns the response to its request.
pub(crate) fn suspend(call: &Call, sealer: &Sealer, asked: &[Asked]) -> Outcome {
    let questions: Vec<Question> = asked.iter().flat_map(|asked| asked.questions.iter().cloned()).collect();
    let state = call.with_memory(|memory| memory.to_sealed(&questions, sealer.expiry()));
    let state = sealer.seal(&call.binding(), state);
    call.cancel(Some(SUSPENDED.into()));
    Outcome::InputRequired { questions, state }
}

/// Begins a call: sends the input requests that its entry declares, then runs its handler.
pub(crate) fn start(entry: &Entry<Arc<dyn Handler>>, call: &Call, input: Input) -> Start {
    if entry.asks.is_empty() {
        return entry.handler.start(call.clone(), input);
    }
    let (handler, asks, call) = (entry.handler.clone(), entry.asks.clone(), call.clone());
    Start::Future(Box::pin(async move {
        match call.ask(asks).await {
            Ok(answers) => call.set_answers(answers),
            Err(error) => return Outcome::Error(error.into_rpc()),
        }
        match handler.start(call.clone(), input) {
            Start::Done(outcome) => outcome,
            Start::Future(future) => future.await,
            Start::Later => {
                call.settled().await;
                Outcome::Error(RpcError::new(
                    trunnion_proto::error::ErrorKind::InternalError,
                    "answered elsewhere",
                ))
            }
        }
    }))
}

/// The unanswered input requests to the clients of one legacy session.
#[derive(Default)]
pub(crate) struct Asks {
    open: BTreeMap<u64, (Arc<std::sync::Mutex<Waiting>>, usize)>,
}

/// Questions that were sent together.
struct Waiting {
    asked: Option<Asked>,
    answers: Vec<Option<String>>,
}

impl Asks {
    /// Sends all of the questions: `send` writes one request and returns its number, or `None` if it cannot
    /// be sent.
    pub fn begin(
        &mut self,
        asked: Asked,
        revision: Revision,
        mut send: impl FnMut(&Question, Option<&str>) -> Option<u64>,
    ) {
        let questions = asked.questions.clone();
        let waiting = Waiting { answers: vec![None; questions.len()], asked: Some(asked) };
        let waiting = Arc::new(std::sync::Mutex::new(waiting));
        for (index, question) in questions.iter().enumerate() {
            let id = question.wants_elicitation_id(revision).then(random_id);
            // A question that cannot be sent ends as cancelled, when its last handle is dropped.
            let Some(ask) = send(question, id.as_deref()) else { return };
            self.open.insert(ask, (waiting.clone(), index));
        }
    }

    /// Handles an answer of the client. False: no question is waiting for it.
    pub fn answered(&mut self, ask: u64, result: Result<Json, RpcError>) -> bool {
        let Some((waiting, index)) = self.open.remove(&ask) else { return false };
        let mut waiting = crate::sync::lock(&waiting);
        let Some(asked) = &waiting.asked else { return true };
        let question = &asked.questions[index];
        let answer = match result {
            Ok(answer) => match question.check(answer.as_str()) {
                Ok(()) => Ok(answer.as_str().to_owned()),
                Err(why) => {
                    let message = format!("the client's answer to {:?} does not fit: {why}", question.key);
                    Err(Error::local(local::PROTOCOL, message))
                }
            },
            Err(error) => Err(error.into()),
        };
        match answer {
            Ok(answer) => waiting.answers[index] = Some(answer),
            Err(error) => {
                if let Some(asked) = waiting.asked.take() {
                    asked.reply(Err(error));
                }
                return true;
            }
        }
        if waiting.answers.iter().all(Option::is_some)
            && let Some(asked) = waiting.asked.take()
        {
            let keys = asked.questions.iter().map(|question| question.key.as_str());
            let all = answers_json(keys.zip(waiting.answers.iter().flatten().map(String::as_str)));
            asked.reply(Ok(all));
        }
        true
    }

    /// Drops questions that nothing waits for any longer.
    pub fn forget(&mut self, asks: impl IntoIterator<Item = u64>) {
        for ask in asks {
            self.open.remove(&ask);
        }
    }
}
