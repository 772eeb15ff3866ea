//! Verification of self-contained tokens that their issuer signed (JWT, RFC 7519 and 9068).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value};
use trunnion_proto::auth::AuthError;
use trunnion_proto::auth::metadata::server_urls;
use trunnion_proto::auth::resource::Refusal;
use trunnion_proto::auth::resource::jws::{Algorithm, Jws};
use trunnion_proto::auth::resource::keys::{self, Jwk, KeyRing, Plan};
use trunnion_proto::auth::url::{AddressClass, AddressPolicy, cut};

use super::{ASK_LIMIT, check_url, now, signature};
use crate::error::Error;
use crate::outbound::{Failure, Fetcher};
use crate::sync::lock;

/// Takes JWTs of one issuer. Its keys are fetched when they are first needed, asked for again when a token
/// names one that is not known (twice a minute at most), and refreshed after ten minutes, which no request
/// waits for. While the issuer does not answer they are used for an hour more. Cheap to clone; clones share
/// the keys.
#[derive(Clone)]
pub struct JwtVerifier {
    issuer: String,
    key_set: Option<String>,
    algorithms: Vec<Algorithm>,
    unknown: Vec<String>,
    keys: Arc<Keys>,
}

struct Keys {
    ring: Mutex<KeyRing>,
    /// Held by who asks the issuer; the others wait for what it finds.
    flight: tokio::sync::Mutex<()>,
    fetcher: Fetcher,
}

impl Keys {
    fn of(issuer: &str, limit: Duration) -> Arc<Keys> {
        let class = cut(issuer, "the issuer").map_or(AddressClass::Public, |parts| parts.class());
        let fetcher = Fetcher::new(AddressPolicy { server: class }, None, limit);
        Arc::new(Keys { ring: Mutex::default(), flight: tokio::sync::Mutex::default(), fetcher })
    }
}

