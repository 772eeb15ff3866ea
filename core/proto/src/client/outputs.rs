//! Validation of structured content against the output schema of the tool (2025-06-18 and later,
//! server/tools, "Output Schema").
//!
//! Schema and value both come from the server, so a check that could take long is skipped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{ClientError, kind};
use crate::json::Json;
use crate::server::schema::Schema;

/// Maximum number of tools whose schemas are stored.
const MAX_TOOLS: usize = 1024;
/// Bytes of one schema.
const MAX_SCHEMA: usize = 64 << 10;
/// Maximum number of parts of a schema, with references resolved.
const MAX_PARTS: u64 = 10_000;
/// Maximum nesting of the parts of a schema, with references resolved.
const MAX_NESTING: usize = 256;
/// Maximum cost of a check: parts of the schema times parts of the value, and both again if the schema refers
/// to itself.
const MAX_COST: u64 = 20_000_000;

/// The output schemas of tools that were listed.
#[derive(Debug, Default)]
pub(super) struct Outputs(BTreeMap<String, Known>);

#[derive(Debug)]
enum Known {
    Unread(Box<str>),
    Read(Option<Box<Checked>>),
}

#[derive(Debug)]
struct Checked {
    schema: Schema,
    parts: u64,
    /// Number of references of the schema to itself.
    loops: u64,
}

impl Outputs {
    /// A page of the list of tools is there.
    pub(super) fn learn(&mut self, page: &Json) {
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow, default)]
            tools: Vec<Tool<'a>>,
        }
        #[derive(Deserialize)]
        struct Tool<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            #[serde(rename = "outputSchema", borrow, default)]
            output: Option<&'a RawValue>,
        }
        if self.0.is_empty() && !page.as_str().contains("\"outputSchema\"") {
            return;
        }
        let Ok(page) = serde_json::from_str::<Page<'_>>(page.as_str()) else { return };
        for tool in page.tools {
            self.0.remove(tool.name.as_ref());
            let schema = tool.output.map(RawValue::get).filter(|schema| schema.len() <= MAX_SCHEMA);
            if let Some(schema) = schema.filter(|_| self.0.len() < MAX_TOOLS) {
                self.0.insert(tool.name.into_owned(), Known::Unread(schema.into()));
            }
        }
    }

    /// The tools have changed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Returns the fault in the result of a call with these parameters.
    pub(super) fn check(&mut self, params: &str, result: &Json) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        struct Call<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Brought<'a> {
            #[serde(rename = "structuredContent", borrow, default)]
            structured: Option<&'a RawValue>,
            #[serde(rename = "isError", default)]
            is_error: Option<bool>,
        }
        if self.0.is_empty() {
            return Ok(());
        }
        let Ok(call) = serde_json::from_str::<Call<'_>>(params) else { return Ok(()) };
        let Some(known) = self.0.get_mut(call.name.as_ref()) else { return Ok(()) };
        let Ok(brought) = serde_json::from_str::<Brought<'_>>(result.as_str()) else { return Ok(()) };
        let Some(content) = brought.structured.filter(|_| brought.is_error != Some(true)) else {
            return Ok(());
        };
        if let Known::Unread(text) = known {
            *known = Known::Read(Checked::of(text));
        }
        let Known::Read(Some(checked)) = known else { return Ok(()) };
        let Ok(value) = serde_json::from_str::<Value>(content.get()) else { return Ok(()) };
        match checked.violations(&value, content.get().len()) {
            None => Ok(()),
            Some(faults) => {
                let name = &call.name;
                let message =
                    format!("the result of the tool {name:?} does not fit its outputSchema: {faults}");
                Err(ClientError::local(kind::PROTOCOL, message))
            }
        }
    }
}

impl Checked {
    /// `None`: it is no schema, or one that is not checked.
    fn of(text: &str) -> Option<Box<Checked>> {
        let schema: Value = serde_json::from_str(text).ok()?;
        let mut measure = Measure { root: &schema, parts: 0, loops: 0, path: Vec::new() };
        measure.walk(&schema, 0)?;
        let (parts, loops) = (measure.parts, measure.loops);
        let schema = Schema::compile_foreign(&schema)?;
        Some(Box::new(Checked { schema, parts, loops }))
    }

    fn violations(&self, value: &Value, size: usize) -> Option<String> {
        let (parts, depth) = measured(value);
        let again = u32::try_from(depth).map_or(u64::MAX, |depth| self.loops.max(1).saturating_pow(depth));
        if self.parts.saturating_mul(parts).saturating_mul(again) > MAX_COST {
            return None;
        }
        self.schema.violations(value, "structuredContent", size)
    }
}

