//! The protocol's objects as Rust types (2026-07-28, schema). One type serves every revision: members that a
//! revision lacks are absent, and unknown members are kept in `extra`.

mod asking;
mod content;
mod form;
mod items;
mod results;

pub use asking::{
    ElicitAction, ElicitAnswer, ElicitForm, ElicitRequest, ElicitUrl, FormMode, IncludeContext, ModelHint,
    ModelPreferences, OneOrMany, Root, SampleAnswer, SampleRequest, SamplingContent, SamplingMessage,
    ToolChoice, ToolChoiceMode, ToolResultContent, ToolUseContent, UrlMode,
};
pub use content::{
    Annotations, AudioContent, Content, EmbeddedResource, ImageContent, ResourceContents, ResourceLink, Role,
    TextContent,
};
pub use form::{
    ArrayType, BooleanField, BooleanType, ChoiceField, Choices, ChoicesField, Form, FormField,
    NamedChoiceField, NumberField, NumberType, ObjectType, Ordered, StringType, TextField, TitledChoiceField,
    TitledChoices, TitledChoicesField, TitledValue,
};
pub use items::{
    Icon, Implementation, Prompt, PromptArgument, Resource, ResourceTemplate, Tool, ToolAnnotations,
};
pub use results::{
    CallToolResult, CompletionReference, CompletionValues, GetPromptResult, Progress, PromptMessage,
    ReadResourceResult,
};

/// Members that this version does not know, kept as they came.
pub type Extra = serde_json::Map<String, serde_json::Value>;

/// Bytes as the protocol carries them: text in Base64 (RFC 4648, section 4).
pub type Base64 = String;

/// A JSON Schema.
pub type Schema = serde_json::Value;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn keeps<T: serde::Serialize + serde::de::DeserializeOwned>(value: Value) -> T {
        let typed: T = serde_json::from_value(value.clone()).expect("fits");
        assert_eq!(serde_json::to_value(&typed).expect("serialises"), value);
        typed
    }

    #[test]
    fn what_is_not_known_is_kept() {
        keeps::<Tool>(json!({"name": "t", "inputSchema": {"type": "object", "$defs": {}}, "x-new": [1],
            "annotations": {"readOnlyHint": true, "other": 1}, "_meta": {"k": 1},
            "icons": [{"src": "data:,", "sizes": ["any"], "theme": "dark"}]}));
        keeps::<Resource>(
            json!({"name": "r", "uri": "test://r", "size": 7, "annotations": {"audience": ["user"], "priority": 0.5}}),
        );
        keeps::<ResourceTemplate>(
            json!({"name": "r", "uriTemplate": "test://{id}", "mimeType": "text/plain"}),
        );
        keeps::<Prompt>(json!({"name": "p", "arguments": [{"name": "a", "required": true, "more": null}]}));
        keeps::<CallToolResult>(json!({"content": [{"type": "text", "text": "x"}], "structuredContent": [1],
            "isError": true, "resultType": "complete"}));
        keeps::<GetPromptResult>(
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}]}),
        );
        keeps::<CompletionValues>(json!({"values": ["a"], "total": 1, "hasMore": false}));
        keeps::<ElicitRequest>(json!({"mode": "form", "message": "m", "requestedSchema": {"x": 1}, "k": 1}));
        keeps::<ElicitRequest>(
            json!({"mode": "url", "message": "m", "url": "https://a", "elicitationId": "e"}),
        );
        keeps::<ElicitAnswer>(json!({"action": "accept", "content": {"a": [1]}, "_meta": {}}));
        keeps::<SampleRequest>(
            json!({"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1"}]}],
            "maxTokens": 5, "tools": [{"name": "t", "inputSchema": {}}], "toolChoice": {"mode": "none", "k": 1}, "k": 1}),
        );
        keeps::<SampleAnswer>(
            json!({"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m",
            "stopReason": "endTurn"}),
        );
        keeps::<Root>(json!({"uri": "file:///a", "name": "n", "_meta": {"k": 1}, "k": 1}));
        keeps::<Progress>(json!({"progress": 1.5, "total": 3.0, "message": "m"}));
    }

    #[test]
    fn content_of_any_type_is_kept() {
        let known = [
            json!({"type": "text", "text": "x", "annotations": {"priority": 1.0}, "more": 1}),
            json!({"type": "image", "data": "AA==", "mimeType": "image/png"}),
            json!({"type": "audio", "data": "AA==", "mimeType": "audio/wav"}),
            json!({"type": "resource_link", "name": "r", "uri": "test://r"}),
            json!({"type": "resource", "resource": {"uri": "test://r", "text": "x"}}),
            json!({"type": "resource", "resource": {"uri": "test://r", "blob": "AA==", "mimeType": "a/b"}}),
        ];
        for value in known {
            assert!(!matches!(keeps::<Content>(value), Content::Other(_)));
        }
        assert!(matches!(keeps::<Content>(json!({"type": "video", "data": 1})), Content::Other(_)));
    }
}
