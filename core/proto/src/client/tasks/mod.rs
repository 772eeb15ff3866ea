//! Tasks on the client: calls that a server answers later (extension `io.modelcontextprotocol/tasks`;
//! 2025-11-25, "Tasks"), and requests of a legacy server that the client answers later.
//!
//! An operation follows a task: the call that became the task, or an operation that was given its id. All
//! operations that follow the same task share one [`Drive`], so that it is polled once and each of its
//! questions is asked once.

mod cancels;
mod drive;
mod errands;
mod legacy;
mod own;
mod seen;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answers::{ResultType, not_taken, result_type};
use super::conn::{ClientConn, Stage};
use super::error::{ClientError, kind};
use super::questions::{Asked, MAX_QUESTIONS, Origin};
use super::{Output, QuestionKind};
use crate::error::RpcError;
use crate::json::{self, Json};
use crate::methods::{self, Role};
use crate::revision::Era;
use cancels::Cancels;
use drive::{Drive, Key, Poll};
pub(super) use errands::Errand;
use legacy::Support;
pub(super) use legacy::{augment, is_created};
use own::Own;
pub(super) use own::{related, related_task};
use seen::{Seen, Status};

/// Questions that one task may ask in its life.
const MAX_KEYS: usize = 256;
/// Longest key of a question.
const MAX_KEY: usize = 1024;
/// Maximum number of tasks without a follower whose questions are stored.
const MAX_RESTING: usize = 64;

/// The tasks of a connection.
#[derive(Debug)]
pub(super) struct Tasks {
    drives: BTreeMap<String, Drive>,
    /// Tasks without a follower, the oldest first.
    resting: VecDeque<String>,
    /// True if the server has no streams for updates.
    no_push: bool,
    /// A legacy server makes tasks of tool calls.
    offered: bool,
    /// Pending cancellations of tasks.
    cancels: Cancels,
    /// Task support of a legacy server's tools, and whether the whole list was requested.
    support: BTreeMap<String, Support>,
    surveyed: bool,
    own: Own,
}

/// The way in which an operation follows a task.
#[derive(Debug)]
pub(super) struct Followed {
    pub task: String,
    /// The operation created the task; cancelling the operation cancels the task.
    owner: bool,
    /// The host answers the task's questions.
    asks: bool,
    /// The host receives changes.
    told: bool,
    /// The token of a legacy server for progress of the task.
    pub token: Option<u64>,
    /// True once it has: the task's status messages are no longer reported as progress.
    pub counted: bool,
    /// Number of times that the task's message was reported as progress.
    reports: u64,
}

/// The origin of a task's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The answer to this request for it.
    Poll(u64),
    /// Anything else.
    Other,
}

impl Tasks {
    pub fn new(seed: u64) -> Tasks {
        Tasks {
            drives: BTreeMap::new(),
            resting: VecDeque::new(),
            no_push: false,
            offered: false,
            support: BTreeMap::new(),
            surveyed: false,
            cancels: Cancels::default(),
            own: Own::new(seed),
        }
    }

    pub fn next_deadline(&self) -> Option<Duration> {
        let drives = self.drives.values().filter_map(Drive::next_deadline).min();
        [drives, self.cancels.next_deadline(), self.own.next_deadline()].into_iter().flatten().min()
    }

    /// Handles the end of the connection.
    pub fn clear(&mut self) {
        self.drives.clear();
        self.cancels = Cancels::default();
        self.resting.clear();
        self.own.clear();
    }

    fn is_followed(&self, task: &str) -> bool {
        self.drives.get(task).is_some_and(|drive| !drive.users.is_empty())
    }
}

/// The result of a call that became no task, for a host that requested a task.
pub(super) fn plain(result: &Json) -> Json {
    Json::from(format!("{{\"result\":{}}}", result.as_str()))
}

