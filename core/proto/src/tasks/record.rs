//! What is known of a task, and how it is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::RpcError;
use crate::json::Json;
use crate::methods;
use crate::outcome::Outcome;
use crate::revision::Revision;
use crate::server::Question;

/// The layout that is written. One that a process does not know is left to those who do.
const LAYOUT: u32 = 1;

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Its client did not want it any more.
    Cancelled,
}

impl Status {
    /// Whether it stays so for ever.
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
    /// What carried the request.
    pub transport: String,
    /// The request's id.
    pub request_id: Box<RawValue>,
    /// The legacy session that it came in, if any: that one is told of changes.
    pub session: Option<String>,
    /// Who asked.
    pub client_info: Option<Box<RawValue>>,
    /// What the client can do.
    pub client_capabilities: Option<Box<RawValue>>,
    /// The request's `_meta`.
    pub meta: Option<Box<RawValue>>,
    /// What was asked before the task was made: `{key: answer}`.
    pub answers: Option<Box<RawValue>>,
    /// The verified caller: who it is.
    pub principal: Option<String>,
    /// The verified caller's claims.
    pub claims: Option<Box<RawValue>>,
}

/// What a task was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terms {
    /// For how many milliseconds it is kept, from its creation on; `None`: for ever. Who keeps it counts them.
    pub ttl: Option<u64>,
    /// How often its client should look, in milliseconds.
    pub poll: u64,
    /// Whether its handler may run again when its worker has died.
    pub resumable: bool,
}

/// What a client has said to a question.
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
    /// What the handler calls it.
    pub key: String,
    /// What the client knows it by.
    pub wire: String,
    /// Tells it from other questions under the handler's key.
    pub(super) digest: u64,
    /// The neutral name of what is asked.
    pub(super) op: String,
    pub(super) params: Box<RawValue>,
    /// What the client has said.
    pub answer: Option<Answer>,
}

impl Asked {
    /// As it was asked.
    pub fn question(&self) -> Option<Question> {
        let method = methods::question_by_op(&self.op)?;
        Some(Question::known(self.wire.clone(), method, Json::from(self.params.get().to_owned())))
    }

    /// Whether it is this question, by the handler's key and what is asked.
    pub fn is(&self, question: &Question) -> bool {
        self.key == question.key && self.digest == question.digest()
    }
}

/// How a task has ended: a result object, or an error.
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
    /// What a request for the result is answered with.
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
    /// Whose it is; empty: whoever knows the id.
    pub owner: String,
    /// The call that it runs.
    pub origin: Origin,
    /// What it was made with.
    pub terms: Terms,
    /// When it was made.
    pub created: u64,
    /// When it was last changed so that its client could see it.
    pub updated: u64,
    /// Where it is.
    pub status: Status,
    /// One sentence on that.
    pub message: Option<String>,
    /// The number of the run that works on it, the first is 1. Events of earlier ones are refused.
    pub run: u64,
    /// Whether its worker has a lease; one that has let it go has none.
    pub leased: bool,
    /// What was asked, in its order.
    pub asked: Vec<Asked>,
    /// What its handler has stored.
    pub kept: BTreeMap<String, Box<RawValue>>,
    /// How far its handler has come, in its own words.
    pub checkpoint: Option<Box<RawValue>>,
    /// How it has ended.
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

    /// Whether somebody who shows this owner may see and change it. Where nobody signs in, the id is the key (extension,
    /// "Security Considerations"): sessions only list what is theirs.
    pub fn is_open_to(&self, principal: Option<&str>) -> bool {
        match self.owner.strip_prefix(PRINCIPAL) {
            Some(owner) => principal == Some(owner),
            None => true,
        }
    }
}

const PRINCIPAL: &str = "principal:";

/// Whose a task is that is made by this principal or, where nobody signs in, in this legacy session.
pub fn owner(principal: Option<&str>, session: Option<&str>) -> String {
    match (principal, session) {
        (Some(principal), _) => format!("{PRINCIPAL}{principal}"),
        (None, Some(session)) => format!("session:{session}"),
        (None, None) => String::new(),
    }
}
