//! What the handshake of a legacy client leaves behind, on a byte stream or under an `Mcp-Session-Id` (2025-11-25,
//! "Lifecycle").

use std::collections::BTreeSet;

use crate::error::{ErrorKind, RpcError};
use crate::json::Json;
use crate::methods::Role;
use crate::revision::Revision;
use crate::server::exchange::{Exchange, LogLevel};
use crate::server::notice::{MAX_WATCHED, Notice};
use crate::server::request::Request;

/// One session.
#[derive(Debug)]
pub struct Session {
    /// What was negotiated.
    pub revision: Revision,
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
            client_info: own(&request.client_info),
            capabilities: own(&request.client_capabilities),
            log_level: None,
            watched: BTreeSet::new(),
        }
    }

    /// A request comes in under it: the request learns who asks, the session what is set.
    pub fn adopt(&mut self, request: &mut Request, exchange: &mut Exchange) -> Result<(), RpcError> {
        request.client_info = self.client_info.clone();
        request.client_capabilities = self.capabilities.clone();
        self.log_level = request.log_level.or(self.log_level);
        if let Some(level) = self.log_level {
            exchange.set_log_level(level);
        }
        match request.method.role {
            Role::Subscribe if self.watched.len() >= MAX_WATCHED && !self.watched.contains(&request.name) => {
                let message = format!("more than {MAX_WATCHED} resources cannot be watched in one session");
                return Err(RpcError::new(ErrorKind::InvalidRequest, message));
            }
            Role::Subscribe => drop(self.watched.insert(request.name.clone())),
            Role::Unsubscribe => drop(self.watched.remove(&request.name)),
            _ => {}
        }
        Ok(())
    }

    /// Whether the client is to be told: lists always, a resource when it is watched.
    pub fn wants(&self, notice: &Notice) -> bool {
        match notice {
            Notice::Resource(uri) => self.watched.contains(uri),
            _ => true,
        }
    }
}
