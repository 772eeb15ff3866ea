//! Questions of servers: requests of legacy servers, and the input that a modern server requires before it
//! answers (2026-07-28, "Multi Round-Trip Requests"; 2025-11-25, elicitation, sampling, roots). The host
//! receives both as the same questions.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::conn::{ClientConn, Stage};
use super::declared::Declared;
use super::error::{ClientError, kind};
use super::form;
use super::tasks;
use super::{Output, QuestionKind};
use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::jsonrpc::{self, Id};
use crate::methods::{self, Direction, Kind, Role};
use crate::revision::Era;

/// Times that one operation may be asked for input.
const MAX_ROUNDS: u32 = 16;
/// Questions of one round, or of one legacy server, that may be open.
pub(super) const MAX_QUESTIONS: usize = 64;

/// One question that the host has not answered.
#[derive(Debug)]
pub(super) struct Question {
    kind: QuestionKind,
    params: Json,
    pub(super) origin: Origin,
}

#[derive(Debug)]
pub(super) enum Origin {
    /// A request of a legacy server. It belongs to one of the operations in `ops`, or to none. `certain`: it came in
    /// the response to one of them.
    /// `task`: the task of the server's that it belongs to.
    Request { id: Id, ops: Vec<u64>, certain: bool, task: Option<String> },
    /// Input that a modern server requires for this operation: the answer's place in [`Rounds::answers`].
    Input { op: u64, index: usize },
    /// Input that a task requires under this key, which these operations follow.
    Task { task: String, key: String, ops: Vec<u64> },
    /// A request of a legacy server that has become this task of the client. It belongs to one of the
    /// operations in `ops`, or to none.
    Own { task: String, ops: Vec<u64> },
}

/// The input that a modern server has asked for.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    count: u32,
    /// The answers of this round, by the server's keys.
    answers: Vec<(String, Option<Json>)>,
    /// The server's state as it came: a JSON string, or empty.
    state: Json,
}

impl Rounds {
    /// The parameters of the next try.
    pub fn add_to(&self, params: &str) -> String {
        let mut out = String::from("{");
        for (key, value) in json::members(params).unwrap_or_default() {
            if key != "inputResponses" && key != "requestState" {
                push_member(&mut out, &key, value.get());
            }
        }
        if !self.answers.is_empty() {
            let mut answers = String::from("{");
            for (key, answer) in &self.answers {
                push_member(&mut answers, key, answer.as_ref().map_or("null", Json::as_str));
            }
            answers.push('}');
            push_member(&mut out, "inputResponses", &answers);
        }
        if !self.state.is_empty() {
            push_member(&mut out, "requestState", self.state.as_str());
        }
        out.push('}');
        out
    }
}

/// A question as it may be put to the host, or the answer that the engine has itself.
pub(super) enum Asked {
    Host(QuestionKind, Json),
    Engine(Json),
}

impl ClientConn {
    /// Answers a question ([`Output::Ask`]) with a result object or an error. Returns false if it was
    /// answered or withdrawn before. Answers that do not fit the question are refused
    /// ([`Output::AnswerRefused`]).
    pub fn answer(&mut self, now: Duration, question: u64, answer: Result<String, RpcError>) -> bool {
        self.now = now;
        let Some(asked) = self.questions.remove(&question) else { return false };
        let answer = answer.and_then(|text| {
            asked.kind.check(&asked.params, &text).map_err(|reason| {
                self.output(Output::AnswerRefused { question, reason: reason.clone() });
                RpcError::new(ErrorKind::InvalidParams, format!("the client's answer is wrong: {reason}"))
            })
        });
        match asked.origin {
            Origin::Request { id, ops, task, .. } => {
                let answer = match task {
                    Some(task) => answer.map(|answer| tasks::related(&answer, &task)),
                    None => answer,
                };
                self.reply(&id, answer);
                for op in ops {
                    self.release(now, op);
                }
            }
            Origin::Input { op, index } => {
                self.release(now, op);
                match answer {
                    Ok(answer) => self.on_input(op, index, answer),
                    Err(error) => self.end(op, Err(error.into())),
                }
            }
            Origin::Task { task, key, ops } => self.on_task_answer(&task, key, ops, answer),
            Origin::Own { task, ops } => {
                self.on_own_answer(&task, answer);
                for op in ops {
                    self.release(now, op);
                }
            }
        }
        true
    }

