//! The two wire formats of a task.

use super::record::{End, Record, Status, Terms};
use super::summary::{Summary, failed_for_legacy, shown};
use crate::json;
use crate::jsonrpc::{self, Id};
use crate::meta;
use crate::methods::{self, Role};
use crate::revision::{Era, Revision};
use crate::server::Stamp;

impl Record {
    /// Returns the result of the call that created the task.
    pub fn created(&self, revision: Revision, stamp: &Stamp) -> String {
        match revision.era() {
            Era::Modern => stamp.task(&self.modern_members()),
            Era::Legacy => format!("{{\"task\":{}}}", self.legacy()),
        }
    }

    /// Returns the response to a request for the task's state.
    pub fn state(&self, revision: Revision, stamp: &Stamp) -> String {
        match revision.era() {
            Era::Modern => stamp.result(Era::Modern, false, &self.detailed_members()),
            Era::Legacy => self.legacy(),
        }
    }

    fn legacy(&self) -> String {
        legacy(&self.face(), self.status, failed_for_legacy(self))
    }

    /// Returns the result of a call, as the response to a request for a task's result (2025-11-25, tasks,
    /// "Associating Task-Related Messages").
    pub fn related_result(&self, result: &str) -> String {
        let related = format!("\"{}\":{{\"taskId\":{}}}", meta::RELATED_TASK, json::string(&self.id));
        let members = json::members(result).unwrap_or_default();
        let mut metas = vec![related];
        let mut out = Vec::with_capacity(members.len() + 1);
        for (key, value) in members {
            match key.as_str() {
                "_meta" => metas.extend(
                    json::members(value.get())
                        .unwrap_or_default()
                        .into_iter()
                        .filter(|(key, _)| key != meta::RELATED_TASK)
                        .map(|(key, value)| format!("{}:{}", json::string(&key), value.get())),
                ),
                "resultType" => {}
                _ => out.push(format!("{}:{}", json::string(&key), value.get())),
            }
        }
        out.push(format!("\"_meta\":{{{}}}", metas.join(",")));
        format!("{{{}}}", out.join(","))
    }

    fn modern_members(&self) -> String {
        modern_members(&self.face(), self.status)
    }

    fn face(&self) -> Face<'_> {
        Face {
            id: &self.id,
            message: self.message.as_deref(),
            created: self.created,
            updated: self.updated,
            terms: &self.terms,
        }
    }

    /// Returns `"key":value,…` of a `DetailedTask` of the extension.
    fn detailed_members(&self) -> String {
        let mut members = self.modern_members();
        match (self.status, &self.end) {
            (Status::InputRequired, _) => {
                let asked = self.open().filter_map(|asked| {
                    let question = asked.question()?;
                    let params = question.params(Revision::LATEST, None);
                    let key = json::string(&asked.wire);
                    Some(format!("{key}:{{\"method\":\"{}\",\"params\":{params}}}", question.method.name))
                });
                let asked: Vec<String> = asked.collect();
                members.push_str(&format!(",\"inputRequests\":{{{}}}", asked.join(",")));
            }
            (_, Some(End::Result(result))) => members.push_str(&format!(",\"result\":{}", result.get())),
            (_, Some(end)) => {
                let error = end.error().map(|error| jsonrpc::error_object(&error)).unwrap_or_default();
                members.push_str(&format!(",\"error\":{error}"));
            }
            _ => {}
        }
        members
    }
}

impl Summary {
    /// Returns the response to a request for the task's state: for the modern era only without
    /// [`Summary::has_details`].
    pub fn state(&self, revision: Revision, stamp: &Stamp) -> String {
        match revision.era() {
            Era::Modern => stamp.result(Era::Modern, false, &modern_members(&self.face(), self.status)),
            Era::Legacy => self.legacy(),
        }
    }

    /// Returns a `Task` of 2025-11-25.
    pub fn legacy(&self) -> String {
        legacy(&self.face(), self.status, self.tool_failed)
    }

