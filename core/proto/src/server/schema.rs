//! Tool schemas: JSON Schema 2020-12, compiled once; references are never fetched.

use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

use super::catalog::Invalid;

/// The only dialect (2026-07-28, basic, "JSON Schema Usage").
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Number of violations that one error names.
const MAX_REPORTED: usize = 5;
/// Largest text of which all violations are collected. Each costs hundreds of bytes, even if the value it is about
/// takes two, and is made before the first can be read.
const MAX_COLLECTED: usize = 16 << 10;
/// Longest description of one violation, in characters.
const MAX_REPORT_CHARS: usize = 200;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema(Validator);

impl Schema {
    /// Compiles a schema. `what` names it in errors.
    pub(crate) fn compile(schema: &Value, what: &str) -> Result<Schema, Invalid> {
        if let Some(dialect) = schema.get("$schema") {
            let dialect = dialect.as_str().unwrap_or_default();
            if dialect.trim_end_matches('#') != DIALECT {
                return Err(Invalid(format!("{what}: dialect {dialect:?} is not supported, only {DIALECT}")));
            }
        }
        jsonschema::options().with_draft(Draft::Draft202012).build(schema).map(Schema).map_err(|error| {
            Invalid(format!("{what} is not a valid JSON Schema: {}", shorten(&error.to_string())))
        })
    }

    /// Compile a schema of a stranger's, of any draft. Its patterns take no more time than their texts are long; `None` where
    /// they would have to, or where it is no schema.
    pub(crate) fn compile_foreign(schema: &Value) -> Option<Schema> {
        let patterns = jsonschema::PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20);
        jsonschema::options().with_pattern_options(patterns).build(schema).map(Schema).ok()
    }

    /// Describes the faults of a value, for the model; `None` if it is valid. `size`: the bytes of its text.
    pub(crate) fn violations(&self, value: &Value, root: &str, size: usize) -> Option<String> {
        if self.0.is_valid(value) {
            return None;
        }
        let line = |error: ValidationError<'_>| {
            let path = error.instance_path().to_string().replace('/', ".");
            format!("{root}{path}: {}", shorten(&error.to_string()))
        };
        let mut lines: Vec<String> = if size > MAX_COLLECTED {
            self.0.validate(value).err().into_iter().map(line).collect()
        } else {
            self.0.iter_errors(value).take(MAX_REPORTED).map(line).collect()
        };
        lines.dedup();
        Some(lines.join("; "))
    }
}

/// Number of schemas that are inspected to decide if one describes objects; a larger schema counts as
/// undecided.
const MAX_BRANCHES: usize = 1000;

/// Adds `"type": "object"` to a schema that accepts objects only but does not declare it at its root, such as
/// a union of objects. The root of a tool's input must declare it (2026-07-28, schema, "Tool"; in older
/// revisions the root of an output, too).
pub(crate) fn name_object_type(schema: &mut Value) {
    let mut budget = MAX_BRANCHES;
    if schema.get("type").is_none()
        && describes_objects(schema, schema, &mut budget)
        && let Some(members) = schema.as_object_mut()
    {
        members.insert("type".into(), "object".into());
    }
}

/// Returns true if a schema accepts objects only, as far as types, unions and references within `root` show.
fn describes_objects(schema: &Value, root: &Value, budget: &mut usize) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    if let Some(kind) = schema.get("type") {
        return kind == "object"
            || kind.as_array().is_some_and(|kinds| kinds.iter().all(|kind| kind == "object"));
    }
    let branches =
        |key: &str| schema.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let referred =
        schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    referred
        .and_then(|pointer| root.pointer(pointer))
        .is_some_and(|target| describes_objects(target, root, budget))
        || ["anyOf", "oneOf"].iter().any(|key| {
            let branches = branches(key);
            !branches.is_empty() && branches.iter().all(|branch| describes_objects(branch, root, budget))
        })
        || branches("allOf").iter().any(|branch| describes_objects(branch, root, budget))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_REPORT_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_REPORT_CHARS).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gets_a_type(schema: &Value) -> bool {
        let mut named = schema.clone();
        name_object_type(&mut named);
        let mut expected = schema.clone();
        if named.get("type") != schema.get("type") {
            expected["type"] = json!("object");
        }
        assert_eq!(named, expected);
        named != *schema
    }

    #[test]
    fn a_union_of_objects_is_an_object() {
        let (a, b) = (json!({"type": "object"}), json!({"type": "object", "required": ["b"]}));
        let text = json!({"type": "string"});
        for schema in [
            json!({"anyOf": [a, b]}),
            json!({"oneOf": [a, {"anyOf": [b, a]}]}),
            json!({"allOf": [a, {"required": ["x"]}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": a}}),
            json!({"anyOf": [{"$ref": "#/$defs/a~1b"}, b], "$defs": {"a/b": a}}),
            json!({"anyOf": [{"type": ["object"]}, b]}),
        ] {
            assert!(gets_a_type(&schema), "{schema}");
        }
        for schema in [
            json!({"anyOf": [a, text]}),
            json!({"anyOf": []}),
            json!({"oneOf": [a, {}]}),
            json!({"type": "string", "anyOf": [a, b]}),
            json!({"type": "object", "anyOf": [a, text]}),
            json!({"$ref": "https://example.com/a"}),
            json!({"$ref": "#/$defs/none"}),
            json!({"properties": {"a": text}}),
            json!(true),
        ] {
            assert!(!gets_a_type(&schema), "{schema}");
        }
    }

    #[test]
    fn references_that_go_round_or_multiply_are_given_up() {
        let round =
            json!({"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}});
        assert!(!gets_a_type(&round));
        let many: serde_json::Map<String, Value> = (0..60)
            .map(|n| {
                (format!("d{n}"), json!({"anyOf": vec![json!({"$ref": format!("#/$defs/d{}", n + 1)}); 2]}))
            })
            .collect();
        assert!(!gets_a_type(&json!({"$ref": "#/$defs/d0", "$defs": many})));
    }

    #[test]
    fn a_large_value_full_of_faults_is_not_described_in_full() {
        let schema = json!({"properties": {"a": {"type": "array", "items": {"type": "string"}}}});
        let schema = Schema::compile(&schema, "test").expect("valid");
        let described = |count: usize| {
            let value = json!({"a": vec![1; count]});
            let size = value.to_string().len();
            schema.violations(&value, "arguments", size).expect("violations")
        };
        assert_eq!(described(100).split("; ").count(), 5);
        assert_eq!(described(1_000_000), r#"arguments.a.0: 1 is not of type "string""#);
    }
}
