//! Summaries of tasks, for lists, watches and recovery.

use serde::{Deserialize, Serialize};

use super::record::{Broken, End, Record, Status, Terms};

/// Version of the stored form. A process reads the record where it does not know the version.
const LAYOUT: u32 = 1;

/// Most bytes of a status message.
const MAX_MESSAGE: usize = 4096;

/// A task without its arguments, questions, stored values and result: some hundred bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Summary {
    /// The id, from the store, not from the text.
    #[serde(skip)]
    pub id: String,
    /// The owner, from the store; empty: everybody who knows the id.
    #[serde(skip)]
    pub owner: String,
    summary_layout: u32,
    /// The called tool.
    pub tool: String,
    /// The legacy session that created it, if any.
    pub session: Option<String>,
    /// Parameters from its creation.
    pub terms: Terms,
    /// Time of creation, in milliseconds since 1970.
    pub created: u64,
    /// Time of the last change that its client can see, in milliseconds since 1970.
    pub updated: u64,
    /// The status.
    pub status: Status,
    /// True if the result is that of a failed tool, which is a failed task in 2025-11-25.
    pub(super) tool_failed: bool,
    /// The status message, cut to 4 KiB.
    pub message: Option<String>,
    /// Numbers of its questions, and of those that are answered.
    asked: usize,
    answered: usize,
}

impl Record {
    /// Summarizes the task.
    pub fn summary(&self) -> Summary {
        Summary {
            id: self.id.clone(),
            owner: self.owner.clone(),
            summary_layout: LAYOUT,
            tool: self.origin.tool.clone(),
            session: self.origin.session.clone(),
            terms: self.terms,
            created: self.created,
            updated: self.updated,
            status: self.status,
            tool_failed: failed_for_legacy(self),
            message: self.message.as_deref().map(|message| shown(message).to_owned()),
            asked: self.asked.len(),
            answered: self.asked.len() - self.open().count(),
        }
    }
}

impl Summary {
    /// The stored form.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a summary is always JSON")
    }

    /// Reads [`Summary::to_text`], or [`Record::to_text`] from a store without summaries.
    pub fn from_text(id: String, owner: String, text: &str) -> Result<Summary, Broken> {
        let summary = match serde_json::from_str::<Summary>(text) {
            Ok(summary) if summary.summary_layout == LAYOUT => summary,
            _ => Record::from_text(text)?.summary(),
        };
        Ok(Summary { id, owner, ..summary })
    }

    /// Returns true if this owner may see and change the task, as [`Record::is_open_to`].
    pub fn is_open_to(&self, principal: Option<&str>) -> bool {
        super::record::is_open_to(&self.owner, principal)
    }

    /// Returns true if the state in the modern era has more members: questions, result or error.
    pub fn has_details(&self) -> bool {
        matches!(self.status, Status::InputRequired | Status::Completed | Status::Failed)
    }
}

/// Returns true if the task has completed with the result of a failed tool.
pub(super) fn failed_for_legacy(record: &Record) -> bool {
    match (record.status, &record.end) {
        (Status::Completed, Some(End::Result(result))) => is_error(result.get()),
        _ => false,
    }
}

/// The part of a status message that clients see: the message of an error can be as long as a result.
pub(super) fn shown(message: &str) -> &str {
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

fn is_error(result: &str) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ToolResult {
        #[serde(default)]
        is_error: bool,
    }
    serde_json::from_str::<ToolResult>(result).is_ok_and(|result| result.is_error)
}