impl ClientConn {
    /// A call was answered with a task.
    pub(super) fn on_task(&mut self, op: u64, result: Json) {
        let Some(entry) = self.ops.get(&op) else { return };
        let modern = self.revision.era() == Era::Modern;
        match entry.method.role {
            // The specification's own examples of failed tasks are of this type.
            Role::GetTask => return self.on_result(self.now, op, result),
            Role::CallTool if !modern || self.declared.tasks => {}
            _ => return self.end(op, Err(not_taken("task"))),
        }
        let seen = if modern { Seen::parse(result.as_str()) } else { Seen::parse_created(result.as_str()) };
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => return self.end(op, Err(protocol(format!("the server made a task, but {why}")))),
        };
        if entry.options.task {
            let task = seen.neutral.clone();
            let drive = self.tasks.drives.entry(seen.id.clone()).or_insert_with(|| Drive::new(self.now));
            let id = seen.id.clone();
            drive.saw(seen, false);
            if drive.users.is_empty() {
                self.rest(id);
            }
            return self.end(op, Ok(Json::from(format!("{{\"task\":{}}}", task.as_str()))));
        }
        let token = match entry.stage {
            Stage::Sent(request) if entry.options.progress && !modern => Some(request),
            _ => None,
        };
        let followed = Followed {
            task: seen.id.clone(),
            owner: true,
            asks: !entry.options.unasked,
            told: false,
            token,
            counted: false,
            reports: 0,
        };
        self.follow(op, followed, Some(seen));
    }

    /// An operation picks up a task by its id.
    pub(super) fn follow_saved(&mut self, op: u64) {
        let Some(entry) = self.ops.get(&op) else { return };
        let get = methods::by_role(Role::GetTask);
        let task = task_in(&entry.params);
        let refusal = if !get.exists_in(self.revision) {
            let message = format!("{} does not exist in revision {}", get.name, self.revision);
            Some(RpcError::new(crate::error::ErrorKind::MethodNotFound, message).into())
        } else {
            let checked =
                task.as_deref().ok_or_else(|| "taskId must be a string".to_owned()).and_then(seen::check_id);
            checked.err().map(|why| ClientError::local(kind::USAGE, format!("params: {why}")))
        };
        if let Some(error) = refusal {
            return self.end(op, Err(error));
        }
        let followed = Followed {
            task: task.expect("just checked"),
            owner: false,
            asks: !entry.options.unasked,
            told: true,
            token: None,
            counted: false,
            reports: 0,
        };
        self.follow(op, followed, None);
    }

    fn follow(&mut self, op: u64, followed: Followed, seed: Option<Seen>) {
        let Some(entry) = self.ops.get_mut(&op) else { return };
        let (id, told) = (followed.task.clone(), followed.told);
        entry.stage = Stage::Following;
        entry.followed = Some(Box::new(followed));
        self.tasks.resting.retain(|resting| *resting != id);
        let drive = self.tasks.drives.entry(id.clone()).or_insert_with(|| Drive::new(self.now));
        drive.users.insert(op);
        match seed {
            Some(seen) => self.on_seen(seen, Source::Other),
            None => {
                if let Some(last) = drive.last.as_ref().filter(|_| told) {
                    let params = last.neutral.clone();
                    self.output(Output::Told { op, event: "task_changed", params });
                }
                self.look(&id);
            }
        }
    }

    /// An operation that followed a task has ended.
    pub(super) fn stop_following(&mut self, op: u64, task: &str) {
        let Some(drive) = self.tasks.drives.get_mut(task) else { return };
        drive.users.remove(&op);
        if drive.users.is_empty() {
            self.drop_requests(task);
            self.withdraw_task(task, |_| true);
            if let Some(drive) = self.tasks.drives.get_mut(task) {
                drive.rest();
            }
            self.rest(task.to_owned());
        } else if self.askers(task).is_empty() {
            self.withdraw_task(task, |_| true);
            if let Some(drive) = self.tasks.drives.get_mut(task) {
                drive.keys.retain(|_, key| !matches!(key, Key::Asked(_)));
            }
        }
    }

    /// An operation was cancelled: cancels the task that it created.
    pub(super) fn cancel_followed(&mut self, op: u64) {
        let followed = self.ops.get(&op).and_then(|entry| entry.followed.as_ref());
        if let Some(task) = followed.filter(|followed| followed.owner).map(|followed| followed.task.clone()) {
            self.cancel_at_server(&task);
        }
    }

    /// The operation that a legacy server reports the progress of its task to with this token.
    pub(super) fn following_with(&self, token: u64) -> Option<u64> {
        let with = |followed: &Followed| followed.token == Some(token);
        self.ops.iter().find(|(_, op)| op.followed.as_deref().is_some_and(with)).map(|(op, _)| *op)
    }

    /// The operations that follow a task, if any.
    pub(super) fn followers(&self, task: &str) -> Option<Vec<u64>> {
        let users = self.tasks.drives.get(task).map(|drive| drive.users.iter().copied().collect::<Vec<_>>());
        users.filter(|users| !users.is_empty())
    }

    /// Handles a task update from the server. Returns false if no operation follows the task.
    fn on_task_pushed(&mut self, seen: Seen) -> bool {
        let followed = self.tasks.is_followed(&seen.id);
        if followed {
            self.on_seen(seen, Source::Other);
        }
        followed
    }

    /// A notification of a task's state.
    pub(super) fn on_task_notification(&mut self, params: &Json) {
        let Ok(seen) = Seen::parse(params.as_str()) else { return };
        let neutral = seen.neutral.clone();
        if !self.on_task_pushed(seen) {
            self.output(Output::Notification { event: "task_changed", params: neutral });
        }
    }

    /// The host's result for an answered request about a task.
    pub(super) fn on_task_told(&mut self, op: u64, role: Role, result: &Json) -> Result<Json, ClientError> {
        let params = self.ops.get(&op).map_or(String::new(), |entry| entry.params.clone());
        let task = task_in(&params).unwrap_or_default();
        match role {
            Role::ListTasks => return Ok(seen::neutral_page(result.as_str())),
            Role::CancelTask | Role::UpdateTask if self.revision.era() == Era::Modern => {
                if role == Role::UpdateTask {
                    self.answered_by_hand(&task, &params);
                }
                if self.tasks.is_followed(&task) {
                    self.look(&task);
                }
                return Ok(Json::from_static("{}"));
            }
            _ => {}
        }
        let seen = Seen::parse(result.as_str())
            .map_err(|why| protocol(format!("the server's answer is no task: {why}")))?;
        if seen.id != task {
            return Err(protocol("the server answered with another task".into()));
        }
        let neutral = seen.neutral.clone();
        self.on_task_pushed(seen);
        Ok(neutral)
    }

    /// Processes a state of a task; the only place that does.
    fn on_seen(&mut self, seen: Seen, source: Source) {
        let now = self.now;
        let id = seen.id.clone();
        let Some(drive) = self.tasks.drives.get_mut(&id) else { return };
        let status = seen.status;
        // An answer that was overtaken: what is over stays over.
        if !status.is_final() && drive.last.as_ref().is_some_and(|last| last.status.is_final()) {
            return;
        }
        let changed = drive.saw(seen.clone(), matches!(source, Source::Poll(_)));
        let late = drive.expires().is_some_and(|at| at <= now) && !status.is_final();
        let expired = std::mem::replace(&mut drive.overdue, false) && late;
        if changed {
            self.tell(&id, &seen);
        }
        if expired {
            return self.finish(&id, Err(expiry(&seen)));
        }
        let modern = self.revision.era() == Era::Modern;
        match status {
            Status::Cancelled => return self.finish(&id, Err(cancelled(&seen))),
            Status::Completed | Status::Failed if modern => return self.finish(&id, outcome(&seen)),
            Status::Completed | Status::Failed => return self.fetch(&id),
            Status::InputRequired if modern => self.on_asked(&id, &seen, source),
            Status::InputRequired => self.fetch(&id),
            Status::Working => self.withdraw_vanished(&id, &[], source),
        }
        self.arm(&id);
        self.alive(&id);
        if modern {
            self.open_push(&id);
        }
    }

    /// The server has answered for a task: restarts the time limits of its followers.
    fn alive(&mut self, id: &str) {
        for op in self.followers(id).unwrap_or_default() {
            self.begin_anew(op);
        }
    }

    /// The time by which the server must answer again for the task of an operation.
    pub(super) fn next_sign(&self, op: u64) -> Duration {
        let followed = self.ops.get(&op).and_then(|entry| entry.followed.as_ref());
        match followed.and_then(|followed| self.tasks.drives.get(&followed.task)).map(|drive| drive.poll) {
            Some(Poll::At(at)) => at.max(self.now),
            _ => self.now,
        }
    }

    /// Something is new of a task.
    fn tell(&mut self, id: &str, seen: &Seen) {
        let users = self.followers(id).unwrap_or_default();
        for op in users {
            let Some(entry) = self.ops.get_mut(&op) else { continue };
            let wants_progress = entry.options.progress;
            let Some(followed) = &mut entry.followed else { continue };
            let report = seen.message.as_ref().filter(|_| wants_progress && !followed.counted);
            // Progress must increase, and a message has no number: they are counted.
            let report = report.map(|message| {
                followed.reports += 1;
                format!(r#"{{"progress":{},"message":{}}}"#, followed.reports, json::string(message))
            });
            let told = followed.told;
            if told {
                self.output(Output::Told { op, event: "task_changed", params: seen.neutral.clone() });
            }
            if let Some(payload) = report {
                self.output(Output::Progress { op, payload: Json::from(payload) });
            }
        }
    }

    /// Asks the questions of a task, each once.
    fn on_asked(&mut self, id: &str, seen: &Seen, source: Source) {
        let requests = seen.requests.as_str();
        let requests = match json::members(requests) {
            Some(requests) => requests,
            None if requests.is_empty() => Vec::new(),
            None => return self.abandon(id, protocol("inputRequests is no object".into())),
        };
        let keys: Vec<&str> = requests.iter().map(|(key, _)| key.as_str()).collect();
        self.withdraw_vanished(id, &keys, source);
        let askers = self.askers(id);
        if askers.is_empty() {
            return;
        }
        for (key, request) in &requests {
            let Some(drive) = self.tasks.drives.get(id) else { return };
            if drive.keys.contains_key(key) {
                continue;
            }
            let limit = |what: String| ClientError::local(kind::LIMIT, format!("the task asks {what}"));
            let asked = if key.len() > MAX_KEY {
                Err(protocol(format!("a key of inputRequests has more than {MAX_KEY} bytes")))
            } else if drive.keys.len() >= MAX_KEYS {
                Err(limit(format!("more than {MAX_KEYS} questions")))
            } else if drive.open_questions() >= MAX_QUESTIONS || self.questions.len() >= MAX_QUESTIONS * 4 {
                Err(limit(format!("more than {MAX_QUESTIONS} questions at once")))
            } else {
                self.required(request).map_err(|why| protocol(format!("input {key:?}: {why}")))
            };
            let place = match asked {
                Err(error) => return self.abandon(id, error),
                Ok(Asked::Engine(answer)) => Key::Answered(answer),
                Ok(Asked::Host(kind, params)) => Key::Asked(self.ask_for(id, key, &askers, kind, params)),
            };
            if let Some(drive) = self.tasks.drives.get_mut(id) {
                drive.keys.insert(key.clone(), place);
            }
        }
        self.flush(id);
    }

    fn ask_for(&mut self, id: &str, key: &str, askers: &[u64], kind: QuestionKind, params: Json) -> u64 {
        for op in askers {
            self.hold(self.now, *op);
        }
        let origin = Origin::Task { task: id.to_owned(), key: key.to_owned(), ops: askers.to_vec() };
        self.ask(kind, params, origin)
    }

    /// The host answered a question of a task.
    pub(super) fn on_task_answer(
        &mut self,
        task: &str,
        key: String,
        ops: Vec<u64>,
        answer: Result<Json, RpcError>,
    ) {
        for op in &ops {
            self.release(self.now, *op);
        }
        let Some(drive) = self.tasks.drives.get_mut(task) else { return };
        match answer {
            Ok(answer) => {
                drive.keys.insert(key, Key::Answered(answer));
                self.flush(task);
            }
            Err(error) => {
                drive.keys.remove(&key);
                for op in ops {
                    self.cancel_followed(op);
                    self.end(op, Err(error.clone().into()));
                }
            }
        }
    }

    /// The host has answered a task by itself: withdraws the question.
    fn answered_by_hand(&mut self, task: &str, params: &str) {
        #[derive(Deserialize)]
        struct Update<'a> {
            #[serde(rename = "inputResponses", borrow)]
            responses: &'a RawValue,
        }
        let Ok(update) = serde_json::from_str::<Update<'_>>(params) else { return };
        let answered = json::members(update.responses.get()).unwrap_or_default();
        let Some(drive) = self.tasks.drives.get_mut(task) else { return };
        for (key, _) in &answered {
            if drive.keys.len() < MAX_KEYS || drive.keys.contains_key(key) {
                drive.keys.insert(key.clone(), Key::Done);
            }
        }
        self.withdraw_task(task, |key| answered.iter().any(|(answered, _)| answered == key));
    }

    /// Withdraws questions that the server no longer asks. Only the answer to a request that was sent after
    /// the question arrived proves this.
    fn withdraw_vanished(&mut self, id: &str, asked: &[&str], source: Source) {
        let (Source::Poll(request), Some(drive)) = (source, self.tasks.drives.get_mut(id)) else { return };
        let mut vanished = Vec::new();
        drive.keys.retain(|key, place| {
            if asked.contains(&key.as_str()) {
                return true;
            }
            match place {
                Key::Asked(question) if *question < request => {
                    vanished.push(key.clone());
                    return false;
                }
                Key::Answered(_) => *place = Key::Done,
                _ => {}
            }
            true
        });
        if !vanished.is_empty() {
            self.withdraw_task(id, |key| vanished.iter().any(|gone| gone == key));
        }
    }

    /// Withdraws the questions of a task under such keys.
    fn withdraw_task(&mut self, id: &str, which: impl Fn(&str) -> bool) {
        let of =
            |origin: &Origin| matches!(origin, Origin::Task { task, key, .. } if task == id && which(key));
        let moot: Vec<u64> =
            self.questions.iter().filter(|(_, question)| of(&question.origin)).map(|(key, _)| *key).collect();
        for question in moot {
            if let Some(asked) = self.questions.remove(&question)
                && let Origin::Task { ops, .. } = asked.origin
            {
                for op in ops {
                    self.release(self.now, op);
                }
            }
            let reason = "the task does not wait for it any more".to_owned();
            self.output(Output::Withdrawn { question, reason });
        }
    }

    /// Ends a task for its followers; the only place that does.
    fn finish(&mut self, id: &str, outcome: Result<Json, ClientError>) {
        self.drop_requests(id);
        let Some(drive) = self.tasks.drives.remove(id) else { return };
        self.withdraw_task(id, |_| true);
        for op in drive.users {
            self.end(op, outcome.clone());
        }
    }

    /// Abandons a task without a result: the call that created it cancels it.
    fn abandon(&mut self, id: &str, error: ClientError) {
        let owned = |op: &u64| {
            let followed = self.ops.get(op).and_then(|entry| entry.followed.as_ref());
            followed.is_some_and(|followed| followed.owner)
        };
        if self.followers(id).unwrap_or_default().iter().any(owned) {
            self.cancel_at_server(id);
        }
        self.finish(id, Err(error));
    }

    /// The followers whose hosts answer questions.
    fn askers(&self, id: &str) -> Vec<u64> {
        let asks = |op: &u64| {
            let followed = self.ops.get(op).and_then(|entry| entry.followed.as_ref());
            followed.is_some_and(|followed| followed.asks)
        };
        self.followers(id).unwrap_or_default().into_iter().filter(asks).collect()
    }

    fn rest(&mut self, id: String) {
        self.tasks.resting.retain(|resting| *resting != id);
        self.tasks.resting.push_back(id);
        if self.tasks.resting.len() > MAX_RESTING
            && let Some(oldest) = self.tasks.resting.pop_front()
        {
            self.tasks.drives.remove(&oldest);
        }
    }
}

