//! What one client knows of its authorization, and the flights that bring more.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use ring::rand::{SecureRandom, SystemRandom};
use trunnion_proto::auth::credentials::Tokens;
use trunnion_proto::auth::dpop::{DpopKey, KeyUse, Proof};
use trunnion_proto::auth::flow::Grant;
use trunnion_proto::auth::{AuthError, Challenge, Config, Credentials, Flow, Fresh, Input, Step};
use trunnion_proto::client::TransportFailure;

use super::Auth;
use super::fetch::Fetcher;
use crate::lock;
use crate::store::StoreError;

/// How many seconds before its end a token is refreshed; of short lives a quarter.
const MARGIN: u64 = 30;
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Why there is no authorization. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    reason: &'static str,
    message: String,
}

impl Failure {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Failure {
        Failure { reason, message: message.into() }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Failure {
        Failure::new(error.name(), error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::new("store", format!("the credential store failed: {error}"))
    }
}

impl From<Failure> for TransportFailure {
    fn from(failure: Failure) -> TransportFailure {
        let message = format!("authorization failed: {}", failure.message);
        TransportFailure::Unauthorized { reason: failure.reason, message }
    }
}

type Flight = BoxFuture<'static, Result<(), Failure>>;

/// Of one client and one server. Cheap to clone.
#[derive(Clone)]
pub(in crate::client) struct Authorizer(Arc<Inner>);

struct Inner {
    auth: Auth,
    config: Config,
    dpop: Option<DpopKey>,
    fetcher: Fetcher,
    flow: Mutex<Flow>,
    known: Mutex<Known>,
    /// The one flight, and whether it was begun by a challenge. Weak: it ends with the last request that waits for it.
    flight: Mutex<Option<(bool, WeakShared<Flight>)>>,
}

/// What requests carry.
#[derive(Default)]
struct Known {
    /// Has the store been looked at?
    loaded: bool,
    /// Counts the tokens that were had.
    generation: u64,
    tokens: Option<Tokens>,
    margin: u64,
    /// These were tried to be refreshed before their end; the server decides what they are still good for.
    tried: bool,
    /// The MCP server's last nonce for proofs.
    nonce: Option<String>,
}

impl Known {
    fn take(&mut self, tokens: Option<Tokens>, now: u64) {
        let life = tokens.as_ref().and_then(|tokens| tokens.expires_at).map(|at| at.saturating_sub(now));
        self.margin = life.map_or(MARGIN, |life| MARGIN.min(life / 4));
        self.generation += 1;
        self.tried = false;
        self.tokens = tokens;
    }

    /// Is it time to refresh?
    fn is_due(&self, now: u64) -> bool {
        let due = |tokens: &Tokens| tokens.refresh.is_some() && tokens.expires_within(now, self.margin);
        !self.tried && self.tokens.as_ref().is_some_and(due)
    }
}

impl Authorizer {
    pub(in crate::client) fn new(auth: Auth, server: &str) -> Result<Authorizer, AuthError> {
        let config = auth.config(server)?;
        let flow = Flow::new(config.clone(), None)?;
        let trusted = match &config.grant {
            Grant::Enterprise { token_endpoint, .. } => Some(token_endpoint.clone()),
            _ => None,
        };
        let fetcher = Fetcher::new(config.addresses, trusted, auth.timeout);
        let dpop = config.dpop.clone();
        let (flow, known, flight) = (Mutex::new(flow), Mutex::default(), Mutex::new(None));
        Ok(Authorizer(Arc::new(Inner { auth, config, dpop, fetcher, flow, known, flight })))
    }

    /// Can a request be sent without waiting for [`Authorizer::prepare`]?
    pub(in crate::client) fn is_ready(&self) -> bool {
        let known = lock(&self.0.known);
        known.loaded && !known.is_due(now())
    }