    fn face(&self) -> Face<'_> {
        Face {
            id: &self.id,
            message: self.message.as_deref(),
            created: self.created,
            updated: self.updated,
            terms: &self.terms,
        }
    }
}

/// The members of a task that both eras have, besides its status.
struct Face<'a> {
    id: &'a str,
    message: Option<&'a str>,
    created: u64,
    updated: u64,
    terms: &'a Terms,
}

impl Face<'_> {
    fn members(&self, status: Status, ttl: &str, poll: &str) -> String {
        let message = match self.message {
            Some(message) => format!(",\"statusMessage\":{}", json::string(shown(message))),
            None => String::new(),
        };
        format!(
            "\"taskId\":{},\"status\":\"{}\"{message},\"createdAt\":\"{}\",\"lastUpdatedAt\":\"{}\",\"{ttl}\":{},\"{poll}\":{}",
            json::string(self.id),
            status.as_str(),
            timestamp(self.created),
            timestamp(self.updated),
            self.terms.ttl.map_or_else(|| "null".to_owned(), |ttl| ttl.to_string()),
            self.terms.poll,
        )
    }
}

fn modern_members(face: &Face<'_>, status: Status) -> String {
    face.members(status, "ttlMs", "pollIntervalMs")
}

/// Returns a `Task` of the legacy era, in which a failed tool makes a failed task (2025-11-25, tasks, "Task
/// Execution Errors").
fn legacy(face: &Face<'_>, status: Status, tool_failed: bool) -> String {
    let status = if tool_failed { Status::Failed } else { status };
    format!("{{{}}}", face.members(status, "ttl", "pollInterval"))
}

/// A changed task, encoded for subscribers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct News {
    /// The id of the task.
    pub id: String,
    /// The legacy session that created the task, if any.
    pub session: Option<String>,
    /// The members for subscribers of the modern era; `None`: no subscriber is known, and the result was not
    /// read.
    modern: Option<String>,
    legacy: String,
}

impl News {
    /// Returns the present state of a task.
    pub fn of(record: &Record) -> News {
        News {
            id: record.id.clone(),
            session: record.origin.session.clone(),
            modern: Some(record.detailed_members()),
            legacy: record.legacy(),
        }
    }

    /// Returns the present state of a task: for subscribers of the modern era only without
    /// [`Summary::has_details`].
    pub fn of_summary(summary: &Summary) -> News {
        let modern = (!summary.has_details()).then(|| modern_members(&summary.face(), summary.status));
        News { id: summary.id.clone(), session: summary.session.clone(), modern, legacy: summary.legacy() }
    }

    /// Returns about how many bytes it has.
    pub fn size(&self) -> usize {
        self.modern.as_ref().map_or(0, String::len) + self.legacy.len()
    }

    /// Returns the notification; `subscription`: the stream it is delivered on, in the modern era. `None`:
    /// the members that it needs were not read.
    pub(crate) fn message(&self, subscription: Option<&Id>) -> Option<Vec<u8>> {
        match subscription {
            Some(id) => {
                let stamp = format!("\"_meta\":{{\"{}\":{}}}", meta::SUBSCRIPTION_ID, id.as_json());
                let params = format!("{{{stamp},{}}}", self.modern.as_ref()?);
                Some(jsonrpc::notification(methods::by_role(Role::TaskChanged).name, &params))
            }
            None => Some(jsonrpc::notification(methods::by_role(Role::TaskStatus).name, &self.legacy)),
        }
    }
}

/// Returns milliseconds since 1970 in the format of RFC 3339.
pub(crate) fn timestamp(ms: u64) -> String {
    // Up to the end of the year 9999: there is no fifth digit.
    let ms = ms.min(253_402_300_799_999);
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let (seconds, ms) = (ms / 1000, ms % 1000);
    // Days since 0000-03-01 in years that end with February, so that the leap day is the last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(timestamp(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
        assert_eq!(timestamp(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(timestamp(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
