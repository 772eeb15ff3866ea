//! State of a legacy client after the handshake, on a byte stream or under an `Mcp-Session-Id` (2025-11-25,
//! "Lifecycle").

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{ErrorKind, RpcError};
use crate::json::Json;
use crate::methods::Role;
use crate::revision::Revision;
use crate::server::exchange::{Exchange, LogLevel};
use crate::server::notice::{self, Notice};
use crate::server::request::{Request, invalid};

/// Maximum size of a client's information and capabilities, in bytes: they are stored while its session
/// lives.
const MAX_CLIENT_BYTES: usize = 64 << 10;

/// Checks the size of the client's information and capabilities.
pub(crate) fn check_client(info: Option<&RawValue>, capabilities: Option<&RawValue>) -> Result<(), RpcError> {
    let bytes: usize = [info, capabilities].into_iter().flatten().map(|raw| raw.get().len()).sum();
    if bytes > MAX_CLIENT_BYTES {
        return Err(invalid(format!("clientInfo and capabilities exceed {MAX_CLIENT_BYTES} bytes together")));
    }
    Ok(())
}

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The negotiated revision.
    pub revision: Revision,
    /// The owner, if callers are known: no other caller finds the session.
    pub principal: Option<String>,
    client_info: Json,
    capabilities: Json,
    log_level: Option<LogLevel>,
    watched: BTreeSet<String>,
}

impl Session {
    /// Opened by this `initialize`.
    pub fn of(request: &Request) -> Session {
        // The texts would hold the whole message for as long as the session lives.
        let own = |json: &Json| Json::from(json.as_str().to_owned());
        Session {
            revision: request.revision,
            principal: request.access.principal().map(|principal| principal.to_string()),
            client_info: own(&request.client_info),
            capabilities: own(&request.client_capabilities),
            log_level: None,
            watched: BTreeSet::new(),
        }
    }

    /// Returns true if a request of this kind changes the state of the session.
    pub fn is_changed_by(request: &Request) -> bool {
        matches!(request.method.role, Role::Subscribe | Role::Unsubscribe | Role::SetLogLevel)
    }

    /// The session as JSON, for session stores.
    pub fn to_record(&self) -> String {
        fn raw(json: &Json) -> Option<&RawValue> {
            serde_json::from_str(json.as_str()).ok()
        }
        let record = Record {
            revision: self.revision,
            principal: self.principal.as_deref().map(Cow::Borrowed),
            client_info: raw(&self.client_info),
            capabilities: raw(&self.capabilities),
            log_level: self.log_level.map(LogLevel::as_str),
            watched: self.watched.iter().map(|uri| Cow::Borrowed(uri.as_str())).collect(),
        };
        serde_json::to_string(&record).expect("a record is always JSON")
    }

    /// Parses the text of [`Session::to_record`]. `None`: the text is from another version or another
    /// program.
    pub fn from_record(text: &str) -> Option<Session> {
        let record: Record<'_> = serde_json::from_str(text).ok()?;
        let json =
            |raw: Option<&RawValue>| raw.map_or_else(Json::default, |raw| Json::from(raw.get().to_owned()));
        Some(Session {
            revision: record.revision,
            principal: record.principal.map(Cow::into_owned),
            client_info: json(record.client_info),
            capabilities: json(record.capabilities),
            log_level: record.log_level.map(LogLevel::parse).map_or(Some(None), |level| level.map(Some))?,
            watched: record.watched.into_iter().map(Cow::into_owned).collect(),
        })
    }

    /// Admits a request to the session: the request receives the client's information, the session the
    /// settings of the request.
    pub fn adopt(&mut self, request: &mut Request, exchange: &mut Exchange) -> Result<(), RpcError> {
        request.client_info = self.client_info.clone();
        request.client_capabilities = self.capabilities.clone();
        self.log_level = request.log_level.or(self.log_level);
        if let Some(level) = self.log_level {
            exchange.set_log_level(level);
        }
        match request.method.role {
            Role::Subscribe if !self.watched.contains(&request.name) => {
                let watched = self.watched.iter().chain([&request.name]);
                notice::check_watched("resources", watched).map_err(|why| {
                    RpcError::new(ErrorKind::InvalidRequest, format!("{why} in one session"))
                })?;
                self.watched.insert(request.name.clone());
            }
            Role::Unsubscribe => drop(self.watched.remove(&request.name)),
            _ => {}
        }
        Ok(())
    }

    /// A resource is not watched after all: its subscription was refused.
    pub fn refused(&mut self, uri: &str) {
        self.watched.remove(uri);
    }

    /// The resources that it watches.
    pub fn watched(&self) -> impl Iterator<Item = &str> {
        self.watched.iter().map(String::as_str)
    }

    /// Returns true if the client is to be notified: of lists always, of a resource if it is watched, of a
    /// task if this session, which has this name, created it.
    pub fn wants(&self, notice: &Notice, name: &str) -> bool {
        match notice {
            Notice::Task(news) => {
                self.revision == Revision::V2025_11_25 && news.session.as_deref() == Some(name)
            }
            Notice::Resource(uri) => self.watched.contains(uri),
            // By what it was asked: see `Elicitations`.
            Notice::ElicitationComplete(_) => false,
            _ => true,
        }
    }
}

/// The stored form of a session.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record<'a> {
    revision: Revision,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    principal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_info: Option<&'a RawValue>,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    log_level: Option<&'a str>,
    #[serde(borrow)]
    watched: Vec<Cow<'a, str>>,
}
