//! Change notifications, and the subscriptions of clients to them (2026-07-28, "Subscriptions"; 2025-11-25,
//! tools, prompts and resources, "List Changed Notification" and "Subscriptions").

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::RpcError;
use crate::json;
use crate::jsonrpc::{self, Id};
use crate::limits::MAX_URI;
use crate::meta;
use crate::methods::{self, Role};
use crate::server::request::invalid;
use crate::tasks::News;

/// Most resources, or tasks, that one session or stream may watch.
const MAX_WATCHED: usize = 1024;
/// Maximum size of the URIs or ids of all together, in bytes: they are stored while they are watched. For a
/// single one: [`MAX_URI`].
const MAX_WATCHED_BYTES: usize = 256 << 10;

/// Checks that these URIs or ids can be watched; the error gives the reason.
pub(crate) fn check_watched<'a>(
    what: &str,
    watched: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), String> {
    if watched.clone().count() > MAX_WATCHED {
        return Err(format!("more than {MAX_WATCHED} {what} cannot be watched"));
    }
    if watched.clone().any(|name| name.len() > MAX_URI) {
        return Err(format!("{what} whose name exceeds {MAX_URI} bytes cannot be watched"));
    }
    if watched.map(String::len).sum::<usize>() > MAX_WATCHED_BYTES {
        return Err(format!(
            "{what} whose names exceed {MAX_WATCHED_BYTES} bytes together cannot be watched"
        ));
    }
    Ok(())
}

/// Something has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Notice {
    /// The list of tools.
    Tools,
    /// The lists of resources and templates.
    Resources,
    /// The list of prompts.
    Prompts,
    /// The resource at this URI.
    Resource(String),
    /// A task.
    Task(News),
    /// The interaction of a URL elicitation with this id is complete (2025-11-25).
    ElicitationComplete(String),
}

impl Notice {
    /// From its neutral name and parameters: `tools_changed`, `resources_changed`, `prompts_changed`, `resource_updated
    /// {uri}`, `elicitation_complete {elicitationId}`. `None` for another name.
    pub fn parse(event: &str, params: &str) -> Option<Result<Notice, RpcError>> {
        #[derive(Deserialize)]
        struct Updated {
            uri: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Complete {
            elicitation_id: String,
        }
        let role = methods::METHODS.iter().find(|method| method.op == event)?.role;
        Some(Ok(match role {
            Role::ToolsChanged => Notice::Tools,
            Role::ResourcesChanged => Notice::Resources,
            Role::PromptsChanged => Notice::Prompts,
            Role::ResourceUpdated => match serde_json::from_str::<Updated>(params) {
                Ok(updated) => Notice::Resource(updated.uri),
                Err(error) => return Some(Err(invalid(format!("{event}: {}", json::complaint(&error))))),
            },
            Role::ElicitationComplete => match serde_json::from_str::<Complete>(params) {
                Ok(complete) => Notice::ElicitationComplete(complete.elicitation_id),
                Err(error) => return Some(Err(invalid(format!("{event}: {}", json::complaint(&error))))),
            },
            _ => return None,
        }))
    }

    /// The neutral name of its notification, which [`Notice::of_op`] takes.
    pub fn op(&self) -> &'static str {
        methods::by_role(self.role()).op
    }

    /// The subject of its notification, as [`Notice::of_op`] takes it: the URI of a resource, the id of an elicitation.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Notice::Resource(subject) | Notice::ElicitationComplete(subject) => Some(subject),
            Notice::Tools | Notice::Resources | Notice::Prompts | Notice::Task(_) => None,
        }
    }

    /// The notice of a neutral notification name and a [`Notice::subject`]. `None`: there is no such notice.
    pub fn of_op(op: &str, subject: Option<String>) -> Option<Notice> {
        let complete = methods::by_role(Role::ElicitationComplete).op;
        let member = if op == complete { "elicitationId" } else { "uri" };
        let params = subject.map_or_else(String::new, |subject| {
            format!("{{{}:{}}}", json::string(member), json::string(&subject))
        });
        Notice::parse(op, &params)?.ok()
    }

    fn role(&self) -> Role {
        match self {
            Notice::Tools => Role::ToolsChanged,
            Notice::Resources => Role::ResourcesChanged,
            Notice::Prompts => Role::PromptsChanged,
            Notice::Resource(_) => Role::ResourceUpdated,
            Notice::Task(_) => Role::TaskChanged,
            Notice::ElicitationComplete(_) => Role::ElicitationComplete,
        }
    }

    /// The notification. `subscription`: the stream it is delivered on, in the modern era. `None`: of a task, which was read for
    /// the other era only.
    pub fn message(&self, subscription: Option<&Id>) -> Option<Vec<u8>> {
        if let Notice::Task(news) = self {
            return news.message(subscription);
        }
        let mut members = Vec::new();
        if let Some(id) = subscription {
            members.push(format!("\"_meta\":{{\"{}\":{}}}", meta::SUBSCRIPTION_ID, id.as_json()));
        }
        if let Notice::Resource(uri) = self {
            members.push(format!("\"uri\":{}", json::string(uri)));
        }
        if let Notice::ElicitationComplete(id) = self {
            members.push(format!("\"elicitationId\":{}", json::string(id)));
        }
        let params = if members.is_empty() { String::new() } else { format!("{{{}}}", members.join(",")) };
        Some(jsonrpc::notification(methods::by_role(self.role()).name, &params))
    }
}

