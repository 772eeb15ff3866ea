//! Authorization of the callers of a server (authorization pages of the specification; OAuth 2.1, section 5).
//!
//! An [`Auth`] is given to `ServerBuilder::auth` and holds for
//! everything that the server serves over HTTP; standard streams and clients of the same process need no
//! token. The rules are [`trunnion_proto::auth::resource`]'s; here are what they need of the world: HTTP,
//! keys, the clock.
//!
//! ```
//! use serde_json::json;
//! use trunnion::server::auth::{Auth, Claims, StaticTokens, Visibility};
//! use trunnion::server::{Server, Tool};
//!
//! async fn whoami(claims: Claims) -> String {
//!     claims.subject().unwrap_or("a program").to_owned()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), trunnion::Error> {
//! // For development; in production JwtVerifier::new("https://auth.example.com"), or Introspection.
//! let tokens = StaticTokens::new().token("s3cret", json!({"sub": "ann", "scope": "files:read"}));
//! let server = Server::builder("files", "1.0.0")
//!     .auth(Auth::new().tokens(tokens).required_scopes(["files:read"]))
//!     .tool(Tool::new("whoami", whoami))
//!     .tool(Tool::new("delete", async || "deleted").scopes(["files:write"]))
//!     .tool(Tool::new("audit", async || "…").visible_to(Visibility::claim("groups", "staff")))
//!     .build()?;
//! let listening = server.http().bind("127.0.0.1:0").await?;
//! # let client = trunnion::Client::builder().header("authorization", "Bearer s3cret");
//! # let client = client.connect(listening.url()).await?;
//! # assert_eq!(client.call_tool("whoami", json!({})).await?.text(), "ann");
//! # Ok(()) }
//! ```
//!
//! Tokens are in no log and no message; a refusal has one of the fixed names and sentences of [`Refusal`].

mod cache;
mod claims;
mod guard;
mod introspection;
mod jwt;
mod signature;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use trunnion_proto::auth::resource::claims::LEEWAY;
use trunnion_proto::auth::scope;
use trunnion_proto::auth::url::{AddressClass, AddressPolicy};

use crate::error::Error;

pub use claims::Claims;
pub use guard::{Admitted, Guard};
pub use introspection::Introspection;
pub use jwt::JwtVerifier;
pub use tokens::StaticTokens;
pub use trunnion_proto::auth::Secret;
pub use trunnion_proto::auth::resource::jws::Algorithm;
pub use trunnion_proto::auth::resource::{Refusal, Visibility};

/// Time limit for an answer of an authorization server.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// A check of tokens that is the program's own; async closures `Fn(Secret)` with that result are one.
pub trait TokenVerifier: Send + Sync + 'static {
    /// The claims of a token; `None`: it is not good. An error is for "cannot tell now", and refuses the
    /// request with 503.
    ///
    /// Of the claims, those that are there are checked as for any token: `aud` (which must be there), `exp`,
    /// `nbf`, and `iss` against the [authorization servers](Auth::authorization_server), if there are any.
    /// `sub` or `client_id` says who calls, `scope` what it may do.
    fn verify(&self, token: Secret) -> BoxFuture<'static, Result<Option<Map<String, Value>>, Error>>;
}

impl<F, Work> TokenVerifier for F
where
    F: Fn(Secret) -> Work + Send + Sync + 'static,
    Work: Future<Output = Result<Option<Map<String, Value>>, Error>> + Send + 'static,
{
    fn verify(&self, token: Secret) -> BoxFuture<'static, Result<Option<Map<String, Value>>, Error>> {
        Box::pin(self(token))
    }
}

/// Policy for tokens that are bound to a key of the client (DPoP, RFC 9449).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dpop {
    /// Tokens that are bound are refused.
    Off,
    /// Tokens that are bound need a proof, others do not.
    #[default]
    Allowed,
    /// Only tokens that are bound are taken.
    Required,
}

/// The authorization settings of a server. Cheap to clone; clones share keys.
#[derive(Clone, Default)]
pub struct Auth {
    pub(super) resource: Option<String>,
    authorization_servers: Vec<String>,
    scopes_supported: Vec<String>,
    required_scopes: Vec<String>,
    audiences: Vec<String>,
    jwt: Vec<JwtVerifier>,
    introspection: Option<Introspection>,
    tokens: Option<StaticTokens>,
    custom: Option<Arc<dyn TokenVerifier>>,
    dpop: Dpop,
    nonces: bool,
    leeway: Option<Duration>,
    name: Option<String>,
    /// The runtime for requests to authorization servers, if not the one that answers requests.
    runtime: Option<tokio::runtime::Handle>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("resource", &self.resource).finish_non_exhaustive()
    }
}

