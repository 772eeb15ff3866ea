//! Items of a server, and the builders of their definitions.

use std::sync::Arc;
use std::time::Duration;

use schemars::Schema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use trunnion_engine::server::call::Handler;
use trunnion_proto::auth::resource::Visibility;
use trunnion_proto::model;
use trunnion_proto::server::catalog::Item as Kind;
use trunnion_proto::tasks::{TaskBehaviour, TaskSupport};

use super::States;
use super::asking::Ask;
use super::handler::{Blocking, BlockingFn, HandlerFn, ParametersFn, Recipe};
use super::respond::{ForCompletion, ForPrompt, ForResource, ForTool};

type Bind = Box<dyn FnOnce(Arc<States>) -> Result<Arc<dyn Handler>, String> + Send>;

/// Anything [`Server::add`](super::Server::add) takes: a [`Tool`], [`Resource`], [`ResourceTemplate`],
/// [`Prompt`] or [`Completion`].
pub struct Item {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) definition: String,
    pub(super) offered: Offered,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("definition", &self.definition).finish_non_exhaustive()
    }
}

impl Item {
    fn new(kind: Kind, name: String, definition: &impl Serialize, offered: Offered) -> Item {
        let definition = serde_json::to_string(definition).expect("a definition is always JSON");
        Item { kind, name, definition, offered }
    }
}

/// The settings that every kind of item has besides its definition.
pub(super) struct Offered {
    pub timeout: Option<Duration>,
    pub asks: Vec<(String, Ask)>,
    pub task: TaskBehaviour,
    pub scopes: Vec<String>,
    pub visible_to: Option<Visibility>,
    pub bind: Bind,
}

impl Offered {
    fn new<K: 'static, M: 'static>(handler: impl HandlerFn<K, M>) -> Offered {
        Offered {
            timeout: None,
            asks: Vec::new(),
            task: TaskBehaviour::default(),
            scopes: Vec::new(),
            visible_to: None,
            bind: Box::new(|states| Recipe::bind(handler, states)),
        }
    }
}

/// The methods that every kind of item has.
macro_rules! offering {
    ($kind:ident) => {
        impl $kind {
            /// Scopes that a caller's token needs, all of them; else it is refused with 403 and told which,
            /// before the handler runs. Standard streams and clients of the same process need none; over
            /// HTTP, a server without [`auth`](super::ServerBuilder::auth) refuses everybody.
            pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
                self.offered.scopes = scopes.into_iter().map(Into::into).collect();
                self
            }

            /// Sets the callers to which the item is visible. For others it does not exist, neither in lists
            /// nor in requests. Lists with such items are for no shared cache, whatever
            /// [`cache`](super::ServerBuilder::cache) states.
            pub fn visible_to(mut self, visible_to: Visibility) -> Self {
                self.offered.visible_to = Some(visible_to);
                self
            }

            /// Sets the time limit of a call; after it the caller gets an error and the handler is dropped.
            /// Default: no limit.
            pub fn timeout(mut self, limit: Duration) -> Self {
                self.offered.timeout = Some(limit);
                self
            }
        }
    };
}

/// The methods of those that are described.
macro_rules! describing {
    ($kind:ident, $definition:ty) => {
        offering!($kind);

        impl $kind {
            /// Sets the description, for people and models.
            pub fn description(mut self, text: impl Into<String>) -> Self {
                self.definition.description = Some(text.into());
                self
            }

            /// Its name for people.
            pub fn title(mut self, text: impl Into<String>) -> Self {
                self.definition.title = Some(text.into());
                self
            }

            /// Everything else of its definition.
            pub fn with(mut self, change: impl FnOnce(&mut $definition)) -> Self {
                change(&mut self.definition);
                self
            }

            /// Asks the client this before the handler runs, which then finds the answer under the key in
            /// [`Context::answers`](super::Context::answers). A handler whose questions are all asked so runs
            /// once.
            pub fn asks(mut self, key: impl Into<String>, ask: Ask) -> Self {
                self.offered.asks.push((key.into(), ask));
                self
            }
        }

        impl std::fmt::Debug for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($kind)).field(&self.definition).finish()
            }
        }
    };
}

/// A tool.
#[must_use = "a tool must be given to a server"]
pub struct Tool {
    definition: model::Tool,
    offered: Offered,
}

describing!(Tool, model::Tool);

