//! The complete flow from a challenge to tokens, as one state machine: it takes an [`Input`] and returns a
//! [`Step`].

mod discover;
mod exchange;
mod record;

use std::collections::VecDeque;

use super::Fresh;
use super::credentials::{Client, Credentials, Secret};
use super::dpop::{ClientKey, DpopKey, SignRequest};
use super::error::AuthError;
use super::http::{HttpRequest, HttpResponse};
use super::metadata::{ResourceMetadata, ServerMetadata};
use super::registration::Identity;
use super::url::{AddressClass, AddressPolicy, cut};
use exchange::Pending;

/// Most authorizations until a challenged request succeeds, or until [`AGAIN_AFTER`].
pub const MAX_AUTHORIZATIONS: u32 = 3;
/// Seconds after the last of them until a server that was never content gets another chance.
pub const AGAIN_AFTER: u64 = 300;

/// Name of the grant that takes a user.
const BROWSER: &str = "authorization_code";

/// The grant that obtains tokens.
#[derive(Debug, Clone)]
pub enum Grant {
    /// The user agrees in a browser.
    Browser {
        /// The URI that receives the callback: `https`, or `http` at a loopback host.
        redirect_uri: String,
    },
    /// The client acts for itself.
    ClientCredentials,
    /// The client shows an assertion that it was given (RFC 7523), such as a workload's identity.
    JwtBearer {
        /// The assertion; its audience must be the authorization server.
        assertion: Secret,
    },
    /// The organization's identity provider vouches for the user: its token is exchanged for an ID-JAG (RFC 8693),
    /// and that is shown to the authorization server.
    Enterprise {
        /// Token endpoint of the identity provider.
        token_endpoint: String,
        /// Issuer of the identity provider: `aud` of client assertions to it.
        issuer: String,
        /// The client as the identity provider knows it.
        client: Client,
        /// The user's token.
        subject: Secret,
        /// Its type, mostly [`ID_TOKEN`](super::token::ID_TOKEN).
        subject_type: String,
    },
}

impl Grant {
    /// The name that records note.
    pub fn name(&self) -> &'static str {
        match self {
            Grant::Browser { .. } => BROWSER,
            Grant::ClientCredentials => "client_credentials",
            Grant::JwtBearer { .. } => "jwt_bearer",
            Grant::Enterprise { .. } => "enterprise",
        }
    }
}

/// Configuration of a flow.
#[derive(Debug, Clone)]
pub struct Config {
    /// URL of the MCP server.
    pub server: String,
    /// The grant that obtains tokens.
    pub grant: Grant,
    /// Identity of the client.
    pub identity: Identity,
    /// Key for `private_key_jwt`.
    pub client_key: Option<ClientKey>,
    /// Key to bind tokens to, where the authorization server offers DPoP with its algorithm. Elsewhere: bearer tokens.
    pub dpop: Option<DpopKey>,
    /// Ask for `offline_access` where the authorization server has it.
    pub offline: bool,
    /// Follows 2025-03-26 if there is no protected-resource metadata: the server's own origin is the
    /// authorization server.
    pub legacy: bool,
    /// `MCP-Protocol-Version` of metadata requests.
    pub protocol_version: Option<String>,
    /// Permitted addresses of endpoints. Derived from the server's URL; a name counts as public, so a server
    /// of an intranet that is known by name needs [`AddressClass::Private`] here.
    pub addresses: AddressPolicy,
}

impl Config {
    /// With no keys, no offline access, legacy servers allowed, and addresses by the server's URL.
    pub fn new(server: impl Into<String>, grant: Grant, identity: Identity) -> Config {
        let server = server.into();
        let class = cut(&server, "server").map_or(AddressClass::Public, |parts| parts.class());
        Config {
            server,
            grant,
            identity,
            client_key: None,
            dpop: None,
            offline: false,
            legacy: true,
            protocol_version: None,
            addresses: AddressPolicy { server: class },
        }
    }
}

/// Content of a server's refusal. The default is the start of a flow without a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// HTTP status: 401 or 403.
    pub status: u16,
    /// `error` of the challenge.
    pub error: Option<String>,
    /// `scope` of the challenge.
    pub scope: Option<String>,
    /// `resource_metadata` of the challenge.
    pub resource_metadata: Option<String>,
}

