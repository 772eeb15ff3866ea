//! The record of a task, and its stored form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::RpcError;
use crate::json::Json;
use crate::methods;
use crate::outcome::Outcome;
use crate::revision::Revision;
use crate::server::Question;

/// Version of the stored form. A process leaves records of unknown versions to others.
const LAYOUT: u32 = 1;

/// Status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Somebody works on it, or will.
    Working,
    /// It waits for answers of its client.
    InputRequired,
    /// It has a result.
    Completed,
    /// It has an error.
    Failed,
    /// The client cancelled it.
    Cancelled,
}

impl Status {
    /// Returns true if the status is final.
    pub fn is_over(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Cancelled)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Working => "working",
            Status::InputRequired => "input_required",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }
}

/// The call that a task runs, as it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Box<RawValue>,
    /// The revision of the request: results are written for it.
    pub revision: Revision,
    /// Transport of the request.
    pub transport: String,
    /// The request's id.
    pub request_id: Box<RawValue>,
    /// The legacy session of the request, if any: it receives changes.
    pub session: Option<String>,
    /// Information about the client.
    pub client_info: Option<Box<RawValue>>,
    /// Capabilities of the client.
    pub client_capabilities: Option<Box<RawValue>>,
    /// The request's `_meta`.
    pub meta: Option<Box<RawValue>>,
    /// Answers given before the task was created: `{key: answer}`.
    pub answers: Option<Box<RawValue>>,
    /// The principal of the verified caller.
    pub principal: Option<String>,
    /// The verified caller's claims.
    pub claims: Option<Box<RawValue>>,
}

/// Parameters that are fixed when a task is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terms {
    /// Retention time in milliseconds, from its creation, counted by the store; `None`: unlimited.
    pub ttl: Option<u64>,
    /// Poll interval for the client, in milliseconds.
    pub poll: u64,
    /// True if the handler may run again when its worker has died.
    pub resumable: bool,
}

/// A client's answer to a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// An answer that fits it.
    Given(Box<RawValue>),
    /// It could not be answered: the error's object.
    Refused(Box<RawValue>),
}

/// One question of a task. Its key on the wire is never used for another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked {
    /// The handler's key.
    pub key: String,
    /// The key on the wire.
    pub wire: String,
    /// Tells it from other questions under the handler's key.
    pub(super) digest: u64,
    /// The neutral name of the question's method.
    pub(super) op: String,
    pub(super) params: Box<RawValue>,
    /// The client's answer.
    pub answer: Option<Answer>,
}

impl Asked {
    /// As it was asked.
    pub fn question(&self) -> Option<Question> {
        let method = methods::question_by_op(&self.op)?;
        Some(Question::known(self.wire.clone(), method, Json::from(self.params.get().to_owned())))
    }

    /// Returns true if this is the question, by the handler's key and its content.
    pub fn is(&self, question: &Question) -> bool {
        self.key == question.key && self.digest == question.digest()
    }
}

/// The end of a task: a result object, or an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// A result object, written for the revision of the call.
    Result(Box<RawValue>),
    /// An error object.
    Error {
        /// Its code.
        code: i64,
        /// Its message.
        message: String,
        /// Its data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Box<RawValue>>,
    },
}

impl From<RpcError> for End {
    fn from(error: RpcError) -> End {
        End::Error { code: error.code, message: error.message, data: error.data }
    }
}

impl End {
    /// The answer to a request for the result.
    pub fn outcome(&self) -> Outcome {
        match self {
            End::Result(result) => Outcome::Result(result.get().to_owned()),
            End::Error { .. } => Outcome::Error(self.error().expect("it is one")),
        }
    }

    /// The error, if it is one.
    pub fn error(&self) -> Option<RpcError> {
        match self {
            End::Result(_) => None,
            End::Error { code, message, data } => {
                Some(RpcError { code: *code, message: message.clone(), data: data.clone() })
            }
        }
    }

    /// About how many bytes it has.
    pub fn size(&self) -> usize {
        match self {
            End::Result(result) => result.get().len(),
            End::Error { message, data, .. } => {
                message.len() + data.as_ref().map_or(0, |data| data.get().len())
            }
        }
    }
}

/// One task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    layout: u32,
    /// Its id.
    pub id: String,
    /// The owner; empty: anyone who knows the id.
    pub owner: String,
    /// The call that it runs.
    pub origin: Origin,
    /// Parameters from its creation.
    pub terms: Terms,
    /// When it was made.
    pub created: u64,
    /// When it was last changed so that its client could see it.
    pub updated: u64,
    /// Status.
    pub status: Status,
    /// One sentence on that.
    pub message: Option<String>,
    /// The number of the run that works on it, the first is 1. Events of earlier ones are refused.
    pub run: u64,
    /// True if the worker holds a lease; a worker that released it holds none.
    pub leased: bool,
    /// Questions, in their order.
    pub asked: Vec<Asked>,
    /// Values that the handler stored.
    pub kept: BTreeMap<String, Box<RawValue>>,
    /// The handler's checkpoint.
    pub checkpoint: Option<Box<RawValue>>,
    /// The end.
    pub end: Option<End>,
}

/// A text that is no record, or one of a layout that this process does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task cannot be read: {0}")]
pub struct Broken(String);

impl Record {
    /// A new task, in its first run. `now`: milliseconds since 1970.
    pub fn new(id: String, owner: String, origin: Origin, terms: Terms, now: u64) -> Record {
        Record {
            layout: LAYOUT,
            id,
            owner,
            origin,
            terms,
            created: now,
            updated: now,
            status: Status::Working,
            message: None,
            run: 1,
            leased: true,
            asked: Vec::new(),
            kept: BTreeMap::new(),
            checkpoint: None,
            end: None,
        }
    }

    /// As a store keeps it.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a record is always JSON")
    }

    /// From [`Record::to_text`].
    pub fn from_text(text: &str) -> Result<Record, Broken> {
        #[derive(Deserialize)]
        struct Layout {
            layout: u32,
        }
        let broken = |error: serde_json::Error| Broken(crate::json::complaint(&error));
        let Layout { layout } = serde_json::from_str(text).map_err(broken)?;
        if layout != LAYOUT {
            return Err(Broken(format!("its layout is {layout}, this version knows {LAYOUT}")));
        }
        serde_json::from_str(text).map_err(broken)
    }

    /// The questions that wait for an answer.
    pub fn open(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|asked| asked.answer.is_none())
    }

    /// Returns true if this owner may see and change the task. If nobody signs in, the id is the key
    /// (extension, "Security Considerations"): sessions only list their own tasks.
    pub fn is_open_to(&self, principal: Option<&str>) -> bool {
        is_open_to(&self.owner, principal)
    }
}

/// [`Record::is_open_to`] of a task of this owner.
pub(super) fn is_open_to(owner: &str, principal: Option<&str>) -> bool {
    match owner.strip_prefix(PRINCIPAL) {
        Some(owner) => principal == Some(owner),
        None => true,
    }
}

const PRINCIPAL: &str = "principal:";

/// The owner of a task that is created by this principal or, if nobody signs in, in this legacy session.
pub fn owner(principal: Option<&str>, session: Option<&str>) -> String {
    match (principal, session) {
        (Some(principal), _) => format!("{PRINCIPAL}{principal}"),
        (None, Some(session)) => format!("session:{session}"),
        (None, None) => String::new(),
    }
}
