//! The state of a task as a server reports it, in either wire format (extension
//! `io.modelcontextprotocol/tasks`, "Tasks"; 2025-11-25, tasks, "Data Types").

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{self, Json};

/// Longest id of a task. It has to fit in a header.
pub(super) const MAX_TASK_ID: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    pub fn is_final(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Cancelled)
    }
}

/// One state of a task.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub id: String,
    pub status: Status,
    pub message: Option<String>,
    pub updated: Option<String>,
    /// Time to live; `None`: unlimited.
    pub ttl: Option<Duration>,
    pub interval: Option<Duration>,
    /// `inputRequests`, `result` and `error`: raw, or empty.
    pub requests: Json,
    pub result: Json,
    pub error: Json,
    /// As hosts get it in every era: `{taskId, status, statusMessage?, createdAt, lastUpdatedAt, ttlMs, pollIntervalMs?,
    /// inputRequests?, result?, error?}`.
    pub neutral: Json,
}

#[derive(Deserialize)]
struct Task<'a> {
    #[serde(rename = "taskId", borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(rename = "statusMessage", borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(rename = "lastUpdatedAt", borrow, default)]
    updated: Option<&'a RawValue>,
    #[serde(rename = "ttlMs", alias = "ttl", borrow, default)]
    ttl: Option<&'a RawValue>,
    #[serde(rename = "pollIntervalMs", alias = "pollInterval", borrow, default)]
    interval: Option<&'a RawValue>,
    #[serde(rename = "inputRequests", borrow, default)]
    requests: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Seen {
    /// Reads a task; the complaint is for a person.
    pub fn parse(text: &str) -> Result<Seen, String> {
        if !text.starts_with('{') {
            return Err("it is no object".into());
        }
        let task: Task<'_> = serde_json::from_str(text).map_err(|error| json::complaint(&error))?;
        check_id(&task.id)?;
        let status = match task.status.as_ref() {
            "working" => Status::Working,
            "input_required" => Status::InputRequired,
            "completed" => Status::Completed,
            "failed" => Status::Failed,
            "cancelled" => Status::Cancelled,
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(format!("there is no status {other:?}"));
            }
        };
        let raw =
            |raw: Option<&RawValue>| raw.map_or_else(Json::default, |raw| Json::from(raw.get().to_owned()));
        Ok(Seen {
            status,
            message: task.message.map(Cow::into_owned),
            updated: task.updated.map(|updated| updated.get().to_owned()),
            ttl: task.ttl.and_then(millis),
            interval: task.interval.and_then(millis),
            requests: raw(task.requests),
            result: raw(task.result),
            error: raw(task.error),
            neutral: neutral(text),
            id: task.id.into_owned(),
        })
    }

    /// The task of a legacy result `{task}`, with the result's metadata.
    pub fn parse_created(result: &str) -> Result<Seen, String> {
        let members = json::members(result).unwrap_or_default();
        let member = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| value.get());
        let mut seen = Seen::parse(member("task").ok_or("it has no task")?)?;
        if let Some(meta) = member("_meta").filter(|meta| meta.starts_with('{')) {
            let text = seen.neutral.as_str();
            seen.neutral = Json::from(format!("{},\"_meta\":{meta}}}", &text[..text.len() - 1]));
        }
        Ok(seen)
    }

    /// Returns true if nothing has changed since `before`.
    pub fn is_same(&self, before: &Seen) -> bool {
        (self.status, &self.message, &self.updated) == (before.status, &before.message, &before.updated)
            && self.requests == before.requests
    }
}

/// Checks that an id can be sent back.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("the task's id is empty".into()),
        1..=MAX_TASK_ID => Ok(()),
        length => Err(format!("the task's id has {length} bytes, more than {MAX_TASK_ID}")),
    }
}

/// A list of tasks as hosts get it.
pub(super) fn neutral_page(page: &str) -> Json {
    let mut out = String::with_capacity(page.len());
    for (key, value) in json::members(page).unwrap_or_default() {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&json::string(&key));
        out.push(':');
        match (key.as_str(), serde_json::from_str::<Vec<&RawValue>>(value.get())) {
            ("tasks", Ok(tasks)) => {
                let tasks: Vec<String> =
                    tasks.iter().map(|task| neutral(task.get()).as_str().to_owned()).collect();
                out.push_str(&format!("[{}]", tasks.join(",")));
            }
            _ => out.push_str(value.get()),
        }
    }
    out.push_str(if out.is_empty() { "{}" } else { "}" });
    Json::from(out)
}

/// The state with the member names of the newer wire format, without the members of its message.
fn neutral(text: &str) -> Json {
    let mut out = String::with_capacity(text.len() + 4);
    for (key, value) in json::members(text).unwrap_or_default() {
        let key = match key.as_str() {
            "ttl" => "ttlMs",
            "pollInterval" => "pollIntervalMs",
            "resultType" | "_meta" => continue,
            key => key,
        };
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&json::string(key));
        out.push(':');
        out.push_str(value.get());
    }
    out.push_str(if out.is_empty() { "{}" } else { "}" });
    Json::from(out)
}

/// A number of milliseconds; `null` and other values count as absent.
fn millis(raw: &RawValue) -> Option<Duration> {
    let ms: f64 = raw.get().parse().ok().filter(|ms: &f64| !ms.is_nan())?;
    // Beyond this they are the same to us, and `as` saturates below zero.
    Some(Duration::from_millis(ms.min(1e15) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_wires_are_read_as_one() {
        let modern = r#"{"resultType":"task","taskId":"a","status":"working","ttlMs":null,"pollIntervalMs":5000,"x":1.50}"#;
        let seen = Seen::parse(modern).expect("a task");
        assert_eq!((seen.ttl, seen.interval), (None, Some(Duration::from_secs(5))));
        assert_eq!(
            seen.neutral.as_str(),
            r#"{"taskId":"a","status":"working","ttlMs":null,"pollIntervalMs":5000,"x":1.50}"#
        );
        let legacy = r#"{"task":{"taskId":"a","status":"failed","ttl":7,"pollInterval":-3},"_meta":{"k":1}}"#;
        let seen = Seen::parse_created(legacy).expect("a task");
        assert_eq!((seen.ttl, seen.interval), (Some(Duration::from_millis(7)), Some(Duration::ZERO)));
        assert_eq!(
            seen.neutral.as_str(),
            r#"{"taskId":"a","status":"failed","ttlMs":7,"pollIntervalMs":-3,"_meta":{"k":1}}"#
        );
        let page = neutral_page(r#"{"tasks":[{"taskId":"a","ttl":1}],"nextCursor":"c"}"#);
        assert_eq!(page.as_str(), r#"{"tasks":[{"taskId":"a","ttlMs":1}],"nextCursor":"c"}"#);
    }

    #[test]
    fn what_is_no_task_is_refused() {
        let long = format!(r#"{{"taskId":"{}","status":"working"}}"#, "a".repeat(MAX_TASK_ID + 1));
        for bad in [
            "[]",
            "{}",
            r#"{"taskId":"","status":"working"}"#,
            r#"{"taskId":"a","status":"done"}"#,
            r#"{"taskId":7,"status":"working"}"#,
            &long,
        ] {
            assert!(Seen::parse(bad).is_err(), "{bad}");
        }
        for odd in ["1e300", "-1e300", "\"5\"", "{}", "null"] {
            let text = format!(r#"{{"taskId":"a","status":"working","ttlMs":{odd},"pollIntervalMs":{odd}}}"#);
            assert!(Seen::parse(&text).is_ok(), "{text}");
        }
    }
}
