//! What the client has declared that it can do, and so what a server may ask of it.

use serde_json::{Map, Value};

use crate::json::Json;
use crate::revision::Era;

/// The client's capabilities: as they are sent, and what the engine reads out of them.
#[derive(Debug)]
pub(super) struct Declared {
    legacy: Json,
    modern: Json,
    /// Elicitation by form.
    pub form: bool,
    /// Elicitation by URL.
    pub url: bool,
    /// Sampling.
    pub sample: bool,
    /// Sampling with tools.
    pub sample_tools: bool,
    /// Roots.
    pub roots: bool,
    /// Roots, and that a legacy server is told when they change.
    pub roots_changed: bool,
}

impl Declared {
    /// `capabilities` is what the host gave; `roots`: it also gave roots.
    pub fn new(capabilities: &Json, roots: bool) -> Declared {
        let own: Map<String, Value> = serde_json::from_str(capabilities.as_str()).unwrap_or_default();
        let with_roots = |value: Value| match roots {
            false => capabilities.clone(),
            true => {
                let mut all = own.clone();
                all.insert("roots".into(), value);
                Json::from(Value::Object(all).to_string())
            }
        };
        let has = |path: &[&str]| {
            let found = own.get(path[0]);
            path[1..].iter().fold(found, |value, key| value?.get(*key)).is_some_and(Value::is_object)
        };
        // What says neither means forms only (2026-07-28, elicitation, "Capabilities").
        let neither = own
            .get("elicitation")
            .and_then(Value::as_object)
            .is_some_and(|modes| !modes.contains_key("form") && !modes.contains_key("url"));
        let own_listing = own.get("roots").and_then(|roots| roots.get("listChanged")?.as_bool());
        Declared {
            legacy: with_roots(serde_json::json!({"listChanged": true})),
            modern: with_roots(serde_json::json!({})),
            form: has(&["elicitation", "form"]) || neither,
            url: has(&["elicitation", "url"]),
            sample: has(&["sampling"]),
            sample_tools: has(&["sampling", "tools"]),
            roots: roots || has(&["roots"]),
            roots_changed: roots || own_listing == Some(true),
        }
    }

    /// The `ClientCapabilities` object of an era.
    pub fn of(&self, era: Era) -> &Json {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_and_roots_added() {
        let of = |text: &str, roots| Declared::new(&Json::from(text.to_owned()), roots);
        let none = of("{}", false);
        assert!(!none.form && !none.url && !none.sample && !none.roots);
        let empty = of(r#"{"elicitation":{},"sampling":{},"roots":{}}"#, false);
        assert!(empty.form && !empty.url && empty.sample && !empty.sample_tools && empty.roots);
        assert!(!empty.roots_changed);
        let all = of(r#"{"elicitation":{"url":{}},"sampling":{"tools":{}},"x":1.50}"#, true);
        assert!(!all.form && all.url && all.sample_tools && all.roots_changed);
        assert!(all.of(Era::Legacy).as_str().contains(r#""roots":{"listChanged":true}"#));
        assert!(all.of(Era::Modern).as_str().contains(r#""roots":{}"#));
        assert_eq!(of("{ }", false).of(Era::Modern).as_str(), "{ }");
    }
}
