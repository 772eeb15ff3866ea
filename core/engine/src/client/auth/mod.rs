//! Client sign-in: OAuth 2.1 according to the authorization pages of the specification.
//!
//! An [`Auth`] is set by `ClientBuilder::auth`. When the server refuses
//! a request with 401, or with 403 because of scopes, the client authorizes itself and retries the request;
//! the caller sees neither. [`trunnion_proto::auth`] implements the rules; this module provides their access
//! to HTTP, the user, keys and stores.
//!
//! ```no_run
//! # async fn example() -> Result<(), trunnion::Error> {
//! use trunnion::Client;
//! use trunnion::auth::{Auth, FileStore, Loopback};
//!
//! let auth = Auth::browser(Loopback::bind(0).await?)
//!     .client_name("My client")
//!     .store(FileStore::new("credentials"));
//! let client = Client::builder().auth(auth).connect("https://mcp.example.com/mcp").await?;
//! # Ok(()) }
//! ```
//!
//! Tokens are sent only to the server's own origin, over the connection's own transport. Messages and logs
//! contain neither tokens nor codes nor secrets.

mod authorizer;
mod flight;
mod keys;
mod loopback;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use trunnion_proto::auth::dpop::ClientKey;
use trunnion_proto::auth::flow::Grant;
use trunnion_proto::auth::registration::{Identity, Preregistered};
use trunnion_proto::auth::{AuthError, Config};

use crate::error::Error;

pub use crate::store::{CredentialStore, FileStore, MemoryCredentials, Turn};
pub use keys::SigningKey;
pub use loopback::{Loopback, headless};
pub use trunnion_proto::auth::credentials::{AuthMethod, Client as RegisteredClient};
pub use trunnion_proto::auth::url::AddressClass;
pub use trunnion_proto::auth::{Credentials, Secret};

pub(super) use authorizer::Authorizer;

/// A guard that delays the end of the client's runtime while it lives.
type Hold = Arc<dyn Fn() -> Box<dyn Send + Sync> + Send + Sync>;
type Redirect = Arc<dyn Fn(String) -> BoxFuture<'static, Result<String, Error>> + Send + Sync>;

/// A sign-in configuration. Cheap to clone; clients made from clones share the store.
#[derive(Clone)]
pub struct Auth {
    grant: Grant,
    identity: Identity,
    client_key: Option<SigningKey>,
    key_id: Option<String>,
    dpop: Option<SigningKey>,
    offline: bool,
    addresses: Option<AddressClass>,
    store: Arc<dyn CredentialStore>,
    redirect: Option<Redirect>,
    timeout: Duration,
    user_timeout: Duration,
    held: Option<Hold>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let grant = match &self.grant {
            Grant::Browser { .. } => "authorization_code",
            Grant::ClientCredentials => "client_credentials",
            Grant::JwtBearer { .. } => "jwt_bearer",
            Grant::Enterprise { .. } => "enterprise",
        };
        f.debug_struct("Auth").field("grant", &grant).finish_non_exhaustive()
    }
}

