//! Client requests about tasks: the creation of a task for a call, its state, result, answers, cancellation
//! and list.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::value::RawValue;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::json::{self, Json};
use trunnion_proto::jsonrpc;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::Era;
use trunnion_proto::server::catalog::{Entry, Input};
use trunnion_proto::tasks::{Answer, Event, Origin, Record, Status, Summary, TaskRequest, Terms, owner};

use super::Tasks;
use super::run::{Place, begin};
use super::store::{Failed, Held, RETRY, STORE_LIMIT, failed, limited, report, summary};
use super::watch::LOOK;
use crate::error::local;
use crate::random::{now_ms, random_id};
use crate::server::ServerCore;
use crate::server::call::{Call, Handler, Start};

/// Most tasks on one page of a list.
const PAGE: usize = 50;

/// The identity of the requester.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Whose<'a> {
    /// The authenticated principal.
    pub principal: Option<&'a str>,
    /// The identity of the legacy session of the request.
    pub session: Option<&'a str>,
}

/// The creation of a task from a call.
pub(crate) struct Creation {
    core: Arc<ServerCore>,
    entry: Arc<Entry<Arc<dyn Handler>>>,
    ttl: Option<u64>,
    owner: String,
    session: Option<String>,
}

impl Creation {
    pub fn new(
        core: &Arc<ServerCore>,
        entry: Arc<Entry<Arc<dyn Handler>>>,
        ttl: Option<u64>,
        whose: Whose<'_>,
    ) -> Creation {
        Creation {
            core: core.clone(),
            entry,
            ttl,
            owner: owner(whose.principal, whose.session),
            session: whose.session.map(str::to_owned),
        }
    }

    fn origin(&self, call: &Call, arguments: &Json) -> Option<Origin> {
        let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).ok();
        Some(Origin {
            tool: call.name().to_owned(),
            arguments: raw(arguments.as_str())?,
            revision: call.revision(),
            transport: call.transport().to_owned(),
            request_id: raw(call.request_id())?,
            session: self.session.clone(),
            client_info: raw(call.client_info()),
            client_capabilities: raw(call.client_capabilities()),
            meta: raw(call.meta()),
            answers: call.answers().and_then(raw),
            principal: call.caller().map(|caller| caller.principal().to_string()),
            claims: call.caller().and_then(|caller| serde_json::value::to_raw_value(caller.claims()).ok()),
        })
    }

    fn terms(&self) -> Terms {
        let options = &self.core.tasks.options;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let longest = self.entry.task.ttl.or(options.ttl).map(ms);
        let ttl = match (self.ttl, longest) {
            (Some(wanted), Some(longest)) => Some(wanted.min(longest)),
            (wanted, longest) => longest.or(wanted),
        };
        Terms { ttl, poll: ms(options.poll), resumable: self.entry.task.resumable }
    }
}

impl Handler for Creation {
    fn start(&self, call: Call, input: Input) -> Start {
        let internal = || Outcome::Error(RpcError::new(ErrorKind::InternalError, "the task cannot be made"));
        let Input::Tool(arguments) = input else { return Start::Done(internal()) };
        let tasks = &self.core.tasks;
        let Some(origin) = self.origin(&call, &arguments) else { return Start::Done(internal()) };
        let Some(place) = tasks.place(&self.owner, false) else {
            return Start::Done(Outcome::Error(tasks.too_many(&self.owner)));
        };
        let record = Record::new(random_id(), self.owner.clone(), origin, self.terms(), now_ms());
        let (core, entry) = (self.core.clone(), self.entry.clone());
        // To its end, even if the caller disconnects meanwhile: a stored task that no process works on would
        // be late.
        let made = tasks.spawn(async move {
            if let Err(error) = core.tasks.insert(&record).await {
                if error.is_full() {
                    report(&error);
                    let message =
                        "the server keeps as many tasks as it can, of all or of this caller (maxKeptTasks, maxKeptTaskBytes); it \
                        forgets each when its time is over";
                    return Outcome::Error(RpcError::new(ErrorKind::InvalidRequest, message));
                }
                core.tasks.forget(record.id, place);
                return Outcome::Error(failed(&error));
            }
            if call.is_cancelled() {
                // No client knows its id.
                let id = record.id.clone();
                let known = Held { version: 1, record };
                if let Err(Failed::Store(error)) = core.tasks.change(&id, Some(known), Event::Cancelled).await
                {
                    report(&error);
                    core.tasks.forget(id, place);
                }
                return Outcome::Error(RpcError::new(ErrorKind::InternalError, "cancelled"));
            }
            let created = record.created(call.revision(), core.catalog.stamp());
            begin(&core, entry, Held { version: 1, record }, place);
            Outcome::Prepared(Json::from(created))
        });
        Start::Future(Box::pin(async move { made.await.unwrap_or_else(Outcome::Error) }))
    }
}