/// The outcome of a finished task, in the form of the call's own answer.
fn outcome(seen: &Seen) -> Result<Json, ClientError> {
    if seen.status == Status::Completed {
        if !seen.result.as_str().starts_with('{') {
            return Err(protocol("the task is completed, but has no result".into()));
        }
        return match result_type(&seen.result)? {
            ResultType::Complete => Ok(seen.result.clone()),
            ResultType::InputRequired => Err(not_taken("input_required")),
            ResultType::Task => Err(not_taken("task")),
        };
    }
    #[derive(Deserialize)]
    struct Failure {
        code: i64,
        message: String,
        #[serde(default)]
        data: Option<Box<RawValue>>,
    }
    let failure = serde_json::from_str::<Failure>(seen.error.as_str());
    Err(match failure {
        Ok(Failure { code, message, data }) => RpcError { code, message, data }.into(),
        Err(_) => protocol(with_message("the task has failed and does not say how", seen)),
    })
}

fn cancelled(seen: &Seen) -> ClientError {
    ClientError::local(kind::CANCELLED, with_message("the task was cancelled", seen))
}

fn expiry(seen: &Seen) -> ClientError {
    let ttl = seen.ttl.unwrap_or_default().as_millis();
    let message = format!("the task has expired: it has no result after its time to live, {ttl} ms");
    ClientError::local(kind::TIMEOUT, with_message(&message, seen))
}

fn with_message(what: &str, seen: &Seen) -> String {
    match &seen.message {
        Some(message) => format!("{what}: {message}"),
        None => what.to_owned(),
    }
}

fn protocol(message: String) -> ClientError {
    ClientError::local(kind::PROTOCOL, message)
}

/// The id in the parameters of a request about a task.
fn task_in(params: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "taskId")]
        id: String,
    }
    serde_json::from_str::<Params>(params).ok().map(|params| params.id)
}
