//! Tool schemas: JSON Schema 2020-12, compiled once, never fetching anything.

use jsonschema::{Draft, Validator};
use serde_json::Value;

use crate::error::Error;

/// The only dialect (2026-07-28, basic, "JSON Schema Usage").
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// How many violations one error names.
const MAX_REPORTED: usize = 5;
/// Longest description of one violation, in characters.
const MAX_REPORT_CHARS: usize = 200;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema(Validator);

impl Schema {
    /// Compile. `what` names the schema in errors.
    pub(crate) fn compile(schema: &Value, what: &str) -> Result<Schema, Error> {
        if let Some(dialect) = schema.get("$schema") {
            let dialect = dialect.as_str().unwrap_or_default();
            if dialect.trim_end_matches('#') != DIALECT {
                return Err(Error::usage(format!(
                    "{what}: dialect {dialect:?} is not supported, only {DIALECT}"
                )));
            }
        }
        jsonschema::options().with_draft(Draft::Draft202012).build(schema).map(Schema).map_err(|error| {
            Error::usage(format!("{what} is not a valid JSON Schema: {}", shorten(&error.to_string())))
        })
    }

    /// What is wrong with a value, for the model to read; `None` where it is valid.
    pub(crate) fn violations(&self, value: &Value, root: &str) -> Option<String> {
        if self.0.is_valid(value) {
            return None;
        }
        let mut lines: Vec<String> = self
            .0
            .iter_errors(value)
            .take(MAX_REPORTED)
            .map(|error| {
                let path = error.instance_path().to_string().replace('/', ".");
                format!("{root}{path}: {}", shorten(&error.to_string()))
            })
            .collect();
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
