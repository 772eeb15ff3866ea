//! The tools, resources, prompts and completions of a server, and the dispatch of requests to their handlers.
//! Requests read an immutable snapshot; registration makes a new one.

mod lists;
mod members;
mod requests;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::auth::resource::{Access, Visibility};
use crate::error::{ErrorKind, RpcError};
use crate::header::{ParamHeader, param_headers};
use crate::json::Json;
use crate::methods::{self, Role};
use crate::outcome::Outcome;
use crate::revision::{Era, Revision};
use crate::tasks::{TaskBehaviour, TaskRequest, TaskSupport};
use serde_json::{Map, Value, json};

use self::members::check_members;
use self::requests::{call_tool, complete, find_resource, get_prompt, read_resource, require_tasks};
use self::shelf::Shelf;
use super::post::Headers;
use super::schema::{Schema, name_object_type};
use super::template::{Steps, Template};
use super::{Filter, Notice, Question, Request, Settings, Stamp};

/// Kinds of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// `Tool`
    Tool,
    /// `Resource`
    Resource,
    /// `ResourceTemplate`
    ResourceTemplate,
    /// `Prompt`
    Prompt,
    /// `{ref}`: completions of a prompt's or a template's arguments.
    Completion,
}

impl Item {
    /// The item of that name.
    pub fn parse(name: &str) -> Option<Item> {
        Some(match name {
            "tool" => Item::Tool,
            "resource" => Item::Resource,
            "resource_template" => Item::ResourceTemplate,
            "prompt" => Item::Prompt,
            "completion" => Item::Completion,
            _ => return None,
        })
    }

    /// The notification when an item of this kind is added or removed.
    pub fn notice(self) -> Option<Notice> {
        match self {
            Item::Tool => Some(Notice::Tools),
            Item::Resource | Item::ResourceTemplate => Some(Notice::Resources),
            Item::Prompt => Some(Notice::Prompts),
            Item::Completion => None,
        }
    }

    /// The member of its definition that identifies an item.
    fn key(self) -> &'static str {
        match self {
            Item::Tool | Item::Prompt => "name",
            Item::Resource => "uri",
            Item::ResourceTemplate => "uriTemplate",
            Item::Completion => "ref",
        }
    }
}

/// A registration that is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// Input of a handler.
#[derive(Debug)]
pub enum Input {
    /// The arguments of a tool, checked against its schema.
    Tool(Json),
    /// A resource to read.
    Resource {
        /// The URI asked for.
        uri: String,
        /// The template's variables, decoded, in the order of the template.
        params: Vec<(String, String)>,
    },
    /// The arguments of a prompt.
    Prompt(Json),
    /// A request about tasks: the engine answers.
    Tasks(TaskRequest),
    /// An argument to complete.
    Completion {
        /// `{name, value}`
        argument: Json,
        /// `{arguments: {…}}`, or empty.
        context: Json,
    },
}

/// Result of dispatching a request.
pub enum Dispatch<H> {
    /// The engine answers.
    Answer(Outcome),
    /// It stays open as a stream of notices: see [`Exchange::listen`](super::Exchange::listen).
    Listen(Filter),
    /// The call becomes a task, which a handler works on.
    Create {
        /// The entry it is registered with.
        entry: Arc<Entry<H>>,
        /// Input of the handler.
        input: Input,
        /// The retention time that the client requests for the task, in milliseconds.
        ttl: Option<u64>,
    },
    /// The client asks something of tasks.
    Tasks(TaskRequest),
    /// It takes these scopes, which the caller does not have all of.
    Forbid(Vec<String>),
    /// A handler does.
    Run {
        /// The entry it is registered with.
        entry: Arc<Entry<H>>,
        /// Input of the handler.
        input: Input,
    },
}

