//! Decides which calls become tasks on a server of 2025-11-25 (tasks, "Capability Negotiation", "Tool-Level
//! Negotiation").

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::Tasks;
use crate::client::conn::{ClientConn, Purpose, Stage};
use crate::client::tools::{REFRESH_PAGES, next_cursor};
use crate::error::RpcError;
use crate::json::{self, Json};
use crate::methods::{self, Role};
use crate::revision::{Era, Revision};

/// Maximum number of tools whose support is stored.
const MAX_TOOLS: usize = 4096;

/// Task support of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    No,
    Optional,
    Required,
}

impl Tasks {
    /// Stores the capabilities of a connected server.
    pub fn learn(&mut self, revision: Revision, capabilities: &Json) {
        let declared: Value = serde_json::from_str(capabilities.as_str()).unwrap_or_default();
        self.offered = revision.era() == Era::Legacy
            && methods::by_role(Role::TaskResult).exists_in(revision)
            && declared["tasks"]["requests"]["tools"]["call"].is_object();
        self.no_push = false;
        self.forget_tools();
    }

    /// The tools are others now.
    pub fn forget_tools(&mut self) {
        self.support.clear();
        self.surveyed = false;
    }

    /// A page of the server's tools.
    pub fn learn_tools(&mut self, page: &Json) {
        #[derive(Deserialize)]
        struct Execution<'a> {
            #[serde(rename = "taskSupport", borrow, default)]
            support: Option<Cow<'a, str>>,
        }
        #[derive(Deserialize)]
        struct Tool<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            #[serde(borrow, default)]
            execution: Option<Execution<'a>>,
        }
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            tools: Vec<Tool<'a>>,
        }
        if !self.offered {
            return;
        }
        let Ok(page) = serde_json::from_str::<Page<'_>>(page.as_str()) else { return };
        for tool in page.tools {
            let said = tool.execution.and_then(|execution| execution.support);
            let support = match said.as_deref() {
                Some("required") => Support::Required,
                Some("optional") => Support::Optional,
                _ => Support::No,
            };
            if self.support.len() < MAX_TOOLS || self.support.contains_key(tool.name.as_ref()) {
                self.support.insert(tool.name.into_owned(), support);
            }
        }
    }
}

impl ClientConn {
    /// Decides whether a call asks for a task. True: not before the server has been asked for its tools.
    pub(in crate::client) fn surveys(&mut self, op: u64) -> bool {
        if !self.tasks.offered || !self.config.tasks {
            return false;
        }
        let Some(entry) = self.ops.get_mut(&op).filter(|entry| !entry.augmented) else { return false };
        let wanted = entry.options.task;
        let Some(name) = name_in(&entry.params) else { return false };
        match self.tasks.support.get(&name) {
            Some(Support::Required) => entry.augmented = true,
            Some(Support::Optional) => entry.augmented = wanted,
            Some(Support::No) => {}
            None if wanted && !self.tasks.surveyed => {
                self.survey(op, 0, None);
                return true;
            }
            None => {}
        }
        false
    }

    /// A call was refused as it was, perhaps because its tool makes tasks only. True: it asks for one now.
    pub(in crate::client) fn may_need_a_task(&mut self, op: u64) -> bool {
        if !self.tasks.offered || !self.config.tasks {
            return false;
        }
        let Some(entry) = self.ops.get_mut(&op) else { return false };
        if entry.method.role != Role::CallTool || entry.augmented {
            return false;
        }
        let unknown = name_in(&entry.params).is_some_and(|name| !self.tasks.support.contains_key(&name));
        entry.augmented = unknown;
        unknown
    }

    pub(in crate::client) fn on_survey(&mut self, op: u64, page: u32, result: Result<Json, RpcError>) {
        if let Ok(list) = result {
            let list = self.screen(list);
            if let Some(cursor) = next_cursor(&list).filter(|_| page < REFRESH_PAGES) {
                return self.survey(op, page + 1, Some(&cursor));
            }
        }
        self.tasks.surveyed = true;
        self.send_op(op);
    }

    fn survey(&mut self, op: u64, page: u32, cursor: Option<&str>) {
        let params = match cursor {
            Some(cursor) => format!(r#"{{"cursor":{}}}"#, json::string(cursor)),
            None => "{}".to_owned(),
        };
        let id = self.fresh_id();
        if let Some(entry) = self.ops.get_mut(&op) {
            entry.stage = Stage::Sent(id);
        }
        self.pending.insert(id, Purpose::Survey { op, page });
        let headers = self.legacy_headers();
        self.send_request(id, methods::by_role(Role::ListTools).name, &params, headers);
    }
}

/// The parameters of a call that asks for a task.
pub(in crate::client) fn augment(params: &str, ttl: Option<u64>) -> String {
    let ttl = ttl.map_or_else(String::new, |ttl| format!("\"ttl\":{ttl}"));
    let rest = params[1..].trim_start();
    let separator = if rest.starts_with('}') { "" } else { "," };
    format!("{{\"task\":{{{ttl}}}{separator}{rest}")
}

/// Returns true if the result of such a call is a task. A server may have answered immediately.
pub(in crate::client) fn is_created(result: &Json) -> bool {
    let members = json::members(result.as_str()).unwrap_or_default();
    members.iter().any(|(key, value)| key == "task" && value.get().starts_with('{'))
}

fn name_in(params: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Params {
        name: String,
    }
    serde_json::from_str::<Params>(params).ok().map(|params| params.name)
}
