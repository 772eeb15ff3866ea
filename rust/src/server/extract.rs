//! Parameters of handlers.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use trunnion_engine::error::Error;
use trunnion_engine::server::auth::Claims;
use trunnion_engine::server::call::{Call, Input};
use trunnion_proto::model::Implementation;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::{Era, Revision};
pub use trunnion_proto::server::LogLevel;
use trunnion_proto::server::{LogEntry, Progress};

use super::States;

/// A parameter of a handler. Implement it for values of your own that every call brings.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a call",
    note = "arguments are taken as `Args<T>`, the server's state as `State<T>`; other types implement `FromCall`"
)]
pub trait FromCall: Sized {
    /// Takes it from a call; the other outcome ends the call before the handler runs.
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome>;

    /// The JSON Schema of the arguments it reads, for parameters that read any.
    fn arguments() -> Option<Schema> {
        None
    }

    /// Checks at registration of the handler that the server can provide the parameter.
    fn check(parts: &Parts<'_>) -> Result<(), String> {
        let _ = parts;
        Ok(())
    }
}

/// The sources of a parameter.
pub struct Parts<'a> {
    pub(super) call: Option<&'a Call>,
    pub(super) input: Option<&'a Input>,
    pub(super) states: &'a States,
}

impl Parts<'_> {
    /// The server's state of that type.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.states.get()
    }

    /// The call's context.
    pub fn context(&self) -> Context {
        Context(self.call().clone())
    }

    fn call(&self) -> &Call {
        self.call.expect("handlers run for a call")
    }

    fn input(&self) -> &Input {
        self.input.expect("handlers run for a call")
    }

    /// An outcome for arguments that do not fit. A model can correct those of a tool when it reads what is
    /// wrong with them, so there it is a tool error (2025-11-25, tools, "Error Handling"); elsewhere it is
    /// `invalid_params`.
    pub fn unfit(&self, why: impl std::fmt::Display) -> Outcome {
        match self.input() {
            Input::Tool(_) => Outcome::ToolError(format!("invalid arguments: {why}")),
            _ => Outcome::Error(Error::invalid_params(format!("invalid arguments: {why}")).into_rpc()),
        }
    }
}

impl std::fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The arguments of a tool or a prompt, or the variables of a resource template. `T`'s JSON Schema is what
/// the tool publishes and what its arguments are checked against.
#[derive(Debug, Clone)]
pub struct Args<T>(pub T);

impl<T: DeserializeOwned + JsonSchema> FromCall for Args<T> {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        let read = match parts.input() {
            Input::Tool(arguments) | Input::Prompt(arguments) => serde_json::from_str(arguments.as_str()),
            Input::Resource { params, .. } => {
                let variables: Map<String, Value> =
                    params.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
                T::deserialize(Value::Object(variables))
            }
            Input::Completion { .. } | Input::Tasks(_) => T::deserialize(Value::Object(Map::new())),
        };
        read.map(Args).map_err(|error| parts.unfit(error))
    }

    fn arguments() -> Option<Schema> {
        Some(SchemaGenerator::default().into_root_schema_for::<T>())
    }
}

/// The value given to [`ServerBuilder::state`](super::ServerBuilder::state).
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T: Send + Sync + 'static> FromCall for State<T> {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        Ok(State(parts.state().expect("checked when the handler was registered")))
    }

    fn check(parts: &Parts<'_>) -> Result<(), String> {
        let missing = || format!("the server has no state of type {}", std::any::type_name::<T>());
        parts.state::<T>().map(drop).ok_or_else(missing)
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The URI of the resource that is read; empty elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri(pub String);

impl FromCall for Uri {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        Ok(match parts.input() {
            Input::Resource { uri, .. } => Uri(uri.clone()),
            _ => Uri(String::new()),
        })
    }
}

/// The argument to complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partial {
    /// The argument's name.
    pub name: String,
    /// The part of its value so far.
    pub value: String,
    /// Arguments that are filled in already.
    pub arguments: BTreeMap<String, String>,
}

