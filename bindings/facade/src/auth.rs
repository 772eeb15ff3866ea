//! Sign-in of a client of the host: the connect option `auth`, and the events for the parts that the host
//! does.

use std::collections::HashMap;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use trunnion_engine::client::auth::{
    Auth, AuthMethod, CredentialStore, FileStore, Loopback, RegisteredClient, SigningKey, Turn,
};
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::Kind;
use trunnion_engine::store::{StoreError, StoreFuture};
use trunnion_engine::sync::lock;
use trunnion_proto::auth::url::AddressClass;
use trunnion_proto::auth::{Credentials, Secret};
use trunnion_proto::error::RpcError;
use trunnion_proto::json;

use super::queue::kind;
use super::tables::{Question, Questioner, Tables};

/// The type of the token for an identity provider, if none is named (OpenID Connect's).
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// JSON that holds secrets: not shown by `Debug`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Hidden(Box<RawValue>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("...")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum GrantName {
    #[default]
    AuthorizationCode,
    ClientCredentials,
    JwtBearer,
    Enterprise,
}

impl GrantName {
    fn as_str(self) -> &'static str {
        match self {
            GrantName::AuthorizationCode => "authorization_code",
            GrantName::ClientCredentials => "client_credentials",
            GrantName::JwtBearer => "jwt_bearer",
            GrantName::Enterprise => "enterprise",
        }
    }
}

/// A network, by its name in options.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Network {
    Public,
    Private,
    Loopback,
}

/// The keys of scope `auth`.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct AuthOptions {
    grant: GrantName,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    client_auth_method: Option<AuthMethod>,
    issuer: Option<String>,
    trust_first_issuer: bool,
    client_metadata_url: Option<String>,
    client_name: Option<String>,
    redirect_uri: Option<String>,
    loopback_port: Option<u16>,
    signing_key: Option<Secret>,
    signing_key_id: Option<String>,
    dpop: Option<Dpop>,
    offline_access: bool,
    store: Option<Keeping>,
    addresses: Option<Network>,
    timeout_ms: Option<u64>,
    user_timeout_ms: Option<u64>,
    assertion: Option<Secret>,
    enterprise: Option<Enterprise>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Dpop {
    Generated(bool),
    Key(Secret),
}

