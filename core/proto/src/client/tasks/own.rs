//! Tasks of the client: requests of a server of 2025-11-25 that are answered later (2025-11-25, tasks,
//! "Definitions": the client is the receiver).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::task_in;
use crate::client::conn::ClientConn;
use crate::client::questions::{Origin, Question, not_served};
use crate::client::{Output, QuestionKind};
use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::jsonrpc::{self, Id};
use crate::meta;
use crate::methods::{self, Role};
use crate::tasks::timestamp;

/// Tasks at a time.
const MAX_OWN: usize = 32;
/// Requests for results that may wait, of all tasks.
const MAX_WAITING: usize = 64;
/// Retention time of a task: the maximum, and the default.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// The poll interval for the server, in milliseconds.
const INTERVAL: u64 = 1000;

#[derive(Debug)]
pub(super) struct Own {
    tasks: BTreeMap<String, OwnTask>,
    seed: u64,
    made: u64,
}

#[derive(Debug)]
struct OwnTask {
    created: Duration,
    updated: Duration,
    ttl: Duration,
    /// The result; `None` while the host is asked.
    end: Option<End>,
    /// Requests for its result.
    waiting: Vec<Id>,
}

#[derive(Debug, Clone)]
enum End {
    Result(Json),
    Error(RpcError),
    Cancelled,
}

impl Own {
    pub fn new(seed: u64) -> Own {
        Own { tasks: BTreeMap::new(), seed, made: 0 }
    }

    pub fn next_deadline(&self) -> Option<Duration> {
        self.tasks.values().map(OwnTask::expires).min()
    }

    pub fn clear(&mut self) {
        self.tasks.clear();
    }

    /// Only the server that it was made for can ask for it, so it need not be secret, only another one each time.
    fn fresh_id(&mut self) -> String {
        self.made += 1;
        format!("{:016x}-{}", self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), self.made)
    }
}

impl OwnTask {
    fn expires(&self) -> Duration {
        self.created.saturating_add(self.ttl)
    }

    fn status(&self) -> &'static str {
        match &self.end {
            None => "working",
            Some(End::Result(_)) => "completed",
            Some(End::Error(_)) => "failed",
            Some(End::Cancelled) => "cancelled",
        }
    }
}

impl ClientConn {
    /// Returns true if a question is to be answered later.
    pub(in crate::client) fn makes_own_task(&self, kind: QuestionKind, params: &Json) -> bool {
        #[derive(Deserialize)]
        struct Params {
            #[serde(default)]
            task: Option<serde_json::Map<String, serde_json::Value>>,
        }
        let declared = match kind {
            QuestionKind::Elicit => self.declared.elicit_task,
            QuestionKind::Sample => self.declared.sample_task,
        };
        declared
            && methods::by_role(Role::TaskResult).exists_in(self.revision)
            && serde_json::from_str::<Params>(params.as_str()).is_ok_and(|params| params.task.is_some())
    }

    /// Make a task of a question, which belongs to one of these operations or to none: their limits stand still as for any other.
    pub(in crate::client) fn make_own_task(
        &mut self,
        id: &Id,
        kind: QuestionKind,
        params: Json,
        ops: Vec<u64>,
    ) {
        #[derive(Deserialize)]
        struct Wanted {
            #[serde(default)]
            ttl: Option<f64>,
        }
        #[derive(Deserialize)]
        struct Params {
            task: Wanted,
        }
        if self.tasks.own.tasks.len() >= MAX_OWN && !self.drop_ended() {
            let message = format!("more than {MAX_OWN} tasks wait for an answer");
            return self.reply(id, Err(RpcError::new(ErrorKind::InternalError, message)));
        }
        let wanted = serde_json::from_str::<Params>(params.as_str()).ok().and_then(|params| params.task.ttl);
        let max = MAX_TTL.as_millis() as f64;
        let ttl = Duration::from_millis(wanted.unwrap_or(max).clamp(0.0, max) as u64);
        let task = self.tasks.own.fresh_id();
        let own = OwnTask { created: self.now, updated: self.now, ttl, end: None, waiting: Vec::new() };
        self.tasks.own.tasks.insert(task.clone(), own);
        let created = format!("{{\"task\":{}}}", self.own_task(&task));
        self.reply(id, Ok(Json::from(created)));
        for op in &ops {
            self.hold(self.now, *op);
        }
        self.ask(kind, params, Origin::Own { task, ops });
    }

    /// The host answered a question that became a task.
    pub(in crate::client) fn on_own_answer(&mut self, task: &str, answer: Result<Json, RpcError>) {
        self.end_own(task, answer.map_or_else(End::Error, End::Result));
    }

    /// A server's request about tasks of the client.
    pub(in crate::client) fn on_own_request(&mut self, id: &Id, role: Role, params: &str) {
        if !self.declared.elicit_task && !self.declared.sample_task {
            return self.reply(id, Err(not_served(methods::by_role(role).name)));
        }
        if role == Role::ListTasks {
            let all: Vec<String> = self.tasks.own.tasks.keys().map(|task| self.own_task(task)).collect();
            return self.reply(id, Ok(Json::from(format!("{{\"tasks\":[{}]}}", all.join(",")))));
        }
        let invalid = |message: &str| Err(RpcError::new(ErrorKind::InvalidParams, message));
        let task = task_in(params).unwrap_or_default();
        let waiting: usize = self.tasks.own.tasks.values().map(|own| own.waiting.len()).sum();
        let Some(own) = self.tasks.own.tasks.get_mut(&task) else {
            return self.reply(id, invalid("there is no such task, or not any more"));
        };
        match (role, &own.end) {
            (Role::TaskResult, Some(end)) => {
                let end = end.clone();
                self.reply_with(id, &task, end);
            }
            (Role::TaskResult, None) if waiting >= MAX_WAITING => {
                let message = format!("more than {MAX_WAITING} requests wait for results");
                self.reply(id, Err(RpcError::new(ErrorKind::InvalidRequest, message)));
            }
            (Role::TaskResult, None) => own.waiting.push(id.clone()),
            (Role::CancelTask, Some(_)) => {
                let message = format!("the task is over already: {}", own.status());
                self.reply(id, invalid(&message));
            }
            (Role::CancelTask, None) => {
                self.withdraw_own(&task, "the server has cancelled the task");
                self.end_own(&task, End::Cancelled);
                self.reply(id, Ok(Json::from(self.own_task(&task))));
            }
            _ => self.reply(id, Ok(Json::from(self.own_task(&task)))),
        }
    }

