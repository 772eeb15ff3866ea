//! What servers ask of clients (2026-07-28, elicitation, sampling, roots).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Content, Extra, Role, Tool};

/// A question to the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum ElicitRequest {
    /// To be answered by filling in a form.
    Form(ElicitForm),
    /// To be answered at a URL, which the user must agree to visit.
    Url(ElicitUrl),
}

impl ElicitRequest {
    /// What to tell the user.
    pub fn message(&self) -> &str {
        match self {
            ElicitRequest::Form(form) => &form.message,
            ElicitRequest::Url(url) => &url.message,
        }
    }
}

/// A form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElicitForm {
    /// What to tell the user.
    pub message: String,
    /// A flat JSON Schema: its properties are the fields.
    pub requested_schema: Value,
    /// What else it says.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Something to do at a URL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElicitUrl {
    /// What to tell the user.
    pub message: String,
    /// Where.
    pub url: String,
    /// Names it in the notification that it is done (2025-11-25).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elicitation_id: Option<String>,
    /// What else it says.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What the user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElicitAction {
    /// Agreed.
    Accept,
    /// Refused.
    Decline,
    /// Left without a choice.
    Cancel,
}

/// The user's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElicitAnswer {
    /// What the user did.
    pub action: ElicitAction,
    /// The fields of a form, by name. Those that are missing get the schema's defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<serde_json::Map<String, Value>>,
    /// What else it says.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ElicitAnswer {
    /// The user filled in the form: an object of strings, numbers, booleans and arrays of strings. Anything that is no
    /// object stands for an empty one, as for a URL.
    pub fn accept(content: impl Serialize) -> ElicitAnswer {
        let content = match serde_json::to_value(content) {
            Ok(Value::Object(content)) => Some(content),
            _ => None,
        };
        ElicitAnswer { action: ElicitAction::Accept, content, extra: Extra::new() }
    }

    /// The user refused.
    pub fn decline() -> ElicitAnswer {
        ElicitAnswer { action: ElicitAction::Decline, content: None, extra: Extra::new() }
    }

    /// The user left without a choice.
    pub fn cancel() -> ElicitAnswer {
        ElicitAnswer { action: ElicitAction::Cancel, content: None, extra: Extra::new() }
    }
}

/// A question to a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleRequest {
    /// The conversation so far.
    pub messages: Vec<SampleMessage>,
    /// Most tokens wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// What to tell the model first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Which model is wanted: `{hints?, costPriority?, speedPriority?, intelligencePriority?}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_preferences: Option<Value>,
    /// How much chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Where to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_sequences: Option<Vec<String>>,
    /// What the model may call. Comes only to clients that declare `sampling.tools`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// Whether it may, must or must not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// What else it says.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether the model may call tools.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolChoice {
    /// `auto`, `required` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// What else it says.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One message of a conversation with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleMessage {
    /// Who says it.
    pub role: Role,
    /// What. Calls of tools and their results are [`Content::Other`].
    pub content: OneOrMany,
    /// What else it says.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One piece of content, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// Several.
    Many(Vec<Content>),
    /// One.
    One(Box<Content>),
}

impl OneOrMany {
    /// The pieces.
    pub fn as_slice(&self) -> &[Content] {
        match self {
            OneOrMany::Many(all) => all,
            OneOrMany::One(one) => std::slice::from_ref(&**one),
        }
    }
}

impl From<Content> for OneOrMany {
    fn from(content: Content) -> OneOrMany {
        OneOrMany::One(Box::new(content))
    }
}

impl From<Vec<Content>> for OneOrMany {
    fn from(content: Vec<Content>) -> OneOrMany {
        OneOrMany::Many(content)
    }
}

/// What the model said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleAnswer {
    /// Who says it; usually the assistant.
    pub role: Role,
    /// What.
    pub content: OneOrMany,
    /// The model's name.
    pub model: String,
    /// Why it stopped: `endTurn`, `stopSequence`, `maxTokens`, `toolUse` or another word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// What else it says.
    #[serde(flatten)]
    pub extra: Extra,
}

impl SampleAnswer {
    /// What the assistant said, and the model's name.
    pub fn new(content: impl Into<OneOrMany>, model: impl Into<String>) -> SampleAnswer {
        SampleAnswer {
            role: Role::Assistant,
            content: content.into(),
            model: model.into(),
            stop_reason: None,
            extra: Extra::new(),
        }
    }
}

/// A folder or file that a server may work on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// Where; begins with `file://`.
    pub uri: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// What else it says.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Root {
    /// A root without a name.
    pub fn new(uri: impl Into<String>) -> Root {
        Root { uri: uri.into(), ..Root::default() }
    }
}
