//! Encoding of requests for a revision: `_meta` in the body, mirrored values in the headers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{ClientError, kind};
use crate::header::{self, ParamHeader};
use crate::json::{self, Json};
use crate::meta;
use crate::methods::{Method, NameSource};
use crate::revision::Revision;
use crate::server::LogLevel;

/// The members of a request's parameters that the engine acts on.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Salient<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(rename = "taskId", borrow, default)]
    task_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "_meta", borrow, default)]
    meta: Option<&'a RawValue>,
}

impl<'a> Salient<'a> {
    /// Reads, and so checks, the parameters the host gave.
    pub(super) fn of(params: &'a str) -> Result<Salient<'a>, ClientError> {
        let usage = |message: String| ClientError::local(kind::USAGE, message);
        if !params.starts_with('{') {
            return Err(usage("params must be a JSON object".into()));
        }
        let salient: Salient<'a> = serde_json::from_str(params)
            .map_err(|error| usage(format!("params are not valid JSON: {}", json::complaint(&error))))?;
        if salient.meta.is_some_and(|meta| !meta.get().starts_with('{')) {
            return Err(usage("_meta must be a JSON object".into()));
        }
        Ok(salient)
    }

    fn mirrored(&self, source: NameSource) -> Option<String> {
        let raw = match source {
            NameSource::Name => self.name,
            NameSource::Uri => self.uri,
            NameSource::TaskId => self.task_id,
        };
        serde_json::from_str(raw?.get()).ok()
    }
}

/// The entries of `_meta` that every modern request carries, without the braces.
pub(super) fn modern_meta(revision: Revision, client_info: &Json, capabilities: &Json) -> String {
    format!(
        r#""{}":"{revision}","{}":{},"{}":{}"#,
        meta::PROTOCOL_VERSION,
        meta::CLIENT_INFO,
        client_info.as_str(),
        meta::CLIENT_CAPABILITIES,
        capabilities.as_str()
    )
}

/// Members of the `_meta` of one request besides the entries of [`modern_meta`].
#[derive(Default)]
pub(super) struct Also<'a> {
    /// To report progress with.
    pub token: Option<u64>,
    /// The log level of requests without a level of their own.
    pub level: Option<LogLevel>,
    /// The host's own entries: the text of an object, or empty.
    pub extra: &'a str,
}

