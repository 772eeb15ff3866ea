//! `bindings/surface.toml`, and names in the manner of each language.

use toml::{Table, Value};

use crate::process::read;
use crate::session::root;

/// A number with a name: an event kind, an outcome, or an error code with its kind.
pub struct Item {
    /// `snake_case`.
    pub name: String,
    /// Its value on the surface.
    pub value: i64,
    /// One sentence.
    pub doc: String,
}

/// An option key.
pub struct Opt {
    /// `camelCase`, as the engine reads it.
    pub key: String,
    /// `string`, `integer`, `boolean`, `array`, `object`, `objects`, or `value` for what may be of several kinds.
    pub kind: String,
    /// As a person reads it.
    pub default: String,
    /// One sentence.
    pub doc: String,
}

/// The whole of it, in the file's order.
pub struct Surface {
    /// Number of the binary interface.
    pub abi: i64,
    /// Names of the functions.
    pub functions: Vec<String>,
    /// Event kinds.
    pub events: Vec<Item>,
    /// Outcomes.
    pub outcomes: Vec<Item>,
    /// Neutral names of the requests.
    pub ops: Vec<String>,
    /// Errors.
    pub errors: Vec<Item>,
    /// Options by scope.
    pub options: Vec<(String, Vec<Opt>)>,
}

impl Surface {
    /// Reads and checks it.
    pub fn load() -> Result<Self, String> {
        let path = root().join("bindings/surface.toml");
        let table: Table = toml::from_str(&read(&path)?).map_err(|e| format!("surface.toml: {e}"))?;
        let entries = |section: &str| {
            table
                .get(section)
                .and_then(Value::as_array)
                .ok_or_else(|| format!("surface.toml has no [[{section}]]"))
        };
        let names = |section: &str| {
            entries(section)?.iter().map(|entry| text(entry, "name")).collect::<Result<Vec<_>, String>>()
        };
        let items = |section: &str, name: &str, value: &str| {
            let item = |entry: &Value| {
                Ok(Item { name: text(entry, name)?, value: number(entry, value)?, doc: text(entry, "doc")? })
            };
            entries(section)?.iter().map(item).collect::<Result<Vec<_>, String>>()
        };
        let mut options: Vec<(String, Vec<Opt>)> = Vec::new();
        for entry in entries("option")? {
            let scope = text(entry, "scope")?;
            let option = Opt {
                key: text(entry, "key")?,
                kind: text(entry, "type")?,
                default: text(entry, "default")?,
                doc: text(entry, "doc")?,
            };
            match options.iter_mut().find(|(known, _)| *known == scope) {
                Some((_, list)) => list.push(option),
                None => options.push((scope, vec![option])),
            }
        }
        let meta = table.get("meta").ok_or("surface.toml has no [meta]")?;
        Ok(Self {
            abi: number(meta, "abi")?,
            functions: names("function")?,
            events: items("event", "name", "value")?,
            outcomes: items("outcome", "name", "value")?,
            ops: names("op")?,
            errors: items("error", "kind", "code")?,
            options,
        })
    }
}

fn text(entry: &Value, key: &str) -> Result<String, String> {
    let found = entry.get(key).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| format!("surface.toml: an entry lacks `{key}`: {entry}"))
}

fn number(entry: &Value, key: &str) -> Result<i64, String> {
    let found = entry.get(key).and_then(Value::as_integer);
    found.ok_or_else(|| format!("surface.toml: an entry lacks the number `{key}`: {entry}"))
}

/// `invalid_params` to `InvalidParams`.
pub fn pascal(snake: &str) -> String {
    snake.split('_').map(capital).collect()
}

/// `call_tool` to `callTool`.
pub fn camel(snake: &str) -> String {
    let pascal = pascal(snake);
    pascal[..1].to_lowercase() + &pascal[1..]
}

/// `maxDepth` to `max_depth`.
pub fn snake(camel: &str) -> String {
    let mut out = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// `invalid_params` to `InvalidParamsError`; `internal_error` to `InternalError`.
pub fn error_class(kind: &str) -> String {
    format!("{}Error", pascal(kind.strip_suffix("_error").unwrap_or(kind)))
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(camel("list_resource_templates"), "listResourceTemplates");
        assert_eq!(snake("maxMessageBytes"), "max_message_bytes");
        assert_eq!(error_class("internal_error"), "InternalError");
        assert_eq!(error_class("usage"), "UsageError");
    }

    #[test]
    fn numbers_of_a_table_are_distinct() {
        let surface = Surface::load().expect("the surface is valid");
        for items in [&surface.events, &surface.outcomes, &surface.errors] {
            let mut values: Vec<_> = items.iter().map(|item| item.value).collect();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), items.len());
        }
    }
}
