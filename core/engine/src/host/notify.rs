//! What the host tells its peers of its own accord.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Engine, clients, options};
use crate::error::Error;
use crate::lock;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootsChanged {
    roots: Box<RawValue>,
}

impl Engine {
    /// Tell what has changed. Of a client: `roots_changed {roots: [{uri, name?}]}` replaces its roots. False: nobody
    /// wants to know it; the client has declared no roots, or is closed.
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
        Err(Error::usage(format!("there is no client {id}")))
    }
}
