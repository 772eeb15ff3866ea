//! What lists, watches and recovery need of a task.

use serde::{Deserialize, Serialize};

use super::record::{Broken, Record, Status, Terms};
use super::wire::{failed_for_legacy, shown};

/// The layout that is written. One that a process does not know is left to those who do.
const LAYOUT: u32 = 1;

/// A task without its arguments, its questions, what its handler has stored, and its result: some hundred bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Summary {
    /// Its id. The store says it, not the text.
    #[serde(skip)]
    pub id: String,
    /// Whose it is, as the store says; empty: whoever knows the id.
    #[serde(skip)]
    pub owner: String,
    summary_layout: u32,
    /// The tool that it calls.
    pub tool: String,
    /// The legacy session that has made it, if any.
    pub session: Option<String>,
    /// What it was made with.
    pub terms: Terms,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// When it was last changed so that its client could see it, in milliseconds since 1970.
    pub updated: u64,
    /// Where it is.
    pub status: Status,
    /// Its result says that the tool has failed: 2025-11-25 calls that a failed task.
    pub(super) tool_failed: bool,
    /// One sentence on where it is, cut to 4 KiB.
    pub message: Option<String>,
    /// How many questions it has asked and how many were answered: they change with what its client can see.
    asked: usize,
    answered: usize,
}

impl Record {
    /// What lists, watches and recovery need of it.
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
    /// As a store keeps it.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a summary is always JSON")
    }

    /// From [`Summary::to_text`], or from [`Record::to_text`] where a store keeps no summaries.
    pub fn from_text(id: String, owner: String, text: &str) -> Result<Summary, Broken> {
        let summary = match serde_json::from_str::<Summary>(text) {
            Ok(summary) if summary.summary_layout == LAYOUT => summary,
            _ => Record::from_text(text)?.summary(),
        };
        Ok(Summary { id, owner, ..summary })
    }

    /// Whether somebody who shows this owner may see and change it, as [`Record::is_open_to`].
    pub fn is_open_to(&self, principal: Option<&str>) -> bool {
        super::record::is_open_to(&self.owner, principal)
    }

    /// Whether its state in the modern era has more than this: its questions, its result or its error.
    pub fn has_details(&self) -> bool {
        matches!(self.status, Status::InputRequired | Status::Completed | Status::Failed)
    }
}
