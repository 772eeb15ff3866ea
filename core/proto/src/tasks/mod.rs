//! Tasks: calls that outlive their request (extension `io.modelcontextprotocol/tasks`; 2025-11-25, "Tasks").
//!
//! A task is one [`Record`]. [`Record::after`] returns the next record after an [`Event`], or refuses the
//! event; nothing else changes a record. The two wire formats are encodings of the record. There is no clock
//! here: times are milliseconds since 1970, given by the caller.

mod record;
mod step;
mod summary;
mod wire;

use std::time::Duration;

use serde::Deserialize;

pub use record::{Answer, Asked, Broken, End, Origin, Record, Status, Terms, owner};
pub use step::{Attention, Event, Next, Refused};
pub use summary::Summary;
pub use wire::News;
pub(crate) use wire::timestamp;

/// Task support of a tool, for clients that support tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskSupport {
    /// Never: its calls are answered in their request.
    #[default]
    Never,
    /// Calls become tasks if the client supports tasks (since 2026-07-28) or requests one (2025-11-25);
    /// otherwise they are answered in their request.
    Optional,
    /// Always; clients that do not know of tasks cannot call it.
    Required,
}

impl TaskSupport {
    /// `execution.taskSupport` of 2025-11-25.
    pub(crate) fn wire(self) -> &'static str {
        match self {
            TaskSupport::Never => "forbidden",
            TaskSupport::Optional => "optional",
            TaskSupport::Required => "required",
        }
    }
}

/// Task options of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskBehaviour {
    /// Task support.
    pub support: TaskSupport,
    /// True if the handler may run again when the process that ran it is gone.
    pub resumable: bool,
    /// Retention time of a task, from its creation; `None`: the server's default.
    pub ttl: Option<Duration>,
    /// Number of the tool's tasks that one process runs at the same time; the others wait. `None`: any
    /// number.
    pub concurrency: Option<usize>,
}

/// A request of a client about tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskRequest {
    /// The state of a task.
    Get {
        /// Its id.
        id: String,
    },
    /// Here are answers for it.
    Update {
        /// Its id.
        id: String,
        /// `{key: answer}` as they came.
        responses: crate::json::Json,
    },
    /// Cancel a task.
    Cancel {
        /// Its id.
        id: String,
    },
    /// The result of a finished task (2025-11-25).
    Result {
        /// Its id.
        id: String,
    },
    /// The list of tasks (2025-11-25).
    List {
        /// The cursor of the page.
        cursor: Option<String>,
    },
}