/// One registered thing.
#[derive(Debug)]
pub struct Entry<H> {
    /// The handler.
    pub handler: H,
    /// Time limit of a call.
    pub timeout: Option<Duration>,
    /// Questions that are asked before the handler runs.
    pub asks: Vec<Question>,
    /// Task behavior of the calls.
    pub task: TaskBehaviour,
    scopes: Vec<String>,
    visible_to: Option<Visibility>,
    definition: String,
    /// The definition for 2025-11-25, if it differs: there, a tool declares its task support.
    task_definition: Option<String>,
    /// The definition for revisions without structured results, where it differs.
    plain_definition: Option<String>,
    /// Its structured results may be no objects, which the legacy era does not have.
    modern_output: bool,
    mime_type: Option<String>,
    input: Option<Schema>,
    pub(crate) output: Option<Arc<Schema>>,
    headers: Vec<ParamHeader>,
    required_arguments: Vec<String>,
    template: Option<Template>,
}

impl<H> Entry<H> {
    /// The MIME type it was registered with.
    pub fn mime_type(&self) -> Option<&str> {
        self.mime_type.as_deref()
    }

    /// An entry for requests that belong to no item.
    pub fn internal(handler: H) -> Entry<H> {
        Entry {
            handler,
            timeout: None,
            asks: Vec::new(),
            task: TaskBehaviour::default(),
            scopes: Vec::new(),
            visible_to: None,
            definition: String::new(),
            task_definition: None,
            plain_definition: None,
            modern_output: false,
            mime_type: None,
            input: None,
            output: None,
            headers: Vec::new(),
            required_arguments: Vec::new(),
            template: None,
        }
    }

    /// Returns true if the item's answers, or its presence, depend on the caller.
    pub fn is_restricted(&self) -> bool {
        !self.scopes.is_empty() || self.visible_to.is_some()
    }

    fn is_visible(&self, access: &Access) -> bool {
        self.visible_to.as_ref().is_none_or(|visible_to| visible_to.fits(access))
    }

    fn definition(&self, (modern, structured, tasks): Dress) -> &str {
        let shows_output = structured && (modern || !self.modern_output);
        let plain = self.plain_definition.as_deref().filter(|_| !shows_output);
        let task = self.task_definition.as_deref().filter(|_| tasks);
        task.or(plain).unwrap_or(&self.definition)
    }
}

/// Options of an item's calls.
#[derive(Debug, Default)]
pub struct Behaviour {
    /// Time limit of a call.
    pub timeout: Option<Duration>,
    /// Questions that are asked before the handler runs.
    pub asks: Vec<Question>,
    /// Task behavior of the calls.
    pub task: TaskBehaviour,
    /// The scopes that a caller needs.
    pub scopes: Vec<String>,
    /// The callers that see the item; for others it does not exist. `None`: all callers.
    pub visible_to: Option<Visibility>,
}

/// Options of a server that shape its answers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Members of every result.
    pub stamp: Stamp,
    /// Instructions for the model on the use of the server.
    pub instructions: Option<String>,
    /// Entries per page of a list.
    pub page_size: usize,
}

/// The items that a server offers. `H` is the handler of an entry; the catalog only stores it.
pub struct Catalog<H> {
    settings: Settings,
    offer: Offer,
    state: RwLock<Arc<State<H>>>,
}

/// Something to be registered: see [`Catalog::add_all`].
pub struct New<'d, H> {
    /// Kind of the item.
    pub item: Item,
    /// The protocol's object for it, as JSON.
    pub definition: std::borrow::Cow<'d, str>,
    /// Options of its calls.
    pub behaviour: Behaviour,
    /// The handler.
    pub handler: H,
}

/// One entry that is ready to be registered.
struct Prepared<H> {
    item: Item,
    key: String,
    entry: Entry<H>,
}

struct State<H> {
    entries: BTreeMap<Item, Shelf<H>>,
    /// Kinds that are declared to clients: those of every item that was ever registered. A client that knows
    /// of tools requests their list after a change, and an empty list is an answer (2026-07-28, tools,
    /// "Capabilities").
    declared: BTreeSet<Item>,
    /// True if any tool has or had tasks: clients can still ask about calls of removed tools.
    has_tasks: bool,
    /// First pages, written once for each list and era.
    pages: Mutex<BTreeMap<(Item, Dress), Json>>,
}

