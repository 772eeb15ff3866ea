//! Mirrored headers: values of the body repeated in HTTP headers (2026-07-28, Streamable HTTP, "Request
//! Metadata" and "Custom Headers from Tool Parameters").

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// `MCP-Protocol-Version`
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// `Mcp-Method`
pub const METHOD: &str = "mcp-method";
/// `Mcp-Name`
pub const NAME: &str = "mcp-name";
/// `Mcp-Session-Id` (2025 revisions)
pub const SESSION_ID: &str = "mcp-session-id";
/// Prefix of the headers of annotated tool parameters.
pub const PARAM_PREFIX: &str = "mcp-param-";

const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";

/// A value as a header value: itself where it is safe, else its Base64 form.
pub fn encode(value: &str) -> Cow<'_, str> {
    let looks_encoded = value.starts_with(SENTINEL_START) && value.ends_with(SENTINEL_END);
    let printable = value.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    let safe = printable && value.trim_matches(' ').len() == value.len() && !looks_encoded;
    if safe {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{SENTINEL_START}{}{SENTINEL_END}", STANDARD.encode(value)))
    }
}

/// The value of a header value; `None` where the Base64 form is broken or holds no UTF-8.
pub fn decode(header: &str) -> Option<Cow<'_, str>> {
    let header = header.trim_matches([' ', '\t']);
    let inner = header.strip_prefix(SENTINEL_START).and_then(|rest| rest.strip_suffix(SENTINEL_END));
    match inner {
        None => Some(Cow::Borrowed(header)),
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok().map(Cow::Owned),
    }
}

/// One annotated parameter of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The whole header name, in lower case: `mcp-param-…`.
    pub header: String,
    /// The header name as it was annotated, with its prefix.
    pub display: String,
    /// The chain of property names from the root of the arguments.
    pub path: Vec<String>,
}

impl ParamHeader {
    /// The text to mirror, if the arguments have a value there.
    pub fn value_in(&self, arguments: &Value) -> Option<String> {
        let value = self.path.iter().try_fold(arguments, |value, key| value.get(key))?;
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Returns true if a decoded header value equals the arguments; numbers are compared by value.
    pub fn matches(&self, header: &str, arguments: &Value) -> bool {
        let Some(expected) = self.value_in(arguments) else { return false };
        if header == expected {
            return true;
        }
        let value = self.path.iter().try_fold(arguments, |value, key| value.get(key));
        if !value.is_some_and(Value::is_number) {
            return false;
        }
        // Floats tell only integers up to 2^53 apart.
        match (header.parse::<i128>(), expected.parse::<i128>()) {
            (Ok(a), Ok(b)) => a == b,
            _ => matches!((header.parse::<f64>(), expected.parse::<f64>()), (Ok(a), Ok(b)) if a == b),
        }
    }
}

/// The annotated parameters of an input schema, or why the annotations are invalid: then a client must drop
/// the tool, and a server must refuse to register it.
pub fn param_headers(input_schema: &Value) -> Result<Vec<ParamHeader>, String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    walk(input_schema, &mut Vec::new(), true, &mut seen, &mut found)?;
    Ok(found)
}

