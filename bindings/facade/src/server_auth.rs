//! The server option `auth`, and the tokens that the host itself verifies.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use trunnion_engine::driver::Driver;
use trunnion_engine::error::{Error, local};
use trunnion_engine::server::auth::{
    Auth, Dpop, Introspection, JwtVerifier, Secret, StaticTokens, TokenVerifier,
};
use trunnion_engine::sync::lock;
use trunnion_proto::error::RpcError;
use trunnion_proto::json;
use trunnion_proto::outcome::Outcome;

use super::queue::{Event, kind};
use super::tables::Tables;

/// The time limit for the host to verify a token.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// The option, as hosts write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AuthOptions {
    resource: Option<String>,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    required_scopes: Vec<String>,
    #[serde(default)]
    audience: OneOrMany<String>,
    #[serde(default)]
    jwt: OneOrMany<Jwt>,
    introspection: Option<Asked>,
    tokens: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    host: bool,
    #[serde(default)]
    dpop: Dpop,
    #[serde(default)]
    dpop_nonces: bool,
    leeway_ms: Option<u64>,
}

impl std::fmt::Debug for AuthOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthOptions").field("resource", &self.resource).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany::Many(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    fn all(self) -> Vec<T> {
        match self {
            OneOrMany::Many(all) => all,
            OneOrMany::One(one) => vec![one],
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Jwt {
    issuer: String,
    jwks_uri: Option<String>,
    algorithms: Option<Vec<String>>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    endpoint: String,
    client_id: String,
    client_secret: String,
    cache_ms: Option<u64>,
    timeout_ms: Option<u64>,
}

impl AuthOptions {
    /// Returns the authorization in the form of the engine. `server`: the handle that events name.
    pub fn auth(
        self,
        server: u64,
        tables: &Arc<Tables>,
        driver: &Driver,
        runtime: impl FnOnce() -> Result<tokio::runtime::Handle, Error>,
    ) -> Result<Auth, Error> {
        let mut auth = Auth::new().dpop(self.dpop).dpop_nonces(self.dpop_nonces);
        if let Some(resource) = self.resource {
            auth = auth.resource(resource);
        }
        if let Some(leeway) = self.leeway_ms {
            auth = auth.leeway(Duration::from_millis(leeway));
        }
        auth = auth.scopes_supported(self.scopes_supported).required_scopes(self.required_scopes);
        auth = self.authorization_servers.into_iter().fold(auth, Auth::authorization_server);
        auth = self.audience.all().into_iter().fold(auth, Auth::audience);
        let jwt = self.jwt.all();
        if !jwt.is_empty() || self.introspection.is_some() {
            auth = auth.on(runtime()?);
        }
        for Jwt { issuer, jwks_uri, algorithms, timeout_ms } in jwt {
            let mut verifier = JwtVerifier::new(issuer);
            if let Some(url) = jwks_uri {
                verifier = verifier.jwks_uri(url);
            }
            if let Some(algorithms) = algorithms {
                verifier = verifier.algorithms(algorithms);
            }
            if let Some(limit) = timeout_ms {
                verifier = verifier.timeout(Duration::from_millis(limit));
            }
            auth = auth.jwt(verifier);
        }
        if let Some(asked) = self.introspection {
            let Asked { endpoint, client_id, client_secret, cache_ms, timeout_ms } = asked;
            let mut introspection = Introspection::new(endpoint, client_id, client_secret);
            if let Some(time) = cache_ms {
                introspection = introspection.remember(Duration::from_millis(time));
            }
            if let Some(limit) = timeout_ms {
                introspection = introspection.timeout(Duration::from_millis(limit));
            }
            auth = auth.introspection(introspection);
        }
        if let Some(tokens) = self.tokens {
            let add = |all: StaticTokens, (token, claims): (String, Value)| all.token(token, claims);
            auth = auth.tokens(tokens.into_iter().fold(StaticTokens::new(), add));
        }
        if self.host {
            auth = auth.verifier(HostVerifier {
                server,
                tables: Arc::downgrade(tables),
                driver: driver.clone(),
            });
        }
        auth.check()?;
        Ok(auth)
    }
}

/// The host's verdict on a token: its claims, or `None` for a token that is not valid.
pub(super) type Checked = Result<Option<Map<String, Value>>, Error>;

/// A verifier that hands tokens to the host as events.
struct HostVerifier {
    server: u64,
    /// The tables. Weak: they hold the server, which holds this.
    tables: Weak<Tables>,
    driver: Driver,
}

impl TokenVerifier for HostVerifier {
    fn verify(&self, token: Secret) -> BoxFuture<'static, Checked> {
        let closed = || Error::local(local::CLOSED, "the engine is closed");
        let Some(tables) = self.tables.upgrade() else { return Box::pin(async move { Err(closed()) }) };
        let (server, driver) = (self.server, self.driver.clone());
        Box::pin(async move {
            let (sender, receiver) = oneshot::channel();
            let id = tables.next_id();
            lock(&tables.checks).insert(id, sender);
            let _withdrawn = Withdrawn { id, tables: tables.clone() };
            let payload = format!("{{\"token\":{}}}", json::string(token.expose()));
            tables.queue.push(Event { kind: kind::VERIFY_TOKEN, id, target: server, payload });
            let limit = std::pin::pin!(driver.sleep(CHECK_LIMIT));
            match select(receiver, limit).await {
                Either::Left((Ok(checked), _)) => checked,
                Either::Left((Err(_), _)) => Err(closed()),
                Either::Right(_) => Err(Error::local(local::LIMIT, "the host did not check a token in time")),
            }
        })
    }
}

/// Notifies the host when the engine no longer waits for its answer.
struct Withdrawn {
    id: u64,
    tables: Arc<Tables>,
}

impl Drop for Withdrawn {
    fn drop(&mut self) {
        if lock(&self.tables.checks).remove(&self.id).is_some() {
            let payload = "{\"reason\":\"the request is gone\"}".to_owned();
            self.tables.queue.push(Event { kind: kind::CANCELLED, id: self.id, target: 0, payload });
        }
    }
}

/// Returns the verdict of a completion on a token: the claims (RESULT or VALUE), that it is not valid
/// (ERROR), or that it could not be verified (TOOL_ERROR).
pub(super) fn checked(outcome: Outcome) -> Checked {
    match outcome {
        Outcome::Result(claims) | Outcome::Value(claims) => match serde_json::from_str(&claims) {
            Ok(Value::Object(claims)) => Ok(Some(claims)),
            _ => Err(Error::usage("the claims of a token must be an object")),
        },
        Outcome::Error(RpcError { .. }) => Ok(None),
        Outcome::ToolError(why) => Err(Error::local(local::TRANSPORT, why)),
        _ => Err(Error::usage("a token is checked with RESULT or ERROR")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Notify, Queue};

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_answer_is_given_up() {
        let queue = Arc::new(Queue::new(Notify::signal().expect("a descriptor")));
        let tables = Arc::new(Tables::new(queue.clone()));
        let driver = Driver::Tokio(tokio::runtime::Handle::current());
        let verifier = HostVerifier { server: 1, tables: Arc::downgrade(&tables), driver };
        let began = tokio::time::Instant::now();
        let checked = verifier.verify(Secret::new("token")).await;
        assert_eq!(checked.expect_err("too late").kind, "limit");
        assert_eq!(began.elapsed().as_secs(), 10);
        let kinds: Vec<u32> = queue.take(10).iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [kind::VERIFY_TOKEN, kind::CANCELLED]);
    }
}
