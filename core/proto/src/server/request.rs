//! Admission: turns an envelope into a valid request, or into the error for it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::auth::resource::Access;
use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::jsonrpc::Id;
use crate::limits::Limits;
use crate::meta::RequestMeta;
use crate::methods::{self, Method, NameSource, Role};
use crate::revision::{Era, Revision};
use crate::server::exchange::{Exchange, LogLevel};
use crate::server::notice::Filter;
use crate::server::session::check_client;

/// Settings of a server, fixed for its lifetime.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits on input.
    pub limits: Limits,
    /// True if requests of the modern era are served.
    pub modern: bool,
    /// True if the legacy handshake is served.
    pub legacy: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { limits: Limits::default(), modern: true, legacy: true }
    }
}

impl Settings {
    /// Returns true if a revision is served.
    pub fn serves(&self, revision: Revision) -> bool {
        match revision.era() {
            Era::Modern => self.modern,
            Era::Legacy => self.legacy,
        }
    }

    /// Every revision that is served, newest first: one list for `server/discover` and for `-32022`.
    pub fn supported(&self) -> Vec<&'static str> {
        Revision::ALL.iter().rev().filter(|revision| self.serves(**revision)).map(|r| r.as_str()).collect()
    }

    /// The revision of a legacy session, from the client's request (2025-11-25, lifecycle, "Version
    /// Negotiation").
    pub fn negotiate(&self, requested: &str) -> Revision {
        Revision::parse(requested).filter(|r| r.era() == Era::Legacy).unwrap_or(Revision::LATEST_LEGACY)
    }

    /// The error for a client of the legacy era on a server without it. It names the versions, because such a
    /// client may show nothing but this message (2026-07-28, versioning, "Backward Compatibility with
    /// Initialization-Based Versions").
    pub(crate) fn only_modern(&self) -> RpcError {
        let supported = self.supported();
        let message = format!(
            "params._meta[\"{}\"] is required; this server speaks {}",
            crate::meta::PROTOCOL_VERSION,
            supported.join(", ")
        );
        invalid(message).with_data(json!({ "supported": supported }))
    }

    pub(crate) fn unsupported(&self, requested: &str) -> RpcError {
        RpcError::new(ErrorKind::UnsupportedVersion, "Unsupported protocol version")
            .with_data(json!({ "supported": self.supported(), "requested": requested }))
    }
}

/// A request that passed every check of the protocol. The texts share the buffer of its message.
#[derive(Debug)]
pub struct Request {
    /// Its id.
    pub id: Id,
    /// The row of its method.
    pub method: &'static Method,
    /// The revision it is written in.
    pub revision: Revision,
    /// The token for progress notifications, if the caller requested any.
    pub progress_token: Option<Id>,
    /// `params.level`, where the request sets the session's log level.
    pub log_level: Option<LogLevel>,
    /// `params.name`, `params.uri` or `params.taskId`, by the method's row.
    pub name: String,
    /// `params.arguments`, or the empty object.
    pub arguments: Json,
    /// `params.cursor` of a list.
    pub cursor: Option<String>,
    /// `params.ref` of a completion; empty elsewhere.
    pub reference: Json,
    /// `params.argument` of a completion; empty elsewhere.
    pub argument: Json,
    /// `params.context` of a completion; empty where absent.
    pub context: Json,
    /// `params._meta`; empty where absent.
    pub meta: Json,
    /// Information about the client, from `_meta` or from the handshake; empty if unknown.
    pub client_info: Json,
    /// Capabilities of the client; empty if unknown.
    pub client_capabilities: Json,
    /// `params.inputResponses` of a request that is sent again; empty where absent.
    pub input_responses: Json,
    /// `params.requestState` of a request that is sent again.
    pub request_state: Option<String>,
    /// `params.notifications` of a request to listen.
    pub filter: Option<Filter>,
    /// `params.task` of a call that is to become a task (2025-11-25); empty where absent.
    pub task: Json,
    /// The caller, set by the transport before the request is dispatched.
    pub access: Access,
}

