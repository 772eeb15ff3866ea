//! The method table: the only definition of the methods of each revision and of their behavior.
//!
//! A method without a row for a revision is answered with `-32601` in that revision, in both directions. No
//! other code compares revisions to decide this.

use crate::revision::Revision;

/// The sender of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Client to server.
    ToServer,
    /// Server to client.
    ToClient,
    /// Both directions.
    Both,
}

/// Request or notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answered by a result or an error.
    Request,
    /// Never answered.
    Notification,
}

/// The parameter that is mirrored into the `Mcp-Name` header (2026-07-28, "Standard Request Headers").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameSource {
    /// `params.name`
    Name,
    /// `params.uri`
    Uri,
    /// `params.taskId` (extension `io.modelcontextprotocol/tasks`, "Streamable HTTP: Routing Headers")
    TaskId,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// The name on the wire.
    pub name: &'static str,
    /// The neutral name that hosts use ([[op]] in `bindings/surface.toml`); empty where hosts never ask for it.
    pub op: &'static str,
    /// The sender.
    pub direction: Direction,
    /// Request or notification.
    pub kind: Kind,
    /// The oldest revision that has it.
    pub since: Revision,
    /// The newest revision that has it.
    pub until: Revision,
    /// Its result carries `ttlMs` and `cacheScope` in the modern era.
    pub cacheable: bool,
    /// The mirrored parameter.
    pub name_source: Option<NameSource>,
    /// The server capability that must be declared before the method may be called.
    pub capability: Option<&'static str>,
    /// The extension that it belongs to in the modern era, where both peers must declare it. In the legacy era it is the
    /// capability that counts.
    pub extension: Option<&'static str>,
    /// The member of the result that holds the page of a list.
    pub list: Option<&'static str>,
    /// True if the handler may ask the client for input before it answers (2026-07-28, "Multi Round-Trip
    /// Requests").
    pub asks: bool,
    /// The meaning of the method to the engine.
    pub role: Role,
}

/// The meaning of a method to the machines, so that none of them compares names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Role {
    Initialize,
    Initialized,
    Discover,
    Ping,
    ListTools,
    CallTool,
    ListResources,
    ListResourceTemplates,
    ReadResource,
    ListPrompts,
    GetPrompt,
    Complete,
    SetLogLevel,
    Cancelled,
    Progress,
    Log,
    ToolsChanged,
    ResourcesChanged,
    PromptsChanged,
    ResourceUpdated,
    Sample,
    Elicit,
    ListRoots,
    RootsChanged,
    ElicitationComplete,
    Subscribe,
    Unsubscribe,
    Listen,
    ListenAcknowledged,
    GetTask,
    UpdateTask,
    CancelTask,
    TaskResult,
    ListTasks,
    TaskChanged,
    TaskStatus,
}

/// The extension of long-running tasks in the modern era. 2025-11-25 has them as a capability, `tasks`.
pub const TASKS: &str = "io.modelcontextprotocol/tasks";

const OLDEST: Revision = Revision::V2024_11_05;
const NEWEST: Revision = Revision::LATEST;
const LEGACY: Revision = Revision::LATEST_LEGACY;

const ROW: Method = Method {
    name: "",
    op: "",
    direction: Direction::ToServer,
    kind: Kind::Request,
    since: OLDEST,
    until: NEWEST,
    cacheable: false,
    name_source: None,
    capability: None,
    extension: None,
    list: None,
    asks: false,
    role: Role::Ping,
};

