//! The verified claims of the caller, for handlers.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use trunnion_proto::auth::resource::Caller;

/// The verified claims of the caller's token. As a parameter of a handler it requires a caller with a token;
/// if the server also serves standard streams, use `Option<Claims>`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Claims(Arc<Caller>);

impl Claims {
    /// Returns the claims of a caller.
    pub fn new(caller: Arc<Caller>) -> Claims {
        Claims(caller)
    }

    /// `sub`: the user, or the program where it acts for itself.
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// `iss`: who says so.
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// `client_id`: the program that calls.
    pub fn client_id(&self) -> Option<&str> {
        self.text("client_id")
    }

    /// Returns the scopes of the token.
    pub fn scopes(&self) -> &[String] {
        self.0.scopes()
    }

    /// Returns true if the token has the scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.has_scope(scope)
    }

    /// Returns the expiry of the token, in seconds since 1970.
    pub fn expires_at(&self) -> Option<u64> {
        self.0.expires()
    }

    /// Returns the principal, unique among all issuers: one text for each issuer and subject (or client, if
    /// there is no subject).
    pub fn principal(&self) -> &str {
        self.0.principal()
    }

    /// One claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.claims().get(name)
    }

    /// All of them.
    pub fn all(&self) -> &Map<String, Value> {
        self.0.claims()
    }

    /// All of them as a type of the program's own; an error says what does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, crate::error::Error> {
        let value = Value::Object(self.0.claims().clone());
        serde_json::from_value(value)
            .map_err(|error| crate::error::Error::internal(format!("claims: {error}")))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
}