fn walk(
    schema: &Value,
    path: &mut Vec<String>,
    reachable: bool,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<ParamHeader>,
) -> Result<(), String> {
    let Value::Object(members) = schema else {
        if let Value::Array(items) = schema {
            for item in items {
                walk(item, path, false, seen, found)?;
            }
        }
        return Ok(());
    };
    if let Some(annotation) = members.get("x-mcp-header") {
        let Value::String(name) = annotation else { return Err("x-mcp-header must be a string".into()) };
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("x-mcp-header {name:?} is not a header name"));
        }
        if !reachable || path.is_empty() {
            return Err(format!("x-mcp-header {name:?} is on a property that is not statically reachable"));
        }
        let primitive =
            matches!(members.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean"));
        if !primitive {
            return Err(format!(
                "x-mcp-header {name:?} is on a property that is no string, integer or boolean"
            ));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(format!("x-mcp-header {name:?} is used twice"));
        }
        found.push(ParamHeader {
            header: format!("{PARAM_PREFIX}{}", name.to_ascii_lowercase()),
            display: format!("Mcp-Param-{name}"),
            path: path.clone(),
        });
    }
    for (key, value) in members {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    path.push(name.clone());
                    walk(property, path, reachable, seen, found)?;
                    path.pop();
                }
            }
            // Their members are named as their author likes, and are schemas.
            (
                "$defs" | "definitions" | "dependentSchemas" | "dependencies" | "patternProperties",
                Value::Object(named),
            ) => {
                for schema in named.values() {
                    walk(schema, path, false, seen, found)?;
                }
            }
            // Data, not schemas: an "x-mcp-header" in there annotates nothing.
            ("default" | "const" | "enum" | "examples" | "dependentRequired" | "$vocabulary", _) => {}
            _ => walk(value, path, false, seen, found)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_survive_the_header() {
        for value in
            ["us-west1", "Hello, 世界", " padded ", "line1\nline2", "=?base64?literal?=", "", "a b", "\ttab"]
        {
            let encoded = encode(value);
            assert!(encoded.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{encoded}");
            assert_eq!(decode(&encoded).as_deref(), Some(value));
        }
        assert_eq!(encode("Hello, 世界"), "=?base64?SGVsbG8sIOS4lueVjA==?=");
        assert_eq!(decode("=?base64?SGVsbG8?="), None, "missing padding");
        assert_eq!(decode("=?base64?SGV%bG8=?="), None, "foreign character");
        assert_eq!(
            decode("base64?SGVsbG8=?=").as_deref(),
            Some("base64?SGVsbG8=?="),
            "no wrapper, so literal"
        );
    }

    #[test]
    fn annotations_are_checked() {
        let schema = |property: Value| json!({"type": "object", "properties": {"p": property}});
        let ok = param_headers(&schema(json!({"type": "string", "x-mcp-header": "Region"}))).expect("valid");
        assert_eq!(
            (ok[0].header.as_str(), ok[0].path.as_slice()),
            ("mcp-param-region", &["p".to_owned()][..])
        );
        for bad in [
            json!(""),
            json!({}),
            json!([]),
            json!(null),
            json!(5),
            json!("a b"),
            json!("a:b"),
            json!("é"),
            json!("a\n"),
        ] {
            assert!(param_headers(&schema(json!({"type": "string", "x-mcp-header": bad}))).is_err(), "{bad}");
        }
        assert!(param_headers(&schema(json!({"type": "number", "x-mcp-header": "N"}))).is_err());
        let items = json!({"type": "array", "items": {"type": "string", "x-mcp-header": "N"}});
        assert!(param_headers(&schema(items)).is_err());
        let twice = json!({"properties": {"a": {"type": "string", "x-mcp-header": "N"}, "b": {"type": "string", "x-mcp-header": "n"}}});
        assert!(param_headers(&twice).is_err());
    }

    #[test]
    fn a_name_is_no_annotation() {
        let named = json!({"x-mcp-header": {"type": "string"}});
        for keyword in
            ["properties", "$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties"]
        {
            let schema = json!({"type": "object", keyword: named});
            assert_eq!(param_headers(&schema), Ok(Vec::new()), "{keyword}");
            // What is annotated there is so in vain.
            let annotated = json!({"type": "string", "x-mcp-header": "N"});
            let schema = json!({"type": "object", keyword: {"x-mcp-header": annotated}});
            assert_eq!(param_headers(&schema).is_ok(), keyword == "properties", "{keyword}");
        }
        let required = json!({"x-mcp-header": ["a"], "a": ["x-mcp-header"]});
        let schema = json!({"type": "object", "dependentRequired": required, "required": ["x-mcp-header"]});
        assert_eq!(param_headers(&schema), Ok(Vec::new()));
    }

    #[test]
    fn integers_compare_by_value() {
        let header = ParamHeader { header: String::new(), display: String::new(), path: vec!["n".into()] };
        assert!(header.matches("42.0", &json!({"n": 42})));
        assert!(!header.matches("43", &json!({"n": 42})));
        assert!(!header.matches("42.0", &json!({"n": "42"})));
        assert!(header.matches("+9007199254740993", &json!({"n": 9_007_199_254_740_993_u64})));
        assert!(!header.matches("9007199254740993", &json!({"n": 9_007_199_254_740_992_u64})));
    }
}
