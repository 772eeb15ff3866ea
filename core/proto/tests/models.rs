//! Model types against `tests/vectors/models.json`, and against the official examples if `MCP_SPEC_DIR` has
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trunnion_proto::model;

type Again = fn(&Value) -> Result<Value, serde_json::Error>;

fn again<T: Serialize + DeserializeOwned>(value: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(value.clone())?)
}

/// Official names and our types. A content item's `type` belongs to the union, so items are read as content.
const TYPES: &[(&str, Again)] = &[
    ("AudioContent", again::<model::Content>),
    ("BlobResourceContents", again::<model::ResourceContents>),
    ("BooleanSchema", again::<model::BooleanField>),
    ("CallToolResult", again::<model::CallToolResult>),
    ("CompletionValues", again::<model::CompletionValues>),
    ("ContentBlock", again::<model::Content>),
    ("CreateMessageRequestParams", again::<model::SampleRequest>),
    ("CreateMessageResult", again::<model::SampleAnswer>),
    ("ElicitRequestFormParams", again::<model::ElicitForm>),
    ("ElicitRequestParams", again::<model::ElicitRequest>),
    ("ElicitRequestURLParams", again::<model::ElicitUrl>),
    ("ElicitResult", again::<model::ElicitAnswer>),
    ("EmbeddedResource", again::<model::Content>),
    ("GetPromptResult", again::<model::GetPromptResult>),
    ("Icon", again::<model::Icon>),
    ("ImageContent", again::<model::Content>),
    ("Implementation", again::<model::Implementation>),
    ("LegacyTitledEnumSchema", again::<model::NamedChoiceField>),
    ("ModelPreferences", again::<model::ModelPreferences>),
    ("NumberSchema", again::<model::NumberField>),
    ("PrimitiveSchemaDefinition", again::<model::FormField>),
    ("Progress", again::<model::Progress>),
    ("Prompt", again::<model::Prompt>),
    ("ReadResourceResult", again::<model::ReadResourceResult>),
    ("Resource", again::<model::Resource>),
    ("ResourceContents", again::<model::ResourceContents>),
    ("ResourceLink", again::<model::Content>),
    ("ResourceTemplate", again::<model::ResourceTemplate>),
    ("Root", again::<model::Root>),
    ("SamplingMessage", again::<model::SamplingMessage>),
    ("StringSchema", again::<model::TextField>),
    ("TextContent", again::<model::Content>),
    ("TextResourceContents", again::<model::ResourceContents>),
    ("TitledMultiSelectEnumSchema", again::<model::TitledChoicesField>),
    ("TitledSingleSelectEnumSchema", again::<model::TitledChoiceField>),
    ("Tool", again::<model::Tool>),
    ("ToolChoice", again::<model::ToolChoice>),
    ("ToolResultContent", again::<model::SamplingContent>),
    ("ToolUseContent", again::<model::SamplingContent>),
    ("UntitledMultiSelectEnumSchema", again::<model::ChoicesField>),
    ("UntitledSingleSelectEnumSchema", again::<model::ChoiceField>),
];

fn check(name: &str, value: &Value, origin: &str) {
    let (_, again) =
        TYPES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no type {name}"));
    let written = again(value).unwrap_or_else(|why| panic!("{origin}: {why}: {value}"));
    assert_eq!(plain(&written), plain(value), "{origin}");
}

/// With every number as the same kind of number: JSON does not tell 1 from 1.0.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().expect("a number of JSON")),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn models_are_written_as_they_were_read() {
    let vectors = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/models.json"));
    let models: BTreeMap<String, Vec<Value>> =
        serde_json::from_value(vectors["models"].clone()).expect("lists by type");
    assert!(models.len() > 30);
    for (name, values) in &models {
        for (index, value) in values.iter().enumerate() {
            check(name, value, &format!("{name} {index}"));
        }
    }
}

#[test]
fn forms_keep_the_order_of_their_fields() {
    let text = r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"boolean"}}}"#;
    let form: model::Form = serde_json::from_str(text).expect("a form");
    assert_eq!(form.properties.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
    assert!(matches!(form.properties.get("a"), Some(model::FormField::Boolean(_))));
    assert_eq!(serde_json::to_string(&form).expect("serialises"), text);
}

#[test]
fn fields_of_forms_are_told_apart() {
    let vectors = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/models.json"));
    let is = |name: &str, fits: fn(&model::FormField) -> bool| {
        for value in vectors["models"][name].as_array().expect("a list") {
            let field: model::FormField = serde_json::from_value(value.clone()).expect("a field");
            assert!(fits(&field), "{name} became {field:?}");
        }
    };
    is("StringSchema", |field| matches!(field, model::FormField::Text(_)));
    is("NumberSchema", |field| matches!(field, model::FormField::Number(_)));
    is("BooleanSchema", |field| matches!(field, model::FormField::Boolean(_)));
    is("UntitledSingleSelectEnumSchema", |field| matches!(field, model::FormField::Choice(_)));
    is("LegacyTitledEnumSchema", |field| matches!(field, model::FormField::NamedChoice(_)));
    is("TitledSingleSelectEnumSchema", |field| matches!(field, model::FormField::TitledChoice(_)));
    is("UntitledMultiSelectEnumSchema", |field| matches!(field, model::FormField::Choices(_)));
    is("TitledMultiSelectEnumSchema", |field| matches!(field, model::FormField::TitledChoices(_)));
}

#[test]
fn official_examples_are_written_as_they_were_read() {
    let Some(folder) = std::env::var_os("MCP_SPEC_DIR").map(PathBuf::from) else {
        eprintln!("skipped: MCP_SPEC_DIR is not set");
        return;
    };
    let mut seen = 0;
    for (name, _) in TYPES {
        let Ok(files) = std::fs::read_dir(folder.join("2026-07-28/examples").join(name)) else { continue };
        for file in files {
            let path = file.expect("an entry").path();
            check(name, &read(&path), &path.display().to_string());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} examples in {}", folder.display());
}