impl Tool {
    /// A tool answered by an async function. Its input schema is that of its [`Args`](super::Args), its
    /// output schema that of the [`Json`](super::Json) it returns. It runs in its connection's task, so it
    /// must not block.
    pub fn new<M: 'static>(
        name: impl Into<String>,
        handler: impl ParametersFn<M> + HandlerFn<ForTool, M>,
    ) -> Tool {
        Tool::of(name.into(), handler)
    }

    /// A tool answered by a function that may block: it gets a thread of its own, from tokio's pool. When its
    /// caller leaves it goes on, and can ask [`Context::is_cancelled`](super::Context::is_cancelled).
    pub fn blocking<M: 'static>(
        name: impl Into<String>,
        handler: impl ParametersFn<M> + BlockingFn<ForTool, M>,
    ) -> Tool {
        Tool::of(name.into(), Blocking::new(handler))
    }

    fn of<M: 'static, H: HandlerFn<ForTool, M>>(name: String, handler: H) -> Tool {
        let definition = model::Tool {
            name,
            input_schema: H::arguments().map_or_else(|| json!({"type": "object"}), schema),
            output_schema: H::result().map(schema),
            ..model::Tool::default()
        };
        Tool { definition, offered: Offered::new(handler) }
    }

    /// Uses this JSON Schema (2020-12, `"type": "object"`) for the arguments instead of that of the type.
    pub fn input_schema(mut self, schema: Value) -> Self {
        self.definition.input_schema = schema;
        self
    }

    /// Lets its calls become tasks, which outlive their request: for clients that know of tasks (optional),
    /// or for all, which clients that do not know of tasks then cannot call (required). Nothing else changes
    /// for the handler: its progress is the task's status, and what it asks is asked in the task. Default:
    /// never.
    pub fn task(mut self, support: TaskSupport) -> Self {
        self.offered.task.support = support;
        self
    }

    /// Lets another process, or the same one after a restart, run the handler again when the process that
    /// works on a task dies: with its last [`checkpoint`](super::Context::checkpoint), with the results of
    /// [`once`](super::Context::once), and with the answers it had. Without this such a task fails.
    pub fn resumable(mut self) -> Self {
        self.offered.task.resumable = true;
        self
    }

    /// Sets the lifetime of its tasks, from their creation. Default: that of
    /// [`ServerBuilder::task_ttl`](super::ServerBuilder::task_ttl).
    pub fn task_ttl(mut self, time: Duration) -> Self {
        self.offered.task.ttl = Some(time);
        self
    }

    /// Sets the maximum number of its tasks that one process runs at the same time, at least 1; the others
    /// wait. Default: unlimited.
    pub fn task_concurrency(mut self, tasks: usize) -> Self {
        self.offered.task.concurrency = Some(tasks);
        self
    }

    /// Hints on what it does: whether it only reads, destroys, can be repeated, reaches out into the world.
    pub fn annotations(mut self, annotations: model::ToolAnnotations) -> Self {
        self.definition.annotations = Some(annotations);
        self
    }
}

impl From<Tool> for Item {
    fn from(Tool { definition, offered }: Tool) -> Item {
        Item::new(Kind::Tool, format!("tool {:?}", definition.name), &definition, offered)
    }
}

/// A resource at one URI.
#[must_use = "a resource must be given to a server"]
pub struct Resource {
    definition: model::Resource,
    offered: Offered,
}

describing!(Resource, model::Resource);

impl Resource {
    /// A resource read by an async function. It is named by its URI until [`Resource::name`] says otherwise.
    pub fn new<M: 'static>(
        uri: impl Into<String>,
        handler: impl ParametersFn<M> + HandlerFn<ForResource, M>,
    ) -> Resource {
        Resource::of(uri.into(), handler)
    }

    /// A resource read by a function that may block; see [`Tool::blocking`].
    pub fn blocking<M: 'static>(
        uri: impl Into<String>,
        handler: impl ParametersFn<M> + BlockingFn<ForResource, M>,
    ) -> Resource {
        Resource::of(uri.into(), Blocking::new(handler))
    }

    fn of<M: 'static>(uri: String, handler: impl HandlerFn<ForResource, M>) -> Resource {
        let definition = model::Resource { name: uri.clone(), uri, ..model::Resource::default() };
        Resource { definition, offered: Offered::new(handler) }
    }

    /// Its programmatic name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.definition.name = name.into();
        self
    }

    /// Its media type. Default: by what the handler returns.
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.definition.mime_type = Some(mime_type.into());
        self
    }
}

impl From<Resource> for Item {
    fn from(Resource { definition, offered }: Resource) -> Item {
        Item::new(Kind::Resource, format!("resource {:?}", definition.uri), &definition, offered)
    }
}

/// Resources at all URIs that fit an RFC 6570 template.
#[must_use = "a resource template must be given to a server"]
pub struct ResourceTemplate {
    definition: model::ResourceTemplate,
    offered: Offered,
}

describing!(ResourceTemplate, model::ResourceTemplate);