    /// Look into the store, refresh tokens that end soon. What fails here is for the server to say.
    pub(in crate::client) async fn prepare(&self) {
        let (_, flight) = self.join(None);
        if let Err(failure) = flight.await {
            tracing::debug!(reason = failure.reason, "tokens could not be made ready");
        }
    }

    /// A request that was sent with the tokens of generation `seen` is refused: get better ones. All requests that are
    /// refused meanwhile wait for the same flight.
    pub(in crate::client) async fn renew(&self, seen: u64, challenge: Challenge) -> Result<(), Failure> {
        loop {
            if lock(&self.0.known).generation > seen {
                return Ok(());
            }
            let (challenged, flight) = self.join(Some(&challenge));
            let result = flight.await;
            // A flight that only made ready what was there has not looked at any challenge.
            if challenged {
                return result;
            }
        }
    }

    /// A request that was challenged has succeeded.
    pub(in crate::client) fn accepted(&self) {
        lock(&self.0.flow).accepted();
    }

    /// The MCP server's next nonce.
    pub(in crate::client) fn set_nonce(&self, nonce: String) {
        lock(&self.0.known).nonce = Some(nonce);
    }

    /// How often the tokens have changed.
    pub fn generation(&self) -> u64 {
        lock(&self.0.known).generation
    }

    /// Put the token into the head of a request to the server, and return its generation.
    pub(in crate::client) fn apply(&self, headers: &mut HeaderMap, method: &str, url: &str) -> u64 {
        headers.remove(AUTHORIZATION);
        let known = lock(&self.0.known);
        let Some(tokens) = &known.tokens else { return known.generation };
        let mut put = |name: HeaderName, value: &str| {
            // The machine takes tokens of visible ASCII only.
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        };
        if tokens.dpop
            && let Some(key) = &self.0.dpop
        {
            let proof = Proof { method, url, nonce: known.nonce.as_deref(), access: Some(&tokens.access) };
            let signed = fresh().and_then(|fresh| {
                let request = key.proof(proof, &fresh)?;
                let signature = self.0.sign(KeyUse::Dpop, &request.input)?;
                Ok(request.finish(&signature))
            });
            match signed {
                Ok(proof) => put(DPOP, proof.expose()),
                Err(failure) => tracing::warn!(reason = failure.reason, "a request goes without its proof"),
            }
        }
        put(AUTHORIZATION, tokens.authorization().expose());
        known.generation
    }

    /// The flight that is on, or a new one; and whether it answers a challenge.
    fn join(&self, challenge: Option<&Challenge>) -> (bool, Shared<Flight>) {
        let mut slot = lock(&self.0.flight);
        if let Some((challenged, flight)) = &*slot
            && let Some(flight) = flight.upgrade()
        {
            return (*challenged, flight);
        }
        let inner = Arc::clone(&self.0);
        let cause = challenge.cloned();
        let flight: Flight = Box::pin(async move { inner.fly(cause).await });
        let flight = flight.shared();
        *slot = flight.downgrade().map(|weak| (challenge.is_some(), weak));
        (challenge.is_some(), flight)
    }
}

impl Inner {
    async fn fly(&self, challenge: Option<Challenge>) -> Result<(), Failure> {
        let store = &self.auth.store;
        if !lock(&self.known).loaded {
            let stored = store.load(&self.config.server).await;
            self.known_from_store(stored?)?;
        }
        if challenge.is_none() && !lock(&self.known).is_due(now()) {
            return Ok(());
        }
        // Also while the user is asked: another process that waits here finds the tokens when its turn comes.
        let turn = store.turn(&self.config.server);
        let busy =
            |_| Failure::new("busy", "another program does not finish its authorization of this server");
        let _turn = tokio::time::timeout(self.auth.user_timeout, turn).await.map_err(busy)??;
        let stored = store.load(&self.config.server).await?;
        if self.found_better(stored)? {
            return Ok(());
        }
        lock(&self.known).tried = true;
        let mut step = self.step(challenge.map_or(Input::Refresh, Input::Challenged))?;
        loop {
            let input = match step {
                Step::Http(request) => Input::Response(self.fetcher.send(&request).await?),
                Step::OpenBrowser { url } => Input::Callback(self.ask_user(url).await?),
                Step::Sign(request) => Input::Signature(self.sign(request.key, &request.input)?),
                Step::Reload => Input::Reloaded(store.load(&self.config.server).await?.map(Box::new)),
                Step::Done(record) => return self.keep(*record).await,
                Step::Failed(error) => return Err(error.into()),
            };
            step = self.step(input)?;
        }
    }