/// The subscriptions of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: BTreeSet<String>,
    task_ids: BTreeSet<String>,
}

impl Filter {
    /// From `params.notifications` of `subscriptions/listen`.
    pub(crate) fn parse(notifications: &str) -> Result<Filter, RpcError> {
        if !notifications.starts_with('{') {
            return Err(invalid("params.notifications must be an object"));
        }
        let filter: Filter = serde_json::from_str(notifications)
            .map_err(|error| invalid(format!("params.notifications: {}", json::complaint(&error))))?;
        for (what, watched) in [("resources", &filter.resource_subscriptions), ("tasks", &filter.task_ids)] {
            check_watched(what, watched.iter()).map_err(|why| invalid(format!("{why} on one stream")))?;
        }
        Ok(filter)
    }

    /// The tasks it is about.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.task_ids.iter().map(String::as_str)
    }

    /// The resources it is about.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.resource_subscriptions.iter().map(String::as_str)
    }

    /// Removes the tasks that `keep` refuses.
    pub fn retain_tasks(&mut self, keep: impl Fn(&str) -> bool) {
        self.task_ids.retain(|id| keep(id));
    }

    /// The part of it that a server with these capabilities can honour.
    pub(crate) fn granted(mut self, capabilities: &Map<String, Value>) -> Filter {
        self.tools_list_changed &= capabilities.contains_key("tools");
        self.prompts_list_changed &= capabilities.contains_key("prompts");
        self.resources_list_changed &= capabilities.contains_key("resources");
        if !capabilities.contains_key("resources") {
            self.resource_subscriptions.clear();
        }
        if !capabilities.contains_key("extensions") {
            self.task_ids.clear();
        }
        self
    }

    /// Without the resources that do not fit.
    pub(crate) fn watching(mut self, mut fits: impl FnMut(&str) -> bool) -> Filter {
        self.resource_subscriptions.retain(|uri| fits(uri));
        self
    }

    /// Returns true if the filter lets a notice pass.
    pub fn covers(&self, notice: &Notice) -> bool {
        match notice {
            Notice::Tools => self.tools_list_changed,
            Notice::Resources => self.resources_list_changed,
            Notice::Prompts => self.prompts_list_changed,
            Notice::Resource(uri) => self.resource_subscriptions.contains(uri),
            Notice::Task(news) => self.task_ids.contains(&news.id),
            // 2026-07-28 has no such notification: the client sends its request again when the user is back.
            Notice::ElicitationComplete(_) => false,
        }
    }

    /// The acknowledgement that opens a stream.
    pub(crate) fn acknowledgement(&self, subscription: &Id) -> Vec<u8> {
        let mut granted = Map::new();
        for (key, wanted) in [
            ("toolsListChanged", self.tools_list_changed),
            ("promptsListChanged", self.prompts_list_changed),
            ("resourcesListChanged", self.resources_list_changed),
        ] {
            if wanted {
                granted.insert(key.into(), true.into());
            }
        }
        if !self.resource_subscriptions.is_empty() {
            let uris = self.resource_subscriptions.iter().map(|uri| Value::from(uri.as_str())).collect();
            granted.insert("resourceSubscriptions".into(), Value::Array(uris));
        }
        if !self.task_ids.is_empty() {
            let ids = self.task_ids.iter().map(|id| Value::from(id.as_str())).collect();
            granted.insert("taskIds".into(), Value::Array(ids));
        }
        let params = format!(
            "{{\"_meta\":{{\"{}\":{}}},\"notifications\":{}}}",
            meta::SUBSCRIPTION_ID,
            subscription.as_json(),
            Value::Object(granted)
        );
        jsonrpc::notification(methods::by_role(Role::ListenAcknowledged).name, &params)
    }
}
