//! Results of handlers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use trunnion_engine::error::Error;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::model::{
    CallToolResult, CompletionValues, Content, GetPromptResult, PromptMessage, ReadResourceResult,
    ResourceContents,
};
use trunnion_proto::outcome::Outcome;

/// A result that fits what the handler is for.
///
/// | for | fit |
/// | --- | --- |
/// | all | `Result<T, ToolError>` and `Result<T, Error>` of a `T` that fits, [`Outcome`] |
/// | a tool | `String`, `&'static str`, `()`, [`Json`], `serde_json::Value`, [`Content`], `Vec<Content>`, [`CallToolResult`] |
/// | a resource | `String`, `&'static str`, `Vec<u8>` (binary), [`Json`], `serde_json::Value`, [`ResourceContents`], [`ReadResourceResult`] |
/// | a prompt | `String`, `&'static str`, [`PromptMessage`], `Vec<PromptMessage>`, [`GetPromptResult`] |
/// | a completion | `Vec<String>`, `Vec<&'static str>`, [`CompletionValues`] |
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}` here",
    note = "see the table of `trunnion::server::IntoResult`"
)]
pub trait IntoResult<K> {
    /// The outcome it stands for.
    fn into_result(self) -> Outcome;

    /// The JSON Schema of the structured content, if there is any.
    fn schema() -> Option<Schema> {
        None
    }
}

/// The kind of a tool.
#[derive(Debug)]
pub enum ForTool {}

/// The kind of a resource or a resource template.
#[derive(Debug)]
pub enum ForResource {}

/// The kind of a prompt.
#[derive(Debug)]
pub enum ForPrompt {}

/// The kind of completions.
#[derive(Debug)]
pub enum ForCompletion {}

/// Structured content of a tool, with its schema; the JSON text of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// A failure that the model is to read: the tool's result with `isError`. Elsewhere it is an
/// `internal_error`.
///
/// Every error becomes one with `?`, and then its text is what the model reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolError(String);

impl ToolError {
    /// A failure with that text.
    pub fn new(message: impl Into<String>) -> ToolError {
        ToolError(message.into())
    }
}

impl<E: std::error::Error> From<E> for ToolError {
    fn from(error: E) -> ToolError {
        ToolError(error.to_string())
    }
}

impl<K> IntoResult<K> for Outcome {
    fn into_result(self) -> Outcome {
        self
    }
}

impl<K, T: IntoResult<K>> IntoResult<K> for Result<T, ToolError> {
    fn into_result(self) -> Outcome {
        self.map_or_else(|ToolError(message)| Outcome::ToolError(message), T::into_result)
    }

    fn schema() -> Option<Schema> {
        T::schema()
    }
}

impl<K, T: IntoResult<K>> IntoResult<K> for Result<T, Error> {
    fn into_result(self) -> Outcome {
        self.map_or_else(|error| Outcome::Error(error.into_rpc()), T::into_result)
    }

    fn schema() -> Option<Schema> {
        T::schema()
    }
}

/// `impl IntoResult<For…> for Type`, from a closure.
macro_rules! results {
    ($($kind:ident: $type:ty => $into:expr;)*) => {$(
        impl IntoResult<$kind> for $type {
            fn into_result(self) -> Outcome {
                let into: fn($type) -> Outcome = $into;
                into(self)
            }
        }
    )*};
}

results! {
    ForTool: String => Outcome::Text;
    ForTool: &'static str => |text| Outcome::Text(text.into());
    ForTool: () => |()| Outcome::Result(r#"{"content":[]}"#.into());
    ForTool: serde_json::Value => value;
    ForTool: Content => |content| contents(&[content]);
    ForTool: Vec<Content> => |content| contents(&content);
    ForTool: CallToolResult => whole;
    ForResource: String => Outcome::Text;
    ForResource: &'static str => |text| Outcome::Text(text.into());
    ForResource: Vec<u8> => |bytes| Outcome::Base64(STANDARD.encode(bytes));
    ForResource: serde_json::Value => value;
    ForResource: ResourceContents => |contents| whole(ReadResourceResult { contents: vec![contents], ..ReadResourceResult::default() });
    ForResource: ReadResourceResult => whole;
    ForPrompt: String => Outcome::Text;
    ForPrompt: &'static str => |text| Outcome::Text(text.into());
    ForPrompt: PromptMessage => |message| messages(vec![message]);
    ForPrompt: Vec<PromptMessage> => messages;
    ForPrompt: GetPromptResult => whole;
    ForCompletion: Vec<String> => value;
    ForCompletion: Vec<&'static str> => value;
    ForCompletion: CompletionValues => |completion| whole(serde_json::json!({ "completion": completion }));
}

impl<T: Serialize + JsonSchema> IntoResult<ForTool> for Json<T> {
    fn into_result(self) -> Outcome {
        value(self.0)
    }

    fn schema() -> Option<Schema> {
        Some(SchemaGenerator::default().into_root_schema_for::<T>())
    }
}

impl<T: Serialize> IntoResult<ForResource> for Json<T> {
    fn into_result(self) -> Outcome {
        value(self.0)
    }
}

fn contents(content: &[Content]) -> Outcome {
    whole(serde_json::json!({ "content": content }))
}

fn messages(messages: Vec<PromptMessage>) -> Outcome {
    whole(GetPromptResult { messages, ..GetPromptResult::default() })
}

fn value(value: impl Serialize) -> Outcome {
    serde_json::to_string(&value).map_or_else(unfit, Outcome::Value)
}

fn whole(result: impl Serialize) -> Outcome {
    serde_json::to_string(&result).map_or_else(unfit, Outcome::Result)
}

fn unfit(error: serde_json::Error) -> Outcome {
    Outcome::Error(RpcError::new(
        ErrorKind::InternalError,
        format!("the handler's result is not JSON: {error}"),
    ))
}