/// The storage of credentials.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Keeping {
    /// A directory.
    Files(String),
    Host(HostKeeping),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostKeeping {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Enterprise {
    token_endpoint: String,
    issuer: String,
    client_id: String,
    client_secret: Option<Secret>,
    client_auth_method: Option<AuthMethod>,
    subject: Secret,
    subject_type: Option<String>,
}

/// Returns the client's authorization. `client`: the client of the events.
pub(super) fn auth(
    options: &Hidden,
    tables: &Arc<Tables>,
    client: u64,
    runtime: &tokio::runtime::Handle,
) -> Result<Auth, Error> {
    let options = parse(options.0.get())?;
    options.check()?;
    let mut auth = options.base(tables, client, runtime)?;
    // The id belongs to an authorization server; without an id nothing is set.
    if let Some(id) = &options.client_id {
        auth = auth.client_id(id);
    }
    if let Some(secret) = &options.client_secret {
        auth = auth.client_secret(secret.expose());
    }
    if let Some(method) = options.client_auth_method {
        auth = auth.client_auth_method(method);
    }
    if let Some(issuer) = &options.issuer {
        auth = auth.issuer(issuer);
    }
    if options.trust_first_issuer {
        auth = auth.trust_first_issuer(true);
    }
    if let Some(url) = &options.client_metadata_url {
        auth = auth.client_metadata_url(url);
    }
    if let Some(name) = &options.client_name {
        auth = auth.client_name(name);
    }
    if let Some(pem) = &options.signing_key {
        auth = auth.signing_key(key("signingKey", pem)?);
    }
    if let Some(id) = &options.signing_key_id {
        auth = auth.signing_key_id(id);
    }
    match &options.dpop {
        Some(Dpop::Generated(true)) => auth = auth.dpop(SigningKey::generate()?),
        Some(Dpop::Key(pem)) => auth = auth.dpop(key("dpop", pem)?),
        Some(Dpop::Generated(false)) | None => {}
    }
    if let Some(network) = options.addresses {
        auth = auth.addresses(match network {
            Network::Public => AddressClass::Public,
            Network::Private => AddressClass::Private,
            Network::Loopback => AddressClass::Loopback,
        });
    }
    let timeout = Duration::from_millis(options.timeout_ms.unwrap_or(10_000));
    let user_timeout = Duration::from_millis(options.user_timeout_ms.unwrap_or(300_000));
    auth = auth.offline_access(options.offline_access).timeout(timeout).user_timeout(user_timeout);
    // The closing of the engine waits for it.
    let counters = tables.counters.clone();
    auth = auth.held(move || Box::new(counters.count(Kind::Operation)));
    Ok(match &options.store {
        None => auth,
        Some(Keeping::Files(path)) => auth.store(FileStore::new(path)),
        Some(Keeping::Host(HostKeeping { id })) => {
            let (host, id) = (Host { tables: tables.clone(), client }, id.clone());
            auth.store(HostStore { host, id, limit: timeout.max(user_timeout) })
        }
    })
}

/// An error of serde may quote the wrong value, and it may be a secret.
fn parse(text: &str) -> Result<AuthOptions, Error> {
    if !text.trim_start().starts_with('{') {
        return Err(Error::usage("options: auth must be an object"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let complaint = json::complaint(error.inner());
        let told = match complaint.strip_prefix("invalid ").and_then(|text| text.rsplit_once(", expected ")) {
            Some((_, wanted)) => format!("it must be {wanted}"),
            None => complaint,
        };
        match error.path().to_string().as_str() {
            "" | "." => Error::usage(format!("options: auth: {told}")),
            path => Error::usage(format!("options: auth.{path}: {told}")),
        }
    })
}

fn key(option: &str, pem: &Secret) -> Result<SigningKey, Error> {
    SigningKey::from_pem(pem.expose())
        .map_err(|error| Error::usage(format!("options: auth.{option}: {}", error.message)))
}

impl AuthOptions {
    /// Checks that each option suits the grant: an option that would be read and ignored is refused.
    fn check(&self) -> Result<(), Error> {
        use GrantName::{AuthorizationCode, ClientCredentials, Enterprise, JwtBearer};
        let given = [
            ("redirectUri", self.redirect_uri.is_some(), AuthorizationCode),
            ("loopbackPort", self.loopback_port.is_some(), AuthorizationCode),
            ("clientMetadataUrl", self.client_metadata_url.is_some(), AuthorizationCode),
            ("clientName", self.client_name.is_some(), AuthorizationCode),
            ("assertion", self.assertion.is_some(), JwtBearer),
            ("enterprise", self.enterprise.is_some(), Enterprise),
        ];
        let elsewhere = |(_, given, grant): &&(&str, bool, GrantName)| *given && *grant != self.grant;
        if let Some((option, _, grant)) = given.iter().find(elsewhere) {
            return Err(wrong(&format!("{option} is for the grant {}", grant.as_str())));
        }
        if self.redirect_uri.is_some() && self.loopback_port.is_some() {
            return Err(wrong("redirectUri and loopbackPort exclude each other"));
        }
        let of_client = [
            ("clientSecret", self.client_secret.is_some()),
            ("clientAuthMethod", self.client_auth_method.is_some()),
            ("issuer", self.issuer.is_some()),
            ("trustFirstIssuer", self.trust_first_issuer),
            ("signingKey", self.signing_key.is_some()),
        ];
        if self.client_id.as_deref().is_none_or(str::is_empty) {
            if self.grant != AuthorizationCode {
                return Err(wrong(&format!("the grant {} needs a clientId", self.grant.as_str())));
            }
            if let Some((option, _)) = of_client.iter().find(|(_, given)| *given) {
                return Err(wrong(&format!("{option} needs the clientId that it belongs to")));
            }
        }
        if self.trust_first_issuer && self.issuer.is_some() {
            return Err(wrong("issuer and trustFirstIssuer exclude each other"));
        }
        if self.signing_key_id.is_some() && self.signing_key.is_none() {
            return Err(wrong("signingKeyId needs the signingKey that it names"));
        }
        if self.grant == ClientCredentials && self.client_secret.is_none() && self.signing_key.is_none() {
            return Err(wrong("the grant client_credentials needs a clientSecret or a signingKey"));
        }
        if matches!(self.dpop, Some(Dpop::Generated(true))) && self.store.is_some() {
            return Err(wrong(
                "dpop must be a key in PEM where there is a store: tokens in it are bound to the key",
            ));
        }
        match &self.store {
            Some(Keeping::Files(path)) if path.is_empty() || path.contains('\0') => {
                Err(wrong("store must be the path of a directory"))
            }
            Some(Keeping::Host(HostKeeping { id })) if id.is_empty() => Err(wrong("store.id is empty")),
            _ => Ok(()),
        }
    }

    fn base(
        &self,
        tables: &Arc<Tables>,
        client: u64,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Auth, Error> {
        let id = self.client_id.clone().unwrap_or_default();
        let missing = |option: &str| wrong(&format!("the grant {} needs {option}", self.grant.as_str()));
        Ok(match self.grant {
            GrantName::AuthorizationCode => match &self.redirect_uri {
                Some(uri) => {
                    let (host, redirect_uri) = (Host { tables: tables.clone(), client }, uri.clone());
                    Auth::authorization_code(uri, move |url| {
                        let asked =
                            host.ask(kind::AUTHORIZE, json!({"url": url, "redirectUri": redirect_uri}));
                        async move { callback(asked.await) }
                    })
                }
                None => Auth::browser(loopback(self.loopback_port.unwrap_or(0), runtime)?),
            },
            // The secret, or the key, is added with the others.
            GrantName::ClientCredentials => Auth::client_credentials_alone(id),
            GrantName::JwtBearer => {
                let assertion = self.assertion.as_ref().ok_or_else(|| missing("an assertion"))?;
                Auth::jwt_bearer(id, assertion.expose())
            }
            GrantName::Enterprise => {
                let idp = self.enterprise.as_ref().ok_or_else(|| missing("the object enterprise"))?;
                let usual = match idp.client_secret {
                    Some(_) => AuthMethod::ClientSecretBasic,
                    None => AuthMethod::None,
                };
                let at_idp = RegisteredClient {
                    id: idp.client_id.clone(),
                    secret: idp.client_secret.clone(),
                    method: idp.client_auth_method.unwrap_or(usual),
                    secret_expires_at: None,
                };
                let subject_type = idp.subject_type.as_deref().unwrap_or(ID_TOKEN);
                Auth::enterprise(&idp.token_endpoint, &idp.issuer, at_idp, idp.subject.expose(), subject_type)
            }
        })
    }
}

fn wrong(what: &str) -> Error {
    Error::usage(format!("options: auth: {what}"))
}

fn loopback(port: u16, runtime: &tokio::runtime::Handle) -> Result<Loopback, Error> {
    let failed = |error: std::io::Error| wrong(&format!("loopbackPort: port {port} of 127.0.0.1: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    let _entered = runtime.enter();
    Loopback::adopt(listener).map_err(failed)
}

/// Returns the URL of the host's answer to AUTHORIZE.
fn callback(answer: Result<String, RpcError>) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Callback {
        url: String,
    }
    match answer {
        // An error of serde may quote the callback, and the code in it.
        Ok(text) => match serde_json::from_str::<Callback>(&text) {
            Ok(callback) => Ok(callback.url),
            Err(_) => Err(Error::usage("the answer to the event is no object with the url of the callback")),
        },
        Err(error) => Err(Error::local(local::USAGE, error.message)),
    }
}

/// Sends events to the host on behalf of a client.
#[derive(Clone)]
struct Host {
    tables: Arc<Tables>,
    client: u64,
}

impl Host {
    /// Returns the result of the exchange. Dropped before the result arrives, it withdraws the question.
    fn ask(
        &self,
        kind: u32,
        payload: Value,
    ) -> impl Future<Output = Result<String, RpcError>> + Send + use<> {
        struct Asked(Arc<Tables>, u64);
        impl Drop for Asked {
            fn drop(&mut self) {
                self.0.withdraw_exchange(self.1, "the attempt is over");
            }
        }
        let host = self.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            let question = Question { client: host.client, from: Questioner::Engine(reply) };
            let id = host.tables.ask(question, kind, payload.to_string());
            let _asked = Asked(host.tables, id);
            answer.await.unwrap_or_else(|_| Err(closed()))
        }
    }
}

fn closed() -> RpcError {
    RpcError::new(trunnion_proto::error::ErrorKind::InternalError, "the engine is closed")
}

/// A store of credentials that the host implements.
struct HostStore {
    host: Host,
    /// The id of the store. Clients of this process whose stores have the same id share its locks.
    id: String,
    /// The time limit for the host: a keychain may have to ask the user.
    limit: Duration,
}

impl HostStore {
    fn ask(&self, payload: Value) -> StoreFuture<String> {
        let (asked, limit) = (self.host.ask(kind::CREDENTIALS, payload), self.limit);
        let mut closing = self.host.tables.closing.subscribe();
        Box::pin(async move {
            // The host does not drain while it closes the engine.
            let answer = async {
                tokio::select! {
                    biased;
                    _ = closing.wait_for(|closing| *closing) => Ok(Err(closed())),
                    answer = tokio::time::timeout(limit, asked) => answer,
                }
            };
            match answer.await {
                Ok(Ok(text)) => Ok(text),
                Ok(Err(error)) => Err(StoreError::new(error.message)),
                Err(_) => Err(StoreError::new("it did not answer within timeoutMs and userTimeoutMs")),
            }
        })
    }
}

impl CredentialStore for HostStore {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        let (asked, server) = (self.ask(json!({"op": "load", "server": server})), server.to_owned());
        Box::pin(async move {
            let text = asked.await?;
            // An error of serde may quote the record.
            let record: Option<Credentials> = serde_json::from_str(&text).map_err(|_| {
                StoreError::new("what it loaded is neither a record that it was given nor null")
            })?;
            Ok(record.filter(|record| record.server == server))
        })
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        let (server, expected) = (record.server.clone(), record.version.saturating_sub(1));
        let payload = json!({"op": "swap", "server": server, "expected": expected, "record": record});
        let asked = self.ask(payload);
        Box::pin(async move {
            let text = asked.await?;
            serde_json::from_str(&text)
                .map_err(|_| StoreError::new("its answer to swap is neither true nor false"))
        })
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        let turn = turn_of((self.id.clone(), server.to_owned()));
        Box::pin(async move { Ok(Box::new(turn.lock_owned().await) as Turn) })
    }
}

type TurnLock = tokio::sync::Mutex<()>;
/// The locks by store and server.
type Turns = HashMap<(String, String), Weak<TurnLock>>;

/// Returns the lock of a record of a store of the host. It belongs to the process rather than to an engine: a
/// host may use one store for clients of several engines.
fn turn_of(record: (String, String)) -> Arc<TurnLock> {
    static TURNS: Mutex<Option<Turns>> = Mutex::new(None);
    let mut turns = lock(&TURNS);
    let turns = turns.get_or_insert_default();
    if let Some(turn) = turns.get(&record).and_then(Weak::upgrade) {
        return turn;
    }
    turns.retain(|_, turn| turn.strong_count() > 0);
    let turn = Arc::new(TurnLock::default());
    turns.insert(record, Arc::downgrade(&turn));
    turn
}
