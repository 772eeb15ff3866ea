//! Content of tools, prompts and resources.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Base64, Extra, Icon};

/// One piece of content (`ContentBlock`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text(TextContent),
    /// An image.
    Image(ImageContent),
    /// Sound.
    Audio(AudioContent),
    /// A resource that can be read.
    ResourceLink(ResourceLink),
    /// A resource itself.
    Resource(EmbeddedResource),
    /// A type that is not known here, as it came.
    #[serde(untagged)]
    Other(Value),
}

impl Content {
    /// Text.
    pub fn text(text: impl Into<String>) -> Content {
        Content::Text(TextContent { text: text.into(), ..TextContent::default() })
    }

    /// An image: Base64 data and its media type.
    pub fn image(data: impl Into<String>, mime_type: impl Into<String>) -> Content {
        let (data, mime_type) = (data.into(), mime_type.into());
        Content::Image(ImageContent { data, mime_type, ..ImageContent::default() })
    }

    /// Sound: Base64 data and its media type.
    pub fn audio(data: impl Into<String>, mime_type: impl Into<String>) -> Content {
        let (data, mime_type) = (data.into(), mime_type.into());
        Content::Audio(AudioContent { data, mime_type, ..AudioContent::default() })
    }

    /// A resource itself.
    pub fn resource(resource: ResourceContents) -> Content {
        Content::Resource(EmbeddedResource { resource, annotations: None, meta: None, extra: Extra::new() })
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Content::Text(content) => Some(&content.text),
            _ => None,
        }
    }
}

/// The speaker of a message, or the audience of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// Hints on how to use content or a resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    /// The intended audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<Vec<Role>>,
    /// 0 (optional) to 1 (required).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<f64>,
    /// ISO 8601 time of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TextContent {
    /// The text.
    pub text: String,
    /// Hints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageContent {
    /// Its bytes.
    pub data: Base64,
    /// Media type.
    pub mime_type: String,
    /// Hints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Sound.
pub type AudioContent = ImageContent;

/// A resource that can be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceLink {
    /// The location.
    pub uri: String,
    /// Programmatic name.
    pub name: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Description for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Icons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icons: Option<Vec<Icon>>,
    /// Hints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A resource itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddedResource {
    /// It.
    pub resource: ResourceContents,
    /// Hints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The content of a resource: one of `text` and `blob`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceContents {
    /// The location.
    pub uri: String,
    /// Media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<Base64>,
    /// Metadata.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Extra>,
    /// Further members.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ResourceContents {
    /// Text, with its media type.
    pub fn text(uri: impl Into<String>, mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        ResourceContents { text: Some(text.into()), ..ResourceContents::empty(uri.into(), mime_type.into()) }
    }

    /// Bytes in Base64, with their media type.
    pub fn blob(uri: impl Into<String>, mime_type: impl Into<String>, base64: impl Into<String>) -> Self {
        ResourceContents {
            blob: Some(base64.into()),
            ..ResourceContents::empty(uri.into(), mime_type.into())
        }
    }

    fn empty(uri: String, mime_type: String) -> Self {
        ResourceContents { uri, mime_type: Some(mime_type), ..ResourceContents::default() }
    }
}