impl Auth {
    /// The user agrees in a browser. `redirect` receives the page to open and returns the whole URL that the
    /// browser was finally redirected to, which begins with `redirect_uri` (`https`, or `http` at a loopback
    /// host). Time limits of calls are paused meanwhile.
    ///
    /// The client id is, in this order: [`Auth::client_id`], [`Auth::client_metadata_url`] if the server
    /// supports one, or the id that the server assigns when the client registers itself.
    pub fn authorization_code<F>(
        redirect_uri: impl Into<String>,
        redirect: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Auth
    where
        F: Future<Output = Result<String, Error>> + Send + 'static,
    {
        let mut auth = Auth::new(Grant::Browser { redirect_uri: redirect_uri.into() });
        auth.redirect = Some(Arc::new(move |url| Box::pin(redirect(url))));
        auth
    }

    /// The user agrees in the browser of this machine, which is redirected to a port of this process.
    pub fn browser(loopback: Loopback) -> Auth {
        let redirect_uri = loopback.redirect_uri();
        let loopback = Arc::new(loopback);
        Auth::authorization_code(redirect_uri, move |url| {
            let loopback = Arc::clone(&loopback);
            async move { loopback.visit(url).await }
        })
    }

    /// The client acts for itself, with a secret.
    pub fn client_credentials(client_id: impl Into<String>, secret: impl Into<String>) -> Auth {
        Auth::new(Grant::ClientCredentials).client_id(client_id).client_secret(secret)
    }

    /// The client acts for itself; further options set its authentication.
    pub fn client_credentials_alone(client_id: impl Into<String>) -> Auth {
        Auth::new(Grant::ClientCredentials).client_id(client_id)
    }

    /// The client acts for itself, and authenticates with a signature instead of a secret
    /// (`private_key_jwt`).
    pub fn client_credentials_jwt(client_id: impl Into<String>, key: SigningKey) -> Auth {
        Auth::new(Grant::ClientCredentials).client_id(client_id).signing_key(key)
    }

    /// The client presents an assertion that it received (RFC 7523), such as a workload's identity. Its
    /// audience must be the authorization server.
    pub fn jwt_bearer(client_id: impl Into<String>, assertion: impl Into<String>) -> Auth {
        Auth::new(Grant::JwtBearer { assertion: Secret::new(assertion) }).client_id(client_id)
    }

    /// The organization's identity provider vouches for the user (enterprise-managed authorization): the
    /// client exchanges the user's token `subject` of the type `subject_type` at `token_endpoint` of the
    /// provider `issuer`, which knows the client as `client`. Its id at the MCP server's authorization server
    /// is [`Auth::client_id`].
    pub fn enterprise(
        token_endpoint: impl Into<String>,
        issuer: impl Into<String>,
        client: RegisteredClient,
        subject: impl Into<String>,
        subject_type: impl Into<String>,
    ) -> Auth {
        Auth::new(Grant::Enterprise {
            token_endpoint: token_endpoint.into(),
            issuer: issuer.into(),
            client,
            subject: Secret::new(subject),
            subject_type: subject_type.into(),
        })
    }

    fn new(grant: Grant) -> Auth {
        Auth {
            grant,
            identity: Identity { name: "trunnion".into(), ..Identity::default() },
            client_key: None,
            key_id: None,
            dpop: None,
            offline: false,
            addresses: None,
            store: Arc::new(MemoryCredentials::default()),
            redirect: None,
            timeout: Duration::from_secs(10),
            user_timeout: Duration::from_secs(300),
            held: None,
        }
    }

    /// Sets the id of a client that was registered manually.
    pub fn client_id(mut self, id: impl Into<String>) -> Auth {
        self.client().id = id.into();
        self
    }

    /// Sets the secret that belongs to [`Auth::client_id`].
    pub fn client_secret(mut self, secret: impl Into<String>) -> Auth {
        self.client().secret = Some(Secret::new(secret));
        self
    }

    /// Sets the client's authentication method at the token endpoint. Default: the strongest one that both
    /// the client and the authorization server support.
    pub fn client_auth_method(mut self, method: AuthMethod) -> Auth {
        self.client().method = Some(method);
        self
    }

    /// Sets the authorization server that [`Auth::client_id`] belongs to: its id and secret are sent to no
    /// other. Default: the first one that the MCP server names, if the client has neither a secret nor a key
    /// nor an assertion; with one of them the call fails with kind `unauthorized` and reason
    /// `issuer_not_named`, and the message contains the name.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Auth {
        self.client().issuer = Some(issuer.into());
        self
    }

    /// Without [`Auth::issuer`], allows the client to send the secret, a signature of the key, or the
    /// assertion to the first authorization server that the MCP server names, and to no other after it. Use
    /// it for MCP servers that may see them. Default: false.
    pub fn trust_first_issuer(mut self, trust: bool) -> Auth {
        self.client().trust_first_issuer = trust;
        self
    }

