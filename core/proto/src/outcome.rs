//! The answer of a handler, before it is encoded for a revision.

use crate::error::RpcError;
use crate::json::Json;
use crate::server::Question;

/// The answer to one request, the same for every revision. The short forms become the result of the method
/// at hand; see `[[outcome]]` in `bindings/surface.toml`.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A whole result object as JSON text.
    Result(String),
    /// Plain text: one text item of a tool, the text of a resource, one user message of a prompt.
    Text(String),
    /// JSON text: the structured content of a tool, the values of a completion, a JSON resource.
    Value(String),
    /// Base64 text: the blob of a resource.
    Base64(String),
    /// A failure that the model should read: an `isError` result of a tool, elsewhere a protocol error.
    ToolError(String),
    /// A protocol error.
    Error(RpcError),
    /// The client is asked these first; then it sends the request again, with this sealed state (modern era only).
    InputRequired {
        /// The questions to the client.
        questions: Vec<Question>,
        /// Opaque state that the client sends back.
        state: String,
    },
    /// A result object that is already written for the revision, for the lists that the engine keeps ready.
    Prepared(Json),
}
