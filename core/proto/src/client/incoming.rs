//! Notifications of the server.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Output;
use super::cache::uri_in;
use super::conn::ClientConn;
use super::error::{ClientError, kind};
use crate::json::Json;
use crate::jsonrpc::Id;
use crate::meta;
use crate::methods::{self, Direction, Kind, Role};
use crate::revision::Era;

impl ClientConn {
    pub(super) fn on_notification(
        &mut self,
        now: Duration,
        post: Option<u64>,
        method: &str,
        params: Option<Json>,
    ) {
        let Some(row) = methods::by_name(method) else { return };
        if row.kind != Kind::Notification || row.direction == Direction::ToServer {
            return;
        }
        let params = params.unwrap_or(Json::from_static("{}"));
        match row.role {
            Role::Progress => return self.on_progress(&params),
            Role::Cancelled => return self.on_cancelled(now, &params),
            Role::TaskChanged | Role::TaskStatus => return self.on_task_notification(&params),
            Role::ListenAcknowledged => {
                let request = subscription(&params).or(post);
                if request.is_some_and(|request| self.on_push_acknowledged(request, &params)) {
                    return;
                }
                self.on_change(row, subscription(&params).or(post), &params);
                return;
            }
            Role::ToolsChanged | Role::PromptsChanged | Role::ResourcesChanged | Role::ResourceUpdated => {
                if row.role == Role::ToolsChanged {
                    self.tasks.forget_tools();
                    self.outputs_of_tools.forget();
                }
                if !self.cache.is_empty() || self.ops.values().any(|op| op.method.cacheable) {
                    let uri = (row.role == Role::ResourceUpdated).then(|| uri_in(params.as_str())).flatten();
                    self.cache.invalidate(row.role, uri.as_deref());
                }
                if self.on_change(row, subscription(&params).or(post), &params) {
                    return;
                }
            }
            _ if row.op.is_empty() => return,
            _ => {}
        }
        self.output(Output::Notification { event: row.op, params });
    }

    /// A legacy server takes a question back; a modern one ends a subscription.
    fn on_cancelled(&mut self, now: Duration, params: &Json) {
        #[derive(Deserialize)]
        struct Cancelled<'a> {
            #[serde(rename = "requestId", borrow)]
            id: &'a RawValue,
            #[serde(borrow, default)]
            reason: Option<Cow<'a, str>>,
        }
        let Ok(said) = serde_json::from_str::<Cancelled<'_>>(params.as_str()) else { return };
        let Some(id) = Id::from_json(said.id.get()) else { return };
        if self.revision.era() == Era::Legacy {
            return self.on_question_cancelled(now, &id, said.reason.as_deref().unwrap_or_default());
        }
        let Some(request) = id.as_number() else { return };
        let error = || ClientError::local(kind::TRANSPORT, "the server has ended the subscription");
        if self.errand_failed(request, error()) {
            return;
        }
        if let Some(op) = self.op_of(request)
            && self.ops.get(&op).is_some_and(|op| op.listening.is_some())
        {
            self.forget(request);
            self.end(op, Ok(Json::from_static("{}")));
        }
    }

    fn on_progress(&mut self, params: &Json) {
        #[derive(Deserialize)]
        struct Progress<'a> {
            #[serde(rename = "progressToken", borrow)]
            token: &'a RawValue,
            #[serde(borrow)]
            progress: &'a RawValue,
            #[serde(borrow, default)]
            total: Option<&'a RawValue>,
            #[serde(borrow, default)]
            message: Option<&'a RawValue>,
        }
        let Ok(said) = serde_json::from_str::<Progress<'_>>(params.as_str()) else { return };
        let request = Id::from_json(said.token.get()).and_then(|token| token.as_number());
        let of_task = || request.and_then(|token| self.following_with(token));
        let Some(op) = request.and_then(|request| self.op_of(request)).or_else(of_task) else { return };
        let Some(entry) = self.ops.get_mut(&op) else { return };
        if let Some(followed) = &mut entry.followed {
            followed.counted = true;
        }
        let number =
            |raw: &RawValue| raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !entry.options.progress || !number(said.progress) {
            return;
        }
        self.begin_anew(op);
        let mut payload = format!(r#"{{"progress":{}"#, said.progress.get());
        if let Some(total) = said.total.filter(|total| number(total)) {
            payload.push_str(",\"total\":");
            payload.push_str(total.get());
        }
        if let Some(message) = said.message.filter(|message| message.get().starts_with('"')) {
            payload.push_str(",\"message\":");
            payload.push_str(message.get());
        }
        payload.push('}');
        self.output(Output::Progress { op, payload: Json::from(payload) });
    }
}

/// The request id of the subscription to which a notification belongs.
fn subscription(params: &Json) -> Option<u64> {
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "_meta", default)]
        meta: serde_json::Map<String, serde_json::Value>,
    }
    let said = serde_json::from_str::<Meta>(params.as_str()).ok()?;
    Id::from_json(&said.meta.get(meta::SUBSCRIPTION_ID)?.to_string())?.as_number()
}