/// The table.
pub static METHODS: &[Method] = &[
    Method { name: "initialize", until: LEGACY, role: Role::Initialize, ..ROW },
    Method {
        name: "notifications/initialized",
        kind: Kind::Notification,
        until: LEGACY,
        role: Role::Initialized,
        ..ROW
    },
    Method { name: "ping", op: "ping", direction: Direction::Both, until: LEGACY, role: Role::Ping, ..ROW },
    Method {
        name: "server/discover",
        op: "discover",
        since: Revision::V2026_07_28,
        cacheable: true,
        role: Role::Discover,
        ..ROW
    },
    Method {
        name: "tools/list",
        op: "list_tools",
        cacheable: true,
        capability: Some("tools"),
        list: Some("tools"),
        role: Role::ListTools,
        ..ROW
    },
    Method {
        name: "tools/call",
        op: "call_tool",
        name_source: Some(NameSource::Name),
        capability: Some("tools"),
        asks: true,
        role: Role::CallTool,
        ..ROW
    },
    Method {
        name: "resources/list",
        op: "list_resources",
        cacheable: true,
        capability: Some("resources"),
        list: Some("resources"),
        role: Role::ListResources,
        ..ROW
    },
    Method {
        name: "resources/templates/list",
        op: "list_resource_templates",
        cacheable: true,
        capability: Some("resources"),
        list: Some("resourceTemplates"),
        role: Role::ListResourceTemplates,
        ..ROW
    },
    Method {
        name: "resources/read",
        op: "read_resource",
        cacheable: true,
        name_source: Some(NameSource::Uri),
        capability: Some("resources"),
        asks: true,
        role: Role::ReadResource,
        ..ROW
    },
    Method {
        name: "prompts/list",
        op: "list_prompts",
        cacheable: true,
        capability: Some("prompts"),
        list: Some("prompts"),
        role: Role::ListPrompts,
        ..ROW
    },
    Method {
        name: "prompts/get",
        op: "get_prompt",
        name_source: Some(NameSource::Name),
        capability: Some("prompts"),
        asks: true,
        role: Role::GetPrompt,
        ..ROW
    },
    Method {
        name: "completion/complete",
        op: "complete",
        capability: Some("completions"),
        role: Role::Complete,
        ..ROW
    },
    Method {
        name: "logging/setLevel",
        op: "set_log_level",
        until: LEGACY,
        capability: Some("logging"),
        role: Role::SetLogLevel,
        ..ROW
    },
    Method {
        name: "notifications/cancelled",
        kind: Kind::Notification,
        direction: Direction::Both,
        role: Role::Cancelled,
        ..ROW
    },
    Method {
        name: "notifications/progress",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        role: Role::Progress,
        ..ROW
    },
    Method {
        name: "notifications/message",
        op: "log",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        role: Role::Log,
        ..ROW
    },
    Method {
        name: "notifications/tools/list_changed",
        op: "tools_changed",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        role: Role::ToolsChanged,
        ..ROW
    },
    Method {
        name: "notifications/resources/list_changed",
        op: "resources_changed",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        role: Role::ResourcesChanged,
        ..ROW
    },
    Method {
        name: "notifications/prompts/list_changed",
        op: "prompts_changed",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        role: Role::PromptsChanged,
        ..ROW
    },
    Method {
        name: "notifications/resources/updated",
        op: "resource_updated",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        role: Role::ResourceUpdated,
        ..ROW
    },
    // Requests in the legacy era; in the modern one they are asked inside results.
    Method {
        name: "sampling/createMessage",
        op: "sample",
        direction: Direction::ToClient,
        role: Role::Sample,
        ..ROW
    },
    Method {
        name: "elicitation/create",
        op: "elicit",
        direction: Direction::ToClient,
        since: Revision::V2025_06_18,
        role: Role::Elicit,
        ..ROW
    },
    Method {
        name: "roots/list",
        op: "list_roots",
        direction: Direction::ToClient,
        role: Role::ListRoots,
        ..ROW
    },
    Method {
        name: "notifications/roots/list_changed",
        op: "roots_changed",
        kind: Kind::Notification,
        until: LEGACY,
        role: Role::RootsChanged,
        ..ROW
    },
    Method {
        name: "notifications/elicitation/complete",
        op: "elicitation_complete",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        since: Revision::V2025_11_25,
        until: LEGACY,
        role: Role::ElicitationComplete,
        ..ROW
    },
    Method {
        name: "resources/subscribe",
        until: LEGACY,
        name_source: Some(NameSource::Uri),
        capability: Some("resources"),
        role: Role::Subscribe,
        ..ROW
    },
    Method {
        name: "resources/unsubscribe",
        until: LEGACY,
        name_source: Some(NameSource::Uri),
        capability: Some("resources"),
        role: Role::Unsubscribe,
        ..ROW
    },
    Method {
        name: "subscriptions/listen",
        op: "listen",
        since: Revision::V2026_07_28,
        role: Role::Listen,
        ..ROW
    },
    Method {
        name: "notifications/subscriptions/acknowledged",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        since: Revision::V2026_07_28,
        role: Role::ListenAcknowledged,
        ..ROW
    },
    Method {
        name: "tasks/get",
        op: "get_task",
        direction: Direction::Both,
        since: Revision::V2025_11_25,
        name_source: Some(NameSource::TaskId),
        capability: Some("tasks"),
        extension: Some(TASKS),
        role: Role::GetTask,
        ..ROW
    },
    Method {
        name: "tasks/update",
        op: "update_task",
        since: Revision::V2026_07_28,
        name_source: Some(NameSource::TaskId),
        extension: Some(TASKS),
        role: Role::UpdateTask,
        ..ROW
    },
    Method {
        name: "tasks/cancel",
        op: "cancel_task",
        direction: Direction::Both,
        since: Revision::V2025_11_25,
        name_source: Some(NameSource::TaskId),
        capability: Some("tasks"),
        extension: Some(TASKS),
        role: Role::CancelTask,
        ..ROW
    },
    // It ends with the task; what the task asks comes on its stream.
    Method {
        name: "tasks/result",
        op: "task_result",
        direction: Direction::Both,
        since: Revision::V2025_11_25,
        until: LEGACY,
        name_source: Some(NameSource::TaskId),
        capability: Some("tasks"),
        asks: true,
        role: Role::TaskResult,
        ..ROW
    },
    Method {
        name: "tasks/list",
        op: "list_tasks",
        direction: Direction::Both,
        since: Revision::V2025_11_25,
        until: LEGACY,
        capability: Some("tasks"),
        list: Some("tasks"),
        role: Role::ListTasks,
        ..ROW
    },
    Method {
        name: "notifications/tasks",
        op: "task_changed",
        kind: Kind::Notification,
        direction: Direction::ToClient,
        since: Revision::V2026_07_28,
        extension: Some(TASKS),
        role: Role::TaskChanged,
        ..ROW
    },
    Method {
        name: "notifications/tasks/status",
        op: "task_changed",
        kind: Kind::Notification,
        direction: Direction::Both,
        since: Revision::V2025_11_25,
        until: LEGACY,
        role: Role::TaskStatus,
        ..ROW
    },
];