impl Tasks {
    /// Removes a task whose id no client has received, for it must not be worked on: once the store answers,
    /// and again when whatever the store has not answered in time must be done. Until then the task occupies
    /// its place, so that an unavailable store has only so much to remove later.
    fn forget(&self, id: String, place: Place) {
        let tasks = self.me.clone();
        let Some(runtime) = self.runtime.get() else { return };
        let place = place.idle();
        runtime.spawn(async move {
            for pause in [STORE_LIMIT, Duration::ZERO] {
                loop {
                    let Some(tasks) = tasks.upgrade() else { return };
                    match limited(tasks.store.remove(&id)).await {
                        Ok(_) => break,
                        Err(error) => report(&error),
                    }
                    drop(tasks);
                    tokio::time::sleep(RETRY).await;
                }
                tokio::time::sleep(pause).await;
            }
            drop(place);
        });
    }

    fn too_many(&self, owner: &str) -> RpcError {
        let (mine, leaving) = {
            let state = crate::sync::lock(&self.state);
            (state.owners.get(owner).copied().unwrap_or(0), state.leaving)
        };
        if leaving {
            return RpcError::new(ErrorKind::InternalError, "the server is shutting down");
        }
        let message = if !owner.is_empty() && mine >= self.options.per_owner {
            format!(
                "more than {} tasks of one caller are worked on (maxTasksPerOwner)",
                self.options.per_owner
            )
        } else {
            format!("more than {} tasks are worked on (maxTasks)", self.options.most)
        };
        RpcError::new(ErrorKind::InvalidRequest, message)
    }
}

/// The answering of requests about tasks.
pub(crate) struct Answering {
    core: Arc<ServerCore>,
    principal: Option<String>,
    owner: String,
}

impl Answering {
    pub fn new(core: &Arc<ServerCore>, whose: Whose<'_>) -> Answering {
        Answering {
            core: core.clone(),
            principal: whose.principal.map(str::to_owned),
            owner: owner(whose.principal, whose.session),
        }
    }
}

impl Handler for Answering {
    fn start(&self, call: Call, input: Input) -> Start {
        let Input::Tasks(request) = input else {
            let message = "it is no request about tasks";
            return Start::Done(Outcome::Error(RpcError::new(ErrorKind::InternalError, message)));
        };
        let (core, principal, owner) = (self.core.clone(), self.principal.clone(), self.owner.clone());
        let answered = self.core.tasks.spawn(async move {
            let asker = Asker { core, principal, owner, call };
            asker.answer(request).await.unwrap_or_else(Outcome::Error)
        });
        Start::Future(Box::pin(async move { answered.await.unwrap_or_else(Outcome::Error) }))
    }
}

struct Asker {
    core: Arc<ServerCore>,
    principal: Option<String>,
    owner: String,
    call: Call,
}

impl Asker {
    async fn answer(self, request: TaskRequest) -> Result<Outcome, RpcError> {
        match request {
            TaskRequest::Get { id } => self.get(&id).await,
            TaskRequest::Update { id, responses } => self.update(&id, &responses).await,
            TaskRequest::Cancel { id } => self.cancel(&id).await,
            TaskRequest::Result { id } => self.result(&id).await,
            TaskRequest::List { cursor } => self.list(cursor.as_deref()).await,
        }
    }

    /// Returns the summary of a task that the requester may see. A task of another owner is reported as
    /// unknown.
    async fn look(&self, id: &str) -> Result<Summary, Failed> {
        let summary = self.core.tasks.summary(id).await?;
        if summary.is_open_to(self.principal.as_deref()) { Ok(summary) } else { Err(Failed::Gone) }
    }

