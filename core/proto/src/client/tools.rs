//! Processing of a list of tools: drops those with invalid header annotations and stores the annotations of
//! the others (2026-07-28, Streamable HTTP, "Custom Headers from Tool Parameters").

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Output;
use super::conn::{ClientConn, Purpose, Stage};
use super::lower::{self, Salient};
use crate::error::RpcError;
use crate::header::{self, ParamHeader};
use crate::json::{self, Json};
use crate::methods::{self, Role};
use crate::revision::Era;

/// Pages of a list that are looked through for one tool before giving up.
pub(super) const REFRESH_PAGES: u32 = 100;
/// Maximum number of tools whose annotations are stored.
const MAX_ANNOTATED: usize = 4096;

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

/// The page without its invalid tools (itself, if there are none); stores the annotations in `known`.
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
                known.remove(head.name.as_ref());
                if !annotations.is_empty() && known.len() < MAX_ANNOTATED {
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

/// The cursor of the next page.
pub(super) fn next_cursor(page: &Json) -> Option<String> {
    serde_json::from_str::<Page<'_>>(page.as_str()).ok()?.next_cursor.map(Cow::into_owned)
}

impl ClientConn {
    pub(super) fn screen(&mut self, page: Json) -> Json {
        self.tasks.learn_tools(&page);
        self.outputs_of_tools.learn(&page);
        if self.revision.era() == Era::Legacy || !self.is_http() {
            return page;
        }
        let outputs = &mut self.outputs;
        screen(page, &mut self.annotations, |tool, reason| {
            outputs.push_back(Output::ToolDropped { tool: tool.to_owned(), reason });
        })
    }

    pub(super) fn refresh(&mut self, op: u64, page: u32, cursor: Option<String>, refusal: RpcError) {
        let id = self.fresh_id();
        let params = match cursor {
            Some(cursor) => format!(r#"{{"cursor":{}}}"#, json::string(&cursor)),
            None => "{}".to_owned(),
        };
        let salient = Salient::default();
        let params = lower::with_meta(&params, &salient, &self.entries, lower::Also::default());
        let method = methods::by_role(Role::ListTools);
        let headers = lower::modern_headers(self.revision, method, &salient, &self.annotations);
        if let Some(entry) = self.ops.get_mut(&op) {
            entry.stage = Stage::Sent(id);
        }
        self.pending.insert(id, Purpose::Refresh { op, page, refusal });
        self.send_request(id, method.name, &params, headers);
    }

    pub(super) fn on_refresh(
        &mut self,
        op: u64,
        page: u32,
        refusal: RpcError,
        result: Result<Json, RpcError>,
    ) {
        let Ok(list) = result else { return self.end(op, Err(refusal.into())) };
        let list = self.screen(list);
        match next_cursor(&list) {
            Some(cursor) if page < REFRESH_PAGES => self.refresh(op, page + 1, Some(cursor), refusal),
            _ => self.send_op(op),
        }
    }
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
    fn names_that_change_all_the_time_are_not_all_remembered() {
        let tool = |at: usize| {
            format!(
                r#"{{"name":"t{at}","inputSchema":{{"properties":{{"r":{{"type":"string","x-mcp-header":"R"}}}}}}}}"#
            )
        };
        let mut known = Annotations::new();
        for page in 0..10 {
            let tools: Vec<String> = (0..1000).map(|at| tool(page * 1000 + at)).collect();
            let page = format!(r#"{{"tools":[{}]}}"#, tools.join(","));
            assert_eq!(screen(Json::from(page.clone()), &mut known, |_, _| ()).as_str(), page);
        }
        assert_eq!(known.len(), MAX_ANNOTATED);
    }

    #[test]
    fn a_page_without_annotations_is_the_same_buffer() {
        let page = Json::from(r#"{"tools":[{"name":"a","inputSchema":{}}]}"#.to_owned());
        let before = page.as_bytes().as_ptr();
        assert_eq!(screen(page, &mut Annotations::new(), |_, _| ()).as_bytes().as_ptr(), before);
    }
}