impl Method {
    /// Returns true if this method exists in a revision.
    pub fn exists_in(&self, revision: Revision) -> bool {
        self.since <= revision && revision <= self.until
    }
}

/// The row of a name, in whatever revision.
pub fn by_name(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

/// The row of a request that a server may receive in `revision`.
pub fn request_to_server(name: &str, revision: Revision) -> Option<&'static Method> {
    by_name(name).filter(|method| {
        method.kind == Kind::Request && method.direction != Direction::ToClient && method.exists_in(revision)
    })
}

/// The row of a request that a client's host calls `op`.
pub fn by_op(op: &str) -> Option<&'static Method> {
    request_by_op(op).filter(|method| method.direction != Direction::ToClient)
}

/// The row of a question of a handler with the name `op`.
pub fn question_by_op(op: &str) -> Option<&'static Method> {
    request_by_op(op).filter(|method| method.direction == Direction::ToClient)
}

fn request_by_op(op: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.op == op && method.kind == Kind::Request && !op.is_empty())
}

/// The row of a role.
pub fn by_role(role: Role) -> &'static Method {
    METHODS.iter().find(|method| method.role == role).expect("every role has a row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_and_added_methods_die_by_absence() {
        assert!(request_to_server("initialize", Revision::V2025_11_25).is_some());
        assert!(request_to_server("initialize", Revision::V2026_07_28).is_none());
        assert!(request_to_server("server/discover", Revision::V2025_11_25).is_none());
        assert!(request_to_server("server/discover", Revision::V2026_07_28).is_some());
        assert!(request_to_server("notifications/progress", Revision::V2026_07_28).is_none());
        assert!(by_op("listen").is_some() && by_op("elicit").is_none(), "servers ask that, not hosts");
    }

    #[test]
    fn names_and_roles_are_unique() {
        for (i, a) in METHODS.iter().enumerate() {
            for b in &METHODS[i + 1..] {
                assert_ne!(a.name, b.name);
                assert_ne!(a.role, b.role);
            }
        }
    }
}