    /// Returns a task that the requester may see, with its arguments and its result. A task of another owner
    /// is reported as unknown.
    async fn read(&self, id: &str) -> Result<Held, Failed> {
        let held = self.core.tasks.load(id).await?;
        if held.record.is_open_to(self.principal.as_deref()) { Ok(held) } else { Err(Failed::Gone) }
    }

    async fn load(&self, id: &str) -> Result<Held, RpcError> {
        self.read(id).await.map_err(|failed| failed.into_rpc(id))
    }

    fn state(&self, record: &Record) -> Outcome {
        let state = record.state(self.call.revision(), self.core.catalog.stamp());
        Outcome::Prepared(Json::from(state))
    }

    async fn get(&self, id: &str) -> Result<Outcome, RpcError> {
        let summary = self.look(id).await.map_err(|failed| failed.into_rpc(id))?;
        let revision = self.call.revision();
        if summary.has_details() && revision.era() == Era::Modern {
            return Ok(self.state(&self.load(id).await?.record));
        }
        Ok(Outcome::Prepared(Json::from(summary.state(revision, self.core.catalog.stamp()))))
    }

    async fn update(&self, id: &str, responses: &Json) -> Result<Outcome, RpcError> {
        let invalid = |message: String| RpcError::new(ErrorKind::InvalidParams, message);
        let status = self.look(id).await.map_err(|failed| failed.into_rpc(id))?.status;
        let given = json::members(responses.as_str())
            .ok_or_else(|| invalid("params.inputResponses must be an object".into()))?;
        // Answers to questions that are not open, or no longer open, are ignored (extension, "Task Update
        // Requests").
        if status != Status::InputRequired {
            return Ok(Outcome::Result("{}".into()));
        }
        let held = self.load(id).await?;
        let mut answers = Vec::new();
        for (key, answer) in given {
            let Some(asked) = held.record.open().find(|asked| asked.wire == key) else { continue };
            if let Some(Err(why)) = asked.question().map(|question| question.check(answer.get())) {
                return Err(invalid(format!("params.inputResponses.{key}: {why}")));
            }
            answers.push((key, Answer::Given(answer.to_owned())));
        }
        match self.core.tasks.change_for_client(id, Some(held), Event::Answered { answers }).await {
            Ok(_) | Err(Failed::Refused(_)) => Ok(Outcome::Result("{}".into())),
            Err(failed) => Err(failed.into_rpc(id)),
        }
    }

    async fn cancel(&self, id: &str) -> Result<Outcome, RpcError> {
        let legacy = self.call.revision().era() == Era::Legacy;
        let mut summary = self.look(id).await.map_err(|failed| failed.into_rpc(id))?;
        if !summary.status.is_over() {
            match self.core.tasks.change_for_client(id, None, Event::Cancelled).await {
                Ok(held) if legacy => return Ok(self.state(&held.record)),
                Ok(_) => return Ok(Outcome::Result("{}".into())),
                Err(Failed::Refused(_)) => {
                    summary = self.look(id).await.map_err(|failed| failed.into_rpc(id))?;
                }
                Err(failed) => return Err(failed.into_rpc(id)),
            }
        }
        if !legacy {
            return Ok(Outcome::Result("{}".into()));
        }
        // 2025-11-25, tasks, "Task Cancellation".
        let status = summary.status.as_str();
        let message = format!("Cannot cancel task: already in terminal status '{status}'");
        Err(RpcError::new(ErrorKind::InvalidParams, message))
    }

