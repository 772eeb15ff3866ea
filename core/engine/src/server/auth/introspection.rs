//! Tokens that only their authorization server can read (RFC 7662).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use trunnion_proto::auth::Secret;
use trunnion_proto::auth::resource::{Refusal, keys};
use trunnion_proto::auth::url::{AddressClass, AddressPolicy};

use super::{ASK_LIMIT, check_url};
use crate::error::Error;
use crate::outbound::{Failure, Fetcher};

/// Maximum number of concurrent introspection requests; requests above that are refused with 503.
const MAX_OPEN: usize = 64;
/// The time for which an answer is cached.
const KEEP: Duration = Duration::from_secs(10);

/// Asks an authorization server about each token; answers are remembered for ten seconds, and not beyond the
/// token's own end. Cheap to clone.
#[derive(Clone)]
pub struct Introspection {
    endpoint: String,
    client: String,
    secret: Secret,
    keep: Duration,
    open: Arc<Semaphore>,
    fetcher: Arc<Fetcher>,
}

impl std::fmt::Debug for Introspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspection").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Introspection {
    /// At this endpoint, with this server's own credentials (`client_secret_basic`). The answers must have
    /// `aud`: a token for somebody else is none for this server.
    pub fn new(
        endpoint: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Introspection {
        Introspection {
            endpoint: endpoint.into(),
            client: client_id.into(),
            secret: Secret::new(client_secret),
            keep: KEEP,
            open: Arc::new(Semaphore::new(MAX_OPEN)),
            fetcher: fetcher(ASK_LIMIT),
        }
    }

    /// Sets the time for which an answer, even for a token revoked since, is cached. Zero: no cache.
    pub fn remember(mut self, time: Duration) -> Self {
        self.keep = time;
        self
    }

    /// Sets the time limit for an answer of the authorization server. Default: five seconds.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.fetcher = fetcher(limit);
        self
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn kept_for(&self) -> u64 {
        self.keep.as_secs()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_url(&self.endpoint, "the introspection endpoint")
    }

    pub(super) async fn ask(
        &self,
        token: &str,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Map<String, Value>, Refusal> {
        let Ok(_open) = self.open.try_acquire() else { return Err(Refusal::Unavailable) };
        let request = keys::introspection(&self.endpoint, &self.client, self.secret.expose(), token);
        let fetcher = self.fetcher.clone();
        let asked = runtime.spawn(async move {
            let response = fetcher.send_to(&request, true).await?;
            Ok::<_, Failure>(keys::introspected(&response)?)
        });
        match asked.await {
            Ok(Ok(Some(claims))) => Ok(claims),
            Ok(Ok(None)) => Err(Refusal::Inactive),
            Ok(Err(failure)) => {
                tracing::warn!(endpoint = self.endpoint, %failure, "an authorization server cannot be asked");
                Err(Refusal::Unavailable)
            }
            Err(_) => Err(Refusal::Unavailable),
        }
    }
}

fn fetcher(limit: Duration) -> Arc<Fetcher> {
    // The endpoint is the operator's word, whatever the policy.
    Arc::new(Fetcher::new(AddressPolicy { server: AddressClass::Loopback }, None, limit))
}
