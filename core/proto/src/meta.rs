//! `_meta`: the per-request metadata of the modern era, and the progress token of both
//! (2026-07-28, basic, "_meta").

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;

/// Key of the protocol version of a request.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Key of the client's name and version.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Key of the client's capabilities.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Key of the server's name and version in a result.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Key of the minimum log level of a request.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Key of the request that a notification of a subscription belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Key of the task that a message belongs to (2025-11-25, tasks, "Related Task Metadata").
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// The members of a request's `_meta` that the engine acts on.
#[derive(Debug, Default, Deserialize)]
pub struct RequestMeta<'a> {
    /// The revision the request is written in.
    #[serde(rename = "io.modelcontextprotocol/protocolVersion", borrow, default)]
    pub revision: Option<Cow<'a, str>>,
    /// Information about the client, as raw JSON.
    #[serde(rename = "io.modelcontextprotocol/clientInfo", borrow, default)]
    pub client_info: Option<&'a RawValue>,
    /// Capabilities of the client, as raw JSON.
    #[serde(
        rename = "io.modelcontextprotocol/clientCapabilities",
        borrow,
        default,
        deserialize_with = "json::present"
    )]
    pub client_capabilities: Option<&'a RawValue>,
    /// The minimum log level.
    #[serde(rename = "io.modelcontextprotocol/logLevel", borrow, default)]
    pub log_level: Option<Cow<'a, str>>,
    /// The token to report progress with, as raw JSON.
    #[serde(rename = "progressToken", borrow, default)]
    pub progress_token: Option<&'a RawValue>,
}