    /// Replaces the roots: the text of a JSON array of `{uri, name?}`. A legacy server is notified. Returns
    /// false if the client has not declared roots.
    pub fn set_roots(&mut self, roots: Json) -> bool {
        if !self.declared.roots {
            return false;
        }
        self.config.roots = Some(roots);
        if self.state == super::connecting::State::Ready
            && self.revision.era() == Era::Legacy
            && self.declared.roots_changed
        {
            self.send_other(jsonrpc::notification(methods::by_role(Role::RootsChanged).name, ""));
        }
        true
    }

    /// A server may send requests only in the legacy era; in the modern one a client never writes responses.
    pub(super) fn on_request(
        &mut self,
        now: Duration,
        post: Option<u64>,
        id: Id,
        method: &str,
        params: Option<Json>,
    ) {
        if self.revision.era() == Era::Modern {
            return;
        }
        let role = methods::by_name(method)
            .filter(|row| row.kind == Kind::Request && row.direction != Direction::ToServer)
            .filter(|row| row.exists_in(self.revision))
            .map(|row| row.role);
        let about_tasks =
            matches!(role, Some(Role::GetTask | Role::TaskResult | Role::CancelTask | Role::ListTasks));
        if let Some(role) = role.filter(|_| about_tasks) {
            return self.on_own_request(&id, role, params.as_ref().map_or("{}", Json::as_str));
        }
        let asked = match role {
            Some(Role::Ping) => Ok(Asked::Engine(Json::from_static("{}"))),
            Some(role) if self.questions.len() < MAX_QUESTIONS => {
                self.asked(role, params.as_ref().map_or("{}", Json::as_str))
            }
            Some(_) => {
                let message = format!("more than {MAX_QUESTIONS} requests wait for an answer");
                Err(RpcError::new(ErrorKind::InvalidRequest, message))
            }
            None => Err(not_served(method)),
        };
        match asked {
            Err(error) => self.reply(&id, Err(error)),
            Ok(Asked::Engine(answer)) => self.reply(&id, Ok(answer)),
            Ok(Asked::Host(kind, params)) => {
                let task = tasks::related_task(params.as_str());
                let followers = task.as_deref().and_then(|task| self.followers(task));
                let own = post.and_then(|post| self.op_of(post)).map(|op| vec![op]);
                let (certain, ops) = match followers.or(own) {
                    Some(ops) => (true, ops),
                    None => (false, self.ops_in_flight()),
                };
                if self.makes_own_task(kind, &params) {
                    return self.make_own_task(&id, kind, params, ops);
                }
                for op in &ops {
                    self.hold(now, *op);
                }
                self.ask(kind, params, Origin::Request { id, ops, certain, task });
            }
        }
    }

    /// A legacy server has cancelled its question.
    pub(super) fn on_question_cancelled(&mut self, now: Duration, id: &Id, reason: &str) {
        let named =
            |question: &Question| matches!(&question.origin, Origin::Request { id: own, .. } if own == id);
        let Some(question) = self.questions.iter().find(|(_, question)| named(question)).map(|(key, _)| *key)
        else {
            return;
        };
        if let Some(Question { origin: Origin::Request { ops, .. }, .. }) = self.questions.remove(&question) {
            for op in ops {
                self.release(now, op);
            }
        }
        self.output(Output::Withdrawn { question, reason: reason.to_owned() });
    }