impl Challenge {
    /// Returns true if more scopes are required: 403, or `insufficient_scope`.
    pub fn is_step_up(&self) -> bool {
        self.status == 403 || self.error.as_deref() == Some("insufficient_scope")
    }
}

/// An event for the flow. `Debug` shows the kind only: callbacks contain codes.
#[derive(Clone)]
pub enum Input {
    /// A request was refused, or is expected to be. Aborts the current attempt.
    Challenged(Challenge),
    /// The access token expires soon: refresh it. Aborts the current attempt.
    Refresh,
    /// Answer to [`Step::Http`].
    Response(HttpResponse),
    /// The URL, or query, that the callback came with, after [`Step::OpenBrowser`].
    Callback(String),
    /// Signature for [`Step::Sign`], in JWS form.
    Signature(Vec<u8>),
    /// The current content of the store, after [`Step::Reload`].
    Reloaded(Option<Box<Credentials>>),
}

impl Input {
    fn name(&self) -> &'static str {
        match self {
            Input::Challenged(_) => "a challenge",
            Input::Refresh => "a refresh",
            Input::Response(_) => "a response",
            Input::Callback(_) => "a callback",
            Input::Signature(_) => "a signature",
            Input::Reloaded(_) => "stored credentials",
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The next action of the caller.
#[derive(Debug, Clone)]
pub enum Step {
    /// Send this request, and pass [`Input::Response`]. Follow no redirects and read at most the limit. If it
    /// cannot be sent, drop the flow: there is nothing to decide.
    Http(HttpRequest),
    /// Send the user to this page, and pass [`Input::Callback`].
    OpenBrowser {
        /// The page.
        url: String,
    },
    /// Sign this, and pass [`Input::Signature`].
    Sign(SignRequest),
    /// The refresh token is invalid; another client may have used it. Read the store again, and pass
    /// [`Input::Reloaded`].
    Reload,
    /// Tokens: send the refused request again. Before that, swap the record into the store, and report
    /// success with [`Flow::kept`]; skip this if the store already contains it ([`Flow::is_kept`]) or
    /// contains a more valuable record ([`Flow::yields`]). If another client was faster, [`Flow::outrun`]
    /// decides.
    Done(Box<Credentials>),
    /// No tokens. The flow can be challenged again.
    Failed(AuthError),
}

/// The machine of one MCP server.
///
/// Not shown by `Debug`: it holds secrets.
pub struct Flow {
    config: Config,
    /// The record as of now.
    stored: Option<Credentials>,
    /// The last known content of the store, of any client: a new record follows it. If the store did not
    /// accept a record, the record here is newer.
    base: Option<Credentials>,
    phase: Phase,
    challenge: Challenge,
    authorizations: u32,
    /// When the last of them began.
    authorized_at: u64,
    /// The refresh token was used since the last success; if the server still refuses, it is no help.
    refreshed: bool,
    /// Issuer that a configured client without one was bound to.
    bound: Option<String>,
    /// The authorization server's last nonce.
    nonce: Option<(String, String)>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow").field("server", &self.config.server).finish_non_exhaustive()
    }
}

/// Metadata found for both servers.
#[derive(Clone)]
struct Found {
    /// None at servers of 2025-03-26.
    resource: Option<ResourceMetadata>,
    server: ServerMetadata,
}

impl Found {
    fn resource(&self) -> Option<String> {
        self.resource.as_ref().map(|metadata| metadata.resource.clone())
    }
}

enum Phase {
    Idle,
    Resource { urls: VecDeque<String>, asked: String },
    Server { urls: VecDeque<String>, issuer: String, resource: Option<ResourceMetadata> },
    Register(Box<Found>),
    Browser { found: Box<Found>, client: Client, scopes: Vec<String>, verifier: Secret, state: String },
    Token(Box<Pending>),
    Sign(Box<Pending>, SignRequest),
    Reload(Option<Box<Found>>, AuthError),
}

impl Flow {
    /// Creates a flow with the store's record of this server; a record of another grant, or of a client other
    /// than the configured one, is not used. [`AuthError::Config`] names an invalid option.
    pub fn new(mut config: Config, stored: Option<Credentials>) -> Result<Flow, AuthError> {
        let server = cut(&config.server, "server")?;
        if !server.is_https() && server.class() != AddressClass::Loopback {
            return Err(AuthError::NotHttps { what: "server" });
        }
        if let Some(at) = config.server.find('#') {
            config.server.truncate(at);
        }
        // What the user configures may be anywhere, as long as it is encrypted.
        let anywhere = AddressPolicy { server: AddressClass::Loopback };
        match &config.grant {
            Grant::Browser { redirect_uri } => {
                anywhere.check(redirect_uri, "redirect_uri")?;
            }
            Grant::Enterprise { token_endpoint, .. } => {
                anywhere.check(token_endpoint, "token_endpoint")?;
            }
            Grant::ClientCredentials | Grant::JwtBearer { .. } => {}
        }
        config.identity.has_key = config.client_key.is_some();
        config.identity.check()?;
        if let Some(key) = &config.dpop {
            key.check()?;
        }
        if stored.as_ref().is_some_and(|stored| stored.server != config.server) {
            let reason = "they belong to another server".to_owned();
            return Err(AuthError::Config { option: "credentials", reason });
        }
        // A configured client that was used before stays with the issuer it was used at, unless it is said where it
        // belongs.
        let unbound = config.identity.preregistered.as_ref().filter(|client| client.issuer.is_none());
        let bound = stored
            .as_ref()
            .filter(|stored| {
                let used = stored.client.as_ref().map(|client| &client.id);
                used.is_some() && used == unbound.map(|client| &client.id)
            })
            .map(|stored| stored.issuer.clone());
        let base = stored.clone();
        let stored = stored.filter(|stored| config.owns(stored));
        Ok(Flow {
            config,
            stored,
            base,
            phase: Phase::Idle,
            challenge: Challenge::default(),
            authorizations: 0,
            authorized_at: 0,
            refreshed: false,
            bound,
            nonce: None,
        })
    }

