//! What a client must do with a list of tools: drop those whose header annotations are invalid and remember
//! the others' (2026-07-28, Streamable HTTP, "Custom Headers from Tool Parameters").

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::header::{self, ParamHeader};
use crate::json::{self, Json};

pub(super) type Annotations = BTreeMap<String, Vec<ParamHeader>>;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    tools: Vec<&'a RawValue>,
    #[serde(rename = "nextCursor", borrow, default)]
    next_cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Schema {
    #[serde(rename = "inputSchema", default)]
    input: Value,
}

const KEY: &str = "x-mcp-header";

/// The page without its invalid tools (itself, if there are none); `known` learns the annotations.
pub(super) fn screen(page: Json, known: &mut Annotations, mut dropped: impl FnMut(&str, String)) -> Json {
    // An escaped spelling of the key is still the key, so a backslash calls for the full look.
    let suspicious = |text: &str| text.contains(KEY) || text.contains("\\u00");
    if known.is_empty() && !suspicious(page.as_str()) {
        return page;
    }
    let Ok(parsed) = serde_json::from_str::<Page<'_>>(page.as_str()) else { return page };
    let mut kept = Vec::with_capacity(parsed.tools.len());
    for tool in &parsed.tools {
        let Ok(head) = serde_json::from_str::<Head<'_>>(tool.get()) else {
            kept.push(*tool);
            continue;
        };
        if !suspicious(tool.get()) {
            known.remove(head.name.as_ref());
            kept.push(*tool);
            continue;
        }
        let found = serde_json::from_str::<Schema>(tool.get())
            .map_err(|error| json::complaint(&error))
            .and_then(|schema| header::param_headers(&schema.input));
        match found {
            Ok(annotations) => {
                if annotations.is_empty() {
                    known.remove(head.name.as_ref());
                } else {
                    known.insert(head.name.into_owned(), annotations);
                }
                kept.push(*tool);
            }
            Err(reason) => {
                known.remove(head.name.as_ref());
                dropped(&head.name, reason);
            }
        }
    }
    if kept.len() == parsed.tools.len() {
        return page;
    }
    let mut out = String::with_capacity(page.as_bytes().len());
    for (key, value) in json::members(page.as_str()).unwrap_or_default() {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&json::string(&key));
        out.push(':');
        if key == "tools" {
            let kept: Vec<&str> = kept.iter().map(|tool| tool.get()).collect();
            out.push('[');
            out.push_str(&kept.join(","));
            out.push(']');
        } else {
            out.push_str(value.get());
        }
    }
    out.push('}');
    Json::from(out)
}

/// Where the next page begins.
pub(super) fn next_cursor(page: &Json) -> Option<String> {
    serde_json::from_str::<Page<'_>>(page.as_str()).ok()?.next_cursor.map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_invalid_tools_go() {
        let good = r#"{"name":"good", "inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"Region"}}},"q":1.0}"#;
        let plain = r#"{ "name" : "plain","inputSchema":{} }"#;
        let bad = r#"{"name":"bad","inputSchema":{"properties":{"r":{"type":"number","x-mcp-header":"R"}}}}"#;
        let page = format!(r#"{{"ttlMs":0,"tools":[{plain},{bad},{good}],"nextCursor":"c"}}"#);
        let mut known = Annotations::new();
        known.insert("plain".into(), Vec::new());
        let mut dropped = Vec::new();
        let screened = screen(Json::from(page), &mut known, |name, _| dropped.push(name.to_owned()));
        assert_eq!(dropped, ["bad"]);
        assert_eq!(screened.as_str(), format!(r#"{{"ttlMs":0,"tools":[{plain},{good}],"nextCursor":"c"}}"#));
        assert_eq!(known.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(next_cursor(&screened).as_deref(), Some("c"));
    }

    #[test]
    fn a_page_without_annotations_is_the_same_buffer() {
        let page = Json::from(r#"{"tools":[{"name":"a","inputSchema":{}}]}"#.to_owned());
        let before = page.as_bytes().as_ptr();
        assert_eq!(screen(page, &mut Annotations::new(), |_, _| ()).as_bytes().as_ptr(), before);
    }
}