    fn client(&mut self) -> &mut Preregistered {
        let unknown = || Preregistered {
            issuer: None,
            trust_first_issuer: false,
            id: String::new(),
            secret: None,
            method: None,
        };
        self.identity.preregistered.get_or_insert_with(unknown)
    }

    /// Sets the URL of the client id metadata document, `https` with a path.
    pub fn client_metadata_url(mut self, url: impl Into<String>) -> Auth {
        self.identity.metadata_url = Some(url.into());
        self
    }

    /// Sets the name under which the client registers itself. Default: `trunnion`.
    pub fn client_name(mut self, name: impl Into<String>) -> Auth {
        self.identity.name = name.into();
        self
    }

    /// Sets the key for the client's authentication (`private_key_jwt`).
    pub fn signing_key(mut self, key: SigningKey) -> Auth {
        self.client_key = Some(key);
        self
    }

    /// Sets the `kid` of [`Auth::signing_key`], if the authorization server knows several keys of the client.
    pub fn signing_key_id(mut self, id: impl Into<String>) -> Auth {
        self.key_id = Some(id.into());
        self
    }

    /// Binds tokens to this key if the authorization server supports it (DPoP, RFC 9449), so that a stolen
    /// token is useless. Tokens in a store that outlives the process need a key that outlives it too.
    pub fn dpop(mut self, key: SigningKey) -> Auth {
        self.dpop = Some(key);
        self
    }

    /// Requests the scope `offline_access` if the authorization server supports it. Default: false.
    pub fn offline_access(mut self, ask: bool) -> Auth {
        self.offline = ask;
        self
    }

    /// Sets the store for credentials. Default: in memory, for this `Auth` and its clones.
    pub fn store(mut self, store: impl CredentialStore) -> Auth {
        self.store = Arc::new(store);
        self
    }

    /// Sets the network of the MCP server. The metadata and authorization servers that it names may be there
    /// or public. By default the server's URL decides, and a name counts as public. For a server of an
    /// intranet that has a name: [`AddressClass::Private`].
    pub fn addresses(mut self, class: AddressClass) -> Auth {
        self.addresses = Some(class);
        self
    }

    /// Sets the time limit of each request to metadata, registration and token endpoints. Default: ten
    /// seconds.
    pub fn timeout(mut self, timeout: Duration) -> Auth {
        self.timeout = timeout;
        self
    }

    /// Sets the time limit of the user. Default: five minutes.
    pub fn user_timeout(mut self, timeout: Duration) -> Auth {
        self.user_timeout = timeout;
        self
    }

    /// Sets the source of guards: each lives while an operation runs that the end of the runtime would lose.
    pub fn held(mut self, hold: impl Fn() -> Box<dyn Send + Sync> + Send + Sync + 'static) -> Auth {
        self.held = Some(Arc::new(hold));
        self
    }

    fn hold(&self) -> Option<Box<dyn Send + Sync>> {
        self.held.as_ref().map(|hold| hold())
    }

    fn config(&self, server: &str) -> Result<Config, AuthError> {
        let empty = self.identity.preregistered.as_ref().is_some_and(|client| client.id.is_empty());
        if empty {
            let reason = "it is missing, or empty".to_owned();
            return Err(AuthError::Config { option: "client_id", reason });
        }
        let mut config = Config::new(server, self.grant.clone(), self.identity.clone());
        config.client_key = self
            .client_key
            .as_ref()
            .map(|key| ClientKey { algorithm: key.algorithm().to_owned(), id: self.key_id.clone() });
        config.dpop = self.dpop.as_ref().map(SigningKey::dpop).transpose()?;
        config.offline = self.offline;
        if let Some(class) = self.addresses {
            config.addresses.server = class;
        }
        Ok(config)
    }
}