impl<H> Clone for State<H> {
    fn clone(&self) -> Self {
        State {
            entries: self.entries.clone(),
            declared: self.declared.clone(),
            has_tasks: self.has_tasks,
            pages: Mutex::default(),
        }
    }
}

/// Distinguishes the page variants of the revisions: the era, structured results, and the task support in
/// tools.
type Dress = (bool, bool, bool);

impl<H> Catalog<H> {
    /// An empty one.
    pub fn new(settings: Settings, offer: Offer) -> Catalog<H> {
        let state = State {
            entries: BTreeMap::new(),
            declared: BTreeSet::new(),
            has_tasks: false,
            pages: Mutex::default(),
        };
        Catalog { settings, offer, state: RwLock::new(Arc::new(state)) }
    }

    /// Members of every result.
    pub fn stamp(&self) -> &Stamp {
        &self.offer.stamp
    }

    /// Settings of the server.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Entries per page of a list.
    pub fn page_size(&self) -> usize {
        self.offer.page_size
    }

    /// Returns true if any tool has tasks, or had them while it was offered.
    pub fn has_tasks(&self) -> bool {
        self.snapshot().has_tasks
    }

    /// The entry of a tool.
    pub fn tool(&self, name: &str) -> Option<Arc<Entry<H>>> {
        self.snapshot().get(Item::Tool, name).cloned()
    }

    /// Registers an item. The definition is the protocol's object; an invalid one is an error here, before a
    /// client receives it.
    pub fn add(&self, item: Item, definition: &str, behaviour: Behaviour, handler: H) -> Result<(), Invalid> {
        self.add_all([New { item, definition: definition.into(), behaviour, handler }])
    }

