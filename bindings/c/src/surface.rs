//! Made from `bindings/surface.toml` by `src/bin/header.rs`; do not edit.

#![allow(dead_code, reason = "some names are only for the header")]

/// What a call came to: the codes of `error` in `bindings/surface.toml`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum trn_status {
    /// All is well.
    Ok = 0,
    /// All is well, and the answer is no; each function says what that means.
    False = 100,
    /// The peer could not parse the message.
    ParseError = -32700,
    /// Not a valid JSON-RPC request.
    InvalidRequest = -32600,
    /// The peer does not know this method in this revision.
    MethodNotFound = -32601,
    /// The parameters are wrong: an unknown tool, a missing field, a bad cursor.
    InvalidParams = -32602,
    /// The handler failed.
    InternalError = -32603,
    /// An HTTP header is missing or does not match the body.
    HeaderMismatch = -32020,
    /// The client lacks a capability that the request needs; data.requiredCapabilities names it.
    MissingCapability = -32021,
    /// The peer does not speak this revision; data.supported lists what it does.
    UnsupportedVersion = -32022,
    /// No such resource (2025-11-25 and earlier).
    ResourceNotFound = -32002,
    /// The peer answered with an error code of its own; code holds it.
    Remote = 101,
    /// The connection, server or engine is closed.
    Closed = 1,
    /// No answer within the time limit.
    Timeout = 2,
    /// Given up by the caller.
    Cancelled = 3,
    /// The connection failed: refused, reset, bad HTTP status, process ended.
    Transport = 4,
    /// A limit was exceeded; the message names its option key.
    Limit = 5,
    /// The host called wrongly: bad JSON, unknown handle, duplicate name, unknown option.
    Usage = 6,
    /// The peer broke the protocol.
    Protocol = 7,
    /// The engine was made in another process; engines do not survive fork.
    Forked = 8,
    /// A defect in the engine; please report it.
    Panic = 9,
}

impl trn_status {
    /// The status of an error kind.
    pub(crate) fn of_kind(kind: &str) -> Self {
        match kind {
            "parse_error" => Self::ParseError,
            "invalid_request" => Self::InvalidRequest,
            "method_not_found" => Self::MethodNotFound,
            "invalid_params" => Self::InvalidParams,
            "internal_error" => Self::InternalError,
            "header_mismatch" => Self::HeaderMismatch,
            "missing_capability" => Self::MissingCapability,
            "unsupported_version" => Self::UnsupportedVersion,
            "resource_not_found" => Self::ResourceNotFound,
            "closed" => Self::Closed,
            "timeout" => Self::Timeout,
            "cancelled" => Self::Cancelled,
            "transport" => Self::Transport,
            "limit" => Self::Limit,
            "usage" => Self::Usage,
            "protocol" => Self::Protocol,
            "forked" => Self::Forked,
            "panic" => Self::Panic,
            _ => Self::Remote,
        }
    }

    /// An error kind as static text.
    pub(crate) fn kind(kind: &str) -> &'static str {
        match kind {
            "parse_error" => "parse_error",
            "invalid_request" => "invalid_request",
            "method_not_found" => "method_not_found",
            "invalid_params" => "invalid_params",
            "internal_error" => "internal_error",
            "header_mismatch" => "header_mismatch",
            "missing_capability" => "missing_capability",
            "unsupported_version" => "unsupported_version",
            "resource_not_found" => "resource_not_found",
            "closed" => "closed",
            "timeout" => "timeout",
            "cancelled" => "cancelled",
            "transport" => "transport",
            "limit" => "limit",
            "usage" => "usage",
            "protocol" => "protocol",
            "forked" => "forked",
            "panic" => "panic",
            _ => "remote",
        }
    }
}

/// What an event tells.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum trn_event_kind {
    /// id: exchange. target: the tool. payload: the arguments object.
    CallTool = 1,
    /// id: exchange. target: the resource or template. payload: {uri, params: {variable: value}}.
    ReadResource = 2,
    /// id: exchange. target: the prompt. payload: the arguments object.
    GetPrompt = 3,
    /// id: exchange. target: the completion. payload: {argument: {name, value}, arguments: {…}}.
    Complete = 4,
    /// id: exchange. The caller left; stop. Completing it has no effect any more. payload: {reason?}.
    Cancelled = 5,
    /// id: operation (or client, for connect). payload: the result.
    Result = 10,
    /// id: operation (or client). payload: {code, kind, message, data?}. An operation ends with one RESULT or one ERROR.
    Error = 11,
    /// id: operation. payload: {progress, total?, message?}.
    Progress = 12,
    /// id: serve operation. payload: {url, host, port}.
    Listening = 13,
    /// id: client. payload: {event, params}; event is log, tools_changed, resources_changed, prompts_changed, resource_updated.
    Notification = 14,
    /// id: client. The connection is over. payload: {reason}.
    Closed = 15,
}

/// What a completion says, and so what its payload is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum trn_outcome {
    /// payload: the whole result object, as the model type of the method has it.
    Result = 0,
    /// payload: plain text. Tool: one text item. Resource: its text. Prompt: one user message.
    Text = 1,
    /// payload: JSON. Tool: structuredContent and its text. Completion: the array of values. Resource: text of type application/json.
    Value = 2,
    /// payload: {code?, message, data?}. A protocol error; code defaults to -32603.
    Error = 3,
    /// payload: plain text for the model. Tool: isError result. Elsewhere: a protocol error with that message.
    ToolError = 4,
    /// payload: base64 text. Resource: a blob.
    Base64 = 5,
}

/// The binary interface.
pub(crate) const ABI: u32 = 1;
