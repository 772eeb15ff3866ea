//! Admission of one HTTP POST to the MCP endpoint: detects the era, and checks that the headers agree with
//! the body (2026-07-28, Streamable HTTP, "Server Validation"; 2025-11-25, Transports, "Streamable HTTP").

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{ErrorKind, RpcError};
use crate::header::{self, ParamHeader};
use crate::json::Json;
use crate::jsonrpc::{self, Id, Message};
use crate::methods::{self, Role};
use crate::revision::{Era, Revision};
use crate::server::encode::status_of;
use crate::server::exchange::Exchange;
use crate::server::request::{self, Params, Request, Settings};

/// Value of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// No such header.
    Absent,
    /// One value, of visible ASCII.
    One(&'a str),
    /// Several values, or one with other bytes in it.
    Unreadable,
}

/// The headers of a request, by lower-case name.
pub trait Headers {
    /// Look one up.
    fn get(&self, name: &str) -> Lookup<'_>;
}

/// Result of admitting a POST.
#[derive(Debug)]
pub enum Admission {
    /// Find an answer.
    Request(Box<(Exchange, Request)>),
    /// A notification: 202 without a body.
    Notification(Note),
    /// An answer to a question of the server to the session's client: 202 without a body.
    Response(Id, Result<Json, RpcError>),
    /// Several messages of a session whose revision has batches.
    Batch(Vec<Admission>),
    /// An answer that no handler needs to see.
    Refused {
        /// HTTP status.
        status: u16,
        /// The JSON-RPC error.
        body: Vec<u8>,
    },
}

/// Meaning of a client's notification.
#[derive(Debug)]
pub enum Note {
    /// It gives a request up.
    Cancelled(Id, Option<String>),
    /// Its roots have changed.
    RootsChanged,
    /// Nothing that matters here.
    Other,
}

impl Note {
    fn of(method: &str, params: Option<&RawValue>) -> Note {
        let cancelled = || {
            let params = Params::parse(params).ok()?;
            let id = params.request_id.and_then(|raw| Id::from_json(raw.get()))?;
            Some(Note::Cancelled(id, params.reason.map(std::borrow::Cow::into_owned)))
        };
        match methods::by_name(method).map(|row| row.role) {
            Some(Role::Cancelled) => cancelled().unwrap_or(Note::Other),
            Some(Role::RootsChanged) => Note::RootsChanged,
            _ => Note::Other,
        }
    }
}

/// Reads the body of a POST. Host, Origin, size and media type were checked before. `session`: the negotiated
/// facts of the POST's session, if it has one.
pub fn admit_post(
    settings: &Settings,
    headers: &dyn Headers,
    body: &Bytes,
    session: Option<Revision>,
) -> Admission {
    if session.is_some_and(Revision::has_batches) && jsonrpc::is_batch(body) {
        if let Err(error) = check_version(settings, headers) {
            return Admission::Refused { status: 400, body: jsonrpc::error(None, &error) };
        }
        return match jsonrpc::batch(body, &settings.limits) {
            Err(malformed) => Admission::Refused {
                status: 400,
                body: jsonrpc::error(malformed.id.as_ref(), &malformed.error),
            },
            Ok(messages) => {
                let admit = |message: &Bytes| admit(settings, headers, message, session);
                Admission::Batch(messages.iter().map(admit).collect())
            }
        };
    }
    admit(settings, headers, body, session)
}

fn admit(settings: &Settings, headers: &dyn Headers, body: &Bytes, session: Option<Revision>) -> Admission {
    let refuse = |era, id: Option<&Id>, error: RpcError| Admission::Refused {
        // A malformed modern request is 400 even where a handler's error of that code would be 200.
        status: match (era, error.kind()) {
            (Era::Modern, ErrorKind::InvalidParams) => 400,
            _ => status_of(&error, era),
        },
        body: jsonrpc::error(id, &error),
    };
    let message = match jsonrpc::parse(body, &settings.limits) {
        Err(malformed) => return refuse(Era::Modern, malformed.id.as_ref(), malformed.error),
        Ok(message) => message,
    };
    // A request has more to say of its version, and an id to say it with.
    if !matches!(message, Message::Request { .. })
        && let Err(error) = check_version(settings, headers)
    {
        return refuse(Era::Modern, None, error);
    }
    match message {
        Message::Request { id, method, params } => {
            let params = match Params::parse(params) {
                Ok(params) => params,
                Err(error) => return refuse(Era::Modern, Some(&id), error),
            };
            match admit_request(settings, headers, body, session, id.clone(), &method, &params) {
                Ok(admitted) => Admission::Request(Box::new(admitted)),
                Err((era, error)) => refuse(era, Some(&id), error),
            }
        }
        Message::Notification { method, params } => Admission::Notification(Note::of(&method, params)),
        Message::Response { id: Some(id), result } => {
            Admission::Response(id, result.map(|raw| Json::share(body, raw)))
        }
        // An error about a message of ours that the client could not read: there is nobody to tell.
        Message::Response { id: None, .. } => Admission::Notification(Note::Other),
    }
}