    /// The server answered an operation with a request for input.
    pub(super) fn on_input_required(&mut self, now: Duration, op: u64, result: &Json) {
        let asked = self.next_round(op, result);
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => return self.end(op, Err(error)),
        };
        let Some(entry) = self.ops.get_mut(&op) else { return };
        entry.stage = Stage::Asking;
        let rounds = entry.rounds.get_or_insert_default();
        let mut questions = Vec::new();
        for (index, (key, asked)) in asked.into_iter().enumerate() {
            rounds.answers.push((
                key,
                match asked {
                    Asked::Engine(answer) => Some(answer),
                    Asked::Host(kind, params) => {
                        questions.push((index, kind, params));
                        None
                    }
                },
            ));
        }
        if questions.is_empty() {
            return self.send_op(op);
        }
        for (index, kind, params) in questions {
            self.hold(now, op);
            self.ask(kind, params, Origin::Input { op, index });
        }
    }

    /// Withdraws the questions of an operation that ends. `given_up`: by this side.
    pub(super) fn withdraw(&mut self, op: u64, given_up: bool) {
        if self.questions.is_empty() {
            return;
        }
        let mut moot = Vec::new();
        for (key, question) in &mut self.questions {
            match &mut question.origin {
                Origin::Input { op: own, .. } if *own == op => moot.push(*key),
                Origin::Input { .. } | Origin::Task { .. } | Origin::Own { .. } => {}
                Origin::Request { ops, certain, .. } => {
                    let before = ops.len();
                    ops.retain(|own| *own != op);
                    // One that may belong to something else stays: to answer it does no harm.
                    if before > 0 && ops.is_empty() && (*certain || given_up) {
                        moot.push(*key);
                    }
                }
            }
        }
        for question in moot {
            let asked = self.questions.remove(&question);
            if let Some(Question { origin: Origin::Request { id, .. }, .. }) = asked {
                let message = "the request that this one belongs to has ended";
                self.reply(&id, Err(RpcError::new(ErrorKind::InternalError, message)));
            }
            self.output(Output::Withdrawn { question, reason: "the request has ended".into() });
        }
    }

    /// The connection ends: withdraws all questions.
    pub(super) fn withdraw_all(&mut self, reason: &str) {
        for question in std::mem::take(&mut self.questions).into_keys() {
            self.output(Output::Withdrawn { question, reason: reason.to_owned() });
        }
    }

    pub(super) fn ask(&mut self, kind: QuestionKind, params: Json, origin: Origin) -> u64 {
        let question = self.fresh_id();
        self.questions.insert(question, Question { kind, params: params.clone(), origin });
        self.output(Output::Ask { question, kind, params });
        question
    }

    fn on_input(&mut self, op: u64, index: usize, answer: Json) {
        let Some(rounds) = self.ops.get_mut(&op).and_then(|entry| entry.rounds.as_mut()) else { return };
        if let Some((_, place)) = rounds.answers.get_mut(index) {
            *place = Some(answer);
        }
        if rounds.answers.iter().all(|(_, answer)| answer.is_some()) {
            self.send_op(op);
        }
    }

    /// Parses the questions for an operation, and begins its next round.
    fn next_round(&mut self, op: u64, result: &Json) -> Result<Vec<(String, Asked)>, ClientError> {
        #[derive(Deserialize)]
        struct Required<'a> {
            #[serde(rename = "inputRequests", borrow, default)]
            requests: Option<&'a RawValue>,
            #[serde(rename = "requestState", borrow, default)]
            state: Option<&'a RawValue>,
        }
        let protocol = |message: &str| ClientError::local(kind::PROTOCOL, message);
        let Some(entry) = self.ops.get_mut(&op) else { return Ok(Vec::new()) };
        if !matches!(entry.method.role, Role::CallTool | Role::GetPrompt | Role::ReadResource) {
            let message =
                format!("the server required input for {}, where that is not allowed", entry.method.name);
            return Err(protocol(&message));
        }
        let required: Required<'_> = serde_json::from_str(result.as_str()).map_err(|error| {
            protocol(&format!("the server's input_required: {}", json::complaint(&error)))
        })?;
        let requests = match required.requests {
            None => Vec::new(),
            Some(raw) => json::members(raw.get()).ok_or_else(|| protocol("inputRequests is no object"))?,
        };
        if requests.is_empty() && required.state.is_none() {
            return Err(protocol("the server required input without saying what, or a state"));
        }
        if required.state.is_some_and(|state| !state.get().starts_with('"')) {
            return Err(protocol("requestState is no string"));
        }
        let count = entry.rounds.as_ref().map_or(0, |rounds| rounds.count) + 1;
        if count > MAX_ROUNDS {
            let message = format!("the server required input more than {MAX_ROUNDS} times");
            return Err(ClientError::local(kind::LIMIT, message));
        }
        if requests.len() > MAX_QUESTIONS {
            let message = format!("the server asked more than {MAX_QUESTIONS} questions at once");
            return Err(ClientError::local(kind::LIMIT, message));
        }
        let state = required.state.map_or_else(Json::default, |state| Json::from(state.get().to_owned()));
        entry.rounds = Some(Box::new(Rounds { count, answers: Vec::new(), state }));
        let mut asked: Vec<(String, Asked)> = Vec::with_capacity(requests.len());
        for (key, request) in requests {
            let question =
                self.required(request).map_err(|why| protocol(&format!("input {key:?}: {why}")))?;
            if asked.iter().any(|(known, _)| *known == key) {
                return Err(protocol(&format!("input {key:?} is asked for twice")));
            }
            asked.push((key, question));
        }
        Ok(asked)
    }

    pub(super) fn required(&self, request: &RawValue) -> Result<Asked, String> {
        #[derive(Deserialize)]
        struct Request<'a> {
            #[serde(borrow)]
            method: Cow<'a, str>,
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
        }
        if !request.get().starts_with('{') {
            return Err("it is no request".into());
        }
        let request: Request<'_> =
            serde_json::from_str(request.get()).map_err(|error| json::complaint(&error))?;
        let params = request.params.map_or("{}", RawValue::get);
        if !params.starts_with('{') {
            return Err("its params are no object".into());
        }
        let role = methods::by_name(&request.method).map(|row| row.role).filter(|role| *role != Role::Ping);
        let asked = role.map(|role| self.asked(role, params));
        asked.unwrap_or_else(|| Err(not_served(&request.method))).map_err(|error| error.message)
    }

    /// Decides whether a question may be asked, and whether the host or the engine answers it.
    fn asked(&self, role: Role, params: &str) -> Result<Asked, RpcError> {
        let name = methods::by_role(role).name;
        match role {
            Role::ListRoots if self.declared.roots => {
                let roots = self.config.roots.as_ref().map_or("[]", Json::as_str);
                Ok(Asked::Engine(Json::from(format!(r#"{{"roots":{roots}}}"#))))
            }
            Role::Elicit if self.declared.form || self.declared.url => {
                elicitation(&self.declared, params).map(|params| Asked::Host(QuestionKind::Elicit, params))
            }
            Role::Sample if self.declared.sample => {
                sampling(&self.declared, params).map(|params| Asked::Host(QuestionKind::Sample, params))
            }
            _ => Err(not_served(name)),
        }
    }

    pub(super) fn reply(&mut self, id: &Id, answer: Result<Json, RpcError>) {
        let reply = match answer {
            Ok(result) => jsonrpc::response(id, result.as_bytes()),
            Err(error) => jsonrpc::error(Some(id), &error),
        };
        self.send_other(reply);
    }
}

impl QuestionKind {
    /// The encoded answer, or its fault. `params` are the question's.
    fn check(self, params: &Json, answer: &str) -> Result<Json, String> {
        match self {
            QuestionKind::Elicit => check_elicited(params, answer),
            QuestionKind::Sample => check_sampled(answer),
        }
    }
}

fn check_elicited(params: &Json, answer: &str) -> Result<Json, String> {
    let mut answer: Map<String, Value> =
        serde_json::from_str(answer).map_err(|_| "it must be an object".to_owned())?;
    let action = answer.get("action").and_then(Value::as_str).unwrap_or_default();
    let asked: Value = serde_json::from_str(params.as_str()).unwrap_or_default();
    match action {
        "accept" if asked["mode"] == "form" => {
            let mut content = match answer.shift_remove("content") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(content)) => content,
                Some(_) => return Err("content must be an object".into()),
            };
            form::complete(&asked["requestedSchema"], &mut content)?;
            answer.insert("content".into(), Value::Object(content));
        }
        "accept" | "decline" | "cancel" => drop(answer.shift_remove("content")),
        _ => return Err("action must be accept, decline or cancel".into()),
    }
    Ok(Json::from(Value::Object(answer).to_string()))
}

fn check_sampled(answer: &str) -> Result<Json, String> {
    #[derive(Deserialize)]
    struct Sampled<'a> {
        role: Cow<'a, str>,
        #[serde(rename = "model")]
        _model: Cow<'a, str>,
        #[serde(borrow)]
        content: &'a RawValue,
    }
    if !answer.trim_start().starts_with('{') {
        return Err("it must be an object".into());
    }
    let sampled: Sampled<'_> = serde_json::from_str(answer).map_err(|error| json::complaint(&error))?;
    if sampled.role != "user" && sampled.role != "assistant" {
        return Err("role must be user or assistant".into());
    }
    if !sampled.content.get().starts_with(['{', '[']) {
        return Err("content must be an object or an array".into());
    }
    Ok(Json::from(answer.trim().to_owned()))
}

