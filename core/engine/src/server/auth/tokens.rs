//! Fixed tokens, for development.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::cache::{Digest, digest};
use crate::error::Error;

/// Tokens that are written down with their claims. They are for development: whoever reads the source has
/// them, and none expires unless its claims say so. Claims without `aud` are for this server.
#[derive(Clone, Default)]
pub struct StaticTokens(HashMap<Digest, Value>);

impl std::fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticTokens").field("tokens", &self.0.len()).finish()
    }
}

impl StaticTokens {
    /// None.
    pub fn new() -> StaticTokens {
        StaticTokens::default()
    }

    /// Accepts this token. `claims`: an object with `sub` or `client_id`, and whatever else: `{"sub": "ann",
    /// "scope": "a b"}`.
    pub fn token(mut self, token: impl AsRef<str>, claims: impl Into<Value>) -> Self {
        self.0.insert(digest(token.as_ref()), claims.into());
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let names_one = |claims: &Value| ["sub", "client_id"].iter().any(|name| claims.get(name).is_some());
        if self.0.values().all(|claims| claims.is_object() && names_one(claims)) {
            return Ok(());
        }
        Err(Error::usage("auth: tokens: the claims of each are an object with sub or client_id"))
    }

    pub(super) fn find(&self, token: &Digest) -> Option<Map<String, Value>> {
        self.0.get(token).and_then(Value::as_object).cloned()
    }
}