/// The members of any request's params that the engine acts on.
#[derive(Deserialize, Default)]
pub(crate) struct Params<'a> {
    #[serde(rename = "_meta", borrow, default)]
    pub meta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub uri: Option<Cow<'a, str>>,
    #[serde(rename = "taskId", borrow, default)]
    pub task_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub cursor: Option<Cow<'a, str>>,
    #[serde(rename = "ref", borrow, default)]
    pub reference: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub argument: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub context: Option<&'a RawValue>,
    #[serde(rename = "protocolVersion", borrow, default)]
    pub protocol_version: Option<Cow<'a, str>>,
    #[serde(rename = "clientInfo", borrow, default)]
    pub client_info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub capabilities: Option<&'a RawValue>,
    #[serde(rename = "requestId", borrow, default)]
    pub request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub level: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub reason: Option<Cow<'a, str>>,
    #[serde(rename = "inputResponses", borrow, default)]
    pub input_responses: Option<&'a RawValue>,
    #[serde(rename = "requestState", borrow, default)]
    pub request_state: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub notifications: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub task: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    pub fn parse(params: Option<&'a RawValue>) -> Result<Params<'a>, RpcError> {
        let Some(params) = params else { return Ok(Params::default()) };
        serde_json::from_str(params.get())
            .map_err(|error| invalid(format!("params: {}", json::complaint(&error))))
    }

    pub fn meta(&self) -> Result<RequestMeta<'a>, RpcError> {
        let Some(meta) = self.meta else { return Ok(RequestMeta::default()) };
        // serde would take an array for a struct's fields in their order.
        if !meta.get().starts_with('{') {
            return Err(invalid("params._meta must be an object"));
        }
        serde_json::from_str(meta.get())
            .map_err(|error| invalid(format!("params._meta: {}", json::complaint(&error))))
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> RpcError {
    RpcError::new(ErrorKind::InvalidParams, message)
}

/// The revision that a modern request declares, or the missing member. Header checks come between this and
/// [`Settings::serves`], so the revision is returned as text.
pub(crate) fn declared<'m>(meta: &'m RequestMeta<'_>) -> Result<&'m str, RpcError> {
    let missing = |key: &str| invalid(format!("params._meta[\"{key}\"] is required"));
    let Some(revision) = &meta.revision else { return Err(missing(crate::meta::PROTOCOL_VERSION)) };
    match meta.client_capabilities {
        None => Err(missing(crate::meta::CLIENT_CAPABILITIES)),
        Some(raw) if !raw.get().starts_with('{') => {
            Err(invalid(format!("params._meta[\"{}\"] must be an object", crate::meta::CLIENT_CAPABILITIES)))
        }
        Some(_) => Ok(revision),
    }
}

/// The row of a method in a revision, or `-32601`.
pub(crate) fn method_in(name: &str, revision: Revision) -> Result<&'static Method, RpcError> {
    methods::request_to_server(name, revision).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        RpcError::new(ErrorKind::MethodNotFound, format!("Method not found: {shown}"))
    })
}

/// The last step: everything that is left to check does not depend on the transport.
pub(crate) fn request(
    frame: &Bytes,
    id: Id,
    method: &'static Method,
    revision: Revision,
    params: &Params<'_>,
    meta: &RequestMeta<'_>,
) -> Result<(Exchange, Request), RpcError> {
    let share = |raw: Option<&RawValue>| raw.map_or_else(Json::default, |raw| Json::share(frame, raw));
    let name = match method.name_source {
        None => String::new(),
        Some(NameSource::Name) => required(&params.name, "name")?,
        Some(NameSource::Uri) => required(&params.uri, "uri")?,
        Some(NameSource::TaskId) => required(&params.task_id, "taskId")?,
    };
    if params.arguments.is_some_and(|arguments| !arguments.get().starts_with('{')) {
        return Err(invalid("params.arguments must be an object"));
    }
    let log_level = match method.role {
        Role::SetLogLevel => {
            let level = params.level.as_deref().and_then(LogLevel::parse);
            Some(level.ok_or_else(|| invalid("params.level is not a log level"))?)
        }
        _ => None,
    };
    let filter = match method.role {
        Role::Listen => Some(Filter::parse(params.notifications.map_or("", RawValue::get))?),
        _ => None,
    };
    let progress_token = match meta.progress_token {
        None => None,
        Some(raw) => Some(Id::from_json(raw.get()).ok_or_else(|| {
            invalid("params._meta.progressToken must be a string or an integer, not of very many digits")
        })?),
    };
    let client_info = meta.client_info.or(params.client_info);
    let client_capabilities = meta.client_capabilities.or(params.capabilities);
    for (what, raw) in [("clientInfo", client_info), ("the client's capabilities", client_capabilities)] {
        if raw.is_some_and(|raw| !raw.get().starts_with('{')) {
            return Err(invalid(format!("{what} must be an object")));
        }
    }
    if method.role == Role::Initialize {
        check_client(client_info, client_capabilities)?;
    }
    let exchange =
        Exchange::new(id.clone(), method, revision, progress_token.clone(), meta.log_level.as_deref());
    let request = Request {
        id,
        method,
        revision,
        progress_token,
        log_level,
        name,
        arguments: params.arguments.map_or_else(|| Json::from_static("{}"), |raw| Json::share(frame, raw)),
        cursor: params.cursor.as_deref().map(str::to_owned),
        reference: share(params.reference),
        argument: share(params.argument),
        context: share(params.context),
        meta: share(params.meta),
        client_info: share(client_info),
        client_capabilities: share(client_capabilities),
        input_responses: share(params.input_responses),
        request_state: params.request_state.as_deref().map(str::to_owned),
        filter,
        task: share(params.task),
        access: Access::default(),
    };
    Ok((exchange, request))
}

fn required(value: &Option<Cow<'_, str>>, name: &str) -> Result<String, RpcError> {
    value.as_deref().map(str::to_owned).ok_or_else(|| invalid(format!("params.{name} is required")))
}
