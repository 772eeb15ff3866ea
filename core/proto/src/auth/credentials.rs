//! Credentials kept between flows: the client's registration and its tokens, bound to one issuer.

use serde::{Deserialize, Serialize};

use super::error::AuthError;

/// A token, code, key or secret: `Debug` shows three dots. Serialising it gives the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hide a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the wire.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("...")
    }
}

/// The client authentication method at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// No authentication: a public client sends its id only.
    None,
    /// Secret in the body.
    ClientSecretPost,
    /// Secret in the `Authorization` header.
    ClientSecretBasic,
    /// A signed assertion (RFC 7523).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            AuthMethod::None => "none",
            AuthMethod::ClientSecretPost => "client_secret_post",
            AuthMethod::ClientSecretBasic => "client_secret_basic",
            AuthMethod::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// By its registered name.
    pub fn parse(name: &str) -> Option<AuthMethod> {
        [
            AuthMethod::None,
            AuthMethod::ClientSecretPost,
            AuthMethod::ClientSecretBasic,
            AuthMethod::PrivateKeyJwt,
        ]
        .into_iter()
        .find(|method| method.as_str() == name)
    }
}

/// A client as one authorization server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Authentication method.
    pub method: AuthMethod,
    /// Seconds since 1970 when the secret ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_expires_at: Option<u64>,
}

/// Tokens from a token endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// For the `Authorization` header.
    pub access: Secret,
    /// To be used with a DPoP proof (scheme `DPoP`) rather than as a bearer token.
    #[serde(default)]
    pub dpop: bool,
    /// For new ones without the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Secret>,
    /// Seconds since 1970 when `access` expires, if the server declared it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Granted scopes, if the server declared them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl Tokens {
    /// Value of the `Authorization` header.
    pub fn authorization(&self) -> Secret {
        let scheme = if self.dpop { "DPoP" } else { "Bearer" };
        Secret::new(format!("{scheme} {}", self.access.expose()))
    }

    /// Returns true if the access token expires within `margin` seconds of `now`; false if the server
    /// declared no expiry.
    pub fn expires_within(&self, now: u64, margin: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now.saturating_add(margin))
    }
}

/// The record of one server. Key it by [`server`](Self::server) and, in stores shared by users, by the user.
///
/// Serialised it holds secrets: keep it where secrets may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// URL of the MCP server.
    pub server: String,
    /// Issuer that everything here belongs to. With another issuer none of it is used.
    pub issuer: String,
    /// The endpoint that refreshes the tokens.
    pub token_endpoint: String,
    /// `resource`, as the metadata has it; none at servers of 2025-03-26.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Name of the grant that the tokens are of: `authorization_code`, `client_credentials`, `jwt_bearer` or
    /// `enterprise`. None in records that were made before grants were noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The client. The secret of a configured client is absent here; it is in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// The redirect URI that the client has registered itself with; none of a client that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    /// The tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Scopes that were asked for, so that a step-up loses none.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Counts the changes of this record.
    pub version: u64,
}

impl Credentials {
    /// Put `self` into a store's slot, if the slot still holds the version this was made from: compare and swap.
    /// Versions grow by one; a first record has version 1. The store's lock, or transaction, must span the call.
    ///
    /// [`AuthError::StaleCredentials`] if someone was faster: read theirs and use it, rather than overwrite it.
    pub fn swap_into(self, slot: &mut Option<Credentials>) -> Result<(), AuthError> {
        let stored = slot.as_ref().map_or(0, |record| record.version);
        let expected = self.version.saturating_sub(1);
        if stored != expected {
            return Err(AuthError::StaleCredentials { stored, expected });
        }
        *slot = Some(self);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: u64) -> Credentials {
        Credentials {
            server: "https://h/mcp".into(),
            issuer: "https://as".into(),
            token_endpoint: "https://as/token".into(),
            resource: None,
            grant: Some("authorization_code".into()),
            client: Some(Client {
                id: "c".into(),
                secret: Some(Secret::new("s3cr3t")),
                method: AuthMethod::ClientSecretBasic,
                secret_expires_at: None,
            }),
            redirect_uri: None,
            tokens: Some(Tokens {
                access: Secret::new("t0ken"),
                dpop: false,
                refresh: Some(Secret::new("r3fresh")),
                expires_at: Some(100),
                scope: None,
            }),
            scopes: vec!["a".into()],
            version,
        }
    }

    #[test]
    fn kept_whole_and_shown_without_secrets() {
        let text = serde_json::to_string(&record(1)).unwrap();
        assert_eq!(serde_json::from_str::<Credentials>(&text).unwrap(), record(1));
        assert!(text.contains(r#""method":"client_secret_basic""#));
        let shown = format!("{:?}", record(1));
        assert!(["s3cr3t", "t0ken", "r3fresh"].iter().all(|secret| !shown.contains(secret)), "{shown}");
        assert_eq!(record(1).tokens.unwrap().authorization().expose(), "Bearer t0ken");
    }

    #[test]
    fn records_of_before_are_read() {
        let text = serde_json::to_string(&Credentials { grant: None, ..record(1) }).unwrap();
        assert!(!text.contains("grant") && !text.contains("redirect_uri"), "{text}");
        assert_eq!(serde_json::from_str::<Credentials>(&text).unwrap().grant, None);
    }

    #[test]
    fn the_slower_of_two_does_not_overwrite() {
        let mut slot = None;
        record(1).swap_into(&mut slot).unwrap();
        record(2).swap_into(&mut slot).unwrap();
        let stale = AuthError::StaleCredentials { stored: 2, expected: 1 };
        assert_eq!(record(2).swap_into(&mut slot), Err(stale));
    }

    #[test]
    fn expiry() {
        let tokens = record(1).tokens.unwrap();
        assert!(tokens.expires_within(100, 0) && tokens.expires_within(70, 30));
        assert!(!tokens.expires_within(69, 30));
        assert!(!Tokens { expires_at: None, ..tokens }.expires_within(u64::MAX, 1));
    }
}