    /// Waits for the end; until then sends the input requests of the task to the client (2025-11-25, tasks,
    /// "Input Required Status"). A store that fails meanwhile ends nothing: reads and writes of the client's
    /// answers are retried.
    async fn result(self, id: &str) -> Result<Outcome, RpcError> {
        let tasks = self.core.tasks.clone();
        let _watch = tasks.watch(vec![id.to_owned()], false);
        let changes = tasks.changes(id);
        let mut asked = BTreeSet::new();
        let mut asking = FuturesUnordered::new();
        let mut answers = Vec::new();
        let mut waits = false;
        loop {
            let mut changed = std::pin::pin!(changes.notified());
            changed.as_mut().enable();
            let (is_read, record) = match self.go_on(id, &mut answers).await {
                Ok(record) => (true, record),
                Err(Failed::Store(error)) if waits => {
                    report(&error);
                    (false, None)
                }
                Err(failed) => return Err(failed.into_rpc(id)),
            };
            waits = true;
            if let Some(record) = record.as_ref().filter(|record| record.status.is_over()) {
                return Ok(ended(record));
            }
            let pause = if is_read { LOOK } else { RETRY };
            for question in record.iter().flat_map(Record::open) {
                let Some(related) = question.question().map(|question| question.related_to(id)) else {
                    continue;
                };
                if asked.insert(question.wire.clone()) {
                    let (call, key) = (self.call.clone(), question.wire.clone());
                    asking.push(async move { (key, call.ask(vec![related]).await) });
                }
            }
            tokio::select! {
                () = changed => {}
                () = self.call.cancelled() => {
                    return Err(RpcError::new(ErrorKind::InternalError, "cancelled"));
                }
                Some((key, answer)) = asking.next() => {
                    let answer = match answer {
                        Ok(answers) => json::members(&answers)
                            .and_then(|members| members.into_iter().next())
                            .map(|(_, answer)| Answer::Given(answer.to_owned())),
                        // No input request can be sent here. Another request for the result may come over a
                        // transport that can.
                        Err(error) if [local::TRANSPORT.1, local::CANCELLED.1].contains(&error.kind) => None,
                        Err(error) => RawValue::from_string(jsonrpc::error_object(&error.into_rpc()))
                            .ok()
                            .map(Answer::Refused),
                    };
                    answers.extend(answer.map(|answer| (key, answer)));
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Writes the answers of the client that are not written yet, and returns the task if it is over or has
    /// input requests.
    async fn go_on(&self, id: &str, answers: &mut Vec<(String, Answer)>) -> Result<Option<Record>, Failed> {
        if !answers.is_empty() {
            let event = Event::Answered { answers: answers.clone() };
            match self.core.tasks.change_for_client(id, None, event).await {
                Ok(_) | Err(Failed::Refused(_)) => answers.clear(),
                Err(failed) => return Err(failed),
            }
        }
        let summary = self.look(id).await?;
        if !summary.has_details() && !summary.status.is_over() {
            return Ok(None);
        }
        Ok(Some(self.read(id).await?.record))
    }

    /// Returns a page of the requester's own tasks. Without authorization, those of the session.
    async fn list(&self, cursor: Option<&str>) -> Result<Outcome, RpcError> {
        let wrong = || RpcError::new(ErrorKind::InvalidParams, "params.cursor is not valid here");
        let size = self.core.catalog.page_size().min(PAGE);
        let page = if self.owner.is_empty() {
            if cursor.is_some() {
                return Err(wrong());
            }
            Vec::new()
        } else {
            let asked = self.core.tasks.store.list(&self.owner, cursor, size.saturating_add(1));
            limited(asked).await.map_err(|error| failed(&error))?.ok_or_else(wrong)?
        };
        let more = page.len() > size;
        let ids: Vec<String> = page.iter().take(size).map(|stored| stored.id.clone()).collect();
        let tasks: Vec<String> = page
            .into_iter()
            .take(size)
            .filter_map(|stored| summary(stored).ok())
            .map(|summary| summary.legacy())
            .collect();
        let next = ids.last().filter(|_| more).map(|id| format!(",\"nextCursor\":{}", json::string(id)));
        let result = format!("{{\"tasks\":[{}]{}}}", tasks.join(","), next.unwrap_or_default());
        Ok(Outcome::Prepared(Json::from(result)))
    }
}

/// Returns the response to a request for the result of a task that is over.
fn ended(record: &Record) -> Outcome {
    match record.end.as_ref().map(|end| end.outcome()) {
        Some(Outcome::Result(result)) => Outcome::Prepared(Json::from(record.related_result(&result))),
        Some(outcome) => outcome,
        None => Outcome::Error(RpcError::new(ErrorKind::InvalidRequest, "the task was cancelled")),
    }
}
