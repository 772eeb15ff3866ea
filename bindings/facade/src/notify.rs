//! Notifications of the host to its peers.

use serde::Deserialize;
use serde_json::value::RawValue;
use trunnion_engine::error::Error;
use trunnion_engine::sync::lock;
use trunnion_proto::server::Notice;

use super::{Engine, clients, options};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootsChanged {
    roots: Box<RawValue>,
}

impl Engine {
    /// Sends a change notification. Of a client: `roots_changed {roots: [{uri, name?}]}` replaces its roots.
    /// Of a server: `resource_updated {uri}`, `tools_changed`, `resources_changed`, `prompts_changed`,
    /// `elicitation_complete {elicitationId}` (only the session that received the elicitation is notified).
    /// False: there is no receiver; the client has declared no roots, or the client or server no longer
    /// exists.
    pub fn notify(&self, id: u64, event: &str, params: &str) -> Result<bool, Error> {
        let inner = self.check()?;
        if let Some(entry) = lock(&inner.tables.clients).get(&id) {
            return match event {
                "roots_changed" => {
                    let RootsChanged { roots } = options::parse("params", params)?;
                    Ok(entry.handle.set_roots(clients::roots_of(roots.get())?))
                }
                _ => Err(Error::usage(format!("unknown event {event:?}: of a client, roots_changed"))),
            };
        }
        let Ok((server, _)) = inner.server(id) else { return Ok(false) };
        let notice = Notice::parse(event, if params.trim().is_empty() { "{}" } else { params })
            .ok_or_else(|| Error::usage(format!("a server cannot notify of {event:?}")))?
            .map_err(|error| Error::usage(error.message))?;
        server.publish(&notice);
        Ok(true)
    }
}
