//! Options as the hosts write them: JSON objects whose unknown keys are refused.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use trunnion_engine::client::Stderr;
use trunnion_engine::error::Error;
use trunnion_engine::server::http::{Callers, HttpOptions, Stores, is_public_url};
use trunnion_engine::server::seal::DEFAULT_TTL;
use trunnion_engine::server::tasks::TaskOptions;
use trunnion_engine::store::TaskQuota;
use trunnion_engine::telemetry::{Telemetry, TelemetryBuilder};
use trunnion_proto::json;
use trunnion_proto::limits::Limits;
use trunnion_proto::methods::{Method, Role};
use trunnion_proto::tasks::{TaskBehaviour, TaskSupport};

use super::auth::Hidden;
use super::server_auth::AuthOptions;

/// Reads an options object; empty text is `{}`. `what` names it in errors.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Error> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    // serde would accept an array for a struct's fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(Error::usage(format!("{what} must be a JSON object")));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let wrong = |at: &str, error: &serde_json::Error| {
        // If the text is no JSON, the path ends with a question mark; line and column are more precise.
        let at = at.trim_end_matches('?').trim_end_matches('.');
        let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
        let said = if error.is_data() { json::complaint(error) } else { error.to_string() };
        Error::usage(format!("{what}: {at}{said}"))
    };
    let read = serde_path_to_error::deserialize(&mut reader);
    let options = read.map_err(|error| wrong(&error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| wrong("", &error))?;
    Ok(options)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DriverKind {
    Hosted,
    #[default]
    Threaded,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct EngineOptions {
    pub driver: DriverKind,
    threads: usize,
    max_message_bytes: usize,
    max_depth: usize,
    max_in_flight: usize,
    pub max_connections: usize,
    pub telemetry: Option<TelemetryOptions>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TelemetryOptions {
    endpoint: String,
    service_name: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl TelemetryOptions {
    pub fn builder(&self) -> TelemetryBuilder {
        let mut builder = Telemetry::builder(self.endpoint.as_str());
        if let Some(name) = &self.service_name {
            builder = builder.service_name(name);
        }
        self.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value))
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        let limits = Limits::default();
        EngineOptions {
            driver: DriverKind::default(),
            threads: 0,
            max_message_bytes: limits.message_bytes,
            max_depth: limits.depth,
            max_in_flight: limits.in_flight,
            max_connections: 10_000,
            telemetry: None,
        }
    }
}

impl EngineOptions {
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if self.threads == 0 { cores.min(4) } else { self.threads }
    }

    pub fn limits(&self) -> Limits {
        Limits { message_bytes: self.max_message_bytes, depth: self.max_depth, in_flight: self.max_in_flight }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ServerDefinition {
    pub name: String,
    pub version: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub website_url: Option<String>,
    pub icons: Option<Value>,
    pub instructions: Option<String>,
    #[serde(default = "both_eras")]
    pub eras: Vec<EraName>,
    #[serde(default)]
    pub ttl_ms: u64,
    #[serde(default)]
    pub cache_scope: CacheScope,
    #[serde(default = "default_page_size")]
    pub page_size: usize,
    #[serde(default)]
    pub state_keys: Vec<String>,
    #[serde(default = "default_state_ttl")]
    pub state_ttl_ms: u64,
    pub store: Option<String>,
    #[serde(default = "default_task_ttl")]
    pub task_ttl_ms: Option<u64>,
    pub task_poll_ms: Option<u64>,
    pub task_lease_ms: Option<u64>,
    pub max_task_result_bytes: Option<usize>,
    pub max_tasks_per_owner: Option<usize>,
    pub max_tasks: Option<usize>,
    pub max_kept_tasks: Option<u64>,
    pub max_kept_task_bytes: Option<u64>,
    pub auth: Option<AuthOptions>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EraName {
    Modern,
    Legacy,
}

#[derive(Debug, Clone, Copy, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CacheScope {
    #[default]
    Private,
    Public,
}

fn both_eras() -> Vec<EraName> {
    vec![EraName::Modern, EraName::Legacy]
}

fn default_page_size() -> usize {
    1000
}

fn default_state_ttl() -> u64 {
    DEFAULT_TTL.as_millis() as u64
}

fn default_task_ttl() -> Option<u64> {
    TaskOptions::default().ttl.map(|ttl| ttl.as_millis() as u64)
}

impl ServerDefinition {
    /// Returns the options for the storage and the execution of tasks.
    pub fn tasks(&self) -> Result<TaskOptions, Error> {
        let defaults = TaskOptions::default();
        let ms = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
        if self.task_lease_ms == Some(0) {
            return Err(Error::usage("taskLeaseMs must be at least 1"));
        }
        Ok(TaskOptions {
            ttl: self.task_ttl_ms.map(Duration::from_millis),
            poll: ms(self.task_poll_ms, defaults.poll),
            lease: ms(self.task_lease_ms, defaults.lease),
            result_bytes: self.max_task_result_bytes.unwrap_or(defaults.result_bytes),
            per_owner: self.max_tasks_per_owner.unwrap_or(defaults.per_owner),
            most: self.max_tasks.unwrap_or(defaults.most),
            kept: TaskQuota {
                tasks: self.max_kept_tasks.unwrap_or(defaults.kept.tasks),
                bytes: self.max_kept_task_bytes.unwrap_or(defaults.kept.bytes),
            },
        })
    }

    /// Returns the `Implementation` object.
    pub fn server_info(&self) -> String {
        let mut info = serde_json::Map::new();
        info.insert("name".into(), self.name.clone().into());
        info.insert("version".into(), self.version.clone().into());
        for (key, value) in
            [("title", &self.title), ("description", &self.description), ("websiteUrl", &self.website_url)]
        {
            if let Some(value) = value {
                info.insert(key.into(), value.clone().into());
            }
        }
        if let Some(icons) = &self.icons {
            info.insert("icons".into(), icons.clone());
        }
        Value::Object(info).to_string()
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ItemOptions {
    pub timeout_ms: u64,
    pub asks: Option<Box<RawValue>>,
    pub scopes: Vec<String>,
    pub visible_to: Option<Value>,
    pub task: TaskSupport,
    pub resumable: bool,
    pub task_ttl_ms: Option<u64>,
    pub task_concurrency: Option<usize>,
}

impl ItemOptions {
    /// Returns the task behavior of calls.
    pub fn task(&self) -> TaskBehaviour {
        TaskBehaviour {
            support: self.task,
            resumable: self.resumable,
            ttl: self.task_ttl_ms.map(Duration::from_millis),
            concurrency: self.task_concurrency,
        }
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoOptions {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ServeHttp {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub unix_socket: Option<String>,
    pub path: String,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
    pub sse_path: Option<String>,
    pub public_url: Option<String>,
    pub trusted_proxies: Vec<IpAddr>,
    pub sessions: bool,
    pub session_idle_ms: u64,
    pub max_sessions: usize,
    pub max_sessions_per_owner: usize,
    pub max_kept_bytes: usize,
    pub carried: bool,
}

impl Default for ServeHttp {
    fn default() -> Self {
        ServeHttp {
            host: None,
            port: None,
            unix_socket: None,
            path: "/mcp".into(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            sse_path: None,
            public_url: None,
            trusted_proxies: Vec::new(),
            sessions: true,
            session_idle_ms: 30 * 60 * 1000,
            max_sessions: 10_000,
            max_sessions_per_owner: 1000,
            max_kept_bytes: 512 << 20,
            carried: false,
        }
    }
}

impl ServeHttp {
    /// Returns the options in the form of the endpoint.
    pub fn http(self, max_connections: usize, stores: Stores) -> Result<HttpOptions, Error> {
        if !self.path.starts_with('/') {
            return Err(Error::usage("path must begin with '/'"));
        }
        if self.sse_path.as_deref().is_some_and(|path| !path.starts_with('/') || path == self.path) {
            return Err(Error::usage("ssePath must begin with '/' and be another than path"));
        }
        if self.public_url.as_deref().is_some_and(|url| !is_public_url(url)) {
            return Err(Error::usage("publicUrl must be an http or https URL"));
        }
        Ok(HttpOptions {
            path: self.path,
            sse_path: self.sse_path,
            callers: Callers {
                allowed_hosts: self.allowed_hosts,
                allowed_origins: self.allowed_origins,
                public_url: self.public_url,
                trusted_proxies: self.trusted_proxies,
            },
            max_connections,
            sessions: self.sessions,
            session_idle: Duration::from_millis(self.session_idle_ms),
            max_sessions: self.max_sessions,
            max_sessions_per_owner: self.max_sessions_per_owner,
            max_kept_bytes: self.max_kept_bytes,
            stores,
            ..HttpOptions::default()
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConnectTarget {
    pub url: Option<String>,
    pub command: Option<Vec<String>>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub cwd: Option<String>,
    pub server: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Connect {
    pub client_info: Option<Box<RawValue>>,
    pub capabilities: Option<Box<RawValue>>,
    pub roots: Option<Box<RawValue>>,
    pub log_level: Option<String>,
    pub cache: bool,
    pub tasks: bool,
    pub revision: Option<String>,
    pub era: String,
    pub timeout_ms: u64,
    pub total_ms: u64,
    pub connect_timeout_ms: u64,
    pub transport: String,
    pub headers: BTreeMap<String, String>,
    pub(super) auth: Option<Hidden>,
    inherit_env: Option<bool>,
    stderr: Option<String>,
}

/// The options of a child.
pub(crate) struct ChildOptions {
    inherit_env: Option<bool>,
    stderr: Option<String>,
}

impl Connect {
    pub fn child(&mut self) -> ChildOptions {
        ChildOptions { inherit_env: self.inherit_env.take(), stderr: self.stderr.take() }
    }
}

impl ChildOptions {
    pub fn are_given(&self) -> bool {
        self.inherit_env.is_some() || self.stderr.is_some()
    }

    pub fn inherit_env(&self) -> bool {
        self.inherit_env.unwrap_or(false)
    }

    pub fn stderr(&self) -> Result<Stderr, Error> {
        match self.stderr.as_deref() {
            None | Some("inherit") => Ok(Stderr::Inherit),
            Some("null") => Ok(Stderr::Null),
            Some("lines") => Ok(Stderr::Lines),
            Some(other) => Err(Error::usage(format!("options: stderr {other:?}: inherit, null or lines"))),
        }
    }
}

impl Default for Connect {
    fn default() -> Self {
        Connect {
            client_info: None,
            capabilities: None,
            roots: None,
            log_level: None,
            cache: true,
            tasks: true,
            revision: None,
            era: "auto".into(),
            timeout_ms: 60_000,
            total_ms: 0,
            connect_timeout_ms: 10_000,
            transport: "auto".into(),
            headers: BTreeMap::new(),
            auth: None,
            inherit_env: None,
            stderr: None,
        }
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RequestOptions {
    pub timeout_ms: Option<u64>,
    pub total_ms: Option<u64>,
    pub progress: bool,
    pub meta: Option<Box<RawValue>>,
    pub cache: Option<bool>,
    pub task: bool,
    pub task_ttl_ms: Option<u64>,
    pub ask: Option<bool>,
    pub all: bool,
}

impl RequestOptions {
    /// Checks that the options for tasks and lists apply to this request.
    pub fn check(&self, method: &Method) -> Result<(), Error> {
        let role = method.role;
        if self.all && method.list.is_none() {
            return Err(Error::usage("options: all: this request is for no list"));
        }
        let (call, follow) = (role == Role::CallTool, role == Role::TaskResult);
        for (key, given, fits) in [
            ("task", self.task, call),
            ("taskTtlMs", self.task_ttl_ms.is_some(), call),
            ("ask", self.ask.is_some(), call || follow),
        ] {
            if given && !fits {
                return Err(Error::usage(format!("options: {key}: this request makes and follows no task")));
            }
        }
        Ok(())
    }
}
