//! Requests on behalf of a followed task, and their failures.

use std::time::Duration;

use serde::Deserialize;

use super::drive::{Key, MAX_FAULTS, Poll, Push};
use super::seen::Seen;
use super::{Source, protocol};
use crate::client::Output;
use crate::client::answers::{ResultType, not_taken, result_type};
use crate::client::conn::{ClientConn, Purpose};
use crate::client::connecting::State;
use crate::client::error::{ClientError, kind};
use crate::client::lower::{self, Salient};
use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::jsonrpc;
use crate::methods::{self, Role};
use crate::revision::Era;

/// Time limit of a poll.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(30);
/// Delay before a request is repeated on a connection that was unavailable.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// Maximum number of server errors in a row in response to polls.
const MAX_ERRORS: u32 = 5;
/// Streams for tasks at a time; each may be a connection.
const MAX_PUSHES: usize = 8;
/// Streams for one task, one after the other.
const MAX_STREAMS: u32 = 3;

/// Purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Errand {
    /// To see where it is.
    Poll,
    /// Sends answers.
    Update,
    /// Receives updates.
    Push,
    /// Waits for its result and for its questions (2025-11-25).
    Fetch,
}

impl ClientConn {
    /// See where a task is, now.
    pub(super) fn look(&mut self, id: &str) {
        let ready = self.state == State::Ready;
        let soon = self.now.saturating_add(SOON);
        let until = self.now.saturating_add(LOOK_LIMIT);
        let Some(drive) = self.tasks.drives.get_mut(id) else { return };
        if matches!(drive.poll, Poll::Sent { .. }) {
            return;
        }
        if !ready {
            drive.poll = Poll::At(soon);
            return;
        }
        let request = self.send_errand(Role::GetTask, id, &of_task(id), Errand::Poll);
        if let Some(drive) = self.tasks.drives.get_mut(id) {
            drive.poll = Poll::Sent { request, until };
        }
    }

    /// Schedules the next poll.
    pub(super) fn arm(&mut self, id: &str) {
        let Some(drive) = self.tasks.drives.get(id) else { return };
        if matches!(drive.poll, Poll::Sent { .. }) {
            return;
        }
        let delay = self.streams.spread(drive.schedule.delay());
        if let Some(drive) = self.tasks.drives.get_mut(id) {
            drive.poll = Poll::At(self.now.saturating_add(delay));
        }
    }

