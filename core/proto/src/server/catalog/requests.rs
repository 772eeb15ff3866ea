//! Dispatch of requests that name an item: lookup, permission, validation against the definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::Request;
use super::super::post::{Headers, check_params};
use super::super::template::{self, Reading, Steps};
use super::{Dispatch, Entry, Input, Item, Shelf, State, completion_key};
use crate::auth::resource::Access;
use crate::error::{ErrorKind, RpcError};
use crate::json::Json;
use crate::limits::check_uri;
use crate::methods;
use crate::outcome::Outcome;
use crate::revision::{Era, Revision};
use crate::tasks::TaskSupport;

pub(super) fn call_tool<H>(
    state: &State<H>,
    request: &Request,
    headers: Option<&dyn Headers>,
) -> Result<Dispatch<H>, RpcError> {
    let entry = state.seen(Item::Tool, &request.name, &request.access).ok_or_else(|| {
        RpcError::new(ErrorKind::InvalidParams, format!("Unknown tool: {}", shown(&request.name)))
    })?;
    if let Some(forbidden) = entry.forbids(request) {
        return Ok(forbidden);
    }
    let arguments: Value = serde_json::from_str(request.arguments.as_str())
        .map_err(|_| RpcError::new(ErrorKind::InvalidParams, "params.arguments is not valid JSON"))?;
    if let Some(headers) = headers.filter(|_| request.revision.era() == Era::Modern) {
        check_params(&entry.headers, headers, &arguments)?;
    }
    // A model can correct its arguments when it reads what was wrong with them, so this is a result, not a
    // protocol error (2025-11-25, tools, "Error Handling").
    let size = request.arguments.as_bytes().len();
    if let Some(violations) =
        entry.input.as_ref().and_then(|schema| schema.violations(&arguments, "arguments", size))
    {
        return Ok(Dispatch::Answer(Outcome::ToolError(format!("invalid arguments: {violations}"))));
    }
    let input = Input::Tool(request.arguments.clone());
    if entry.task.support != TaskSupport::Never {
        return call_with_tasks(request, entry, input);
    }
    if state.has_tasks && request.revision == Revision::V2025_11_25 && !request.task.is_empty() {
        let message = format!("Method not found: {} does not run as a task", shown(&request.name));
        return Err(RpcError::new(ErrorKind::MethodNotFound, message));
    }
    Ok(Dispatch::Run { entry: entry.clone(), input })
}

/// Dispatches the call of a tool that has tasks: as a task, in its request, or as an error.
fn call_with_tasks<H>(
    request: &Request,
    entry: &Arc<Entry<H>>,
    input: Input,
) -> Result<Dispatch<H>, RpcError> {
    let required = entry.task.support == TaskSupport::Required;
    let entry = entry.clone();
    let refuse = |message: String| Err(RpcError::new(ErrorKind::MethodNotFound, message));
    if request.revision.era() == Era::Modern {
        // The server decides (extension, "Capability Negotiation").
        return match (has_tasks(request), required) {
            (true, _) => Ok(Dispatch::Create { entry, input, ttl: None }),
            (false, false) => Ok(Dispatch::Run { entry, input }),
            (false, true) => Err(missing_tasks()),
        };
    }
    // The client decides, once for each call (2025-11-25, tasks, "Tool-Level Negotiation").
    let asked = request.revision == Revision::V2025_11_25 && !request.task.is_empty();
    match (asked, required) {
        (false, false) => Ok(Dispatch::Run { entry, input }),
        (false, true) => refuse(format!("Method not found: {} runs as a task only", shown(&request.name))),
        (true, _) => {
            let ttl = task_ttl(&request.task)?;
            Ok(Dispatch::Create { entry, input, ttl })
        }
    }
}

/// `params.task.ttl` in milliseconds.
fn task_ttl(task: &Json) -> Result<Option<u64>, RpcError> {
    #[derive(serde::Deserialize)]
    struct Task {
        #[serde(default)]
        ttl: Option<f64>,
    }
    let invalid = |message: &str| RpcError::new(ErrorKind::InvalidParams, message);
    if !task.as_str().starts_with('{') {
        return Err(invalid("params.task must be an object"));
    }
    let task: Task =
        serde_json::from_str(task.as_str()).map_err(|_| invalid("params.task.ttl must be a number"))?;
    match task.ttl {
        None => Ok(None),
        // Beyond what a u64 holds it is for ever.
        Some(ttl) if ttl >= 0.0 => Ok(Some(ttl as u64)),
        Some(_) => Err(invalid("params.task.ttl must not be negative")),
    }
}

/// Returns true if the client of a modern request supports tasks.
fn has_tasks(request: &Request) -> bool {
    #[derive(serde::Deserialize)]
    struct Capabilities<'a> {
        #[serde(borrow, default)]
        extensions: BTreeMap<std::borrow::Cow<'a, str>, serde::de::IgnoredAny>,
    }
    serde_json::from_str::<Capabilities<'_>>(request.client_capabilities.as_str())
        .is_ok_and(|capabilities| capabilities.extensions.contains_key(methods::TASKS))
}

pub(super) fn require_tasks(request: &Request) -> Result<(), RpcError> {
    if has_tasks(request) { Ok(()) } else { Err(missing_tasks()) }
}

fn missing_tasks() -> RpcError {
    let required = json!({"requiredCapabilities": {"extensions": {methods::TASKS: {}}}});
    RpcError::new(ErrorKind::MissingCapability, "Missing required client capability").with_data(required)
}

