//! Tasks: calls that outlive their request (extension `io.modelcontextprotocol/tasks`; 2025-11-25, "Tasks").
//!
//! A task is one [`Record`]. [`Record::after`] makes the next one of an [`Event`], or refuses it; nothing else changes a record.
//! The two wires are two ways to write one down. There is no clock here: times are milliseconds since 1970, given by the caller.

mod record;
mod step;
mod wire;

use std::time::Duration;

use serde::Deserialize;

pub use record::{Answer, Asked, Broken, End, Origin, Record, Status, Terms, owner};
pub use step::{Attention, Event, Next, Refused};
pub use wire::News;
pub(crate) use wire::timestamp;

/// Whether a tool's calls become tasks, for clients that know of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskSupport {
    /// Never: its calls are answered in their request.
    #[default]
    Never,
    /// Where the client knows of tasks (since 2026-07-28), or asks for one (2025-11-25); else they are answered in their request.
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

/// How the calls of a tool become tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskBehaviour {
    /// Whether they do.
    pub support: TaskSupport,
    /// Whether the handler may run again when the process that ran it is gone.
    pub resumable: bool,
    /// For how long a task is kept, from its creation on; `None`: as the server has it.
    pub ttl: Option<Duration>,
    /// How many of its tasks one process works on at the same time; the others wait. `None`: any number.
    pub concurrency: Option<usize>,
}

/// What a client asks of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskRequest {
    /// Where one is.
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
    /// It is not wanted any more.
    Cancel {
        /// Its id.
        id: String,
    },
    /// What came of it, once it is over (2025-11-25).
    Result {
        /// Its id.
        id: String,
    },
    /// Which there are (2025-11-25).
    List {
        /// Where the page begins, as the page before said.
        cursor: Option<String>,
    },
}