    /// Send the answers that there are; one request at a time.
    pub(super) fn flush(&mut self, id: &str) {
        let ready = self.state == State::Ready;
        let Some(drive) = self.tasks.drives.get_mut(id) else { return };
        if drive.users.is_empty() || drive.update.is_some() || drive.update_at.is_some() {
            return;
        }
        if !drive.keys.values().any(|key| matches!(key, Key::Answered(_))) {
            return;
        }
        if !ready {
            drive.update_at = Some(self.now.saturating_add(SOON));
            return;
        }
        let mut responses = String::from("{");
        for (key, place) in &mut drive.keys {
            if let Key::Answered(answer) = place {
                if responses.len() > 1 {
                    responses.push(',');
                }
                responses.push_str(&format!("{}:{}", json::string(key), answer.as_str()));
                *place = Key::Sent(std::mem::take(answer));
            }
        }
        let params = format!(r#"{{"taskId":{},"inputResponses":{responses}}}}}"#, json::string(id));
        let request = self.send_errand(Role::UpdateTask, id, &params, Errand::Update);
        if let Some(drive) = self.tasks.drives.get_mut(id) {
            drive.update = Some(request);
        }
    }

    /// Wait for the result of a task of the legacy era; its questions come meanwhile, as requests.
    pub(super) fn fetch(&mut self, id: &str) {
        let Some(drive) = self.tasks.drives.get(id) else { return };
        if drive.fetch.is_some() {
            return;
        }
        let request = self.send_errand(Role::TaskResult, id, &of_task(id), Errand::Fetch);
        if let Some(drive) = self.tasks.drives.get_mut(id) {
            drive.fetch = Some(request);
        }
    }

    /// Opens a stream for updates.
    pub(super) fn open_push(&mut self, id: &str) {
        let open = |push: Push| matches!(push, Push::Asked(_) | Push::Open(_));
        let streams = self.tasks.drives.values().filter(|drive| open(drive.push)).count();
        let Some(drive) = self.tasks.drives.get(id) else { return };
        if self.tasks.no_push || streams >= MAX_PUSHES || drive.push != Push::Untried {
            return;
        }
        let params = format!(r#"{{"notifications":{{"taskIds":[{}]}}}}"#, json::string(id));
        let request = self.send_errand(Role::Listen, id, &params, Errand::Push);
        if let Some(drive) = self.tasks.drives.get_mut(id) {
            drive.push = Push::Asked(request);
        }
    }

    /// Drops the requests in flight for a task.
    pub(super) fn drop_requests(&mut self, id: &str) {
        let Some(drive) = self.tasks.drives.get(id) else { return };
        for request in drive.requests() {
            self.drop_request(request);
        }
    }

    pub(super) fn drop_request(&mut self, request: u64) {
        let lasts = match self.pending.remove(&request) {
            Some(Purpose::Errand { errand, .. }) => matches!(errand, Errand::Push | Errand::Fetch),
            Some(Purpose::Cancel(_)) => false,
            _ => return,
        };
        if self.is_http() {
            self.output(Output::Abort { post: request });
        } else if lasts {
            let params = format!(r#"{{"requestId":{request},"reason":"nobody follows the task"}}"#);
            self.send_other(jsonrpc::notification(methods::by_role(Role::Cancelled).name, &params));
        }
    }

    /// Handles the deadlines of tasks that have passed.
    pub(in crate::client) fn on_tasks_deadline(&mut self) {
        self.on_own_tasks_deadline();
        self.on_cancels_deadline();
        let now = self.now;
        let is_due = |due: Option<Duration>| due.is_some_and(|due| due <= now);
        let drives = self.tasks.drives.iter();
        let due: Vec<String> =
            drives.filter(|(_, drive)| is_due(drive.next_deadline())).map(|(id, _)| id.clone()).collect();
        for id in due {
            let Some(drive) = self.tasks.drives.get_mut(&id) else { continue };
            if !drive.overdue && is_due(drive.expires()) {
                // One more look: it may be over, or have got more time.
                drive.overdue = true;
                if let Poll::At(at) = &mut drive.poll {
                    *at = now;
                }
            }
            if is_due(drive.update_at) {
                drive.update_at = None;
                self.flush(&id);
            }
            match self.tasks.drives.get(&id).map(|drive| drive.poll) {
                Some(Poll::At(at)) if at <= now => self.look(&id),
                Some(Poll::Sent { request, until }) if until <= now => {
                    self.drop_request(request);
                    let message = "the server does not answer when it is asked for a task";
                    self.on_errand_lost(&id, Errand::Poll, ClientError::local(kind::TIMEOUT, message));
                }
                _ => {}
            }
        }
    }

    /// Handles a failure that says nothing about the task. Returns false if the request was not made for a
    /// task.
    pub(in crate::client) fn errand_failed(&mut self, request: u64, error: ClientError) -> bool {
        if !matches!(self.pending.get(&request), Some(Purpose::Errand { .. } | Purpose::Cancel(_))) {
            return false;
        }
        match self.pending.remove(&request) {
            Some(Purpose::Errand { task, errand }) => self.on_errand_lost(&task, errand, error),
            Some(Purpose::Cancel(task)) => self.on_cancel_lost(&task),
            _ => {}
        }
        true
    }

    /// A request for a task failed, and would fail again.
    pub(in crate::client) fn on_errand_broken(&mut self, task: &str, errand: Errand, error: ClientError) {
        match errand {
            Errand::Push => self.on_push_ended(task, true),
            _ => self.finish(task, Err(error)),
        }
    }

    /// A request for a task was answered.
    pub(in crate::client) fn on_errand(
        &mut self,
        request: u64,
        task: &str,
        errand: Errand,
        result: Result<Json, RpcError>,
    ) {
        let Some(drive) = self.tasks.drives.get_mut(task) else { return };
        match (errand, result) {
            (Errand::Push, result) => {
                let unknown = |error: &RpcError| error.kind() == ErrorKind::MethodNotFound;
                self.tasks.no_push |= result.err().as_ref().is_some_and(unknown);
                self.on_push_ended(task, false);
            }
            // It is the server that failed, not a task that is not over.
            (Errand::Fetch, Err(error))
                if error.kind() == ErrorKind::InternalError
                    && drive.last.as_ref().is_some_and(|seen| !seen.status.is_final())
                    && drive.schedule.faults < MAX_ERRORS =>
            {
                self.on_errand_lost(task, errand, error.into());
            }
            (Errand::Fetch, result) => {
                drive.fetch = None;
                let result = result.map_err(ClientError::from).and_then(|result| {
                    let is_object = result.as_str().starts_with('{');
                    is_object.then_some(result).ok_or_else(|| protocol("the result is no object".into()))
                });
                self.finish(task, result);
            }
            (errand, Err(error)) if error.kind() == ErrorKind::InternalError => {
                if drive.schedule.faults >= MAX_ERRORS {
                    return self.finish(task, Err(error.into()));
                }
                self.on_errand_lost(task, errand, error.into());
            }
            (_, Err(error)) => self.finish(task, Err(refusal(error))),
            (Errand::Update, Ok(_)) => {
                drive.update = None;
                for key in drive.keys.values_mut().filter(|key| matches!(key, Key::Sent(_))) {
                    *key = Key::Done;
                }
                self.flush(task);
            }
            (Errand::Poll, Ok(result)) => {
                drive.poll = Poll::Idle;
                let modern = self.revision.era() == Era::Modern;
                let seen = match if modern { result_type(&result) } else { Ok(ResultType::Complete) } {
                    Ok(ResultType::Complete | ResultType::Task) => Seen::parse(result.as_str())
                        .map_err(|why| protocol(format!("the server's task: {why}"))),
                    Ok(ResultType::InputRequired) => Err(not_taken("input_required")),
                    Err(error) => Err(error),
                };
                match seen {
                    Ok(seen) if seen.id == task => self.on_seen(seen, Source::Poll(request)),
                    Ok(_) => self.abandon(task, protocol("the server answered with another task".into())),
                    Err(error) => self.abandon(task, error),
                }
            }
        }
    }

    /// The server acknowledged a subscription. Returns false if it was not made for a task.
    pub(in crate::client) fn on_push_acknowledged(&mut self, request: u64, params: &Json) -> bool {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Granted {
            #[serde(rename = "taskIds")]
            tasks: Vec<String>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Acknowledged {
            notifications: Granted,
        }
        let Some(Purpose::Errand { task, errand: Errand::Push }) = self.pending.get(&request) else {
            return false;
        };
        let task = task.clone();
        let said: Acknowledged = serde_json::from_str(params.as_str()).unwrap_or_default();
        let granted = said.notifications.tasks.contains(&task);
        let Some(drive) = self.tasks.drives.get_mut(&task) else { return true };
        if !granted {
            drive.push = Push::No;
            self.drop_request(request);
            return true;
        }
        drive.push = Push::Open(request);
        drive.schedule.pushed = true;
        // It may have changed before the server began to tell.
        self.look(&task);
        true
    }

    fn on_push_ended(&mut self, task: &str, for_good: bool) {
        let Some(drive) = self.tasks.drives.get_mut(task) else { return };
        let was_open = matches!(drive.push, Push::Open(_));
        drive.schedule.pushed = false;
        drive.pushes += 1;
        let again = was_open && !for_good && drive.pushes < MAX_STREAMS;
        drive.push = if again { Push::Untried } else { Push::No };
        if was_open {
            self.look(task);
        }
    }

    fn on_errand_lost(&mut self, task: &str, errand: Errand, error: ClientError) {
        let Some(drive) = self.tasks.drives.get_mut(task) else { return };
        match errand {
            Errand::Push => return self.on_push_ended(task, false),
            Errand::Update => {
                drive.update = None;
                for key in drive.keys.values_mut() {
                    if let Key::Sent(answer) = key {
                        *key = Key::Answered(std::mem::take(answer));
                    }
                }
            }
            Errand::Poll => drive.poll = Poll::Idle,
            Errand::Fetch => drive.fetch = None,
        }
        drive.schedule.faults += 1;
        if drive.schedule.faults > MAX_FAULTS || drive.overdue {
            return self.finish(task, Err(error));
        }
        let delay = drive.schedule.delay();
        let at = self.now.saturating_add(self.streams.spread(delay));
        let Some(drive) = self.tasks.drives.get_mut(task) else { return };
        match errand {
            Errand::Update => drive.update_at = Some(at),
            _ if matches!(drive.poll, Poll::Sent { .. }) => {}
            _ => drive.poll = Poll::At(at),
        }
    }

    fn send_errand(&mut self, role: Role, task: &str, params: &str, errand: Errand) -> u64 {
        let request = self.fresh_id();
        self.pending.insert(request, Purpose::Errand { task: task.to_owned(), errand });
        self.send_about(request, role, params);
        request
    }

    /// A request of the engine's own, as the revision writes it.
    pub(super) fn send_about(&mut self, request: u64, role: Role, params: &str) {
        let method = methods::by_role(role);
        if self.revision.era() == Era::Legacy {
            let headers = self.legacy_headers();
            return self.send_request(request, method.name, params, headers);
        }
        let salient = Salient::of(params).expect("what the engine writes is an object");
        let with_meta = lower::with_meta(params, &salient, &self.entries, lower::Also::default());
        let headers = lower::modern_headers(self.revision, method, &salient, &self.annotations);
        self.send_request(request, method.name, &with_meta, headers);
    }
}

pub(super) fn of_task(id: &str) -> String {
    format!(r#"{{"taskId":{}}}"#, json::string(id))
}

/// A server refused to speak of a task.
fn refusal(error: RpcError) -> ClientError {
    let unknown = error.kind() == ErrorKind::InvalidParams;
    let mut error = ClientError::from(error);
    if unknown {
        error.message.insert_str(0, "the server does not know the task, or keeps it no longer: ");
    }
    error
}
