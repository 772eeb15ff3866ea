//! One request while it is being answered.

use std::sync::Arc;

use crate::error::RpcError;
use crate::json;
use crate::jsonrpc::{self, Id};
use crate::meta;
use crate::methods::{self, Method, Role};
use crate::outcome::Outcome;
use crate::revision::{Era, Revision};
use crate::server::catalog::Entry;
use crate::server::encode::{self, Finished, Stamp};
use crate::server::notice::{Filter, Notice};
use crate::server::request::{Request, invalid};
use crate::server::schema::Schema;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Severity of a log message, least first (RFC 5424).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Notice => "notice",
            LogLevel::Warning => "warning",
            LogLevel::Error => "error",
            LogLevel::Critical => "critical",
            LogLevel::Alert => "alert",
            LogLevel::Emergency => "emergency",
        }
    }

    /// The level of that name.
    pub fn parse(name: &str) -> Option<LogLevel> {
        serde_json::from_value(serde_json::Value::from(name)).ok()
    }
}

/// Progress of a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Grows with every report.
    pub progress: f64,
    /// The final value, if known.
    #[serde(default)]
    pub total: Option<f64>,
    /// One sentence for a person.
    #[serde(default)]
    pub message: Option<String>,
}

/// One log message.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// Its severity.
    pub level: LogLevel,
    /// Anything, as JSON.
    pub data: Box<RawValue>,
    /// Name of the logger.
    #[serde(default)]
    pub logger: Option<String>,
}

impl Progress {
    /// From `{progress, total?, message?}`.
    pub fn from_json(text: &str) -> Result<Progress, RpcError> {
        let progress: Progress = serde_json::from_str(text)
            .map_err(|error| invalid(format!("progress: {}", json::complaint(&error))))?;
        if progress.progress.is_finite() { Ok(progress) } else { Err(invalid("progress must be finite")) }
    }
}

impl LogEntry {
    /// From `{level, data, logger?}`.
    pub fn from_json(text: &str) -> Result<LogEntry, RpcError> {
        serde_json::from_str(text).map_err(|error| invalid(format!("log: {}", json::complaint(&error))))
    }
}

/// One request: received, working, answered once. It is the same on every transport and in both eras.
#[derive(Debug)]
pub struct Exchange {
    id: Id,
    method: &'static Method,
    revision: Revision,
    progress_token: Option<Id>,
    last_progress: f64,
    log_level: Option<LogLevel>,
    /// URI and MIME type of the resource being read, for the short outcome forms.
    resource: Option<(String, Option<String>)>,
    output: Option<Arc<Schema>>,
    /// The subscriptions, if the exchange is a subscription stream.
    filter: Option<Filter>,
    /// True if the answer depends on the caller.
    private: bool,
    over: bool,
}

impl Exchange {
    pub(crate) fn new(
        id: Id,
        method: &'static Method,
        revision: Revision,
        progress_token: Option<Id>,
        log_level: Option<&str>,
    ) -> Exchange {
        let log_level = match revision.era() {
            // "The server MUST NOT emit notifications/message for a request that does not set a level."
            Era::Modern => log_level.and_then(LogLevel::parse),
            // Without logging/setLevel the server decides (2025-11-25, logging, "Setting Log Level").
            Era::Legacy => Some(LogLevel::Info),
        };
        Exchange {
            id,
            method,
            revision,
            progress_token,
            last_progress: f64::NEG_INFINITY,
            log_level,
            resource: None,
            output: None,
            filter: None,
            private: false,
            over: false,
        }
    }

    /// The request's id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The row of its method.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// The revision it is written in.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The token for progress notifications, if the caller requested any.
    pub fn progress_token(&self) -> Option<&Id> {
        self.progress_token.as_ref()
    }

    /// Say which entry answers: a plain text or blob becomes the contents of its resource, a structured result must fit
    /// its output schema.
    pub fn answered_by<H>(&mut self, entry: &Entry<H>, request: &Request) {
        self.private = entry.is_restricted();
        match self.method.role {
            Role::ReadResource => {
                self.resource = Some((request.name.clone(), entry.mime_type().map(str::to_owned)));
            }
            Role::CallTool => self.output = entry.output.clone(),
            _ => {}
        }
    }

    /// Returns true if caches may not share the answer, whatever the server declares.
    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    /// The schema that a tool's structured content must fit.
    pub(crate) fn output(&self) -> Option<&Schema> {
        self.output.as_deref()
    }

    pub(crate) fn resource(&self) -> Option<(&str, Option<&str>)> {
        self.resource.as_ref().map(|(uri, mime)| (uri.as_str(), mime.as_deref()))
    }