/// The parameters with their mode, if they may be asked.
fn elicitation(declared: &Declared, params: &str) -> Result<Json, RpcError> {
    #[derive(Deserialize)]
    struct Elicit<'a> {
        #[serde(borrow, default)]
        mode: Option<Cow<'a, str>>,
        #[serde(rename = "message", borrow)]
        _message: Cow<'a, str>,
        #[serde(rename = "requestedSchema", borrow, default)]
        schema: Option<&'a RawValue>,
        #[serde(borrow, default)]
        url: Option<Cow<'a, str>>,
    }
    let name = methods::by_role(Role::Elicit).name;
    let invalid = |why: &str| RpcError::new(ErrorKind::InvalidParams, format!("{name}: {why}"));
    let asked: Elicit<'_> =
        serde_json::from_str(params).map_err(|error| invalid(&json::complaint(&error)))?;
    let declares = match asked.mode.as_deref() {
        None | Some("form") if !asked.schema.is_some_and(|schema| schema.get().starts_with('{')) => {
            return Err(invalid("requestedSchema must be an object"));
        }
        Some("url") if asked.url.is_none() => return Err(invalid("url is required")),
        None | Some("form") => declared.form,
        Some("url") => declared.url,
        Some(mode) => return Err(invalid(&format!("there is no mode {mode:?}"))),
    };
    if !declares {
        let mode = asked.mode.as_deref().unwrap_or("form");
        return Err(invalid(&format!("the client has not declared mode {mode:?}")));
    }
    Ok(Json::from(match asked.mode {
        Some(_) => params.to_owned(),
        None => format!(r#"{{"mode":"form",{}"#, &params[1..]),
    }))
}

