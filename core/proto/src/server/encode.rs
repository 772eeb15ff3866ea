//! Encoding of outcomes for a revision: the only module that knows the differences between the eras.

use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::jsonrpc::{self, one_line};
use crate::meta;
use crate::methods::Role;
use crate::outcome::Outcome;
use crate::revision::{Era, Revision};
use crate::server::content;
use crate::server::exchange::Exchange;
use crate::server::schema::Schema;
use serde_json::value::RawValue;

/// A response ready to be sent.
#[derive(Debug)]
pub struct Finished {
    /// The JSON-RPC message.
    pub bytes: Vec<u8>,
    /// The HTTP status it goes with where it is the whole body.
    pub status: u16,
}

/// Members that the modern era requires in every result, encoded once per server.
#[derive(Debug, Clone)]
pub struct Stamp {
    server_info: String,
    plain: String,
    cacheable: String,
    /// The same for answers that depend on the caller.
    private: String,
    input_required: String,
    task: String,
}

impl Stamp {
    /// `server_info`: an `Implementation` object as JSON text. `ttl_ms`, `cache_scope`: the caching hints of
    /// lists, reads and discover (2026-07-28, "Caching").
    pub fn new(server_info: &str, ttl_ms: u64, cache_scope: &str) -> Stamp {
        let meta = format!("\"_meta\":{{\"{}\":{server_info}}}", meta::SERVER_INFO);
        Stamp {
            server_info: server_info.to_owned(),
            plain: format!("{{\"resultType\":\"complete\",{meta}"),
            input_required: format!("{{\"resultType\":\"input_required\",{meta}"),
            task: format!("{{\"resultType\":\"task\",{meta}"),
            cacheable: format!(
                "{{\"resultType\":\"complete\",\"ttlMs\":{ttl_ms},\"cacheScope\":\"{cache_scope}\",{meta}"
            ),
            private: format!(
                "{{\"resultType\":\"complete\",\"ttlMs\":{ttl_ms},\"cacheScope\":\"private\",{meta}"
            ),
        }
    }

    /// The server's `Implementation` object as JSON text.
    pub fn server_info(&self) -> &str {
        &self.server_info
    }

    /// `members` (`"key":value,…`, not empty) as a whole result object of a method in an era.
    pub fn result(&self, era: Era, cacheable: bool, members: &str) -> String {
        self.written(self.opening(era, cacheable, false), members)
    }

    /// The same for answers that depend on the caller: no cache may share them.
    pub fn private_result(&self, era: Era, cacheable: bool, members: &str) -> String {
        self.written(self.opening(era, cacheable, true), members)
    }

    fn written(&self, opening: &str, members: &str) -> String {
        match opening {
            "{" => format!("{{{members}}}"),
            opening => format!("{opening},{members}}}"),
        }
    }

    /// `members` as the result of a call that has become a task.
    pub(crate) fn task(&self, members: &str) -> String {
        format!("{},{members}}}", self.task)
    }

    fn opening(&self, era: Era, cacheable: bool, private: bool) -> &str {
        match (era, cacheable) {
            (Era::Legacy, _) => "{",
            (Era::Modern, false) => &self.plain,
            (Era::Modern, true) if private => &self.private,
            (Era::Modern, true) => &self.cacheable,
        }
    }
}

/// The HTTP status of a protocol error (2026-07-28, Streamable HTTP): 404 for an unknown method, 400 for
/// errors that the caller must correct, 200 for errors of a handler.
pub(crate) fn status_of(error: &RpcError, era: Era) -> u16 {
    match (era, error.kind()) {
        (_, ErrorKind::ParseError | ErrorKind::InvalidRequest) => 400,
        (Era::Modern, ErrorKind::MethodNotFound) => 404,
        (
            Era::Modern,
            ErrorKind::HeaderMismatch | ErrorKind::MissingCapability | ErrorKind::UnsupportedVersion,
        ) => 400,
        _ => 200,
    }
}

