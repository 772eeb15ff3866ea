//! An authorization server for the tests: OAuth 2.1 with PKCE, OpenID and RFC 8414 metadata, JWKS,
//! introspection (RFC 7662), registration (RFC 7591) and DPoP (RFC 9449), on loopback. It authorizes every
//! request, stores nothing and knows no users.
//!
//! Everything that it can be told to do is a JSON object for one of [`AuthServer`]'s methods; the program
//! `trunnion-auth-server` takes the same objects at `POST /admin/<method>`, and prints its URL.

mod endpoints;
mod keys;
mod mint;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use keys::Key;

/// The credentials that the introspection endpoint wants, by HTTP Basic.
pub const RESOURCE_SERVER: (&str, &str) = ("resource", "resource-secret");

/// A running server. Cheap to clone; it ends with its runtime.
#[derive(Clone)]
pub struct AuthServer(Arc<Shared>);

struct Shared {
    issuer: String,
    state: Mutex<State>,
}

struct State {
    keys: Vec<Key>,
    /// Of keys that are not in the key set.
    unknown: Key,
    /// Of clients, for proofs: `own`, and `other`.
    proving: [Key; 2],
    number: u64,
    /// Tokens that are known, with their claims.
    tokens: HashMap<String, Map<String, Value>>,
    refresh: HashMap<String, Map<String, Value>>,
    codes: HashMap<String, BTreeMap<String, String>>,
    /// Members of the metadata that differ; `null` removes one.
    metadata: Map<String, Value>,
    /// Paths that do not answer.
    hangs: BTreeSet<String>,
    /// Paths that answer with this status.
    fails: BTreeMap<String, u16>,
    asked: BTreeMap<String, u64>,
}

impl std::fmt::Debug for AuthServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AuthServer").field(&self.0.issuer).finish()
    }
}

impl AuthServer {
    /// Listens on a free port of this machine.
    pub async fn start() -> std::io::Result<AuthServer> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let state = State {
            keys: vec![Key::new("key-1")],
            unknown: Key::new("unknown"),
            proving: [Key::new(""), Key::new("")],
            number: 1,
            tokens: HashMap::new(),
            refresh: HashMap::new(),
            codes: HashMap::new(),
            metadata: Map::new(),
            hangs: BTreeSet::new(),
            fails: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        let server = AuthServer(Arc::new(Shared { issuer, state: Mutex::new(state) }));
        let router = endpoints::router(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(server)
    }

    /// Its issuer, which is its URL.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Makes a token, valid or not: `{claims?, header?, key?: "current" | "unknown" | "hs256" | "none",
    /// opaque?}`. Claims are added to those of a valid one (the caller must set `aud`); `null` removes one.
    pub fn token(&self, how: &Value) -> String {
        let mut state = self.lock();
        let claims = self.claims(&how["claims"]);
        let token = if how["opaque"] == true {
            format!("opaque-{}", keys::random())
        } else {
            mint::token(&state, how, &claims)
        };
        state.tokens.insert(token.clone(), claims);
        token
    }

    /// Makes a proof: `{method, url, token, nonce?, key?: "own" | "other", claims?, header?}`; the answer is
    /// `{proof, jkt}`, `jkt` the thumbprint for `cnf` of a token.
    pub fn proof(&self, how: &Value) -> Value {
        let state = self.lock();
        let key = &state.proving[usize::from(how["key"] == "other")];
        json!({ "proof": mint::proof(key, how), "jkt": key.thumbprint() })
    }

    /// Signs with a new key from here on: `{keep?}`; the old one stays in the key set if `keep` is true.
    pub fn rotate(&self, how: &Value) {
        let mut state = self.lock();
        state.number += 1;
        let key = Key::new(&format!("key-{}", state.number));
        if how["keep"] != true {
            state.keys.clear();
        }
        state.keys.insert(0, key);
    }

    /// Configures faults: `{metadata?: members, hang?: [path, …], fail?: {path: status}}`; omitted faults are
    /// cleared.
    pub fn behave(&self, how: &Value) {
        let mut state = self.lock();
        state.metadata = how["metadata"].as_object().cloned().unwrap_or_default();
        let paths = how["hang"].as_array().into_iter().flatten().filter_map(Value::as_str);
        state.hangs = paths.map(str::to_owned).collect();
        let status =
            |(path, status): (&String, &Value)| Some((path.clone(), u16::try_from(status.as_u64()?).ok()?));
        state.fails = how["fail"].as_object().into_iter().flatten().filter_map(status).collect();
    }

    /// Revokes a token: `{token}`. The content of a self-contained token does not change.
    pub fn revoke(&self, how: &Value) {
        self.lock().tokens.remove(how["token"].as_str().unwrap_or_default());
    }

    /// Number of requests for each path.
    pub fn asked(&self) -> BTreeMap<String, u64> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claims(&self, changed: &Value) -> Map<String, Value> {
        let now = now();
        let claims =
            json!({"iss": self.issuer(), "sub": "user", "client_id": "client", "iat": now, "exp": now + 300});
        let mut claims = claims.as_object().cloned().unwrap_or_default();
        mint::merge(&mut claims, changed);
        claims
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
