//! Questions of a server to a client: elicitation (the user), sampling (the model), roots.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AudioContent, Content, Extra, Form, ImageContent, Role, TextContent, Tool};

/// A question to the person (parameters of `elicitation/create`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ElicitRequest {
    /// A page to visit.
    Url(ElicitUrl),
    /// A form to fill in.
    Form(ElicitForm),
    /// A mode that is not known here, as it came.
    Other(Value),
}

/// A form to fill in; its content goes through the client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElicitForm {
    /// `form`; also the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FormMode>,
    /// The question, with its reason.
    pub message: String,
    /// The form: a flat object of primitive fields.
    pub requested_schema: Form,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A page to visit; what happens there does not go through the client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElicitUrl {
    /// `url`.
    pub mode: UrlMode,
    /// Reason to visit the page.
    pub message: String,
    /// The page.
    pub url: String,
    /// Id of the question until it is reported complete; 2025-11-25 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elicitation_id: Option<String>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The mode of a form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FormMode {
    /// A form.
    #[default]
    Form,
}

/// The mode of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UrlMode {
    /// A page.
    #[default]
    Url,
}

/// The user's answer to a question (result of `elicitation/create`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElicitAnswer {
    /// The user's decision.
    pub action: ElicitAction,
    /// The fields of an accepted form: strings, numbers, booleans, or arrays of strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Extra>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The decisions of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ElicitAction {
    /// Accepted.
    Accept,
    /// Declined.
    Decline,
    /// Dismissed without an answer.
    Cancel,
}

/// A question to the client's model (parameters of `sampling/createMessage`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleRequest {
    /// The conversation so far.
    pub messages: Vec<SamplingMessage>,
    /// At most so many tokens.
    pub max_tokens: u64,
    /// Preferences for the choice of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_preferences: Option<ModelPreferences>,
    /// The system prompt; the client may change it or leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The servers whose context is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_context: Option<IncludeContext>,
    /// Randomness, in the model's own scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Texts that end the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_sequences: Option<Vec<String>>,
    /// For the model's provider, in its own format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// Tools that the model may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// Use of the tools by the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The servers whose context is added to a question to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IncludeContext {
    /// No context.
    None,
    /// Context of the asking server.
    ThisServer,
    /// Context of all servers.
    AllServers,
}

/// One message of a conversation with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SamplingMessage {
    /// The speaker.
    pub role: Role,
    /// The content: one item or a list.
    pub content: OneOrMany<SamplingContent>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One item of a conversation with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SamplingContent {
    /// Text.
    Text(TextContent),
    /// An image.
    Image(ImageContent),
    /// Sound.
    Audio(AudioContent),
    /// A request of the model to use a tool.
    ToolUse(ToolUseContent),
    /// The result of a tool that the model requested.
    ToolResult(ToolResultContent),
    /// A type that is not known here, as it came.
    #[serde(untagged)]
    Other(Value),
}

/// A request of the model to use a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseContent {
    /// Id of this use, which its result repeats.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub input: Extra,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The result of a tool that the model requested.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultContent {
    /// The `id` of the use.
    pub tool_use_id: String,
    /// Content for the model.
    pub content: Vec<Content>,
    /// Structured content, as the tool's output schema describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structured_content: Option<Value>,
    /// True if the tool failed; `content` describes the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Preferences for the choice of the model; the client decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelPreferences {
    /// Names or parts of names of models, the best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hints: Option<Vec<ModelHint>>,
    /// Importance of low cost, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_priority: Option<f64>,
    /// Importance of speed, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_priority: Option<f64>,
    /// Importance of intelligence, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intelligence_priority: Option<f64>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A model that would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelHint {
    /// A name or a part of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Use of the tools by the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolChoice {
    /// The mode; `auto` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ToolChoiceMode>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Modes of tool use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolChoiceMode {
    /// The model decides.
    Auto,
    /// The model uses at least one tool.
    Required,
    /// The model uses no tool.
    None,
}

/// The answer of the client's model (result of `sampling/createMessage`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleAnswer {
    /// The speaker: the assistant.
    pub role: Role,
    /// The content: one item or a list.
    pub content: OneOrMany<SamplingContent>,
    /// The model's name.
    pub model: String,
    /// Reason for stopping: `endTurn`, `stopSequence`, `maxTokens`, `toolUse`, or a word of the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A place that the client lets the server work in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// A `file://` URI.
    pub uri: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One item, or a list of them; which of both it was is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// A list.
    Many(Vec<T>),
    /// One item.
    One(T),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::Many(items) => items,
            OneOrMany::One(item) => std::slice::from_ref(item),
        }
    }
}

impl SamplingMessage {
    /// A message of the user.
    pub fn user(text: impl Into<String>) -> SamplingMessage {
        SamplingMessage::of(Role::User, text.into())
    }

    /// A message of the model.
    pub fn assistant(text: impl Into<String>) -> SamplingMessage {
        SamplingMessage::of(Role::Assistant, text.into())
    }

    fn of(role: Role, text: String) -> SamplingMessage {
        let text = TextContent { text, ..TextContent::default() };
        let content = OneOrMany::One(SamplingContent::Text(text));
        SamplingMessage { role, content, meta: None, extra: Extra::default() }
    }
}

impl SampleRequest {
    /// Ask this, for an answer of at most so many tokens.
    pub fn text(prompt: impl Into<String>, max_tokens: u64) -> SampleRequest {
        let messages = vec![SamplingMessage::user(prompt)];
        SampleRequest { messages, max_tokens, ..SampleRequest::default() }
    }
}

impl SampleAnswer {
    /// The text parts, joined.
    pub fn text(&self) -> String {
        let texts = self.content.as_slice().iter().filter_map(|item| match item {
            SamplingContent::Text(text) => Some(text.text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

impl SampleAnswer {
    /// An answer of the model of this name.
    pub fn new(text: impl Into<String>, model: impl Into<String>) -> SampleAnswer {
        let SamplingMessage { role, content, .. } = SamplingMessage::assistant(text);
        SampleAnswer {
            role,
            content,
            model: model.into(),
            stop_reason: None,
            meta: None,
            extra: Extra::default(),
        }
    }
}

impl ElicitRequest {
    /// The message for the user.
    pub fn message(&self) -> &str {
        match self {
            ElicitRequest::Form(form) => &form.message,
            ElicitRequest::Url(page) => &page.message,
            ElicitRequest::Other(other) => other.get("message").and_then(Value::as_str).unwrap_or_default(),
        }
    }
}

impl ElicitAnswer {
    /// The person said yes; `content` is an object with the fields of a form. What it leaves out gets the form's defaults.
    pub fn accept(content: impl Serialize) -> ElicitAnswer {
        let content = match serde_json::to_value(content) {
            Ok(Value::Object(fields)) => Some(fields),
            _ => None,
        };
        ElicitAnswer { content, ..ElicitAnswer::of(ElicitAction::Accept) }
    }

    /// The user declined.
    pub fn decline() -> ElicitAnswer {
        ElicitAnswer::of(ElicitAction::Decline)
    }

    /// The user dismissed the question.
    pub fn cancel() -> ElicitAnswer {
        ElicitAnswer::of(ElicitAction::Cancel)
    }

    fn of(action: ElicitAction) -> ElicitAnswer {
        ElicitAnswer { action, content: None, meta: None, extra: Extra::default() }
    }
}

impl Root {
    /// The place at a `file://` URI.
    pub fn new(uri: impl Into<String>) -> Root {
        Root { uri: uri.into(), ..Root::default() }
    }
}