/// The parameters with their `_meta`. `entries` are those of [`modern_meta`], empty in the legacy era;
/// entries of the host cannot replace them, and `also.extra` takes precedence over the parameters.
pub(super) fn with_meta(params: &str, salient: &Salient<'_>, entries: &str, also: Also<'_>) -> String {
    let Also { token, level, extra } = also;
    let extra = if extra.is_empty() { "{}" } else { extra.trim() };
    let extra_is_empty = extra.get(1..extra.len() - 1).is_none_or(|inner| inner.trim().is_empty());
    if entries.is_empty() && token.is_none() && level.is_none() && extra_is_empty {
        return params.to_owned();
    }
    let mut out = String::with_capacity(params.len() + entries.len() + extra.len() + 40);
    out.push_str("{\"_meta\":{");
    out.push_str(entries);
    if let Some(token) = token {
        separate(&mut out);
        out.push_str("\"progressToken\":");
        out.push_str(&token.to_string());
    }
    let mut seen: Vec<String> = Vec::new();
    if salient.meta.is_some() || !extra_is_empty {
        let reserved = |key: &str| {
            (!entries.is_empty()
                && [meta::PROTOCOL_VERSION, meta::CLIENT_INFO, meta::CLIENT_CAPABILITIES].contains(&key))
                || (token.is_some() && key == "progressToken")
        };
        for object in [Some(extra), salient.meta.map(RawValue::get)].into_iter().flatten() {
            for (key, value) in json::members(object).unwrap_or_default() {
                if reserved(&key) || seen.contains(&key) {
                    continue;
                }
                member(&mut out, &key, value);
                seen.push(key);
            }
        }
    }
    if let Some(level) = level.filter(|_| !seen.iter().any(|key| key == meta::LOG_LEVEL)) {
        separate(&mut out);
        out.push_str(&format!(r#""{}":"{}""#, meta::LOG_LEVEL, level.as_str()));
    }
    out.push('}');
    if salient.meta.is_none() {
        let rest = params[1..].trim_start();
        if !rest.starts_with('}') {
            out.push(',');
        }
        out.push_str(rest);
        return out;
    }
    for (key, value) in json::members(params).unwrap_or_default() {
        if key != "_meta" {
            member(&mut out, &key, value);
        }
    }
    out.push('}');
    out
}

fn separate(out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
}

fn member(out: &mut String, key: &str, value: &RawValue) {
    separate(out);
    out.push_str(&json::string(key));
    out.push(':');
    out.push_str(value.get());
}

pub(super) type Headers = Vec<(Cow<'static, str>, String)>;

/// The headers of a modern POST (2026-07-28, Streamable HTTP, "Request Metadata").
pub(super) fn modern_headers(
    revision: Revision,
    method: &Method,
    salient: &Salient<'_>,
    annotations: &BTreeMap<String, Vec<ParamHeader>>,
) -> Headers {
    let mut headers = Vec::with_capacity(4);
    headers.push((Cow::Borrowed("MCP-Protocol-Version"), revision.as_str().to_owned()));
    headers.push((Cow::Borrowed("Mcp-Method"), method.name.to_owned()));
    let Some(name) = method.name_source.and_then(|source| salient.mirrored(source)) else { return headers };
    let annotated = (method.name_source == Some(NameSource::Name)).then(|| annotations.get(&name)).flatten();
    headers.push((Cow::Borrowed("Mcp-Name"), header::encode(&name).into_owned()));
    if let (Some(annotated), Some(arguments)) = (annotated, salient.arguments) {
        let arguments: Value = serde_json::from_str(arguments.get()).unwrap_or_default();
        for param in annotated {
            if let Some(value) = param.value_in(&arguments) {
                headers.push((Cow::Owned(param.display.clone()), header::encode(&value).into_owned()));
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(params: &str, entries: &str, token: Option<u64>, extra: &str) -> String {
        let salient = Salient::of(params).expect("an object");
        let level = entries.contains("level").then_some(LogLevel::Info);
        let out = with_meta(params, &salient, entries, Also { token, level, extra });
        serde_json::from_str::<Value>(&out).expect("still JSON");
        out
    }

    #[test]
    fn meta_is_merged_and_the_rest_is_untouched() {
        let entries = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
        assert_eq!(lowered("{}", "", None, ""), "{}");
        assert_eq!(lowered("{ }", "", Some(3), ""), r#"{"_meta":{"progressToken":3}}"#);
        assert_eq!(
            lowered(r#"{"a": 1.50}"#, entries, Some(3), r#"{"x":1}"#),
            format!(r#"{{"_meta":{{{entries},"progressToken":3,"x":1}},"a": 1.50}}"#)
        );
        let own = r#"{"b":2,"_meta":{"x":0,"y":"z","progressToken":9,"io.modelcontextprotocol/protocolVersion":"1"}}"#;
        assert_eq!(
            lowered(own, entries, Some(3), r#"{"x":1}"#),
            format!(r#"{{"_meta":{{{entries},"progressToken":3,"x":1,"y":"z"}},"b":2}}"#)
        );
        assert_eq!(lowered(own, "", None, "{ }"), own);
        let level = r#""level":0"#;
        assert_eq!(
            lowered("{}", level, None, ""),
            format!(r#"{{"_meta":{{{level},"io.modelcontextprotocol/logLevel":"info"}}}}"#)
        );
        let louder = r#"{"io.modelcontextprotocol/logLevel":"debug"}"#;
        assert_eq!(
            lowered("{}", level, None, louder),
            format!(r#"{{"_meta":{{{level},"io.modelcontextprotocol/logLevel":"debug"}}}}"#)
        );
    }

    #[test]
    fn parameters_are_checked() {
        for bad in ["", "[]", "3", "{", "{\"a\":}", "{\"_meta\":3}", "{}x"] {
            assert_eq!(Salient::of(bad).expect_err(bad).kind, "usage");
        }
    }
}
