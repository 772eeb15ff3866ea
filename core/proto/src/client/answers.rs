//! Decoding of server results.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::cache;
use super::conn::ClientConn;
use super::error::{ClientError, kind};
use super::tasks;
use super::{CallOptions, Transport};
use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::methods::{Method, Role};
use crate::revision::{Era, Revision};

impl ClientConn {
    pub(super) fn on_answer(&mut self, now: Duration, op: u64, result: Result<Json, RpcError>) {
        let Some(entry) = self.ops.get_mut(&op) else { return };
        let modern = self.revision.era() == Era::Modern;
        match result {
            Ok(result) => {
                let kind = match modern {
                    true => result_type(&result),
                    false if result.as_bytes().first() != Some(&b'{') => {
                        Err(ClientError::local(kind::PROTOCOL, "the result is no object"))
                    }
                    false if entry.augmented && tasks::is_created(&result) => Ok(ResultType::Task),
                    false => Ok(ResultType::Complete),
                };
                match kind {
                    Ok(ResultType::Complete) => self.on_result(now, op, result),
                    Ok(ResultType::InputRequired) => self.on_input_required(now, op, &result),
                    Ok(ResultType::Task) => self.on_task(op, result),
                    Err(error) => self.end(op, Err(error)),
                }
            }
            Err(error) if modern && error.kind() == ErrorKind::UnsupportedVersion && !entry.reversioned => {
                entry.reversioned = true;
                match newest_mutual(&error, Era::Modern) {
                    Some(revision) => {
                        self.speak(revision);
                        self.send_op(op);
                    }
                    None => self.end(op, Err(error.into())),
                }
            }
            Err(error)
                if modern
                    && error.kind() == ErrorKind::HeaderMismatch
                    && entry.method.role == Role::CallTool
                    && !entry.refreshed
                    && self.config.transport == Transport::Http =>
            {
                entry.refreshed = true;
                self.refresh(op, 0, None, error);
            }
            Err(error)
                if !modern
                    && error.kind() == ErrorKind::MethodNotFound
                    && entry.method.role == Role::CallTool =>
            {
                match self.may_need_a_task(op) {
                    true => self.send_op(op),
                    false => self.end(op, Err(error.into())),
                }
            }
            Err(error) if entry.method.role == Role::ReadResource && names_a_uri(&error) => {
                let kind = ErrorKind::ResourceNotFound.as_str();
                self.end(op, Err(ClientError { kind, ..error.into() }));
            }
            Err(error) => self.end(op, Err(error.into())),
        }
    }

    pub(super) fn on_result(&mut self, now: Duration, op: u64, result: Json) {
        let Some(entry) = self.ops.get(&op) else { return };
        let role = entry.method.role;
        let modern = self.revision.era() == Era::Modern;
        if role == Role::CallTool
            && let Err(error) = self.outputs_of_tools.check(&entry.params, &result)
        {
            return self.end(op, Err(error));
        }
        let result = match role {
            Role::Ping | Role::Listen => Json::from_static("{}"),
            Role::ListTools | Role::ListResources | Role::ListResourceTemplates | Role::ListPrompts => {
                let page = self.without_odd_entries(entry.method, result);
                if role == Role::ListTools { self.screen(page) } else { page }
            }
            Role::CallTool if entry.options.task => tasks::plain(&result),
            Role::GetTask | Role::UpdateTask | Role::CancelTask | Role::ListTasks => {
                match self.on_task_told(op, role, &result) {
                    Ok(result) => result,
                    Err(error) => return self.end(op, Err(error)),
                }
            }
            _ => result,
        };
        // What an answer of the user's went into is not for the next who asks (2026-07-28, "Caching").
        if let Some(entry) = self.ops.get(&op)
            && modern
            && self.config.cache
            && entry.method.cacheable
            && entry.rounds.is_none()
        {
            let key = cache::key(entry.method, &entry.params, &entry.options.meta);
            self.cache.keep(now, entry.epoch, role, &entry.params, key, &result);
        }
        if self.ops.get(&op).is_some_and(|entry| entry.gathered.is_some()) {
            return self.on_page(op, result);
        }
        self.end(op, Ok(result));
    }

    /// A fresh cached result of such a request.
    pub(super) fn kept(
        &mut self,
        now: Duration,
        method: &'static Method,
        params: &str,
        options: &CallOptions,
    ) -> Option<Json> {
        if !method.cacheable || self.cache.is_empty() {
            return None;
        }
        let key = cache::key(method, params, &options.meta);
        if options.fresh {
            self.cache.remove(&key);
            return None;
        }
        self.cache.find(now, &key)
    }
}

/// The kind of a modern server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultType {
    Complete,
    InputRequired,
    /// That it has made a task of the request (extension `io.modelcontextprotocol/tasks`, "Polymorphic Results").
    Task,
}

/// The type of a result. A result without a type is complete (2026-07-28, basic, "Results").
pub(super) fn result_type(result: &Json) -> Result<ResultType, ClientError> {
    const COMPLETE: &str = r#""resultType":"complete""#;
    let text = result.as_str();
    // Such a text cannot stand inside a string, and at these places it can only be a member of the top level.
    let plain = text.strip_prefix('{').is_some_and(|inner| inner.starts_with(COMPLETE))
        || text.strip_suffix('}').is_some_and(|inner| inner.ends_with(COMPLETE));
    if plain {
        return Ok(ResultType::Complete);
    }
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "resultType", borrow, default)]
        result_type: Option<Cow<'a, str>>,
    }
    let protocol = |complaint: String| Err(ClientError::local(kind::PROTOCOL, complaint));
    if !text.starts_with('{') {
        return protocol("the result is no object".into());
    }
    match serde_json::from_str::<Typed<'_>>(text)
        .map(|typed| typed.result_type)
        .as_ref()
        .map(Option::as_deref)
    {
        Ok(None | Some("complete")) => Ok(ResultType::Complete),
        Ok(Some("input_required")) => Ok(ResultType::InputRequired),
        Ok(Some("task")) => Ok(ResultType::Task),
        Ok(Some(other)) => Err(not_taken(other)),
        Err(_) => protocol("the result's resultType is no string".into()),
    }
}

/// A result of a type that means nothing here.
pub(super) fn not_taken(said: &str) -> ClientError {
    let message =
        format!("the server answered with a result of type {said:?}, which this client cannot take");
    ClientError::local(kind::PROTOCOL, message)
}

pub(super) fn check_meta(meta: &Json) -> Result<(), ClientError> {
    if meta.is_empty() || json::members(meta.as_str().trim()).is_some() {
        return Ok(());
    }
    Err(ClientError::local(kind::USAGE, "meta must be a JSON object"))
}

/// Returns true for the modern form of "no such resource": invalid params whose data contain the URI
/// (2026-07-28, resources, "Error Handling"). Hosts receive one kind for it in every era.
pub(super) fn names_a_uri(error: &RpcError) -> bool {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow, rename = "uri")]
        _uri: Cow<'a, str>,
    }
    let data = error.data.as_ref().map(|data| serde_json::from_str::<Data<'_>>(data.get()));
    error.kind() == ErrorKind::InvalidParams && data.is_some_and(|data| data.is_ok())
}

/// The newest revision of an era that both the server, by its unsupported-version error, and the client
/// speak.
pub(super) fn newest_mutual(error: &RpcError, era: Era) -> Option<Revision> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(default)]
        supported: Vec<String>,
    }
    let data: Data = serde_json::from_str(error.data.as_ref()?.get()).ok()?;
    Revision::of_era(era).find(|revision| data.supported.iter().any(|text| text == revision.as_str()))
}