fn sampling(declared: &Declared, params: &str) -> Result<Json, RpcError> {
    #[derive(Deserialize)]
    struct Sample<'a> {
        #[serde(rename = "messages", borrow)]
        messages: &'a RawValue,
        #[serde(borrow, default)]
        tools: Option<&'a RawValue>,
        #[serde(rename = "toolChoice", borrow, default)]
        choice: Option<&'a RawValue>,
    }
    let name = methods::by_role(Role::Sample).name;
    let invalid = |why: &str| RpcError::new(ErrorKind::InvalidParams, format!("{name}: {why}"));
    let asked: Sample<'_> =
        serde_json::from_str(params).map_err(|error| invalid(&json::complaint(&error)))?;
    if !asked.messages.get().starts_with('[') {
        return Err(invalid("messages must be an array"));
    }
    // The schema demands the refusal (2026-07-28, `CreateMessageRequestParams.tools`).
    if (asked.tools.is_some() || asked.choice.is_some()) && !declared.sample_tools {
        return Err(invalid("the client has not declared sampling with tools"));
    }
    Ok(Json::from(params.to_owned()))
}

pub(super) fn not_served(method: &str) -> RpcError {
    RpcError::new(ErrorKind::MethodNotFound, format!("this client does not serve {method}"))
}

fn push_member(out: &mut String, key: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str(&json::string(key));
    out.push(':');
    out.push_str(value);
}