    /// The challenged request has succeeded with the new tokens: resets the count of attempts. Call it for
    /// that request only; the success of other requests proves nothing.
    pub fn accepted(&mut self) {
        self.authorizations = 0;
        self.refreshed = false;
    }

    /// Go on. Every input leads to exactly one step.
    pub fn step(&mut self, input: Input, fresh: &Fresh) -> Step {
        match self.advance(input, fresh) {
            Ok(step) => step,
            Err(error) => {
                self.phase = Phase::Idle;
                Step::Failed(error)
            }
        }
    }

    fn advance(&mut self, input: Input, fresh: &Fresh) -> Result<Step, AuthError> {
        let got = input.name();
        match (input, std::mem::replace(&mut self.phase, Phase::Idle)) {
            (Input::Challenged(challenge), _) => self.challenged(challenge),
            (Input::Refresh, _) => self.refresh_early(fresh),
            (Input::Response(response), Phase::Resource { urls, asked }) => {
                self.resource_answer(response, urls, asked)
            }
            (Input::Response(response), Phase::Server { urls, issuer, resource }) => {
                self.server_answer(response, urls, issuer, resource, fresh)
            }
            (Input::Response(response), Phase::Register(found)) => {
                let client = self.config.identity.read(&response)?;
                self.authorize(*found, client, fresh)
            }
            (Input::Callback(url), Phase::Browser { found, client, scopes, verifier, state }) => {
                self.called_back(&url, *found, client, scopes, (verifier, state), fresh)
            }
            (Input::Response(response), Phase::Token(pending)) => {
                self.token_answer(response, *pending, fresh)
            }
            (Input::Signature(signature), Phase::Sign(pending, request)) => {
                self.signed(*pending, &request, &signature, fresh)
            }
            (Input::Reloaded(stored), Phase::Reload(found, error)) => {
                self.reloaded(stored.map(|stored| *stored), found.map(|found| *found), error, fresh)
            }
            _ => Err(AuthError::UnexpectedInput { got }),
        }
    }
}