    /// Registers several items: all of them, or none if one is refused.
    pub fn add_all<'d>(&self, items: impl IntoIterator<Item = New<'d, H>>) -> Result<(), Invalid>
    where
        H: 'd,
    {
        let mut prepared = Vec::new();
        for New { item, definition, behaviour, handler } in items {
            prepared.push(prepare(item, &definition, behaviour, handler)?);
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut keys = BTreeSet::new();
        for Prepared { item, key, .. } in &prepared {
            if state.get(*item, key).is_some() || !keys.insert((*item, key.as_str())) {
                return Err(Invalid(format!("{key:?} is registered already")));
            }
        }
        let state = edited(&mut state);
        for Prepared { item, key, entry } in prepared {
            state.declared.insert(item);
            state.has_tasks |= entry.task.support != TaskSupport::Never;
            state.entries.entry(item).or_default().insert(item, key, entry);
        }
        Ok(())
    }

    /// Take something off. False: it was not there.
    pub fn remove(&self, item: Item, key: &str) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.get(item, key).is_none() {
            return false;
        }
        edited(&mut state).entries.get_mut(&item).is_some_and(|shelf| shelf.remove(key))
    }

    fn snapshot(&self) -> Arc<State<H>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns true if a caller may receive a change now, whatever it could see when it subscribed.
    pub fn tells(&self, notice: &Notice, access: &Access) -> bool {
        match (notice, access) {
            (Notice::Resource(uri), Access::Anybody | Access::Known(_)) => self.snapshot().tells(uri, access),
            // Who is local sees everything.
            _ => true,
        }
    }

    /// Finds the handler of a request. `headers`: those of its POST, if it came in one.
    pub fn dispatch(&self, request: &Request, headers: Option<&dyn Headers>) -> Dispatch<H> {
        let state = self.snapshot();
        match self.find(&state, request, headers) {
            Ok(dispatch) => dispatch,
            Err(error) => Dispatch::Answer(Outcome::Error(error)),
        }
    }

    fn find(
        &self,
        state: &State<H>,
        request: &Request,
        headers: Option<&dyn Headers>,
    ) -> Result<Dispatch<H>, RpcError> {
        let era = request.revision.era();
        if request.method.extension.is_some() || request.method.capability == Some("tasks") {
            state.check_tasks(request)?;
        } else if let Some(capability) = request.method.capability
            && !state.declares(capability)
        {
            let message = format!("Method not found: the server declares no {capability}");
            return Err(RpcError::new(ErrorKind::MethodNotFound, message));
        }
        let answer = |text: String| Ok(Dispatch::Answer(Outcome::Prepared(Json::from(text))));
        match request.method.role {
            Role::Ping | Role::SetLogLevel => Ok(Dispatch::Answer(Outcome::Result("{}".into()))),
            Role::Initialize => {
                let mut result = json!({
                    "protocolVersion": request.revision.as_str(),
                    "capabilities": state.capabilities(request.revision),
                });
                if let Some(instructions) = &self.offer.instructions {
                    result["instructions"] = json!(instructions);
                }
                result["serverInfo"] =
                    serde_json::from_str(self.offer.stamp.server_info()).unwrap_or_default();
                answer(result.to_string())
            }
            Role::Discover => {
                let mut members = format!(
                    "\"supportedVersions\":{},\"capabilities\":{}",
                    json!(self.settings.supported()),
                    Value::Object(state.capabilities(request.revision)),
                );
                if let Some(instructions) = &self.offer.instructions {
                    members.push_str(&format!(",\"instructions\":{}", json!(instructions)));
                }
                answer(self.offer.stamp.result(era, true, &members))
            }
            Role::ListTools => self.list(state, Item::Tool, request),
            Role::ListResources => self.list(state, Item::Resource, request),
            Role::ListResourceTemplates => self.list(state, Item::ResourceTemplate, request),
            Role::ListPrompts => self.list(state, Item::Prompt, request),
            Role::CallTool => call_tool(state, request, headers),
            Role::ReadResource => read_resource(state, request),
            Role::GetPrompt => get_prompt(state, request),
            Role::Complete => complete(state, request),
            // Nothing can be told of what is not there.
            Role::Subscribe => {
                let (entry, _) = find_resource(state, &request.name, &request.access, &mut Steps::new())?;
                Ok(entry.forbids(request).unwrap_or_else(|| Dispatch::Answer(Outcome::Result("{}".into()))))
            }
            Role::Unsubscribe => Ok(Dispatch::Answer(Outcome::Result("{}".into()))),
            Role::Listen => {
                let filter = request.filter.clone().unwrap_or_default();
                if filter.tasks().next().is_some() {
                    require_tasks(request)?;
                }
                let granted = filter.granted(&state.capabilities(request.revision));
                Ok(Dispatch::Listen(state.watching(granted, request)))
            }
            Role::GetTask => Ok(Dispatch::Tasks(TaskRequest::Get { id: request.name.clone() })),
            Role::CancelTask => Ok(Dispatch::Tasks(TaskRequest::Cancel { id: request.name.clone() })),
            Role::TaskResult => Ok(Dispatch::Tasks(TaskRequest::Result { id: request.name.clone() })),
            Role::ListTasks => Ok(Dispatch::Tasks(TaskRequest::List { cursor: request.cursor.clone() })),
            Role::UpdateTask => {
                let responses = request.input_responses.clone();
                if !responses.as_str().starts_with('{') {
                    let message = "params.inputResponses must be an object";
                    return Err(RpcError::new(ErrorKind::InvalidParams, message));
                }
                Ok(Dispatch::Tasks(TaskRequest::Update { id: request.name.clone(), responses }))
            }
            _ => Err(RpcError::new(ErrorKind::MethodNotFound, "Method not found")),
        }
    }
}

impl<H> Entry<H> {
    /// The dispatch of a request whose caller lacks a scope.
    fn forbids(&self, request: &Request) -> Option<Dispatch<H>> {
        (!request.access.may(&self.scopes)).then(|| Dispatch::Forbid(self.scopes.clone()))
    }
}