/// The number of values in a value, and their nesting.
fn measured(value: &Value) -> (u64, usize) {
    let of = |inner: &mut dyn Iterator<Item = &Value>| {
        inner.map(measured).fold((1, 0), |(parts, depth), (more, deep)| (parts + more, depth.max(deep + 1)))
    };
    match value {
        Value::Array(items) => of(&mut items.iter()),
        Value::Object(members) => of(&mut members.values()),
        _ => (1, 0),
    }
}

/// Counts the parts of a schema as a validator comes by them.
struct Measure<'a> {
    root: &'a Value,
    parts: u64,
    loops: u64,
    /// The references that led here.
    path: Vec<&'a str>,
}

impl<'a> Measure<'a> {
    fn walk(&mut self, schema: &'a Value, nesting: usize) -> Option<()> {
        self.parts += 1;
        if self.parts > MAX_PARTS || nesting > MAX_NESTING {
            return None;
        }
        match schema {
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item, nesting + 1)),
            Value::Object(members) => {
                members.iter().try_for_each(|(key, value)| match (key.as_str(), value) {
                    ("$ref", Value::String(reference)) => self.follow(reference, nesting),
                    // What can be reached by them is not known here.
                    ("$dynamicRef" | "$recursiveRef" | "$id", Value::String(_)) => None,
                    ("uniqueItems", Value::Bool(true)) => None,
                    _ => self.walk(value, nesting + 1),
                })
            }
            _ => Some(()),
        }
    }

    fn follow(&mut self, reference: &'a str, nesting: usize) -> Option<()> {
        let target = self.root.pointer(reference.strip_prefix('#')?)?;
        if self.path.contains(&reference) {
            self.loops += 1;
            return Some(());
        }
        self.path.push(reference);
        let walked = self.walk(target, nesting + 1);
        self.path.pop();
        walked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known(schema: &Value) -> Outputs {
        let mut outputs = Outputs::default();
        outputs.learn(&Json::from(json!({"tools": [{"name": "t", "outputSchema": schema}]}).to_string()));
        outputs
    }

    fn fits(outputs: &mut Outputs, content: &Value) -> bool {
        let result = Json::from(json!({"content": [], "structuredContent": content}).to_string());
        outputs.check(r#"{"name":"t"}"#, &result).is_ok()
    }

    #[test]
    fn schemas_that_refer_to_themselves_are_checked_as_long_as_it_is_cheap() {
        let tree = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
            "value": {"type": "integer"}, "left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}}}}});
        let mut outputs = known(&tree);
        assert!(fits(&mut outputs, &json!({"value": 1, "left": {"value": 2}})));
        assert!(!fits(&mut outputs, &json!({"value": 1, "left": {"value": "2"}})));
        let deep = (0..100).fold(json!({"value": "x"}), |inner, _| json!({ "left": inner }));
        assert!(fits(&mut outputs, &deep), "not checked");
    }

    #[test]
    fn schemas_that_would_take_long_are_not_checked() {
        // Each definition is needed twice by the one before: a thousand million ways through.
        let mut definitions = serde_json::Map::new();
        for at in 0..30 {
            let next = json!({"$ref": format!("#/$defs/a{}", at + 1)});
            definitions.insert(format!("a{at}"), json!({"allOf": [next, next]}));
        }
        definitions.insert("a30".into(), json!({"type": "string"}));
        let mut outputs = known(&json!({"$ref": "#/$defs/a0", "$defs": definitions}));
        assert!(fits(&mut outputs, &json!(1)));
        // Nor what is no schema, refers elsewhere, or is too large.
        for schema in [
            json!({"type": 7}),
            json!({"$ref": "https://example.com/x"}),
            json!({"const": "x".repeat(70_000)}),
        ] {
            assert!(fits(&mut known(&schema), &json!(1)), "{schema:.60}");
        }
    }

    #[test]
    fn only_so_many_tools_are_remembered() {
        let tools: Vec<Value> =
            (0..2000).map(|at| json!({"name": at.to_string(), "outputSchema": {"type": "string"}})).collect();
        let mut outputs = Outputs::default();
        outputs.learn(&Json::from(json!({"tools": tools}).to_string()));
        assert_eq!(outputs.0.len(), MAX_TOOLS);
        outputs.forget();
        assert!(outputs.0.is_empty());
    }
}