impl ResourceTemplate {
    /// A template such as `doc://{+path}` read by an async function, which gets the variables as
    /// [`Args`](super::Args), decoded.
    pub fn new<M: 'static>(
        uri_template: impl Into<String>,
        handler: impl ParametersFn<M> + HandlerFn<ForResource, M>,
    ) -> ResourceTemplate {
        ResourceTemplate::of(uri_template.into(), handler)
    }

    /// A template read by a function that may block; see [`Tool::blocking`].
    pub fn blocking<M: 'static>(
        uri_template: impl Into<String>,
        handler: impl ParametersFn<M> + BlockingFn<ForResource, M>,
    ) -> ResourceTemplate {
        ResourceTemplate::of(uri_template.into(), Blocking::new(handler))
    }

    fn of<M: 'static>(uri_template: String, handler: impl HandlerFn<ForResource, M>) -> ResourceTemplate {
        let definition = model::ResourceTemplate {
            name: uri_template.clone(),
            uri_template,
            ..model::ResourceTemplate::default()
        };
        ResourceTemplate { definition, offered: Offered::new(handler) }
    }

    /// Its programmatic name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.definition.name = name.into();
        self
    }

    /// The media type of all resources that fit. Default: by what the handler returns.
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.definition.mime_type = Some(mime_type.into());
        self
    }
}

impl From<ResourceTemplate> for Item {
    fn from(ResourceTemplate { definition, offered }: ResourceTemplate) -> Item {
        let name = format!("resource template {:?}", definition.uri_template);
        Item::new(Kind::ResourceTemplate, name, &definition, offered)
    }
}

/// A prompt.
#[must_use = "a prompt must be given to a server"]
pub struct Prompt {
    definition: model::Prompt,
    offered: Offered,
}

describing!(Prompt, model::Prompt);

impl Prompt {
    /// A prompt filled in by an async function. Its arguments are the fields of its [`Args`](super::Args);
    /// their values are strings.
    pub fn new<M: 'static>(
        name: impl Into<String>,
        handler: impl ParametersFn<M> + HandlerFn<ForPrompt, M>,
    ) -> Prompt {
        Prompt::of(name.into(), handler)
    }

    /// A prompt filled in by a function that may block; see [`Tool::blocking`].
    pub fn blocking<M: 'static>(
        name: impl Into<String>,
        handler: impl ParametersFn<M> + BlockingFn<ForPrompt, M>,
    ) -> Prompt {
        Prompt::of(name.into(), Blocking::new(handler))
    }

    fn of<M: 'static, H: HandlerFn<ForPrompt, M>>(name: String, handler: H) -> Prompt {
        let arguments = H::arguments().map(prompt_arguments);
        let definition = model::Prompt { name, arguments, ..model::Prompt::default() };
        Prompt { definition, offered: Offered::new(handler) }
    }
}

impl From<Prompt> for Item {
    fn from(Prompt { definition, offered }: Prompt) -> Item {
        Item::new(Kind::Prompt, format!("prompt {:?}", definition.name), &definition, offered)
    }
}

/// Completions of the arguments of one prompt or resource template.
#[must_use = "completions must be given to a server"]
pub struct Completion {
    reference: model::CompletionReference,
    offered: Offered,
}

// Besides, completions are only for those that what they complete is for.
offering!(Completion);

impl Completion {
    /// Completions of a prompt's arguments. The handler answers for all of them: [`Partial`](super::Partial)
    /// names the argument.
    pub fn prompt<M: 'static>(
        name: impl Into<String>,
        handler: impl ParametersFn<M> + HandlerFn<ForCompletion, M>,
    ) -> Completion {
        let reference = model::CompletionReference::Prompt { name: name.into() };
        Completion { reference, offered: Offered::new(handler) }
    }

    /// Completions of the variables of a resource template.
    pub fn resource_template<M: 'static>(
        uri_template: impl Into<String>,
        handler: impl ParametersFn<M> + HandlerFn<ForCompletion, M>,
    ) -> Completion {
        let reference = model::CompletionReference::Resource { uri: uri_template.into() };
        Completion { reference, offered: Offered::new(handler) }
    }
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Completion").field(&self.reference).finish()
    }
}

impl From<Completion> for Item {
    fn from(Completion { reference, offered }: Completion) -> Item {
        let name = format!("completion of {reference:?}");
        Item::new(Kind::Completion, name, &json!({"ref": reference}), offered)
    }
}

/// A schema as it is published: the type's name says nothing to a model.
fn schema(schema: Schema) -> Value {
    let mut schema = schema.to_value();
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("title");
        members.entry("type").or_insert_with(|| json!("object"));
    }
    schema
}

fn prompt_arguments(schema: Schema) -> Vec<model::PromptArgument> {
    let schema = schema.to_value();
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    properties
        .iter()
        .map(|(name, property)| model::PromptArgument {
            name: name.clone(),
            description: property.get("description").and_then(Value::as_str).map(str::to_owned),
            required: Some(required.iter().any(|known| known == name)),
            ..model::PromptArgument::default()
        })
        .collect()
}