impl<H> State<H> {
    fn get(&self, item: Item, key: &str) -> Option<&Arc<Entry<H>>> {
        self.entries.get(&item).and_then(|shelf| shelf.get(key))
    }

    /// The resource of an equivalent URI, if the caller sees it.
    fn equivalent(&self, canonical: &str, access: &Access) -> Option<&Arc<Entry<H>>> {
        let shelf = self.entries.get(&Item::Resource)?;
        shelf.equivalent(canonical).find(|entry| entry.is_visible(access))
    }

    /// The entry of a key, if the caller sees it.
    fn seen(&self, item: Item, key: &str, access: &Access) -> Option<&Arc<Entry<H>>> {
        self.get(item, key).filter(|entry| entry.is_visible(access))
    }

    /// Reduces a filter to the items that the caller sees.
    fn watching(&self, filter: Filter, request: &Request) -> Filter {
        let access = &request.access;
        if !self.restricts_resources() {
            return filter;
        }
        let mut steps = Steps::new();
        filter.watching(|uri| match find_resource(self, uri, access, &mut steps) {
            Ok((entry, _)) => access.may(&entry.scopes),
            // What is not there yet may come. So might what is hidden: nothing is told of it, nor that it is there.
            Err(error) => error.kind() == ErrorKind::ResourceNotFound,
        })
    }

    /// Returns true if a caller may now receive changes of the resource at this URI.
    fn tells(&self, uri: &str, access: &Access) -> bool {
        if !self.restricts_resources() {
            return true;
        }
        let mut steps = Steps::new();
        match find_resource(self, uri, access, &mut steps) {
            Ok((entry, _)) => access.may(&entry.scopes),
            // What nobody sees hides nothing.
            Err(error) => {
                error.kind() == ErrorKind::ResourceNotFound
                    && find_resource(self, uri, &Access::Local, &mut steps)
                        .is_err_and(|error| error.kind() == ErrorKind::ResourceNotFound)
            }
        }
    }

    fn restricts_resources(&self) -> bool {
        let shelves = [Item::Resource, Item::ResourceTemplate];
        shelves.iter().any(|item| self.entries.get(item).is_some_and(|shelf| shelf.restricted > 0))
    }

    fn dress(&self, revision: Revision) -> Dress {
        let structured = revision >= Revision::V2025_06_18;
        let tasks = self.has_tasks && revision == Revision::V2025_11_25;
        (revision.era() == Era::Modern, structured, tasks)
    }

    /// Returns true if a capability that does not depend on the revision is declared.
    fn declares(&self, capability: &str) -> bool {
        let has = |item: Item| self.declared.contains(&item);
        match capability {
            "tools" => has(Item::Tool),
            "resources" => has(Item::Resource) || has(Item::ResourceTemplate),
            "prompts" => has(Item::Prompt),
            "completions" => has(Item::Completion),
            "logging" => true,
            _ => false,
        }
    }

    fn capabilities(&self, revision: Revision) -> Map<String, Value> {
        let mut capabilities = Map::new();
        let mut declare = |name: &str, there: bool, how: Value| {
            if there {
                capabilities.insert(name.to_owned(), how);
            }
        };
        declare("tools", self.declares("tools"), json!({"listChanged": true}));
        let watched = json!({"subscribe": true, "listChanged": true});
        declare("resources", self.declares("resources"), watched);
        declare("prompts", self.declares("prompts"), json!({"listChanged": true}));
        declare("completions", self.declares("completions"), json!({}));
        declare("logging", self.declares("logging"), json!({}));
        let tasks = json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}});
        declare("tasks", self.has_tasks && revision == Revision::V2025_11_25, tasks);
        let extensions = json!({methods::TASKS: {}});
        declare("extensions", self.has_tasks && revision.era() == Era::Modern, extensions);
        capabilities
    }

    /// Checks that both sides support tasks, as a request about tasks requires.
    fn check_tasks(&self, request: &Request) -> Result<(), RpcError> {
        if !self.has_tasks {
            let message = "Method not found: no tool of the server has tasks";
            return Err(RpcError::new(ErrorKind::MethodNotFound, message));
        }
        match request.revision.era() {
            Era::Modern => require_tasks(request),
            Era::Legacy => Ok(()),
        }
    }
}