    /// A progress notification. `None` if the caller requested none, if the exchange has ended, or if
    /// progress is not finite or did not increase (it MUST: patterns, "Progress").
    pub fn progress(&mut self, step: &Progress) -> Option<Vec<u8>> {
        let token = self.progress_token.as_ref()?;
        // JSON has no other numbers, and what is no number would let any that follows pass.
        if self.over || !step.progress.is_finite() || step.progress <= self.last_progress {
            return None;
        }
        self.last_progress = step.progress;
        let mut params =
            format!("{{\"progressToken\":{},\"progress\":{}", token.as_json(), number(step.progress));
        if let Some(total) = step.total.filter(|total| total.is_finite()) {
            params.push_str(&format!(",\"total\":{}", number(total)));
        }
        if let Some(message) = step.message.as_ref().filter(|_| self.revision >= Revision::V2025_03_26) {
            params.push_str(&format!(",\"message\":{}", json::string(message)));
        }
        params.push('}');
        Some(jsonrpc::notification(methods::by_role(Role::Progress).name, &params))
    }

    /// A log notification. `None` where the level is below the one asked for.
    pub fn log(&mut self, entry: &LogEntry) -> Option<Vec<u8>> {
        if self.over || self.log_level.is_none_or(|least| entry.level < least) {
            return None;
        }
        let mut params = format!("{{\"level\":\"{}\"", entry.level.as_str());
        if let Some(logger) = &entry.logger {
            params.push_str(&format!(",\"logger\":{}", json::string(logger)));
        }
        params.push_str(&format!(",\"data\":{}}}", entry.data.get()));
        Some(jsonrpc::notification(methods::by_role(Role::Log).name, &params))
    }

    /// Become a stream to listen on; returns the acknowledgement, its first message.
    pub fn listen(&mut self, granted: Filter) -> Vec<u8> {
        let acknowledgement = granted.acknowledgement(&self.id);
        self.filter = Some(granted);
        acknowledgement
    }

    /// Returns true if the exchange is a subscription stream.
    pub fn is_listening(&self) -> bool {
        self.filter.is_some()
    }

    /// The subscriptions.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// The notification of a change, if it is listened for.
    pub fn notice(&self, notice: &Notice) -> Option<Vec<u8>> {
        let wanted = !self.over && self.filter.as_ref().is_some_and(|filter| filter.covers(notice));
        if wanted { notice.message(Some(&self.id)) } else { None }
    }

    /// The server ends a stream to listen on (2026-07-28, subscriptions, "Graceful Closure").
    pub fn end_listening(&mut self, stamp: &Stamp) -> Option<Finished> {
        let result = format!("{{\"_meta\":{{\"{}\":{}}}}}", meta::SUBSCRIPTION_ID, self.id.as_json());
        self.finish(Outcome::Result(result), stamp)
    }

    /// Replaces the minimum level of log messages by that of the session.
    pub(crate) fn set_log_level(&mut self, level: LogLevel) {
        self.log_level = Some(level);
    }

    /// The minimum level of log messages for the caller; `None` for no messages at all.
    pub fn log_level(&self) -> Option<LogLevel> {
        self.log_level
    }

    /// The response, once; `None` when it was given before.
    pub fn finish(&mut self, outcome: Outcome, stamp: &Stamp) -> Option<Finished> {
        if std::mem::replace(&mut self.over, true) {
            return None;
        }
        Some(encode::finish(self, outcome, stamp))
    }

    /// The result object of an outcome, or its error, for a later request for the result.
    pub fn result(&self, outcome: Outcome, stamp: &Stamp) -> Result<String, RpcError> {
        encode::result(self, outcome, stamp)
    }

    /// The exchange of a call that goes on without its request.
    pub fn detached(revision: Revision) -> Exchange {
        Exchange::new(Id::number(0), methods::by_role(Role::CallTool), revision, None, None)
    }

    /// No response will be sent: the caller has left.
    pub fn abandon(&mut self) {
        self.over = true;
    }
}

/// A float as JSON, integral values without a fraction.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 9e15 { format!("{}", value as i64) } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_that_is_no_number_is_not_sent() {
        let method = methods::by_role(Role::CallTool);
        let token = Some(Id::number(7));
        let mut exchange = Exchange::new(Id::number(1), method, Revision::LATEST, token, None);
        let mut sent = |progress, total| {
            let message = exchange.progress(&Progress { progress, total, message: None });
            message.map(|message| String::from_utf8(message).expect("UTF-8"))
        };
        assert_eq!(sent(f64::NAN, None), None);
        assert_eq!(sent(f64::INFINITY, None), None);
        let first = sent(1.0, Some(f64::INFINITY)).expect("sent");
        assert!(first.ends_with(r#""params":{"progressToken":7,"progress":1}}"#), "{first}");
        assert_eq!(sent(0.5, None), None);
    }
}