pub(crate) fn finish(exchange: &Exchange, outcome: Outcome, stamp: &Stamp) -> Finished {
    match members_of(exchange, outcome, stamp) {
        Ok(Body::Whole(text)) => whole_response(exchange, text.as_bytes()),
        Ok(Body::Prepared(json)) => whole_response(exchange, json.as_bytes()),
        Ok(Body::Members(members)) => {
            let method = exchange.method();
            let opening = stamp.opening(exchange.revision().era(), method.cacheable, exchange.is_private());
            let mut bytes = jsonrpc::response_start(exchange.id(), opening.len() + members.len() + 2);
            bytes.extend_from_slice(opening.as_bytes());
            if opening.len() > 1 && !members.is_empty() {
                bytes.push(b',');
            }
            bytes.extend_from_slice(&members);
            bytes.push(b'}');
            Finished { bytes: jsonrpc::response_end(bytes), status: 200 }
        }
        Err(error) => Finished {
            status: status_of(&error, exchange.revision().era()),
            bytes: jsonrpc::error(Some(exchange.id()), &error),
        },
    }
}

fn whole_response(exchange: &Exchange, result: &[u8]) -> Finished {
    Finished { bytes: jsonrpc::response(exchange.id(), result), status: 200 }
}

/// The result object of an outcome alone, or its error.
pub(crate) fn result(exchange: &Exchange, outcome: Outcome, stamp: &Stamp) -> Result<String, RpcError> {
    let text = match members_of(exchange, outcome, stamp)? {
        Body::Whole(text) => text,
        Body::Prepared(json) => json.as_str().to_owned(),
        Body::Members(members) => {
            let (era, cacheable) = (exchange.revision().era(), exchange.method().cacheable);
            let members = String::from_utf8(members).expect("it is written from texts");
            stamp.written(stamp.opening(era, cacheable, exchange.is_private()), &members)
        }
    };
    Ok(String::from_utf8(one_line(text.into_bytes())).expect("only spaces were put in"))
}

enum Body {
    /// A result object with everything in it.
    Whole(String),
    /// The same, encoded in advance.
    Prepared(Json),
    /// `"key":value,…` that still needs the members of the era.
    Members(Vec<u8>),
}

fn members_of(exchange: &Exchange, outcome: Outcome, stamp: &Stamp) -> Result<Body, RpcError> {
    let role = exchange.method().role;
    let unfit = |what: &str| {
        RpcError::new(
            ErrorKind::InternalError,
            format!("the handler answered with {what}, which does not fit"),
        )
    };
    if let Some(schema) = exchange.output() {
        check_output(schema, &outcome)?;
    }
    let mut out = Vec::new();
    match outcome {
        Outcome::Error(error) => return Err(for_revision(error, exchange)),
        Outcome::Prepared(json) => return Ok(Body::Prepared(json)),
        Outcome::Result(text) => return whole(exchange, &text, stamp).map(Body::Whole),
        Outcome::InputRequired { questions, state } => {
            let revision = exchange.revision();
            let asked: Vec<String> = questions
                .iter()
                .map(|question| {
                    let params = question.params(revision, None);
                    format!(
                        "{}:{{\"method\":\"{}\",\"params\":{params}}}",
                        json::string(&question.key),
                        question.method.name
                    )
                })
                .collect();
            return Ok(Body::Whole(format!(
                "{},\"inputRequests\":{{{}}},\"requestState\":{}}}",
                stamp.input_required,
                asked.join(","),
                json::string(&state)
            )));
        }
        Outcome::ToolError(text) if role == Role::CallTool => {
            out.extend_from_slice(b"\"content\":[{\"type\":\"text\",\"text\":");
            json::push_string(&mut out, &text);
            out.extend_from_slice(b"}],\"isError\":true");
        }
        Outcome::ToolError(text) => return Err(RpcError::new(ErrorKind::InternalError, text)),
        Outcome::Text(text) => match role {
            Role::CallTool => {
                out.extend_from_slice(b"\"content\":[{\"type\":\"text\",\"text\":");
                json::push_string(&mut out, &text);
                out.extend_from_slice(b"}]");
            }
            Role::ReadResource => contents(&mut out, exchange, "text", &text, "text/plain"),
            Role::GetPrompt => {
                out.extend_from_slice(
                    b"\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":",
                );
                json::push_string(&mut out, &text);
                out.extend_from_slice(b"}}]");
            }
            _ => return Err(unfit("text")),
        },
        Outcome::Value(value) if serde_json::from_str::<serde::de::IgnoredAny>(&value).is_err() => {
            return Err(unfit("a value that is not JSON"));
        }
        Outcome::Value(value) => match role {
            Role::CallTool => {
                out.extend_from_slice(b"\"content\":[{\"type\":\"text\",\"text\":");
                json::push_string(&mut out, &value);
                out.extend_from_slice(b"}]");
                if structured_fits(&value, exchange.revision()) {
                    out.extend_from_slice(b",\"structuredContent\":");
                    out.extend_from_slice(value.as_bytes());
                }
            }
            Role::ReadResource => contents(&mut out, exchange, "text", &value, "application/json"),
            Role::Complete => completion(&mut out, &value).map_err(|()| unfit("no array of strings"))?,
            _ => return Err(unfit("a value")),
        },
        Outcome::Base64(data) => match role {
            Role::ReadResource => contents(&mut out, exchange, "blob", &data, "application/octet-stream"),
            _ => return Err(unfit("binary data")),
        },
    }
    Ok(Body::Members(out))
}