    /// Drops all tasks, because no server can ask for them.
    pub(in crate::client) fn forget_own_tasks(&mut self) {
        let tasks: Vec<String> = self.tasks.own.tasks.keys().cloned().collect();
        for task in tasks {
            self.withdraw_own(&task, "the session is over");
        }
        self.tasks.own.clear();
    }

    pub(super) fn on_own_tasks_deadline(&mut self) {
        let now = self.now;
        let tasks = self.tasks.own.tasks.iter();
        let expired: Vec<String> =
            tasks.filter(|(_, own)| own.expires() <= now).map(|(task, _)| task.clone()).collect();
        for task in expired {
            self.withdraw_own(&task, "the task has expired");
            let Some(own) = self.tasks.own.tasks.remove(&task) else { continue };
            for id in own.waiting {
                self.reply(&id, Err(RpcError::new(ErrorKind::InvalidParams, "the task has expired")));
            }
        }
    }

    fn end_own(&mut self, task: &str, end: End) {
        let now = self.now;
        let Some(own) = self.tasks.own.tasks.get_mut(task).filter(|own| own.end.is_none()) else { return };
        own.updated = now;
        own.end = Some(end.clone());
        for id in std::mem::take(&mut own.waiting) {
            self.reply_with(&id, task, end.clone());
        }
        let told = self.own_task(task);
        self.send_other(jsonrpc::notification(methods::by_role(Role::TaskStatus).name, &told));
    }

    fn reply_with(&mut self, id: &Id, task: &str, end: End) {
        let answer = match end {
            End::Result(result) => Ok(related(&result, task)),
            End::Error(error) => Err(error),
            End::Cancelled => Err(RpcError::new(ErrorKind::InternalError, "the task was cancelled")),
        };
        self.reply(id, answer);
    }

    fn withdraw_own(&mut self, task: &str, reason: &str) {
        let of = |origin: &Origin| matches!(origin, Origin::Own { task: own, .. } if own == task);
        let question = self.questions.iter().find(|(_, question)| of(&question.origin)).map(|(key, _)| *key);
        if let Some(question) = question {
            if let Some(Question { origin: Origin::Own { ops, .. }, .. }) = self.questions.remove(&question) {
                for op in ops {
                    self.release(self.now, op);
                }
            }
            self.output(Output::Withdrawn { question, reason: reason.to_owned() });
        }
    }

    /// Makes room by dropping the oldest finished task. Returns false if there is none.
    fn drop_ended(&mut self) -> bool {
        let ended = self.tasks.own.tasks.iter().filter(|(_, own)| own.end.is_some());
        let oldest = ended.min_by_key(|(_, own)| own.updated).map(|(task, _)| task.clone());
        oldest.is_some_and(|task| self.tasks.own.tasks.remove(&task).is_some())
    }

    fn own_task(&self, task: &str) -> String {
        let Some(own) = self.tasks.own.tasks.get(task) else { return "{}".into() };
        let date = |at: Duration| {
            let since_epoch = self.config.since_epoch.saturating_add(at).as_millis();
            timestamp(u64::try_from(since_epoch).unwrap_or(u64::MAX))
        };
        let message = match &own.end {
            Some(End::Error(error)) => format!(",\"statusMessage\":{}", json::string(&error.message)),
            _ => String::new(),
        };
        format!(
            r#"{{"taskId":{},"status":"{}"{message},"createdAt":"{}","lastUpdatedAt":"{}","ttl":{},"pollInterval":{INTERVAL}}}"#,
            json::string(task),
            own.status(),
            date(own.created),
            date(own.updated),
            own.ttl.as_millis(),
        )
    }
}

/// A result with the task that it belongs to in its metadata (2025-11-25, tasks, "Related Task Metadata").
pub(in crate::client) fn related(result: &Json, task: &str) -> Json {
    let mut all: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(result.as_str()).unwrap_or_default();
    let meta = all.entry("_meta").or_insert_with(|| serde_json::json!({}));
    if let Some(meta) = meta.as_object_mut() {
        meta.insert(meta::RELATED_TASK.into(), serde_json::json!({ "taskId": task }));
    }
    Json::from(serde_json::to_string(&all).expect("an object is always JSON"))
}

/// The task that a request of a legacy server belongs to.
pub(in crate::client) fn related_task(params: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Related {
        #[serde(rename = "taskId")]
        id: String,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "io.modelcontextprotocol/related-task")]
        related: Related,
    }
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "_meta")]
        meta: Meta,
    }
    // Most requests have none, which is seen without reading them.
    params.contains("related-task").then_some(())?;
    serde_json::from_str::<Params>(params).ok().map(|params| params.meta.related.id)
}
