//! Error codes, their kinds, and their HTTP status.

use serde_json::value::RawValue;

/// Kind of an error. The list, with the local codes of the hosts, is `bindings/surface.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// -32700
    ParseError,
    /// -32600
    InvalidRequest,
    /// -32601
    MethodNotFound,
    /// -32602
    InvalidParams,
    /// -32603
    InternalError,
    /// -32020 (2026-07-28, Streamable HTTP, "Server Validation")
    HeaderMismatch,
    /// -32021 (2026-07-28, `MissingRequiredClientCapabilityError`)
    MissingCapability,
    /// -32022 (2026-07-28, `UnsupportedProtocolVersionError`)
    UnsupportedVersion,
    /// -32002 (2025-11-25 and earlier)
    ResourceNotFound,
    /// Any other code of the peer's own.
    Remote,
}

impl ErrorKind {
    /// The kind of a JSON-RPC error code.
    pub fn of_code(code: i64) -> ErrorKind {
        match code {
            -32700 => ErrorKind::ParseError,
            -32600 => ErrorKind::InvalidRequest,
            -32601 => ErrorKind::MethodNotFound,
            -32602 => ErrorKind::InvalidParams,
            -32603 => ErrorKind::InternalError,
            -32020 => ErrorKind::HeaderMismatch,
            -32021 => ErrorKind::MissingCapability,
            -32022 => ErrorKind::UnsupportedVersion,
            -32002 => ErrorKind::ResourceNotFound,
            _ => ErrorKind::Remote,
        }
    }

    /// The code on the wire; 0 for [`ErrorKind::Remote`], which has none of its own.
    pub fn code(self) -> i64 {
        match self {
            ErrorKind::ParseError => -32700,
            ErrorKind::InvalidRequest => -32600,
            ErrorKind::MethodNotFound => -32601,
            ErrorKind::InvalidParams => -32602,
            ErrorKind::InternalError => -32603,
            ErrorKind::HeaderMismatch => -32020,
            ErrorKind::MissingCapability => -32021,
            ErrorKind::UnsupportedVersion => -32022,
            ErrorKind::ResourceNotFound => -32002,
            ErrorKind::Remote => 0,
        }
    }

    /// The name in `bindings/surface.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::ParseError => "parse_error",
            ErrorKind::InvalidRequest => "invalid_request",
            ErrorKind::MethodNotFound => "method_not_found",
            ErrorKind::InvalidParams => "invalid_params",
            ErrorKind::InternalError => "internal_error",
            ErrorKind::HeaderMismatch => "header_mismatch",
            ErrorKind::MissingCapability => "missing_capability",
            ErrorKind::UnsupportedVersion => "unsupported_version",
            ErrorKind::ResourceNotFound => "resource_not_found",
            ErrorKind::Remote => "remote",
        }
    }

    /// True for the errors that only a modern server sends: evidence of the era when probing
    /// (2026-07-28, stdio and Streamable HTTP, "Backward Compatibility").
    pub fn proves_modern(self) -> bool {
        matches!(
            self,
            ErrorKind::HeaderMismatch | ErrorKind::MissingCapability | ErrorKind::UnsupportedVersion
        )
    }
}

/// A JSON-RPC error object.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// The code on the wire.
    pub code: i64,
    /// One sentence.
    pub message: String,
    /// Anything more, as JSON.
    pub data: Option<Box<RawValue>>,
}

impl RpcError {
    /// An error of a known kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        RpcError { code: kind.code(), message: message.into(), data: None }
    }

    /// The same with `data`.
    pub fn with_data(mut self, data: impl serde::Serialize) -> Self {
        self.data = serde_json::value::to_raw_value(&data).ok();
        self
    }

    /// The kind of its code.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of_code(self.code)
    }
}
