//! Errors of a client's operations.

use serde_json::value::RawValue;

use super::TransportFailure;
use crate::auth::challenge::{self, Asked};
use crate::error::RpcError;
use crate::json;

/// The kinds of failure that never travel, as `bindings/surface.toml` names and numbers them.
pub mod kind {
    /// The connection is closed.
    pub const CLOSED: (i64, &str) = (1, "closed");
    /// No answer within the time limit.
    pub const TIMEOUT: (i64, &str) = (2, "timeout");
    /// Given up by the caller.
    pub const CANCELLED: (i64, &str) = (3, "cancelled");
    /// The connection failed.
    pub const TRANSPORT: (i64, &str) = (4, "transport");
    /// A limit was exceeded.
    pub const LIMIT: (i64, &str) = (5, "limit");
    /// The host called wrongly.
    pub const USAGE: (i64, &str) = (6, "usage");
    /// The peer broke the protocol.
    pub const PROTOCOL: (i64, &str) = (7, "protocol");
    /// The server requires authorization, and the client has none.
    pub const UNAUTHORIZED: (i64, &str) = (10, "unauthorized");
}

/// Why an operation, or connecting, failed. Codes and kinds are those of `bindings/surface.toml`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// JSON-RPC code of the peer (negative or its own), or a local code (1 and up).
    pub code: i64,
    /// Stable name.
    pub kind: &'static str,
    /// One sentence.
    pub message: String,
    /// The error's `data`, if any.
    pub data: Option<Box<RawValue>>,
}

impl ClientError {
    /// A failure of one of the local [`kind`]s.
    pub fn local((code, kind): (i64, &'static str), message: impl Into<String>) -> ClientError {
        ClientError { code, kind, message: message.into(), data: None }
    }

    /// As a JSON object: `{code, kind, message, data?}`.
    pub fn to_json(&self) -> String {
        let mut out = format!(
            r#"{{"code":{},"kind":"{}","message":{}"#,
            self.code,
            self.kind,
            json::string(&self.message)
        );
        if let Some(data) = &self.data {
            out.push_str(",\"data\":");
            out.push_str(data.get());
        }
        out.push('}');
        out
    }
}

impl TransportFailure {
    /// Returns true if the server requires another token: this is the cause, whatever error the body
    /// contains. A 403 without a challenge may have any cause.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            TransportFailure::Status { status, asked, .. } => {
                *status == 401 || *status == 403 && !asked.is_empty()
            }
            _ => false,
        }
    }

    /// The error for an operation; `said` is the error in the body.
    pub(super) fn error_with(&self, said: Option<RpcError>) -> ClientError {
        match said {
            Some(said) if self.is_refusal() => {
                let ClientError { code, kind, mut message, data } = self.error();
                if !message.contains(&said.message) {
                    message = format!("{message}: {}", said.message);
                }
                ClientError {
                    code,
                    kind,
                    message,
                    data: said.data.filter(|data| names_reason(data)).or(data),
                }
            }
            Some(said) => said.into(),
            None => self.error(),
        }
    }

    /// The error for an operation, if the body contains none.
    pub(super) fn error(&self) -> ClientError {
        match self {
            TransportFailure::Status { status, asked, .. } => {
                let message = status_message(*status, asked);
                match (self.is_refusal(), *status) {
                    (true, 401) => unauthorized("unauthorized", message),
                    (true, _) => unauthorized("forbidden", message),
                    (false, _) => ClientError::local(kind::TRANSPORT, message),
                }
            }
            TransportFailure::Connection(message) => ClientError::local(kind::TRANSPORT, message),
            TransportFailure::Limit(message) => ClientError::local(kind::LIMIT, message),
            TransportFailure::NoStream => {
                ClientError::local(kind::TRANSPORT, "the server offers no such event stream")
            }
            TransportFailure::Unauthorized { reason, message } => unauthorized(reason, message),
        }
    }
}

impl From<RpcError> for ClientError {
    fn from(error: RpcError) -> Self {
        ClientError {
            code: error.code,
            kind: error.kind().as_str(),
            message: error.message,
            data: error.data,
        }
    }
}

fn unauthorized(reason: &str, message: impl Into<String>) -> ClientError {
    let data = RawValue::from_string(format!(r#"{{"reason":{}}}"#, json::string(reason))).ok();
    ClientError { data, ..ClientError::local(kind::UNAUTHORIZED, message) }
}

/// Returns true if the `data` of a server's error contains a reason, as that of this kind does.
fn names_reason(data: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Data {
        #[serde(rename = "reason")]
        _reason: String,
    }
    serde_json::from_str::<Data>(data.get()).is_ok()
}

fn status_message(status: u16, asked: &[Asked]) -> String {
    let hint = match status {
        401 => ": the server wants authorization",
        403 => ": the server refuses access",
        404 => ": there is no MCP endpoint at this URL, or the session is over",
        _ => "",
    };
    let asked = challenge::summary(asked);
    format!("the server answered with HTTP status {status}{hint}{asked}")
}
