//! One request while it is being answered.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

use crate::error::RpcError;
use crate::json;
use crate::jsonrpc::{self, Id};
use crate::methods::{self, Method, Role};
use crate::outcome::Outcome;
use crate::revision::{Era, Revision};
use crate::server::encode::{self, Finished, Stamp};
use crate::server::request::invalid;

/// Severity of a log message, least first (RFC 5424).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The level of that name.
    pub fn parse(name: &str) -> Option<LogLevel> {
        Some(match name {
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "notice" => LogLevel::Notice,
            "warning" => LogLevel::Warning,
            "error" => LogLevel::Error,
            "critical" => LogLevel::Critical,
            "alert" => LogLevel::Alert,
            "emergency" => LogLevel::Emergency,
            _ => return None,
        })
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

    /// The token to report progress with, if the caller wants any.
    pub fn progress_token(&self) -> Option<&Id> {
        self.progress_token.as_ref()
    }

    /// Say which resource is being read, so that a plain text or blob can become its contents.
    pub fn set_resource(&mut self, uri: String, mime_type: Option<String>) {
        self.resource = Some((uri, mime_type));
    }

    pub(crate) fn resource(&self) -> Option<(&str, Option<&str>)> {
        self.resource.as_ref().map(|(uri, mime)| (uri.as_str(), mime.as_deref()))
    }

    /// A progress notification from `{progress, total?, message?}`. `None` where nobody asked, where the
    /// exchange is over, or where progress did not increase (it MUST: patterns, "Progress").
    pub fn progress(&mut self, payload: &str) -> Result<Option<Vec<u8>>, RpcError> {
        #[derive(Deserialize)]
        struct Progress<'a> {
            progress: f64,
            #[serde(default)]
            total: Option<f64>,
            #[serde(default, borrow)]
            message: Option<Cow<'a, str>>,
        }
        let payload: Progress<'_> = serde_json::from_str(payload)
            .map_err(|error| invalid(format!("progress: {}", json::complaint(&error))))?;
        let Some(token) = &self.progress_token else { return Ok(None) };
        if self.over || payload.progress <= self.last_progress {
            return Ok(None);
        }
        self.last_progress = payload.progress;
        let mut params =
            format!("{{\"progressToken\":{},\"progress\":{}", token.as_json(), number(payload.progress));
        if let Some(total) = payload.total {
            params.push_str(&format!(",\"total\":{}", number(total)));
        }
        if let Some(message) = payload.message.filter(|_| self.revision >= Revision::V2025_03_26) {
            params.push_str(&format!(",\"message\":{}", json::string(&message)));
        }
        params.push('}');
        Ok(Some(jsonrpc::notification(methods::by_role(Role::Progress).name, &params)))
    }

    /// A log notification from `{level, data, logger?}`. `None` where the level is below the one asked for.
    pub fn log(&mut self, payload: &str) -> Result<Option<Vec<u8>>, RpcError> {
        #[derive(Deserialize)]
        struct Log<'a> {
            #[serde(borrow)]
            level: Cow<'a, str>,
            #[serde(borrow)]
            data: &'a RawValue,
            #[serde(default, borrow)]
            logger: Option<Cow<'a, str>>,
        }
        let log: Log<'_> = serde_json::from_str(payload)
            .map_err(|error| invalid(format!("log: {}", json::complaint(&error))))?;
        let level = LogLevel::parse(&log.level).ok_or_else(|| invalid("log: unknown level"))?;
        if self.over || self.log_level.is_none_or(|least| level < least) {
            return Ok(None);
        }
        let mut params = format!("{{\"level\":{}", json::string(&log.level));
        if let Some(logger) = log.logger {
            params.push_str(&format!(",\"logger\":{}", json::string(&logger)));
        }
        params.push_str(&format!(",\"data\":{}}}", log.data.get()));
        Ok(Some(jsonrpc::notification(methods::by_role(Role::Log).name, &params)))
    }

    /// The response, once; `None` when it was given before.
    pub fn finish(&mut self, outcome: Outcome, stamp: &Stamp) -> Option<Finished> {
        if std::mem::replace(&mut self.over, true) {
            return None;
        }
        Some(encode::finish(self, outcome, stamp))
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