/// Checks a definition and compiles the parts that requests need.
fn prepare<H>(
    item: Item,
    definition: &str,
    behaviour: Behaviour,
    handler: H,
) -> Result<Prepared<H>, Invalid> {
    let value: Value = serde_json::from_str(definition)
        .map_err(|error| Invalid(format!("the definition is not valid JSON: {error}")))?;
    let Value::Object(mut members) = value else {
        return Err(Invalid("the definition must be a JSON object".into()));
    };
    check_members(item, &members)?;
    let key = key_of(item, &members)?;
    let Behaviour { timeout, asks, task, scopes, visible_to } = behaviour;
    let scopes =
        crate::auth::scope::union(&[], scopes).map_err(|error| Invalid(format!("scopes: {error}")))?;
    if !asks.is_empty() && item == Item::Completion {
        return Err(Invalid("completions cannot ask anything".into()));
    }
    if task.support != TaskSupport::Never && item != Item::Tool {
        return Err(Invalid("only calls of tools become tasks".into()));
    }
    if task.support == TaskSupport::Never && task != TaskBehaviour::default() {
        return Err(Invalid(format!("{key:?} has options for tasks, and its calls never become any")));
    }
    if task.concurrency == Some(0) {
        return Err(Invalid(format!("{key:?}: at least one task must be worked on")));
    }
    let mut entry = Entry::internal(handler);
    (entry.timeout, entry.asks, entry.task) = (timeout, asks, task);
    (entry.scopes, entry.visible_to) = (scopes, visible_to);
    entry.mime_type = members.get("mimeType").and_then(Value::as_str).map(str::to_owned);
    match item {
        Item::Tool => prepare_tool(&key, &mut members, &mut entry)?,
        Item::Prompt => {
            entry.required_arguments = members
                .get("arguments")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter(|argument| argument.get("required").and_then(Value::as_bool) == Some(true))
                .filter_map(|argument| argument.get("name").and_then(Value::as_str).map(str::to_owned))
                .collect();
        }
        Item::ResourceTemplate => entry.template = Some(Template::parse(&key)?),
        Item::Resource | Item::Completion => {}
    }
    if matches!(item, Item::Resource | Item::ResourceTemplate) && !members.contains_key("name") {
        members.insert("name".into(), Value::from(key.clone()));
    }
    if item == Item::Tool {
        // What it would say comes from how it is registered.
        members.shift_remove("execution");
    }
    if let Some(output) = members.get("outputSchema").filter(|_| item == Item::Tool) {
        // The schemas of 2025-06-18 and 2025-11-25 refuse a whole page for one tool whose schema has another root.
        entry.modern_output = output.get("type") != Some(&json!("object"));
        // A client that sees the schema wants the result that fits it.
        let mut plain = members.clone();
        plain.shift_remove("outputSchema");
        entry.plain_definition = Some(Value::Object(plain).to_string());
    }
    if task.support != TaskSupport::Never {
        let mut members = members.clone();
        if entry.modern_output {
            members.shift_remove("outputSchema");
        }
        members.insert("execution".into(), json!({"taskSupport": task.support.wire()}));
        entry.task_definition = Some(Value::Object(members).to_string());
    }
    entry.definition = Value::Object(members).to_string();

    Ok(Prepared { item, key, entry })
}

/// The state for a change. Requests that read it keep their snapshot; without such requests it is changed in
/// place.
fn edited<H>(state: &mut Arc<State<H>>) -> &mut State<H> {
    let state = Arc::make_mut(state);
    *state.pages.get_mut().unwrap_or_else(PoisonError::into_inner) = BTreeMap::new();
    state
}