impl std::fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtVerifier").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl JwtVerifier {
    /// A verifier for this issuer, which publishes the URL of its keys in its metadata (RFC 8414, OpenID
    /// Connect Discovery). `iss` of the tokens must be exactly this text.
    pub fn new(issuer: impl Into<String>) -> JwtVerifier {
        let issuer = issuer.into();
        let keys = Keys::of(&issuer, ASK_LIMIT);
        JwtVerifier { issuer, key_set: None, algorithms: Algorithm::ALL.to_vec(), unknown: Vec::new(), keys }
    }

    /// Sets the URL of the issuer's keys (a JWK Set), instead of the URL in its metadata.
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.key_set = Some(url.into());
        self
    }

    /// The algorithms that tokens may be signed with, such as `ES256`. Default: RS, PS, ES (256 and 384 bits)
    /// and EdDSA. Neither `none` nor those with a shared secret (HS) can be named:
    /// `ServerBuilder::build` fails.
    pub fn algorithms<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.algorithms.clear();
        for name in names {
            match Algorithm::parse(name.as_ref()) {
                Some(algorithm) => self.algorithms.push(algorithm),
                None => self.unknown.push(name.as_ref().to_owned()),
            }
        }
        self
    }

    /// Sets the time limit for an answer of the issuer. Default: five seconds.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.keys = Keys::of(&self.issuer, limit);
        self
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_url(&self.issuer, "the issuer")?;
        if let Some(url) = &self.key_set {
            check_url(url, "jwksUri")?;
        }
        if let Some(name) = self.unknown.first() {
            let known: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
            let message = format!("auth: algorithms: {name:?} is none of {}", known.join(", "));
            return Err(Error::usage(message));
        }
        if self.algorithms.is_empty() {
            return Err(Error::usage("auth: algorithms: one at least is needed"));
        }
        Ok(())
    }

    /// Its claims, if the issuer has signed it.
    pub(super) async fn verify(
        &self,
        token: &str,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Map<String, Value>, Refusal> {
        let jws = Jws::parse(token, &self.algorithms)?;
        if !jws.is_access_token() {
            return Err(Refusal::Malformed);
        }
        let keys = self.keys_for(&jws, runtime).await?;
        if keys.iter().any(|key| signature::is_of(&jws, key)) {
            Ok(jws.claims)
        } else {
            Err(Refusal::Signature)
        }
    }

    async fn keys_for(&self, jws: &Jws<'_>, runtime: &tokio::runtime::Handle) -> Result<Vec<Jwk>, Refusal> {
        let plan = || lock(&self.keys.ring).plan(jws.key_id.as_deref(), jws.algorithm, now());
        let mut planned = plan();
        if planned == Plan::Fetch {
            let _flight = self.keys.flight.lock().await;
            planned = plan();
            if planned == Plan::Fetch {
                let this = self.clone();
                // A task of its own: the keys are had, even if who wanted them leaves.
                let fetched = runtime.spawn(async move { this.fetch().await });
                let _ = fetched.await;
                planned = plan();
            }
        }
        match planned {
            Plan::Try(keys) => Ok(keys),
            Plan::Refresh(keys) => {
                let this = self.clone();
                runtime.spawn(async move { this.refresh().await });
                Ok(keys)
            }
            Plan::Unknown => Err(Refusal::UnknownKey),
            Plan::Fetch | Plan::Unavailable => Err(Refusal::Unavailable),
        }
    }

    /// Bring newer keys, unless somebody does.
    async fn refresh(&self) {
        let Ok(_flight) = self.keys.flight.try_lock() else { return };
        if lock(&self.keys.ring).is_due(now()) {
            self.fetch().await;
        }
    }

    async fn fetch(&self) {
        let fetched = self.ask().await;
        let mut ring = lock(&self.keys.ring);
        match fetched {
            Ok(keys) => ring.take(keys, now()),
            Err(failure) => {
                tracing::warn!(issuer = self.issuer, %failure, "the keys of an issuer cannot be had");
                ring.fail(now());
            }
        }
    }

    async fn ask(&self) -> Result<Vec<Jwk>, Failure> {
        let url = match &self.key_set {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let trusted = self.key_set.is_some() || self.is_own(&url);
        let response = self.keys.fetcher.send_to(&keys::get(&url), trusted).await?;
        Ok(keys::read(&response)?)
    }

    async fn discover(&self) -> Result<String, Failure> {
        let issuer = &self.issuer;
        let policy = AddressPolicy { server: AddressClass::Loopback };
        let mut last = AuthError::NoServerMetadata { issuer: issuer.clone() };
        for url in server_urls(issuer, policy)? {
            let response = self.keys.fetcher.send_to(&keys::get(&url), true).await?;
            match keys::key_set_url(&response, issuer) {
                Ok(url) => {
                    let class = cut(issuer, "the issuer")?.class();
                    if !self.is_own(&url) {
                        AddressPolicy { server: class }.check(&url, "jwks_uri")?;
                    }
                    return Ok(url);
                }
                // Not here; perhaps at the next place.
                Err(AuthError::Status { status: 400..=499, .. }) => {}
                Err(error @ AuthError::IssuerMismatch { .. }) => return Err(error.into()),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    /// At the issuer's own origin, which is where the operator says it is.
    fn is_own(&self, url: &str) -> bool {
        match (cut(url, "it"), cut(&self.issuer, "it")) {
            (Ok(url), Ok(issuer)) => url.same_origin(&issuer),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;
    use tokio::net::TcpListener;
    use trunnion_proto::auth::resource::keys::FRESH;

    use super::*;

    #[tokio::test]
    async fn known_keys_are_used_while_an_issuer_that_hangs_is_asked_for_newer_ones() {
        let issuer = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", issuer.local_addr().expect("an address"));
        let verifier =
            JwtVerifier::new(&url).jwks_uri(format!("{url}/jwks")).timeout(Duration::from_secs(3600));
        let key = json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "kid": "known"});
        lock(&verifier.keys.ring).take(vec![Jwk(key.as_object().expect("an object").clone())], now() - FRESH);
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = |key: &str| {
            format!("{}.{}.c2ln", part(json!({"alg": "ES256", "typ": "at+jwt", "kid": key})), part(json!({})))
        };
        let (known, unknown) = (token("known"), token("unknown"));
        let [known, unknown] =
            [&known, &unknown].map(|token| Jws::parse(token, &verifier.algorithms).expect("a token"));
        let runtime = tokio::runtime::Handle::current();
        assert_eq!(verifier.keys_for(&known, &runtime).await.expect("kept").len(), 1);
        let (_hangs, _) = issuer.accept().await.expect("the issuer is asked");
        for _ in 0..3 {
            assert_eq!(verifier.keys_for(&known, &runtime).await.expect("kept").len(), 1);
        }
        // A caller that needs the newer ones waits for them.
        let waiting = std::pin::pin!(verifier.keys_for(&unknown, &runtime));
        assert!(futures_util::poll!(waiting).is_pending());
    }
}