pub(super) fn read_resource<H>(state: &State<H>, request: &Request) -> Result<Dispatch<H>, RpcError> {
    let (entry, params) = find_resource(state, &request.name, &request.access, &mut Steps::new())?;
    if let Some(forbidden) = entry.forbids(request) {
        return Ok(forbidden);
    }
    Ok(Dispatch::Run { entry: entry.clone(), input: Input::Resource { uri: request.name.clone(), params } })
}

/// The resource or template of a URI, with the template's variables.
pub(super) type Found<'s, H> = (&'s Arc<Entry<H>>, Vec<(String, String)>);

/// Finds a resource within the remaining steps of the request; otherwise [`ErrorKind::ResourceNotFound`].
pub(super) fn find_resource<'s, H>(
    state: &'s State<H>,
    uri: &str,
    access: &Access,
    steps: &mut Steps,
) -> Result<Found<'s, H>, RpcError> {
    if let Some(entry) = state.get(Item::Resource, uri).filter(|entry| entry.is_visible(access)) {
        return Ok((entry, Vec::new()));
    }
    check_uri("params.uri", uri).map_err(|why| RpcError::new(ErrorKind::InvalidParams, why))?;
    let canonical = template::canonical(uri);
    if let Some(entry) = state.equivalent(&canonical, access) {
        return Ok((entry, Vec::new()));
    }
    let templates = state.entries.get(&Item::ResourceTemplate);
    for reading in [Reading::Exact, Reading::Lenient] {
        let mut entries =
            templates.into_iter().flat_map(Shelf::entries).filter(|entry| entry.is_visible(access));
        let matched = entries.find_map(|entry| {
            let params = entry.template.as_ref()?.matches(&canonical, reading, steps)?;
            Some((entry, params))
        });
        if let Some(found) = matched {
            return Ok(found);
        }
    }
    if steps.are_spent() {
        let message = format!("params.uri: too many templates could be meant by {}", shown(uri));
        return Err(RpcError::new(ErrorKind::InvalidParams, message));
    }
    Err(RpcError::new(ErrorKind::ResourceNotFound, format!("Resource not found: {}", shown(uri)))
        .with_data(json!({ "uri": uri })))
}

pub(super) fn get_prompt<H>(state: &State<H>, request: &Request) -> Result<Dispatch<H>, RpcError> {
    let invalid = |message: String| RpcError::new(ErrorKind::InvalidParams, message);
    let entry = state
        .seen(Item::Prompt, &request.name, &request.access)
        .ok_or_else(|| invalid(format!("Unknown prompt: {}", shown(&request.name))))?;
    if let Some(forbidden) = entry.forbids(request) {
        return Ok(forbidden);
    }
    let arguments: Map<String, Value> = serde_json::from_str(request.arguments.as_str())
        .map_err(|_| invalid("params.arguments is not valid JSON".into()))?;
    if let Some(name) = entry.required_arguments.iter().find(|name| !arguments.contains_key(*name)) {
        return Err(invalid(format!("params.arguments.{name} is required")));
    }
    if let Some((name, _)) = arguments.iter().find(|(_, value)| !value.is_string()) {
        return Err(invalid(format!("params.arguments.{} must be a string", shown(name))));
    }
    Ok(Dispatch::Run { entry: entry.clone(), input: Input::Prompt(request.arguments.clone()) })
}

pub(super) fn complete<H>(state: &State<H>, request: &Request) -> Result<Dispatch<H>, RpcError> {
    let invalid = |message: &str| RpcError::new(ErrorKind::InvalidParams, message);
    let reference: Value =
        serde_json::from_str(request.reference.as_str()).map_err(|_| invalid("params.ref is required"))?;
    if let Some(uri) = reference.get("uri").and_then(Value::as_str) {
        check_uri("params.ref.uri", uri).map_err(|why| invalid(&why))?;
    }
    let key = completion_key(&reference).ok_or_else(|| invalid("params.ref is not valid"))?;
    let argument: Value = serde_json::from_str(request.argument.as_str())
        .map_err(|_| invalid("params.argument is required"))?;
    if !["name", "value"].iter().all(|member| argument.get(member).is_some_and(Value::is_string)) {
        return Err(invalid("params.argument needs a name and a value"));
    }
    if !request.context.is_empty() {
        let context: Map<String, Value> = serde_json::from_str(request.context.as_str())
            .map_err(|_| invalid("params.context must be an object"))?;
        if !matches!(context.get("arguments"), None | Some(Value::Null | Value::Object(_))) {
            return Err(invalid("params.context.arguments must be an object"));
        }
    }
    // What completes a prompt or a template is for those that it is for.
    let completed = key.split_once(' ').and_then(|(kind, name)| {
        let item = if kind == "prompt" { Item::Prompt } else { Item::ResourceTemplate };
        state.get(item, name)
    });
    let hidden = completed.is_some_and(|entry| !entry.is_visible(&request.access));
    let entry = state.seen(Item::Completion, &key, &request.access).filter(|_| !hidden);
    let forbidden = entry.and_then(|_| completed.and_then(|entry| entry.forbids(request)));
    if let Some(forbidden) = forbidden.or_else(|| entry.and_then(|entry| entry.forbids(request))) {
        return Ok(forbidden);
    }
    match entry {
        Some(entry) => Ok(Dispatch::Run {
            entry: entry.clone(),
            input: Input::Completion { argument: request.argument.clone(), context: request.context.clone() },
        }),
        None => Err(invalid("params.ref: nothing completes this")),
    }
}

/// A peer's text in an error message: its beginning.
fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}
