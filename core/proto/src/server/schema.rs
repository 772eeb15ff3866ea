//! Tool schemas: JSON Schema 2020-12, compiled once, never fetching anything.

use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

use super::catalog::Invalid;

/// The only dialect (2026-07-28, basic, "JSON Schema Usage").
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// How many violations one error names.
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
    /// Compile. `what` names the schema in errors.
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

    /// What is wrong with a value, for the model to read; `None` where it is valid. `size`: the bytes of its text.
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