impl FromCall for Partial {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        #[derive(serde::Deserialize)]
        struct Argument {
            name: String,
            value: String,
        }
        #[derive(serde::Deserialize, Default)]
        struct Filled {
            #[serde(default)]
            arguments: BTreeMap<String, String>,
        }
        let Input::Completion { argument, context } = parts.input() else { return Ok(Partial::default()) };
        let Argument { name, value } =
            serde_json::from_str(argument.as_str()).map_err(|error| parts.unfit(error))?;
        let Filled { arguments } = match context.as_str() {
            "" => Filled::default(),
            context => serde_json::from_str(context).map_err(|error| parts.unfit(error))?,
        };
        Ok(Partial { name, value, arguments })
    }
}

impl FromCall for Claims {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        let claims = Option::<Claims>::from_call(parts)?;
        let missing =
            || Error::internal("this needs a caller with a token, which comes over HTTP only").into_rpc();
        claims.ok_or_else(|| Outcome::Error(missing()))
    }
}

impl FromCall for Option<Claims> {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        Ok(parts.call().caller().cloned().map(Claims::new))
    }
}

/// The call a handler works on. Cheap to clone.
#[derive(Clone)]
pub struct Context(Call);

impl Context {
    pub(super) fn call(&self) -> &Call {
        &self.0
    }

    /// Report progress: `progress` of `total`, growing with every report. False: the caller did not ask for
    /// it, or has left. It is on its way when the handler next awaits.
    pub fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) -> bool {
        self.0.progress(Progress { progress, total, message: message.map(str::to_owned) })
    }

    /// Sends a log message, which a client sees if it asked for this level. Fails with kind `usage` if `data`
    /// does not become JSON.
    pub fn log(&self, level: LogLevel, data: impl Serialize) -> Result<(), Error> {
        self.send_log(level, data, None)
    }

    /// [`Context::log`] with the name of who says it.
    pub fn log_as(&self, logger: &str, level: LogLevel, data: impl Serialize) -> Result<(), Error> {
        self.send_log(level, data, Some(logger.to_owned()))
    }

    fn send_log(&self, level: LogLevel, data: impl Serialize, logger: Option<String>) -> Result<(), Error> {
        let data = serde_json::value::to_raw_value(&data).map_err(|error| Error::usage(error.to_string()))?;
        self.0.log(LogEntry { level, data, logger });
        Ok(())
    }

    /// The caller has left. Async handlers need not ask: they are dropped.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes when the caller leaves; never, when it does not.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Returns the caller's reason for the cancellation, if it gave one.
    pub fn cancel_reason(&self) -> Option<String> {
        self.0.cancel_reason()
    }

    /// The id of the task that this call works on, if it is a run of one.
    pub fn task_id(&self) -> Option<&str> {
        self.0.task().map(|task| task.id.as_str())
    }

    /// Returns the number of this run of its task; 1 for the first run, and for a call that is no task.
    pub fn run(&self) -> u64 {
        self.0.task().map_or(1, |task| task.run)
    }

    /// The revision the caller speaks.
    pub fn revision(&self) -> Revision {
        self.0.revision()
    }

    /// Returns the verified claims of the caller's token, if the server [requires
    /// one](super::ServerBuilder::auth).
    pub fn claims(&self) -> Option<Claims> {
        self.0.caller().cloned().map(Claims::new)
    }

    /// The era the caller speaks.
    pub fn era(&self) -> Era {
        self.0.revision().era()
    }

    /// `stdio`, `http` or `memory`.
    pub fn transport(&self) -> &'static str {
        self.0.transport()
    }

    /// The request's id as JSON text.
    pub fn request_id(&self) -> &str {
        self.0.request_id()
    }

    /// Returns the name and version of the client, if it sent them.
    pub fn client_info(&self) -> Option<Implementation> {
        read(self.0.client_info())
    }

    /// Returns the capabilities of the client, as the protocol spells them.
    pub fn client_capabilities(&self) -> Map<String, Value> {
        read(self.0.client_capabilities()).unwrap_or_default()
    }

    /// The request's `_meta`.
    pub fn meta(&self) -> Map<String, Value> {
        read(self.0.meta()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("request_id", &self.request_id()).finish_non_exhaustive()
    }
}

impl FromCall for Context {
    fn from_call(parts: &Parts<'_>) -> Result<Self, Outcome> {
        Ok(parts.context())
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok()
}
