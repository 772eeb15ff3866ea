//! An issuer's keys (JWK Sets, RFC 7517), and the times of their refresh.

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::jws::Algorithm;
use crate::auth::HttpResponse;
use crate::auth::base64url;
use crate::auth::error::AuthError;

/// Seconds for which keys are used without asking again.
pub const FRESH: u64 = 600;
/// Seconds after that for which they are used where the issuer does not answer.
pub const STALE: u64 = 3600;
/// Seconds between two fetches for an unknown key: a token can name any key.
pub const UNKNOWN_PAUSE: u64 = 30;
/// Seconds until an issuer that did not answer is asked again.
pub const FAILED_PAUSE: u64 = 5;
/// Maximum number of keys of an issuer.
pub const MAX_KEYS: usize = 100;

/// Name of the document in error messages.
const DOCUMENT: &str = "key set";

/// A public key as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Jwk(pub Map<String, Value>);

impl Jwk {
    /// A member that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Returns true if the key can have made signatures of this algorithm, by its type and its declared use.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        let (kind, curve) = algorithm.key_type();
        self.text("kty") == Some(kind)
            && curve.is_none_or(|curve| self.text("crv") == Some(curve))
            && self.text("use").is_none_or(|usage| usage == "sig")
            && self.text("alg").is_none_or(|name| Algorithm::parse(name) == Some(algorithm))
    }

    /// Returns true if the key contains private or symmetric key material.
    pub fn is_private(&self) -> bool {
        ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| self.0.contains_key(*name))
    }

    /// Its thumbprint (RFC 7638, with SHA-256); `None` for a key of no known type.
    pub fn thumbprint(&self) -> Option<String> {
        let names: &[&str] = match self.text("kty")? {
            "EC" => &["crv", "kty", "x", "y"],
            "RSA" => &["e", "kty", "n"],
            "OKP" => &["crv", "kty", "x"],
            _ => return None,
        };
        let mut members = Vec::new();
        for name in names {
            members.push(format!("\"{name}\":{}", crate::json::string(self.text(name)?)));
        }
        Some(base64url(&Sha256::digest(format!("{{{}}}", members.join(",")))))
    }
}

/// The action for a token that names a key.
#[derive(Debug, PartialEq)]
pub enum Plan {
    /// One of these keys made the signature, or the token is refused.
    Try(Vec<Jwk>),
    /// The same; the issuer's keys are also due for a refresh in the background.
    Refresh(Vec<Jwk>),
    /// Ask the issuer for its keys, and plan again.
    Fetch,
    /// No key of the issuer is meant.
    Unknown,
    /// The keys are not to be had now.
    Unavailable,
}

/// The keys of one issuer. Times are seconds since 1970.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: Vec<Jwk>,
    fetched: Option<u64>,
    failed: Option<u64>,
    looked: Option<u64>,
}