fn key_of(item: Item, members: &Map<String, Value>) -> Result<String, Invalid> {
    let missing = || Invalid(format!("the definition needs a {:?}", item.key()));
    match (item, members.get(item.key())) {
        (Item::Completion, Some(reference)) => completion_key(reference).ok_or_else(missing),
        (_, Some(Value::String(key))) if !key.is_empty() => Ok(key.clone()),
        _ => Err(missing()),
    }
}

/// One key for the two forms of a completion's `ref`.
fn completion_key(reference: &Value) -> Option<String> {
    let text = |key: &str| reference.get(key).and_then(Value::as_str);
    match text("type")? {
        "ref/prompt" => Some(format!("prompt {}", text("name")?)),
        "ref/resource" => Some(format!("resource {}", text("uri")?)),
        _ => None,
    }
}

/// Maximum length of a tool name, whose characters are limited too (2025-11-25, tools, "Tool Names").
const MAX_TOOL_NAME: usize = 128;

fn prepare_tool<H>(
    name: &str,
    members: &mut Map<String, Value>,
    entry: &mut Entry<H>,
) -> Result<(), Invalid> {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.len() > MAX_TOOL_NAME || !name.bytes().all(fit) {
        let message =
            format!("tool name {name:?}: 1 to {MAX_TOOL_NAME} letters, digits, '_', '-' and '.' only");
        return Err(Invalid(message));
    }
    let schema = members.entry("inputSchema").or_insert_with(|| json!({"type": "object"}));
    name_object_type(schema);
    if schema.get("type") != Some(&json!("object")) {
        let message = "inputSchema must have \"type\": \"object\", or branches that all describe objects";
        return Err(Invalid(format!("tool {name:?}: {message}")));
    }
    entry.headers = param_headers(schema).map_err(|why| Invalid(format!("tool {name:?}: {why}")))?;
    entry.input = Some(Schema::compile(schema, &format!("tool {name:?}: inputSchema"))?);
    if let Some(schema) = members.get_mut("outputSchema") {
        name_object_type(schema);
        entry.output = Some(Arc::new(Schema::compile(schema, &format!("tool {name:?}: outputSchema"))?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog<()> {
        let stamp = Stamp::new(r#"{"name":"s","version":"1"}"#, 0, "private");
        Catalog::new(Settings::default(), Offer { stamp, instructions: None, page_size: 10 })
    }

    fn tool(name: &str) -> New<'_, ()> {
        let definition = format!("{{\"name\":\"{name}\"}}").into();
        New { item: Item::Tool, definition, behaviour: Behaviour::default(), handler: () }
    }

    #[test]
    fn registration_copies_nothing_unless_a_request_looks_at_it() {
        let catalog = catalog();
        let place = || Arc::as_ptr(&catalog.snapshot());
        let before = place();
        for n in 0..100 {
            catalog.add_all([tool(&format!("t{n}"))]).expect("valid");
        }
        assert!(catalog.remove(Item::Tool, "t7"));
        assert_eq!(place(), before);

        let seen = catalog.snapshot();
        catalog.add_all([tool("more")]).expect("valid");
        assert!(seen.get(Item::Tool, "more").is_none(), "a request sees one state");
        assert!(catalog.tool("more").is_some());
    }

    #[test]
    fn several_items_are_registered_together_or_not_at_all() {
        let catalog = catalog();
        catalog.add_all([tool("a")]).expect("valid");
        for (second, why) in [
            (tool("a"), "\"a\" is registered already"),
            (tool("b"), "\"b\" is registered already"),
            (tool("b c"), "tool name \"b c\": 1 to 128 letters, digits, '_', '-' and '.' only"),
        ] {
            assert_eq!(catalog.add_all([tool("b"), second]), Err(Invalid(why.into())));
            assert!(catalog.tool("b").is_none());
        }
        catalog.add_all([tool("b"), tool("c")]).expect("valid");
        assert!(catalog.tool("b").is_some() && catalog.tool("c").is_some());
    }
}