impl Auth {
    /// Nobody, until a way to check tokens is added: [`jwt`](Auth::jwt),
    /// [`introspection`](Auth::introspection), [`tokens`](Auth::tokens) or [`verifier`](Auth::verifier). Of
    /// several, a token is for the first that knows it: a static token, else a JWT of a known issuer, else
    /// introspection, else the verifier.
    ///
    /// A caller is its issuer and subject. Claims that name no issuer are of the only one that is named,
    /// where there is only one way to check tokens; else of the endpoint of the introspection, of the static
    /// tokens or of the verifier.
    pub fn new() -> Auth {
        Auth::default()
    }

    /// The server's identifier, for which clients ask tokens: its URL as clients know it. Default: the
    /// `public_url` of the endpoint, else the URL of the listener. One of them is needed where there is no
    /// listener with an address.
    pub fn resource(mut self, url: impl Into<String>) -> Self {
        self.resource = Some(url.into());
        self
    }

    /// The issuer of an authorization server, which clients are sent to. Default: the issuers of the
    /// [`JwtVerifier`]s.
    pub fn authorization_server(mut self, issuer: impl Into<String>) -> Self {
        self.authorization_servers.push(issuer.into());
        self
    }

    /// The scopes of everyday use, which clients ask for at first. Default: the required ones.
    pub fn scopes_supported<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes_supported = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Scopes that every request needs. Default: none.
    pub fn required_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.required_scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an accepted audience (`aud`), for authorization servers that know this server by another name
    /// than its resource; can be repeated. Default: the resource.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts JWTs of an issuer; can be repeated, once for each issuer.
    pub fn jwt(mut self, verifier: JwtVerifier) -> Self {
        self.jwt.push(verifier);
        self
    }

    /// Asks an authorization server about tokens.
    pub fn introspection(mut self, introspection: Introspection) -> Self {
        self.introspection = Some(introspection);
        self
    }

    /// Accepts fixed tokens, for development.
    pub fn tokens(mut self, tokens: StaticTokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Asks the program itself.
    pub fn verifier(mut self, verifier: impl TokenVerifier) -> Self {
        self.custom = Some(Arc::new(verifier));
        self
    }

    /// Sets the policy for tokens that are bound to a key. Default: they are allowed. Proofs are valid for a
    /// minute and only once, in one process; several processes need [`dpop_nonces`](Auth::dpop_nonces).
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = dpop;
        self
    }

    /// Want a nonce of this server in every proof (RFC 9449, section 9): proofs cannot be made in advance.
    /// Where several processes serve, they need the same
    /// `state_keys`. Default: no.
    pub fn dpop_nonces(mut self, nonces: bool) -> Self {
        self.nonces = nonces;
        self
    }

    /// Sets the tolerated difference between clocks. Default: a minute.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = Some(leeway);
        self
    }

    /// Sets the name of the server in the protected-resource metadata.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the runtime for requests to authorization servers.
    pub fn on(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    fn leeway_seconds(&self) -> u64 {
        self.leeway.map_or(LEEWAY, |leeway| leeway.as_secs())
    }

    fn issuers(&self) -> Vec<String> {
        let mut issuers = self.authorization_servers.clone();
        for verifier in &self.jwt {
            if !issuers.iter().any(|known| known == verifier.issuer()) {
                issuers.push(verifier.issuer().to_owned());
            }
        }
        issuers
    }

    /// Returns the number of verifiers.
    fn ways(&self) -> usize {
        let ways = [
            !self.jwt.is_empty(),
            self.introspection.is_some(),
            self.tokens.is_some(),
            self.custom.is_some(),
        ];
        ways.into_iter().filter(|way| *way).count()
    }

    /// Checks the settings. Fails with kind `usage`.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |why: String| Err(Error::usage(format!("auth: {why}")));
        if self.ways() == 0 {
            return wrong(
                "there is no way to check a token: jwt, introspection, tokens or one of your own".into(),
            );
        }
        for issuer in &self.authorization_servers {
            check_url(issuer, "the authorization server")?;
        }
        for verifier in &self.jwt {
            verifier.check()?;
        }
        if let Some(introspection) = &self.introspection {
            introspection.check()?;
        }
        if let Some(tokens) = &self.tokens {
            tokens.check()?;
        }
        for scopes in [&self.scopes_supported, &self.required_scopes] {
            if let Err(error) = scope::union(&[], scopes.iter().cloned()) {
                return wrong(error.to_string());
            }
            // "Refresh tokens are not a resource requirement" (authorization, "Refresh Tokens").
            if scopes.iter().any(|scope| scope == "offline_access") {
                return wrong("offline_access is between a client and its authorization server".into());
            }
        }
        Ok(())
    }
}

/// `https`, or `http` on this machine: what the operator names may be anywhere.
fn check_url(url: &str, what: &'static str) -> Result<(), Error> {
    let policy = AddressPolicy { server: AddressClass::Loopback };
    policy.check(url, what).map(drop).map_err(|error| Error::usage(format!("auth: {error}")))
}

/// Seconds since 1970.
fn now() -> u64 {
    crate::random::now_ms() / 1000
}