impl KeyRing {
    /// Returns the action for a token with this key id and algorithm.
    pub fn plan(&self, key_id: Option<&str>, algorithm: Algorithm, now: u64) -> Plan {
        let age = self.fetched.map(|at| now.saturating_sub(at));
        let resting = self.failed.is_some_and(|at| now.saturating_sub(at) < FAILED_PAUSE);
        match age {
            // They are used on while the issuer is asked, or cannot be.
            Some(age) if age < FRESH + STALE => {}
            _ if resting => return Plan::Unavailable,
            _ => return Plan::Fetch,
        }
        let due = self.is_due(now);
        let meant = |key: &&Jwk| match (key_id, key.text("kid")) {
            (Some(wanted), Some(id)) => wanted == id,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let fit: Vec<Jwk> =
            self.keys.iter().filter(meant).filter(|key| key.is_for(algorithm)).cloned().collect();
        if !fit.is_empty() {
            return if due { Plan::Refresh(fit) } else { Plan::Try(fit) };
        }
        if due {
            return Plan::Fetch;
        }
        // A key of that id and another kind is no reason to ask: that is what confusion of algorithms looks like.
        let named = key_id.is_some() && self.keys.iter().any(|key| key.text("kid") == key_id);
        let looked = self.looked.is_some_and(|at| now.saturating_sub(at) < UNKNOWN_PAUSE);
        match (named || looked, resting) {
            (true, _) => Plan::Unknown,
            (false, true) => Plan::Unavailable,
            (false, false) => Plan::Fetch,
        }
    }

    /// Is it time to ask the issuer, though its keys are used on?
    pub fn is_due(&self, now: u64) -> bool {
        let old = self.fetched.is_none_or(|at| now.saturating_sub(at) >= FRESH);
        old && self.failed.is_none_or(|at| now.saturating_sub(at) >= FAILED_PAUSE)
    }

    /// The issuer's answer is here.
    pub fn take(&mut self, keys: Vec<Jwk>, now: u64) {
        // The first keys answer nobody's question: a token of a newer one may follow at once.
        self.looked = self.fetched.map(|_| now);
        self.keys = keys;
        self.fetched = Some(now);
        self.failed = None;
    }

    /// The issuer did not answer.
    pub fn fail(&mut self, now: u64) {
        self.failed = Some(now);
    }
}

/// The keys of a JWK Set that tokens can be signed with. Keys of other kinds are left out.
pub fn read(response: &HttpResponse) -> Result<Vec<Jwk>, AuthError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Map<String, Value>>,
    }
    status(response, DOCUMENT)?;
    let set: Set = response.parse(DOCUMENT)?;
    let keys = set.keys.into_iter().map(Jwk).filter(|key| !key.is_private() && key.thumbprint().is_some());
    Ok(keys.take(MAX_KEYS).collect())
}

/// `jwks_uri` of an issuer's metadata (RFC 8414, section 2), whose `issuer` must equal the requested one.
pub fn key_set_url(response: &HttpResponse, issuer: &str) -> Result<String, AuthError> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        #[serde(default)]
        jwks_uri: Option<String>,
    }
    let what = crate::auth::metadata::SERVER_DOCUMENT;
    status(response, what)?;
    let metadata: Metadata = response.parse(what)?;
    if metadata.issuer != issuer {
        let found = crate::auth::error::tame(&metadata.issuer);
        return Err(AuthError::IssuerMismatch { expected: issuer.to_owned(), found });
    }
    let none = || AuthError::NoEndpoint { issuer: issuer.to_owned(), endpoint: "jwks_uri" };
    metadata.jwks_uri.ok_or_else(none)
}

pub(super) fn status(response: &HttpResponse, what: &'static str) -> Result<(), AuthError> {
    match response.status {
        200 => Ok(()),
        status if response.is_redirect() => Err(AuthError::Redirect { what, status }),
        status => Err(AuthError::Status { what, status }),
    }
}

/// The answer of an introspection endpoint (RFC 7662, section 2.2): the claims, or `None` for a token that is not good.
pub fn introspected(response: &HttpResponse) -> Result<Option<Map<String, Value>>, AuthError> {
    const ANSWER: &str = "introspection";
    status(response, ANSWER)?;
    let mut claims: Map<String, Value> = response.parse(ANSWER)?;
    match claims.remove("active") {
        Some(Value::Bool(true)) => Ok(Some(claims)),
        Some(Value::Bool(false)) => Ok(None),
        _ => Err(AuthError::Malformed {
            what: ANSWER,
            reason: "it does not say whether the token is active".into(),
        }),
    }
}

/// The request that asks about a token (RFC 7662, section 2.1), with the server's own credentials in the header.
pub fn introspection(endpoint: &str, client: &str, secret: &str, token: &str) -> crate::auth::HttpRequest {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let form =
        crate::auth::http::Form::new().add("token", token).add("token_type_hint", "access_token").finish();
    let mut request = crate::auth::HttpRequest::post(endpoint, crate::auth::http::FORM, form);
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encoded(client), encoded(secret)));
    request.headers.push(("authorization", format!("Basic {pair}")));
    request
}

/// A request for a document.
pub fn get(url: &str) -> crate::auth::HttpRequest {
    crate::auth::HttpRequest::get(url, None)
}