/// "Servers MUST provide structured results that conform to this schema" (2025-11-25, tools, "Output Schema"): a result that
/// does not is the handler's failure, and no client sees it.
fn check_output(schema: &Schema, outcome: &Outcome) -> Result<(), RpcError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ToolResult<'a> {
        #[serde(borrow)]
        structured_content: Option<&'a RawValue>,
        #[serde(default)]
        is_error: bool,
    }
    let unfit = |why: &str| {
        let message = format!("the handler's result does not fit the tool's outputSchema: {why}");
        Err(RpcError::new(ErrorKind::InternalError, message))
    };
    let structured = match outcome {
        Outcome::Value(value) => value.as_str(),
        Outcome::Text(_) => return unfit("there is no structured content"),
        Outcome::Result(text) => match serde_json::from_str::<ToolResult<'_>>(text) {
            Ok(ToolResult { is_error: true, .. }) => return Ok(()),
            Ok(ToolResult { structured_content: Some(value), .. }) => value.get(),
            Ok(_) => return unfit("there is no structured content"),
            // Said below, for tools without a schema too.
            Err(_) => return Ok(()),
        },
        _ => return Ok(()),
    };
    match serde_json::from_str(structured) {
        Ok(value) => {
            schema.violations(&value, "structuredContent", structured.len()).map_or(Ok(()), |why| unfit(&why))
        }
        Err(_) => Ok(()),
    }
}

/// Structured content came with 2025-06-18, as an object; any JSON value is allowed from 2026-07-28.
fn structured_fits(value: &str, revision: Revision) -> bool {
    match revision.era() {
        Era::Modern => true,
        Era::Legacy => revision >= Revision::V2025_06_18 && value.trim_start().starts_with('{'),
    }
}

/// `-32002` is for the legacy era only; `-32602` replaced it, distinguished by the URI in its data
/// (2026-07-28, resources, "Error Handling").
fn for_revision(mut error: RpcError, exchange: &Exchange) -> RpcError {
    // The code came with the modern era.
    if error.kind() == ErrorKind::MissingCapability && exchange.revision().era() == Era::Legacy {
        error.code = ErrorKind::InvalidRequest.code();
    }
    if error.kind() != ErrorKind::ResourceNotFound {
        return error;
    }
    if exchange.revision().era() == Era::Modern {
        error.code = ErrorKind::InvalidParams.code();
    }
    match exchange.resource() {
        Some((uri, _)) if error.data.is_none() => error.with_data(serde_json::json!({ "uri": uri })),
        _ => error,
    }
}