/// Check the version that headers name, where they name one: "if the server receives a request with an invalid or unsupported
/// `MCP-Protocol-Version`, it MUST respond with `400 Bad Request`" (2025-11-25, Transports, "Protocol Version Header").
pub fn check_version(settings: &Settings, headers: &dyn Headers) -> Result<(), RpcError> {
    match headers.get(header::PROTOCOL_VERSION) {
        Lookup::Absent => Ok(()),
        Lookup::Unreadable => Err(mismatch("MCP-Protocol-Version is not readable".into())),
        Lookup::One(text) => match Revision::parse(text.trim()) {
            Some(revision) if settings.serves(revision) => Ok(()),
            _ => Err(settings.unsupported(text.trim())),
        },
    }
}

/// Check the mirrored tool parameters against the arguments, once the tool is known.
pub fn check_params(
    annotated: &[ParamHeader],
    headers: &dyn Headers,
    arguments: &Value,
) -> Result<(), RpcError> {
    for param in annotated {
        let decoded = match headers.get(&param.header) {
            Lookup::Absent => None,
            Lookup::Unreadable => return Err(mismatch(format!("{} is not readable", param.display))),
            Lookup::One(text) => Some(
                header::decode(text)
                    .ok_or_else(|| mismatch(format!("{} has a broken Base64 value", param.display)))?,
            ),
        };
        match (decoded, param.value_in(arguments)) {
            (None, None) => {}
            (None, Some(_)) => return Err(mismatch(format!("{} is required", param.display))),
            (Some(header), _) if param.matches(&header, arguments) => {}
            (Some(_), _) => return Err(mismatch(format!("{} does not match the arguments", param.display))),
        }
    }
    Ok(())
}

fn mismatch(what: String) -> RpcError {
    RpcError::new(ErrorKind::HeaderMismatch, format!("Header mismatch: {what}"))
}

type Refusal = (Era, RpcError);

fn admit_request(
    settings: &Settings,
    headers: &dyn Headers,
    body: &Bytes,
    session: Option<Revision>,
    id: Id,
    method: &str,
    params: &Params<'_>,
) -> Result<(Exchange, Request), Refusal> {
    let modern = |error| (Era::Modern, error);
    let legacy = |error| (Era::Legacy, error);
    let meta = params.meta().map_err(modern)?;
    let version = headers.get(header::PROTOCOL_VERSION);

    if meta.revision.is_none()
        && settings.legacy
        && let Some(revision) = legacy_revision(settings, version, session, method, params).map_err(legacy)?
    {
        let row = request::method_in(method, revision).map_err(legacy)?;
        return request::request(body, id, row, revision, params, &meta).map_err(legacy);
    }

    // The order is part of the contract: what is missing, then what differs, then what is not served, then
    // the other mirrored headers.
    if meta.revision.is_none() && !settings.legacy {
        return Err(modern(settings.only_modern()));
    }
    let requested = request::declared(&meta).map_err(modern)?;
    match version {
        Lookup::One(text) if text.trim() == requested => {}
        Lookup::One(text) => {
            let message = format!("MCP-Protocol-Version {text:?} does not match _meta {requested:?}");
            return Err(modern(mismatch(message)));
        }
        Lookup::Absent => return Err(modern(mismatch("MCP-Protocol-Version is required".into()))),
        Lookup::Unreadable => return Err(modern(mismatch("MCP-Protocol-Version is not readable".into()))),
    }
    let revision = Revision::parse(requested)
        .filter(|revision| revision.era() == Era::Modern && settings.modern)
        .ok_or_else(|| modern(settings.unsupported(requested)))?;
    match headers.get(header::METHOD) {
        Lookup::One(text) if text.trim() == method => {}
        Lookup::One(text) => {
            return Err(modern(mismatch(format!("Mcp-Method {text:?} does not match the body's method"))));
        }
        Lookup::Absent => return Err(modern(mismatch("Mcp-Method is required".into()))),
        Lookup::Unreadable => return Err(modern(mismatch("Mcp-Method is not readable".into()))),
    }
    let row = request::method_in(method, revision).map_err(modern)?;
    let (exchange, request) = request::request(body, id, row, revision, params, &meta).map_err(modern)?;
    if row.name_source.is_some() {
        let decoded = match headers.get(header::NAME) {
            Lookup::Absent => return Err(modern(mismatch("Mcp-Name is required".into()))),
            Lookup::Unreadable => return Err(modern(mismatch("Mcp-Name is not readable".into()))),
            Lookup::One(text) => header::decode(text),
        };
        if decoded.as_deref() != Some(&request.name) {
            return Err(modern(mismatch("Mcp-Name does not match the body".into())));
        }
    }
    Ok((exchange, request))
}

/// The revision of a POST without modern metadata, or `None` if its header declares a modern one.
fn legacy_revision(
    settings: &Settings,
    version: Lookup<'_>,
    session: Option<Revision>,
    method: &str,
    params: &Params<'_>,
) -> Result<Option<Revision>, RpcError> {
    let header = match version {
        // Clients older than 2025-06-18 send no version header (2025-11-25, "Protocol Version Header").
        Lookup::Absent => Some(Revision::V2025_03_26),
        Lookup::Unreadable => None,
        Lookup::One(text) => Revision::parse(text.trim()),
    };
    let Some(revision) = header.filter(|revision| revision.era() == Era::Legacy) else { return Ok(None) };
    if methods::by_name(method).map(|row| row.role) != Some(Role::Initialize) {
        return Ok(Some(session.unwrap_or(revision)));
    }
    let requested = params.protocol_version.as_deref();
    requested
        .map(|requested| Some(settings.negotiate(requested)))
        .ok_or_else(|| request::invalid("params.protocolVersion is required"))
}
