//! Signing inputs of DPoP proofs (RFC 9449) and client assertions (RFC 7523). Keys stay with the driver.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::credentials::Secret;
use super::error::AuthError;
use super::{Fresh, base64url};

/// The key to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// The client's, for `private_key_jwt`.
    Client,
    /// The one the tokens are bound to.
    Dpop,
}

/// A text to sign.
#[derive(Clone, PartialEq, Eq)]
pub struct SignRequest {
    /// The key to sign with.
    pub key: KeyUse,
    /// JWS algorithm, such as `ES256`.
    pub algorithm: String,
    /// The JWS signing input, ASCII.
    pub input: String,
}

impl std::fmt::Debug for SignRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("SignRequest");
        shown.field("key", &self.key).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl SignRequest {
    fn new(key: KeyUse, algorithm: &str, header: Value, claims: Value) -> SignRequest {
        let part = |value: Value| base64url(value.to_string().as_bytes());
        let input = format!("{}.{}", part(header), part(claims));
        SignRequest { key, algorithm: algorithm.to_owned(), input }
    }

    /// The signed token, from a signature in the format of JWS (for ES256: 64 bytes, r and s; not DER).
    pub fn finish(&self, signature: &[u8]) -> Secret {
        Secret::new(format!("{}.{}", self.input, base64url(signature)))
    }
}

/// The public half of the key that tokens are bound to.
#[derive(Debug, Clone)]
pub struct DpopKey {
    /// JWS algorithm, such as `ES256`.
    pub algorithm: String,
    /// The public key as a JWK, a JSON object.
    pub jwk: String,
}

/// The client's key for `private_key_jwt`.
#[derive(Debug, Clone)]
pub struct ClientKey {
    /// JWS algorithm, such as `ES256`.
    pub algorithm: String,
    /// `kid`, if the server knows several.
    pub id: Option<String>,
}

/// One request that a proof is for.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// URL; query and fragment are left out of the proof.
    pub url: &'a str,
    /// The server's last `DPoP-Nonce`. Servers and authorization servers have their own.
    pub nonce: Option<&'a str>,
    /// The access token that goes with the request, at the MCP server.
    pub access: Option<&'a Secret>,
}

impl DpopKey {
    /// Is the key public and an object? A private part in it would be sent with every proof.
    pub fn check(&self) -> Result<(), AuthError> {
        let bad = |reason: &str| AuthError::Config { option: "dpop", reason: reason.to_owned() };
        let jwk: Value = serde_json::from_str(&self.jwk).map_err(|_| bad("the JWK is not JSON"))?;
        let members = jwk.as_object().ok_or_else(|| bad("the JWK is not an object"))?;
        if !matches!(members.get("kty").and_then(Value::as_str), Some("EC" | "RSA" | "OKP")) {
            return Err(bad("the JWK is of no asymmetric type (EC, RSA, OKP)"));
        }
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name)) {
            return Err(bad("the JWK has private members"));
        }
        Ok(())
    }

    /// The proof to sign for a request; a new one for each, with new random bytes.
    pub fn proof(&self, proof: Proof<'_>, fresh: &Fresh) -> Result<SignRequest, AuthError> {
        self.check()?;
        let jwk: Value = serde_json::from_str(&self.jwk).unwrap_or_default();
        let target = proof.url.split(['?', '#']).next().unwrap_or_default();
        let mut claims = json!({"jti": fresh.jti(), "htm": proof.method, "htu": target, "iat": fresh.now});
        if let Some(nonce) = proof.nonce {
            claims["nonce"] = nonce.into();
        }
        if let Some(access) = proof.access {
            claims["ath"] = base64url(&Sha256::digest(access.expose().as_bytes())).into();
        }
        let header = json!({"typ": "dpop+jwt", "alg": self.algorithm, "jwk": jwk});
        Ok(SignRequest::new(KeyUse::Dpop, &self.algorithm, header, claims))
    }
}

impl ClientKey {
    /// The assertion to sign: the client (`iss`, `sub`) speaks to the issuer (`aud`), for five minutes.
    pub fn assertion(&self, client_id: &str, issuer: &str, fresh: &Fresh) -> SignRequest {
        let mut header = json!({"typ": "JWT", "alg": self.algorithm});
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": issuer,
            "jti": fresh.jti(), "iat": fresh.now, "exp": fresh.now.saturating_add(300),
        });
        SignRequest::new(KeyUse::Client, &self.algorithm, header, claims)
    }
}
