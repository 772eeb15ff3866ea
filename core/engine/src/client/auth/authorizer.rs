//! The authorization state of one client, and the sign-in attempts that renew it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use ring::rand::{SecureRandom, SystemRandom};
use trunnion_proto::auth::credentials::Tokens;
use trunnion_proto::auth::dpop::{DpopKey, KeyUse, Proof};
use trunnion_proto::auth::flow::Grant;
use trunnion_proto::auth::{AuthError, Challenge, Config, Credentials, Flow, Fresh, Input, Step};

use super::Auth;
use super::flight::{Pilot, Seat, Slot};
use crate::outbound::{Failure, Fetcher};
use crate::store::StoreError;
use crate::sync::lock;

/// Seconds before its expiry at which a token is refreshed; for short lifetimes, a quarter of the lifetime.
const MARGIN: u64 = 30;
/// Maximum number of swaps of a record when another program swaps it first each time.
const SWAPS: u32 = 3;
/// Time limit of a store for tokens that arrive while the client is closed.
const KEEPING: Duration = Duration::from_secs(5);
const DPOP: HeaderName = HeaderName::from_static("dpop");

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::new("store", format!("the credential store failed: {error}"))
    }
}

/// The authorization of one client at one server. Cheap to clone.
#[derive(Clone)]
pub(in crate::client) struct Authorizer(Arc<Inner>);

struct Inner {
    auth: Auth,
    config: Config,
    dpop: Option<DpopKey>,
    fetcher: Fetcher,
    flow: Mutex<Flow>,
    known: Mutex<Known>,
    flight: Slot,
}

/// The tokens and the nonce that requests send.
#[derive(Default)]
struct Known {
    /// True after the store was read.
    loaded: bool,
    /// The number of times that the tokens changed.
    generation: u64,
    tokens: Option<Tokens>,
    margin: u64,
    /// True after an attempt to refresh these tokens before their expiry; the server decides whether they are
    /// still valid.
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

