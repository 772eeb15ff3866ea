//! The declared capabilities of the client, which determine the requests that a server may send to it.

use serde_json::{Map, Value, json};

use crate::json::Json;
use crate::methods::TASKS;
use crate::revision::Era;

/// The client's capabilities: the encoded form, and the members that the engine uses.
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
    /// The client has roots, and notifies a legacy server of their changes.
    pub roots_changed: bool,
    /// Calls may become tasks.
    pub tasks: bool,
    /// A legacy server may create tasks for elicitation and for sampling.
    pub elicit_task: bool,
    pub sample_task: bool,
}

impl Declared {
    /// `capabilities` are those of the host; `roots`: the host also has roots; `tasks`: the host permits
    /// tasks.
    pub fn new(capabilities: &Json, roots: bool, tasks: bool) -> Declared {
        let own: Map<String, Value> = serde_json::from_str(capabilities.as_str()).unwrap_or_default();
        let has = |path: &[&str]| is_object(&own, path);
        // What says neither means forms only (2026-07-28, elicitation, "Capabilities").
        let neither = own
            .get("elicitation")
            .and_then(Value::as_object)
            .is_some_and(|modes| !modes.contains_key("form") && !modes.contains_key("url"));
        let own_listing = own.get("roots").and_then(|roots| roots.get("listChanged")?.as_bool());
        let mut modern = own.clone();
        let mut legacy = own.clone();
        if roots {
            legacy.insert("roots".into(), json!({"listChanged": true}));
            modern.insert("roots".into(), json!({}));
        }
        if tasks {
            let extensions = modern.entry("extensions").or_insert_with(|| json!({}));
            if let Some(extensions) = extensions.as_object_mut() {
                extensions.entry(TASKS).or_insert_with(|| json!({}));
            }
            let asked = [("elicitation", "create"), ("sampling", "createMessage")];
            let asked: Map<String, Value> = asked
                .into_iter()
                .filter(|(what, _)| has(&[what]))
                .map(|(what, method)| (what.to_owned(), json!({ (method): {} })))
                .collect();
            if !asked.is_empty() {
                let all = || json!({"list": {}, "cancel": {}, "requests": asked});
                legacy.entry("tasks").or_insert_with(all);
            }
        }
        // What nothing was added to stays as the host wrote it.
        let text = |all: &Map<String, Value>| match *all == own {
            true => capabilities.clone(),
            false => Json::from(serde_json::to_string(all).expect("an object is always JSON")),
        };
        Declared {
            form: has(&["elicitation", "form"]) || neither,
            url: has(&["elicitation", "url"]),
            sample: has(&["sampling"]),
            sample_tools: has(&["sampling", "tools"]),
            roots: roots || has(&["roots"]),
            roots_changed: roots || own_listing == Some(true),
            tasks: is_object(&modern, &["extensions", TASKS]),
            elicit_task: tasks && is_object(&legacy, &["tasks", "requests", "elicitation", "create"]),
            sample_task: tasks && is_object(&legacy, &["tasks", "requests", "sampling", "createMessage"]),
            legacy: text(&legacy),
            modern: text(&modern),
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

fn is_object(all: &Map<String, Value>, path: &[&str]) -> bool {
    let found = all.get(path[0]);
    path[1..].iter().fold(found, |value, key| value?.get(*key)).is_some_and(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_and_roots_added() {
        let of = |text: &str, roots| Declared::new(&Json::from(text.to_owned()), roots, false);
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

    #[test]
    fn tasks_are_declared_beside_what_the_host_says() {
        let of = |text: &str| Declared::new(&Json::from(text.to_owned()), false, true);
        let none = of("{}");
        let extension = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        assert!(none.tasks && !none.elicit_task && !none.sample_task);
        assert_eq!((none.of(Era::Modern).as_str(), none.of(Era::Legacy).as_str()), (extension, "{}"));
        let asked = of(r#"{"elicitation":{"form":{}},"sampling":{},"extensions":{"x/y":{}}}"#);
        assert!(asked.tasks && asked.elicit_task && asked.sample_task);
        let legacy: Value = serde_json::from_str(asked.of(Era::Legacy).as_str()).expect("JSON");
        assert_eq!(
            legacy["tasks"]["requests"],
            json!({"elicitation": {"create": {}}, "sampling": {"createMessage": {}}})
        );
        let modern: Value = serde_json::from_str(asked.of(Era::Modern).as_str()).expect("JSON");
        assert_eq!(modern["extensions"], json!({"x/y": {}, TASKS: {}}));
        assert!(modern.get("tasks").is_none());
        let own = of(r#"{"elicitation":{},"tasks":{},"extensions":[]}"#);
        assert!(!own.tasks && !own.elicit_task, "what the host spells itself stays");
    }
}