fn contents(out: &mut Vec<u8>, exchange: &Exchange, member: &str, value: &str, fallback: &str) {
    let (uri, mime_type) = exchange.resource().unwrap_or(("", None));
    out.extend_from_slice(b"\"contents\":[{\"uri\":");
    json::push_string(out, uri);
    out.extend_from_slice(b",\"mimeType\":");
    json::push_string(out, mime_type.unwrap_or(fallback));
    out.extend_from_slice(b",\"");
    out.extend_from_slice(member.as_bytes());
    out.extend_from_slice(b"\":");
    json::push_string(out, value);
    out.extend_from_slice(b"}]");
}

/// At most 100 values may be sent (completion, "Response").
const MAX_COMPLETIONS: usize = 100;

fn completion(out: &mut Vec<u8>, values: &str) -> Result<(), ()> {
    let mut values: Vec<String> = serde_json::from_str(values).map_err(|_| ())?;
    let total = values.len();
    values.truncate(MAX_COMPLETIONS);
    let values = serde_json::to_string(&values).map_err(|_| ())?;
    let more = total > MAX_COMPLETIONS;
    out.extend_from_slice(
        format!("\"completion\":{{\"values\":{values},\"total\":{total},\"hasMore\":{more}}}").as_bytes(),
    );
    Ok(())
}

/// A handler's own result object, with the members that the era requires added if absent.
fn whole(exchange: &Exchange, text: &str, stamp: &Stamp) -> Result<String, RpcError> {
    let members = json::members(text).ok_or_else(|| {
        RpcError::new(ErrorKind::InternalError, "the handler's result is not a JSON object")
    })?;
    let (revision, method) = (exchange.revision(), exchange.method());
    let modern = revision.era() == Era::Modern;
    let own = |key: &str| members.iter().find(|(name, _)| name == key).map(|(_, value)| value.get());

    let mut out = String::with_capacity(text.len() + 160);
    let mut add = |key: &str, value: &str| {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&json::string(key));
        out.push(':');
        out.push_str(value);
    };
    if modern {
        add("resultType", own("resultType").unwrap_or("\"complete\""));
        add("_meta", &stamped_meta(own("_meta"), stamp));
        if method.cacheable {
            let defaults = format!("{}}}", stamp.cacheable);
            let defaults = json::members(&defaults).unwrap_or_default();
            for key in ["ttlMs", "cacheScope"] {
                if let (None, Some((_, value))) = (own(key), defaults.iter().find(|(name, _)| name == key)) {
                    add(key, value.get());
                }
            }
        }
    }
    if method.role == Role::CallTool && own("content").is_none() {
        let content = match own("structuredContent") {
            Some(value) => format!("[{{\"type\":\"text\",\"text\":{}}}]", json::string(value)),
            None => "[]".to_owned(),
        };
        add("content", &content);
    }
    for (key, value) in &members {
        if content::is_limited(revision) {
            let rewritten = match (method.role, key.as_str()) {
                (Role::CallTool, "content") => content::blocks(value.get(), revision),
                (Role::GetPrompt, "messages") => content::messages(value.get(), revision),
                _ => None,
            };
            if let Some(rewritten) = rewritten {
                add(key, &rewritten);
                continue;
            }
        }
        let skip = match key.as_str() {
            "resultType" => true,
            "_meta" => modern,
            "structuredContent" => !structured_fits(value.get(), revision),
            _ => false,
        };
        if !skip {
            add(key, value.get());
        }
    }
    if out.is_empty() {
        out.push('{');
    }
    out.push('}');
    Ok(out)
}

fn stamped_meta(own: Option<&str>, stamp: &Stamp) -> String {
    let mut out = format!("{{\"{}\":{}", meta::SERVER_INFO, stamp.server_info);
    for (key, value) in own.and_then(json::members).unwrap_or_default() {
        if key != meta::SERVER_INFO {
            out.push_str(&format!(",{}:{}", json::string(&key), value.get()));
        }
    }
    out.push('}');
    out
}