    fn known_from_store(&self, stored: Option<Credentials>) -> Result<(), Failure> {
        let mut known = lock(&self.known);
        known.loaded = true;
        if let Some(stored) = stored {
            known.take(stored.tokens.clone(), now());
            // How long they were to live is not known.
            known.margin = MARGIN;
            *lock(&self.flow) = Flow::new(self.config.clone(), Some(stored))?;
        }
        Ok(())
    }

    /// Has someone else brought tokens meanwhile?
    fn found_better(&self, stored: Option<Credentials>) -> Result<bool, Failure> {
        let mut flow = lock(&self.flow);
        let Some(stored) = stored else {
            if flow.credentials().is_some() {
                // The user has signed out: nothing of before is to be used, or to come back.
                *flow = Flow::new(self.config.clone(), None)?;
                lock(&self.known).tokens = None;
            }
            return Ok(false);
        };
        let fresh = stored.tokens.as_ref().filter(|tokens| !tokens.expires_within(now(), 0));
        let adopted = flow.adopt(&stored);
        let Some(tokens) = fresh.filter(|_| adopted) else { return Ok(false) };
        lock(&self.known).take(Some(tokens.clone()), now());
        Ok(true)
    }

    fn step(&self, input: Input) -> Result<Step, Failure> {
        Ok(lock(&self.flow).step(input, &fresh()?))
    }

    async fn ask_user(&self, url: String) -> Result<String, Failure> {
        let redirect = self.auth.redirect.as_ref().ok_or(AuthError::Config {
            option: "redirect",
            reason: "there is nothing that sends the user to the page".into(),
        })?;
        match tokio::time::timeout(self.auth.user_timeout, redirect(url)).await {
            Ok(Ok(callback)) => Ok(callback),
            Ok(Err(error)) => Err(Failure::new("redirect", error.message)),
            Err(_) => Err(Failure::new("user_timeout", "the user did not come back within the time limit")),
        }
    }

    fn sign(&self, key: KeyUse, input: &str) -> Result<Vec<u8>, Failure> {
        let key = match key {
            KeyUse::Client => &self.auth.client_key,
            KeyUse::Dpop => &self.auth.dpop,
        };
        let signature = key.as_ref().and_then(|key| key.sign(input.as_bytes()));
        signature.ok_or_else(|| Failure::new("signature", "the key does not sign"))
    }

    async fn keep(&self, record: Credentials) -> Result<(), Failure> {
        let mut tokens = record.tokens.clone();
        match self.auth.store.swap(record).await {
            Ok(true) => {}
            // Someone who takes no turns was faster: theirs are the tokens that last.
            Ok(false) => {
                if let Some(theirs) = self.auth.store.load(&self.config.server).await? {
                    lock(&self.flow).adopt(&theirs);
                    tokens = theirs.tokens.or(tokens);
                }
            }
            // The user has just agreed; asking again would not mend the store.
            Err(error) => tracing::warn!(%error, "credentials are kept in memory only"),
        }
        lock(&self.known).take(tokens, now());
        Ok(())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn fresh() -> Result<Fresh, Failure> {
    let mut random = [0; 64];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| Failure::new("signature", "the system has no random numbers"))?;
    Ok(Fresh { now: now(), random })
}
