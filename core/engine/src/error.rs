//! The error type of the engine's public API.

use trunnion_proto::client::ClientError;
use trunnion_proto::error::{ErrorKind, RpcError};

/// A failure, the same in every language. Kinds and codes are listed in `bindings/surface.toml`.
///
/// `Debug` writes only the message, like `Display`: a program that returns the error from `main` prints it.
#[derive(Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The JSON-RPC code (negative, or a code of the peer) or a local code (1 and up).
    pub code: i64,
    /// A stable machine-readable name, for example `invalid_params`.
    pub kind: &'static str,
    /// One sentence for a person.
    pub message: String,
    /// JSON text of the error's `data`, if any.
    pub data: Option<String>,
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Names and codes of the failures that are never sent to a peer.
pub mod local {
    /// The connection, client, server or engine is closed.
    pub const CLOSED: (i64, &str) = (1, "closed");
    /// The operation was cancelled.
    pub const CANCELLED: (i64, &str) = (3, "cancelled");
    /// A limit was exceeded.
    pub const LIMIT: (i64, &str) = (5, "limit");
    /// The transport failed.
    pub const TRANSPORT: (i64, &str) = (4, "transport");
    /// The host called the library incorrectly.
    pub const USAGE: (i64, &str) = (6, "usage");
    /// The peer broke the protocol.
    pub const PROTOCOL: (i64, &str) = (7, "protocol");
}

impl Error {
    /// Returns an error with one of the codes of [`local`].
    pub fn local((code, kind): (i64, &'static str), message: impl Into<String>) -> Error {
        Error { code, kind, message: message.into(), data: None }
    }

    /// Returns an error for an incorrect call by the host.
    pub fn usage(message: impl Into<String>) -> Error {
        Error::local(local::USAGE, message)
    }

    /// Returns an error for wrong arguments.
    pub fn invalid_params(message: impl Into<String>) -> Error {
        RpcError::new(ErrorKind::InvalidParams, message).into()
    }

    /// Returns an error for a resource that does not exist; each revision gets its own code.
    pub fn resource_not_found(uri: &str) -> Error {
        RpcError::new(ErrorKind::ResourceNotFound, "Resource not found")
            .with_data(serde_json::json!({ "uri": uri }))
            .into()
    }

    /// Returns an error for a failure that the caller cannot correct.
    pub fn internal(message: impl Into<String>) -> Error {
        RpcError::new(ErrorKind::InternalError, message).into()
    }

    /// Returns a custom error of the server, with any code that the protocol does not use itself.
    pub fn custom(code: i64, message: impl Into<String>) -> Error {
        RpcError { code, message: message.into(), data: None }.into()
    }

    /// Adds `data` to the error.
    pub fn with_data(mut self, data: impl serde::Serialize) -> Error {
        self.data = serde_json::to_string(&data).ok();
        self
    }

    /// Returns the error as `{code, kind, message, data?}`.
    pub fn to_json(&self) -> String {
        let message = trunnion_proto::json::string(&self.message);
        let data = self.data.as_ref().map(|data| format!(",\"data\":{data}")).unwrap_or_default();
        format!("{{\"code\":{},\"kind\":\"{}\",\"message\":{message}{data}}}", self.code, self.kind)
    }

    /// Returns the protocol error to answer a peer with; a local code becomes -32603.
    pub fn into_rpc(self) -> RpcError {
        let code = if self.code > 0 && self.kind != ErrorKind::Remote.as_str() { -32603 } else { self.code };
        let data = self.data.and_then(|data| serde_json::value::RawValue::from_string(data).ok());
        RpcError { code, message: self.message, data }
    }
}

impl From<RpcError> for Error {
    fn from(error: RpcError) -> Error {
        Error {
            code: error.code,
            kind: error.kind().as_str(),
            data: error.data.map(|data| data.get().to_owned()),
            message: error.message,
        }
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Error {
        let data = error.data.map(|data| data.get().to_owned());
        Error { code: error.code, kind: error.kind, message: error.message, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_main_returns_is_one_sentence() {
        let error = Error::usage("tool \"go\": the server has no state of type Db").with_data(["x"]);
        assert_eq!(format!("{error:?}"), "tool \"go\": the server has no state of type Db");
        assert_eq!(format!("{error:#?}"), format!("{error}"));
    }
}