    /// Returns true if the tokens are due for a refresh.
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
        let (flow, known, flight) = (Mutex::new(flow), Mutex::default(), Slot::default());
        Ok(Authorizer(Arc::new(Inner { auth, config, dpop, fetcher, flow, known, flight })))
    }

    /// Returns true if a request can be sent without waiting for [`Authorizer::prepare`].
    pub(in crate::client) fn is_ready(&self) -> bool {
        let known = lock(&self.0.known);
        known.loaded && !known.is_due(now())
    }

    /// Reads the store and refreshes tokens that expire soon. Failures are ignored here: the server reports
    /// them.
    pub(in crate::client) async fn prepare(&self) {
        if let Err(failure) = self.join(None).end().await {
            tracing::debug!(reason = failure.reason, "tokens could not be made ready");
        }
    }

    /// Renews the tokens after the server refused a request that was sent with those of generation `seen`.
    /// All requests that are refused meanwhile wait for the same attempt.
    pub(in crate::client) async fn renew(&self, seen: u64, challenge: Challenge) -> Result<(), Failure> {
        loop {
            if lock(&self.0.known).generation > seen {
                return Ok(());
            }
            let seat = self.join(Some(&challenge));
            let result = seat.end().await;
            // An attempt that only loaded or refreshed the stored tokens has not processed any challenge.
            if seat.is_challenged() {
                return result;
            }
        }
    }

    /// Waits until the running attempt has its answers and has stored its result, for as long as that may
    /// take after nobody waits for it any longer.
    pub(in crate::client) async fn settled(&self) {
        let limit = self.0.auth.timeout.saturating_add(KEEPING);
        if tokio::time::timeout(limit, self.0.flight.settled()).await.is_err() {
            tracing::warn!("the client is closed, and the credential store does not answer");
        }
    }

    /// Records that a request that was challenged has succeeded.
    pub(in crate::client) fn accepted(&self) {
        lock(&self.0.flow).accepted();
    }

    /// Stores the MCP server's next nonce.
    pub(in crate::client) fn set_nonce(&self, nonce: String) {
        lock(&self.0.known).nonce = Some(nonce);
    }

    /// Returns the number of times that the tokens changed.
    pub fn generation(&self) -> u64 {
        lock(&self.0.known).generation
    }

    /// Adds the token to the head of a request to the server, and returns its generation.
    pub(in crate::client) fn apply(&self, headers: &mut HeaderMap, method: &str, url: &str) -> u64 {
        headers.remove(AUTHORIZATION);
        let known = lock(&self.0.known);
        let Some(tokens) = &known.tokens else { return known.generation };
        let mut put = |name: HeaderName, value: &str| {
            // The machine accepts only tokens of visible ASCII.
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

    /// Joins the running attempt, or starts a new one.
    fn join(&self, challenge: Option<&Challenge>) -> Seat {
        self.0.flight.join(challenge.is_some(), |pilot| {
            let (inner, cause) = (Arc::clone(&self.0), challenge.cloned());
            async move { inner.fly(cause, &pilot).await }
        })
    }
}

impl Inner {
    /// Runs one attempt. Steps that can be repeated end when nobody waits for them any longer. A request that
    /// may use up a refresh token or a code cannot be repeated: the attempt waits for its answer and stores
    /// the result.
    async fn fly(&self, challenge: Option<Challenge>, pilot: &Pilot) -> Result<(), Failure> {
        let (store, server) = (&self.auth.store, &self.config.server);
        if !lock(&self.known).loaded {
            self.known_from_store(pilot.unless_given_up(store.load(server)).await?)?;
        }
        if challenge.is_none() && !lock(&self.known).is_due(now()) {
            return Ok(());
        }
        // The lock is also held while the user signs in: another process that waits here finds the tokens
        // when it acquires the lock.
        let turn = async {
            let busy =
                |_| Failure::new("busy", "another program does not finish its authorization of this server");
            Ok(tokio::time::timeout(self.auth.user_timeout, store.turn(server)).await.map_err(busy)??)
        };
        let _turn = pilot.unless_given_up::<_, Failure>(turn).await?;
        if self.found_better(pilot.unless_given_up(store.load(server)).await?)? {
            return Ok(());
        }
        lock(&self.known).tried = true;
        let (mut asked, mut held) = (false, None);
        let mut step = self.step(challenge.map_or(Input::Refresh, Input::Challenged))?;
        loop {
            let input = match step {
                Step::Http(request) if request.method == "GET" => {
                    held = None;
                    Input::Response(pilot.unless_given_up(self.fetcher.send(&request)).await?)
                }
                Step::Http(request) => {
                    pilot.commit()?;
                    held = self.auth.hold();
                    Input::Response(self.fetcher.send(&request).await?)
                }
                Step::OpenBrowser { url } => {
                    (asked, held) = (true, None);
                    Input::Callback(pilot.unless_given_up(self.ask_user(url)).await?)
                }
                Step::Sign(request) => Input::Signature(self.sign(request.key, &request.input)?),
                Step::Reload => {
                    let stored = pilot.unless_given_up(store.load(server)).await?;
                    Input::Reloaded(stored.map(Box::new))
                }
                Step::Done(record) => {
                    self.keep(*record, asked).await;
                    drop(held);
                    return Ok(());
                }
                Step::Failed(error) => return Err(error.into()),
            };
            step = self.step(input)?;
        }
    }

    fn known_from_store(&self, stored: Option<Credentials>) -> Result<(), Failure> {
        let (mut flow, mut known) = (lock(&self.flow), lock(&self.known));
        known.loaded = true;
        if let Some(stored) = stored {
            *flow = Flow::new(self.config.clone(), Some(stored))?;
            if let Some(own) = flow.credentials() {
                known.take(own.tokens.clone(), now());
                // The original lifetime is unknown.
                known.margin = MARGIN;
            }
        }
        Ok(())
    }

    /// Returns true if another program has stored tokens meanwhile.
    fn found_better(&self, stored: Option<Credentials>) -> Result<bool, Failure> {
        let mut flow = lock(&self.flow);
        let Some(stored) = stored else {
            if flow.has_kept() {
                // The user has signed out: earlier credentials must not be used or restored.
                *flow = Flow::new(self.config.clone(), None)?;
                lock(&self.known).tokens = None;
            }
            return Ok(false);
        };
        if !flow.adopt(&stored) {
            return Ok(false);
        }
        let fresh = stored.tokens.as_ref().is_some_and(|tokens| !tokens.expires_within(now(), 0));
        // Also if they have to be refreshed first: they may be another user's.
        lock(&self.known).take(stored.tokens, now());
        Ok(fresh)
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

    /// Stores a record. The user may have just agreed, and asking again would not repair a store, so a record
    /// that the store rejects is still used.
    async fn keep(&self, record: Credentials, asked: bool) {
        let mut next = Some(record).filter(|record| !lock(&self.flow).is_kept(record));
        for _ in 0..SWAPS {
            let Some(record) = next.take() else { break };
            if lock(&self.flow).yields() {
                tracing::debug!("the store holds what a user has agreed to; these tokens are kept in memory");
                break;
            }
            let theirs = match self.auth.store.swap(record.clone()).await {
                Ok(true) => {
                    lock(&self.flow).kept(record);
                    break;
                }
                Ok(false) => self.auth.store.load(&self.config.server).await,
                Err(error) => Err(error),
            };
            match theirs {
                Ok(theirs) => next = lock(&self.flow).outrun(theirs, asked),
                Err(error) => tracing::warn!(%error, "credentials are kept in memory only"),
            }
        }
        if next.is_some() {
            tracing::warn!(
                "the credential store is changed all the time; credentials are kept in memory only"
            );
        }
        let tokens = lock(&self.flow).credentials().and_then(|record| record.tokens.clone());
        lock(&self.known).take(tokens, now());
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
